//! Unreadable definitions, and messages whose queues have none.

use std::path::Path;

use leveret_message::properties::{Field, PropertiesEdit};
use leveret_store::log::{LogStore, Options};
use leveret_store::memory::MemStore;

use super::*;
use crate::orphans::Adoption;

fn furnished() -> Bench {
    let bench = Bench::start(Arc::new(MemStore::new()), &Kept::default(), Found::default());
    bench.queue("q", false).unwrap();
    bench.queue("other", false).unwrap();
    bench.exchange("x", "x-delayed-message", false).unwrap();
    bench.bind("x", DestinationKind::Queue, "q").unwrap();
    bench.bind("amq.fanout", DestinationKind::Queue, "q").unwrap();
    bench.bind("amq.fanout", DestinationKind::Queue, "other").unwrap();
    bench
}

#[test]
fn a_definition_that_cannot_be_read_costs_itself_only_and_keeps_its_bytes() {
    let keys: Vec<String> = furnished().definitions.map.lock().keys().cloned().collect();
    assert!(keys.len() >= 9, "{keys:?}");
    for key in keys {
        for bytes in [&b"nonsense"[..], b"{}", b"", b"{\"id\":\"x\"}", b"\xff\xfe"] {
            let bench = furnished();
            let whole = bench.world();
            bench.definitions.map.lock().insert(key.clone(), bytes.to_vec());
            let found = bench.definitions.found(HashMap::new());
            let again = Bench::start(Arc::new(MemStore::new()), &bench.definitions, found);
            let what = key.replace('\0', " ");
            let named: Vec<_> =
                again.broker.unreadable_definitions().into_iter().map(|one| one.what).collect();
            // A vhost's record may be empty.
            let sound = what == "vhost /" && bytes.starts_with(b"{");
            assert_eq!(named.contains(&what), !sound, "{what}: {named:?}");
            assert_eq!(again.definitions.map.lock().get(&key).map(Vec::as_slice), Some(bytes), "{what}");
            let missing: Vec<_> = whole.difference(&again.world()).cloned().collect();
            let most = match key.split('\0').next().unwrap() {
                // With its implicit binding and the two to it.
                "queue" => 4,
                "exchange" => 2,
                _ => 1,
            };
            assert!(missing.len() <= most, "{what}: {missing:?}");
        }
    }
}

#[test]
fn what_takes_the_place_of_an_unreadable_definition_leaves_its_bytes_beside_it() {
    let bench = furnished();
    bench.definitions.map.lock().insert("queue\0/\0q".to_owned(), b"nonsense".to_vec());
    let found = bench.definitions.found(HashMap::new());
    let again = Bench::start(Arc::new(MemStore::new()), &bench.definitions, found);
    again.queue("q", false).unwrap();
    let map = again.definitions.map.lock().clone();
    assert_eq!(map["aside\0queue\0/\0q"], b"nonsense");
    assert_ne!(map["queue\0/\0q"], b"nonsense");
    let named: Vec<_> = again.broker.unreadable_definitions().into_iter().map(|one| one.what).collect();
    assert!(!named.contains(&"queue / q".to_owned()), "{named:?}");
    // Its bindings still exist, and are in force again after the next start.
    let found = again.definitions.found(HashMap::new());
    let third = Bench::start(Arc::new(MemStore::new()), &again.definitions, found);
    assert!(third.broker.unreadable_definitions().is_empty());
    assert_eq!(third.vhost().bindings_to(DestinationKind::Queue, "q").len(), 3);
}

#[test]
fn what_is_in_a_vhost_whose_definition_is_lost_is_there() {
    let bench = furnished();
    bench.definitions.map.lock().remove("vhost\0/");
    let before = bench.world();
    let found = bench.definitions.found(HashMap::new());
    let again = Bench::start(Arc::new(MemStore::new()), &bench.definitions, found);
    assert_eq!(again.world(), before);
    assert!(again.definitions.has("vhost"));
}

#[test]
fn a_deleted_vhost_does_not_come_back_for_what_could_not_be_read_in_it() {
    let bench = furnished();
    bench.definitions.map.lock().insert("queue\0/\0q".to_owned(), b"nonsense".to_vec());
    let found = bench.definitions.found(HashMap::new());
    let again = Bench::start(Arc::new(MemStore::new()), &bench.definitions, found);
    again.broker.put_vhost("other", &crate::vhost::VhostRecord::default()).unwrap();
    again.broker.delete_vhost("/", clock()).unwrap();
    let found = again.definitions.found(HashMap::new());
    let third = Bench::start(Arc::new(MemStore::new()), &again.definitions, found);
    assert!(third.broker.vhost("/").is_none() && third.broker.vhost("other").is_some());
    assert!(third.broker.unreadable_definitions().is_empty());
}

