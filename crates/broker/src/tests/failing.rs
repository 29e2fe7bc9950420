//! Nothing happens that cannot be stored: a failed commit changes nothing.

use std::sync::atomic::Ordering;

use leveret_store::memory::MemStore;
use serde_json::json;

use super::*;
use crate::batch::{Batch, NewQueue, Part};
use crate::operator_limits::OperatorLimits;
use crate::policies::{PolicyKind, PolicyRecord};
use crate::queue_handle::QueueHandle;
use crate::topic_permissions::TopicPermissionRecord;
use crate::users::{PermissionRecord, UserRecord};
use crate::vhost::VhostRecord;

const QUEUE: DestinationKind = DestinationKind::Queue;
const EXCHANGE: DestinationKind = DestinationKind::Exchange;

/// A queue whose removal also removes two exchanges, a delaying exchange, another vhost, rules of every kind.
fn furnished() -> Bench {
    let bench = Bench::start(Arc::new(MemStore::new()), &Kept::default(), Found::default());
    let broker = &bench.broker;
    bench.queue("q", false).unwrap();
    bench.queue("other", false).unwrap();
    bench.exchange("outer", "fanout", true).unwrap();
    bench.exchange("inner", "x-delayed-message", true).unwrap();
    bench.exchange("x", "fanout", false).unwrap();
    bench.bind("outer", EXCHANGE, "inner").unwrap();
    bench.bind("inner", QUEUE, "q").unwrap();
    bench.bind("x", QUEUE, "q").unwrap();
    bench.bind("x", QUEUE, "other").unwrap();
    broker.put_vhost("v", &VhostRecord::default()).unwrap();
    broker.put_user("u", &user()).unwrap();
    broker.set_permission("u", "/", &PermissionRecord::all()).unwrap();
    broker.set_topic_permission("u", "/", "x", &topics()).unwrap();
    broker.put_policy("/", PolicyKind::User, "p", policy()).unwrap();
    broker.set_global_parameter("g", &json!(1)).unwrap();
    bench
}

fn user() -> UserRecord {
    UserRecord { password_hash: String::new(), tags: vec!["management".to_owned()] }
}

fn topics() -> TopicPermissionRecord {
    serde_json::from_value(json!({ "write": "a", "read": "b" })).unwrap()
}

fn policy() -> PolicyRecord {
    serde_json::from_value(json!({
        "pattern": "^q", "apply-to": "queues", "priority": 1, "definition": { "max-length": 5 }
    }))
    .unwrap()
}