/// A broker over a real log.
struct Logged {
    bench: Bench,
    store: Arc<LogStore>,
}

impl Logged {
    fn open(folder: &Path, definitions: &Kept) -> Self {
        let (store, recovered) = LogStore::open(folder, &Options::default()).unwrap();
        let store = Arc::new(store);
        let found = definitions.found(recovered.queues);
        Self { bench: Bench::start(Arc::clone(&store) as _, definitions, found), store }
    }

    /// Restarts; `change` modifies the stored definitions in between.
    fn again(self, folder: &Path, change: impl FnOnce(&mut BTreeMap<String, Vec<u8>>)) -> Self {
        self.store.close().unwrap();
        let definitions = self.bench.definitions.clone();
        drop(self);
        change(&mut definitions.map.lock());
        Self::open(folder, &definitions)
    }

    fn publish(&self, queue: &'static str, expiration: Option<&str>, body: &str) {
        let mut edit = PropertiesEdit::default();
        if let Some(expiration) = expiration {
            edit.set_text(Field::Expiration, expiration.as_bytes());
        }
        let meta = MessageMeta { persistent: true, ..MessageMeta::default() };
        let message =
            Message::new(Short::literal(""), Short::literal(queue), &edit.finish(), body.as_bytes(), meta);
        let incoming = Incoming { message, headers: false, mandatory: true };
        self.bench.publish(Turn::at(clock()), std::iter::once(incoming));
    }

    fn ready(&self, queue: &str) -> u64 {
        self.bench.vhost().queue(queue).unwrap().counts().ready
    }

    fn adopt(&self, id: QueueId, name: &str) -> Result<(), Refusal> {
        let name = QueueName::new(name);
        self.bench.broker.adopt(&self.bench.vhost(), id, &Adoption { name: &name, arguments: None })
    }
}

#[test]
fn messages_whose_queue_has_no_definition_are_kept_and_can_be_adopted() {
    let folder = tempfile::tempdir().unwrap();
    let logged = Logged::open(folder.path(), &Kept::default());
    logged.bench.queue("q", false).unwrap();
    logged.bench.queue("whole", false).unwrap();
    logged.bench.bind("amq.fanout", DestinationKind::Queue, "q").unwrap();
    let id = logged.bench.vhost().queue("q").unwrap().id;
    for n in 0..50 {
        logged.publish("q", None, &n.to_string());
        logged.publish("whole", None, "x");
    }
    let lose = |map: &mut BTreeMap<String, Vec<u8>>| drop(map.remove("queue\0/\0q"));
    let mut logged = logged.again(folder.path(), lose);
    // They survive any number of restarts.
    for _ in 0..2 {
        let orphans = logged.bench.broker.orphans();
        assert_eq!(orphans.iter().map(|one| (one.id, one.messages)).collect::<Vec<_>>(), [(id, 50)]);
        logged = logged.again(folder.path(), |_| {});
    }
    assert_eq!(logged.ready("whole"), 50);
    assert!(matches!(logged.adopt(id, "whole"), Err(Refusal::Precondition(_))), "the name is taken");
    logged.bench.definitions.fail(true);
    assert!(matches!(logged.adopt(id, "back"), Err(Refusal::Storage(_))));
    logged.bench.definitions.fail(false);
    assert_eq!(logged.bench.broker.orphans().len(), 1);
    logged.adopt(id, "back").unwrap();
    assert_eq!(logged.ready("back"), 50);
    assert!(logged.bench.broker.orphans().is_empty());
    assert_eq!(logged.bench.broker.unreadable_definitions().len(), 1, "a binding to what had another name");
    let logged = logged.again(folder.path(), |_| {});
    assert_eq!((logged.ready("back"), logged.ready("whole")), (50, 50));
    assert!(logged.bench.broker.orphans().is_empty());
}