type Change = (&'static str, fn(&Bench) -> Result<(), Refusal>);

/// Every kind of change, each possible in the state built by [`furnished`].
const CHANGES: &[Change] = &[
    ("declare a queue", |b| b.queue("new", false)),
    ("declare an exchange", |b| b.exchange("new", "x-delayed-message", false)),
    ("bind a queue", |b| b.bind("amq.fanout", QUEUE, "q")),
    ("bind an exchange", |b| b.bind("amq.fanout", EXCHANGE, "x")),
    ("make the first binding of an auto-delete exchange", |b| {
        b.definitions.fail(false);
        b.exchange("fresh", "fanout", true)?;
        b.definitions.fail(true);
        let bound = b.bind("fresh", QUEUE, "q");
        b.definitions.fail(false);
        assert!(
            b.vhost().exchange("fresh").is_some(),
            "it is not deleted for a binding that was never there"
        );
        b.delete_exchange("fresh")?;
        bound
    }),
    ("delete a queue", |b| b.delete_queue("q").map(|_| ())),
    ("delete an exchange", |b| b.delete_exchange("inner")),
    ("delete an exchange that others lead to", |b| b.delete_exchange("x")),
    ("unbind, and lose two exchanges by it", |b| b.unbind("inner", QUEUE, "q")),
    ("unbind", |b| b.unbind("x", QUEUE, "other")),
    ("make a vhost", |b| b.broker.put_vhost("w", &VhostRecord::default()).map(|_| ())),
    ("change a vhost", |b| {
        let record = VhostRecord { description: "changed".to_owned(), ..VhostRecord::default() };
        b.broker.put_vhost("v", &record).map(|_| ())
    }),
    ("delete a vhost", |b| b.broker.delete_vhost("/", clock()).map(|_| ())),
    ("make a user", |b| b.broker.put_user("new", &user()).map(|_| ())),
    ("delete a user", |b| b.broker.delete_user("u").map(|_| ())),
    ("permit", |b| b.broker.set_permission("u", "v", &PermissionRecord::all()).map(|_| ())),
    ("forbid", |b| b.broker.clear_permission("u", "/").map(|_| ())),
    ("permit topics", |b| b.broker.set_topic_permission("u", "v", "x", &topics()).map(|_| ())),
    ("forbid topics", |b| b.broker.clear_topic_permissions("u", "/", None).map(|_| ())),
    ("make a policy", |b| b.broker.put_policy("/", PolicyKind::Operator, "p", policy()).map(|_| ())),
    ("delete a policy", |b| b.broker.delete_policy("/", PolicyKind::User, "p").map(|_| ())),
    ("set a global parameter", |b| b.broker.set_global_parameter("g", &json!(2)).map(|_| ())),
    ("clear a global parameter", |b| b.broker.clear_global_parameter("g").map(|_| ())),
    ("limit a vhost", |b| b.broker.set_vhost_limits("/", &limits())),
    ("limit a user", |b| b.broker.set_user_limits("u", &limits())),
    ("declare a batch", |b| {
        let queue =
            NewQueue { name: QueueName::new("new"), auto_delete: false, arguments: FieldTable::default() };
        let batch = Batch { queues: vec![queue], ..Batch::default() };
        b.broker.declare_batch(&b.vhost(), &batch).map_err(|refused| *refused.refusal)
    }),
];

fn limits() -> OperatorLimits {
    OperatorLimits::default()
}

#[test]
fn a_failed_commit_changes_nothing_and_a_good_one_is_what_a_start_finds() {
    for (what, change) in CHANGES {
        let bench = furnished();
        let (before, stored) = (bench.world(), bench.definitions.map.lock().clone());
        bench.definitions.fail(true);
        let refused = change(&bench);
        assert!(matches!(refused, Err(Refusal::Storage(_))), "{what}: {refused:?}");
        assert_eq!(bench.world(), before, "{what}");
        bench.definitions.fail(false);
        if *what != "make the first binding of an auto-delete exchange" {
            assert_eq!(*bench.definitions.map.lock(), stored, "{what}");
            change(&bench).unwrap_or_else(|refusal| panic!("{what}: {refusal}"));
            let found = bench.definitions.found(HashMap::new());
            let again = Bench::start(Arc::new(MemStore::new()), &bench.definitions, found);
            assert_eq!(again.world(), bench.world(), "{what}");
            assert!(again.broker.unreadable_definitions().is_empty(), "{what}");
        }
    }
}

/// An unused queue `idle` that expires after a millisecond.
fn idle(bench: &Bench) -> Arc<QueueHandle> {
    let mut arguments = FieldTable::default();
    arguments.insert("x-expires".into(), Value::LongInt(1));
    let request = QueueRequest {
        passive: false,
        durable: true,
        exclusive: false,
        auto_delete: false,
        arguments: &arguments,
    };
    let name = QueueName::new("idle");
    let declared = bench.as_guest(|vhost, caller| {
        bench.broker.declare_queue(vhost, caller, &mut Turn::at(Millis(0)), &name, &request)
    });
    declared.unwrap().queue
}

#[test]
fn an_unused_queue_that_cannot_be_forgotten_on_disk_is_deleted_later() {
    let bench = furnished();
    let queue = idle(&bench);
    bench.definitions.fail(true);
    let mut turn = Turn::at(clock());
    turn.deletable.push(Arc::clone(&queue));
    bench.broker.finish(&mut turn);
    assert!(bench.vhost().queue("idle").is_some() && !queue.is_gone());
    bench.broker.delete_again();
    assert!(bench.vhost().queue("idle").is_some());
    bench.definitions.fail(false);
    bench.broker.delete_again();
    assert!(bench.vhost().queue("idle").is_none() && queue.is_gone());
}

#[test]
fn an_idle_queue_that_cannot_be_deleted_does_not_ask_for_ticks_until_it_is_tried_again() {
    let bench = furnished();
    let queue = idle(&bench);
    let asked = || bench.broker.deadlines().earliest(std::task::Waker::noop());
    bench.definitions.fail(true);
    assert_eq!(asked(), Some(Millis(1)));
    bench.broker.tick(clock());
    assert_eq!(asked(), None);
    queue.dispatch(&mut Turn::at(clock()));
    assert_eq!(asked(), None, "whatever else is done with it");
    bench.broker.delete_again();
    assert_eq!(asked(), None, "tried once");
    assert_eq!(bench.broker.undeleted.lock().len(), 1);
    // Used meanwhile: it survives, and expires when it is idle again.
    queue.touch(clock());
    bench.broker.delete_again();
    assert_eq!(asked(), Some(clock().plus(1)));
    bench.definitions.fail(false);
    bench.broker.tick(clock().plus(1));
    assert!(bench.vhost().queue("idle").is_none() && queue.is_gone());
}

#[test]
fn graves_go_when_the_store_knows() {
    let store = Arc::new(MemStore::new());
    let bench = Bench::start(Arc::clone(&store) as _, &Kept::default(), Found::default());
    let graves = || bench.definitions.map.lock().keys().filter(|key| key.starts_with("gone")).count();
    for n in 1..=5 {
        bench.queue("q", false).unwrap();
        bench.delete_queue("q").unwrap();
        assert!(graves() <= n, "each tells that its messages go");
    }
    assert!(graves() > 0);
    store.sync();
    for _ in 0..3 {
        bench.queue("q", false).unwrap();
        bench.delete_queue("q").unwrap();
        store.sync();
        assert_eq!(graves(), 1, "those before it are over");
    }
}

fn new_queue(name: &str, arguments: FieldTable) -> NewQueue {
    NewQueue { name: QueueName::new(name), auto_delete: false, arguments }
}

#[test]
fn thousands_of_queues_and_bindings_are_one_commit_or_nothing() {
    let bench = furnished();
    let mut batch = Batch::default();
    for n in 0..2000 {
        let name = format!("new {n}");
        batch.queues.push(new_queue(&name, FieldTable::default()));
        batch.bindings.push(binding("amq.fanout", QUEUE, &name));
    }
    let before = bench.world();
    bench.definitions.fail(true);
    let refused = bench.broker.declare_what_can(&bench.vhost(), &batch, false);
    assert!(matches!(refused, Err(Refusal::Storage(_))));
    assert_eq!(bench.world(), before);
    bench.definitions.fail(false);
    let commits = bench.definitions.commits.load(Ordering::Relaxed);
    assert_eq!(bench.broker.declare_what_can(&bench.vhost(), &batch, false).unwrap().len(), 0);
    assert_eq!(bench.definitions.commits.load(Ordering::Relaxed), commits + 1);
    assert_eq!(bench.vhost().bindings_from("amq.fanout").len(), 2000);
}

#[test]
fn a_dry_run_refuses_what_is_refused_and_the_rest_is_made() {
    let bench = furnished();
    let mut stream = FieldTable::default();
    stream.insert("x-queue-type".into(), Value::LongString("stream".into()));
    let batch = Batch {
        queues: vec![new_queue("stream", stream), new_queue("good", FieldTable::default())],
        bindings: vec![
            binding("amq.fanout", QUEUE, "stream"),
            binding("amq.fanout", QUEUE, "good"),
            binding("none", QUEUE, "good"),
        ],
        ..Batch::default()
    };
    let before = bench.world();
    let refused = |dry| {
        let refused = bench.broker.declare_what_can(&bench.vhost(), &batch, dry).unwrap();
        refused.into_iter().map(|(part, _)| part).collect::<Vec<_>>()
    };
    let expected = [Part::Queue(0), Part::Binding(0), Part::Binding(2)];
    assert_eq!(refused(true), expected);
    assert_eq!(bench.world(), before);
    assert_eq!(refused(false), expected);
    assert_eq!(bench.vhost().bindings_to(QUEUE, "good").len(), 2);
}