#[test]
fn what_is_known_of_an_orphan_is_told_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let logged = Logged::open(folder.path(), &Kept::default());
    logged.bench.queue("q", false).unwrap();
    logged.publish("q", None, "x");
    let id = logged.bench.vhost().queue("q").unwrap().id;
    let damage = |map: &mut BTreeMap<String, Vec<u8>>| {
        map.insert("queue\0/\0q".to_owned(), format!("{{\"id\":{},\"vhost\":7}}", id.0).into_bytes());
    };
    let logged = logged.again(folder.path(), damage);
    let name = |logged: &Logged| logged.bench.broker.orphans()[0].last_known.clone().unwrap().name;
    assert_eq!(name(&logged), "q");
    // The name is kept, even if the definition's bytes are lost meanwhile.
    let logged = logged.again(folder.path(), |map| drop(map.remove("queue\0/\0q")));
    assert_eq!(name(&logged), "q");
    assert_eq!(logged.bench.broker.discard_orphan(id).unwrap(), 1);
    assert!(logged.bench.broker.discard_orphan(id).is_err());
    let logged = logged.again(folder.path(), |_| {});
    assert!(logged.bench.broker.orphans().is_empty() && !logged.bench.definitions.has("orphan"));
}

#[test]
fn messages_of_a_deleted_queue_are_no_orphans_wherever_the_process_ended() {
    let folder = tempfile::tempdir().unwrap();
    let logged = Logged::open(folder.path(), &Kept::default());
    logged.bench.queue("q", false).unwrap();
    logged.publish("q", None, "x");
    let before = logged.bench.definitions.map.lock().clone();
    // Only the commit, as if the process ended right after it.
    let id = logged.bench.vhost().queue("q").unwrap().id;
    let logged = logged.again(folder.path(), |map| {
        map.remove("queue\0/\0q");
        map.insert(format!("gone\0{}", id.0), br#"{"vhost":"/","name":"q"}"#.to_vec());
    });
    assert!(logged.bench.broker.orphans().is_empty());
    // They are gone for good, though the grave is removed.
    let logged = logged.again(folder.path(), |map| map.retain(|key, _| !key.starts_with("gone")));
    assert!(logged.bench.broker.orphans().is_empty());
    // Deleting a vhost leaves none either.
    drop(before);
    logged.bench.queue("q", false).unwrap();
    logged.publish("q", None, "x");
    let stored = logged.bench.definitions.clone();
    logged.bench.broker.delete_vhost("/", clock()).unwrap();
    assert!(stored.has("gone"));
    let logged = logged.again(folder.path(), |_| {});
    assert!(logged.bench.broker.orphans().is_empty());
}

#[test]
fn a_queue_that_is_adopted_under_its_name_has_its_bindings_again() {
    let folder = tempfile::tempdir().unwrap();
    let logged = Logged::open(folder.path(), &Kept::default());
    logged.bench.queue("q", false).unwrap();
    logged.bench.bind("amq.fanout", DestinationKind::Queue, "q").unwrap();
    logged.publish("q", None, "x");
    let id = logged.bench.vhost().queue("q").unwrap().id;
    let logged = logged.again(folder.path(), |map| drop(map.remove("queue\0/\0q")));
    assert_eq!(logged.bench.broker.unreadable_definitions().len(), 1);
    logged.adopt(id, "q").unwrap();
    assert!(logged.bench.broker.unreadable_definitions().is_empty());
    assert_eq!(logged.bench.vhost().bindings_from("amq.fanout").len(), 1);
}

#[test]
fn delayed_messages_that_were_lost_do_not_expire_when_adopted() {
    let folder = tempfile::tempdir().unwrap();
    let logged = Logged::open(folder.path(), &Kept::default());
    logged.bench.queue("q", false).unwrap();
    let id = logged.bench.vhost().queue("q").unwrap().id;
    // Expires at once if the meaning of the instant is unknown.
    logged.publish("q", Some("1"), "x");
    let logged = logged.again(folder.path(), |map| drop(map.remove("queue\0/\0q")));
    logged.adopt(id, "back").unwrap();
    let logged = logged.again(folder.path(), |_| {});
    let queue = logged.bench.vhost().queue("back").unwrap();
    let pause = Mutex::new(());
    let never = parking_lot::Condvar::new();
    let mut tries = 0;
    loop {
        logged.bench.broker.tick(Millis(10_000));
        let counts = queue.counts();
        assert_eq!(counts.ready, 1);
        if counts.away == 0 {
            break;
        }
        let mut turn = Turn::at(Millis(10_000));
        let _ = queue.get(&mut turn, false);
        never.wait_for(&mut pause.lock(), std::time::Duration::from_millis(10));
        tries += 1;
        assert!(tries < 1000);
    }
}
