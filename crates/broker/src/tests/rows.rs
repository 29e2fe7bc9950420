//! Pipelined requests: one commit, and the outcome of sequential execution.

use leveret_store::memory::MemStore;

use super::*;
use crate::queues::QueueDeletion;
use crate::row::Row;

const QUEUE: DestinationKind = DestinationKind::Queue;

fn bench() -> Bench {
    Bench::start(Arc::new(MemStore::new()), &Kept::default(), Found::default())
}

impl Bench {
    fn commits(&self) -> u64 {
        self.definitions.commits.load(Ordering::Relaxed)
    }

    /// The number of commits; the stored state must then equal the state in memory.
    fn commits_for<T>(&self, act: impl FnOnce(&Self) -> T) -> (u64, T) {
        let before = self.commits();
        let done = act(self);
        let commits = self.commits() - before;
        let again =
            Self::start(Arc::new(MemStore::new()), &self.definitions, self.definitions.found(HashMap::new()));
        assert_eq!(again.world(), self.world());
        (commits, done)
    }

    fn queues(&self, names: &[String]) -> Row<bool> {
        let arguments = FieldTable::default();
        let request = QueueRequest {
            passive: false,
            durable: true,
            exclusive: false,
            auto_delete: false,
            arguments: &arguments,
        };
        let requests: Vec<_> = names.iter().map(|name| (QueueName::new(name), request)).collect();
        let row = self.as_guest(|vhost, caller| {
            self.broker.declare_queues(vhost, caller, &Turn::at(clock()), &requests)
        });
        Row { done: row.done.iter().map(|declared| declared.created).collect(), refused: row.refused }
    }

    fn exchanges(&self, names: &[String], kind: &str) -> Row<()> {
        let arguments = FieldTable::default();
        let request = ExchangeRequest {
            kind,
            durable: true,
            auto_delete: false,
            internal: false,
            arguments: &arguments,
        };
        let requests: Vec<_> = names.iter().map(|name| (ExchangeName::new(name), request)).collect();
        self.as_guest(|vhost, caller| self.broker.declare_exchanges(vhost, caller, &requests))
    }

    fn delete_queues(&self, names: &[String]) -> Row<u64> {
        let request =
            |name: &String| QueueDeletion { name: QueueName::new(name), if_unused: false, if_empty: false };
        let requests: Vec<_> = names.iter().map(request).collect();
        self.as_guest(|vhost, caller| {
            self.broker.delete_queues(vhost, caller, &mut Turn::at(clock()), &requests)
        })
    }
}

fn names(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{prefix}{n}")).collect()
}

/// An operation on a thousand objects, returning the number that succeeded.
type Step<'a> = (&'a str, &'a dyn Fn(&Bench) -> usize);

#[test]
fn a_thousand_of_a_kind_are_one_commit() {
    let bench = bench();
    let (queues, exchanges) = (names("q", 1000), names("x", 1000));
    let bindings: Vec<_> = queues.iter().map(|queue| binding("amq.fanout", QUEUE, queue)).collect();
    let deletions: Vec<_> = exchanges.iter().map(|name| (ExchangeName::new(name), false)).collect();
    let steps: [Step<'_>; 6] = [
        ("declare queues", &|b| b.queues(&queues).done.len()),
        ("declare exchanges", &|b| b.exchanges(&exchanges, "fanout").done.len()),
        ("bind", &|b| b.as_guest(|vhost, caller| b.broker.bind_all(vhost, caller, &bindings).done.len())),
        ("unbind", &|b| b.as_guest(|vhost, caller| b.broker.unbind_all(vhost, caller, &bindings).done.len())),
        ("delete queues", &|b| b.delete_queues(&queues).done.len()),
        ("delete exchanges", &|b| {
            b.as_guest(|vhost, caller| b.broker.delete_exchanges(vhost, caller, &deletions).done.len())
        }),
    ];
    for (what, step) in steps {
        assert_eq!(bench.commits_for(step), (1, 1000), "{what}");
        // Repeating it needs no disk.
        assert_eq!(bench.commits_for(step), (0, 1000), "{what} again");
    }
}

#[test]
fn the_same_twice_is_found_the_second_time() {
    let bench = bench();
    let row = ["a", "b", "a", "c", "b"].map(str::to_owned);
    let (commits, declared) = bench.commits_for(|b| b.queues(&row));
    assert_eq!(declared.done, [true, true, false, true, false]);
    assert_eq!(commits, 2, "what comes again waits for the first, and no more");
    let (commits, deleted) = bench.commits_for(|b| b.delete_queues(&row));
    assert_eq!((deleted.done.len(), commits), (5, 2));
}

#[test]
fn one_that_is_refused_ends_the_row_and_those_before_it_are_made() {
    let bench = bench();
    let (commits, row) = bench.commits_for(|b| b.queues(&["a", "b", "amq.no", "c"].map(str::to_owned)));
    assert_eq!((commits, row.done.len()), (1, 2));
    assert!(matches!(row.refused, Some(Refusal::ReservedName(_))));
    assert!(bench.vhost().queue("b").is_some() && bench.vhost().queue("c").is_none());
    let (commits, row) = bench.commits_for(|b| b.exchanges(&["x", "y"].map(str::to_owned), "no such type"));
    assert_eq!((commits, row.done.len()), (0, 0));
    assert!(matches!(row.refused, Some(Refusal::UnknownExchangeType(_))));
}

#[test]
fn a_row_that_cannot_be_kept_ends_before_the_first_that_needs_the_disk() {
    let bench = bench();
    bench.queue("there", false).unwrap();
    let before = bench.world();
    bench.definitions.fail(true);
    let row = bench.queues(&["there", "new", "there"].map(str::to_owned));
    assert_eq!(row.done, [false]);
    assert!(matches!(row.refused, Some(Refusal::Storage(_))));
    assert_eq!(bench.world(), before);
}

#[test]
fn limits_count_those_that_are_about_to_be_made() {
    let bench = bench();
    let limits = serde_json::from_value(serde_json::json!({ "max-queues": 3 })).unwrap();
    bench.broker.set_vhost_limits("/", &limits).unwrap();
    let (_, row) = bench.commits_for(|b| b.queues(&names("q", 5)));
    assert_eq!(row.done.len(), 3);
    assert!(matches!(row.refused, Some(Refusal::Precondition(_))));
}

#[test]
fn what_takes_exchanges_along_takes_them_from_the_disk_too() {
    let bench = bench();
    for queue in ["a", "b", "c"] {
        bench.queue(queue, false).unwrap();
    }
    bench.exchange("last", "fanout", true).unwrap();
    for queue in ["a", "b"] {
        bench.bind("last", QUEUE, queue).unwrap();
    }
    bench.commits_for(|b| b.delete_queues(&["a", "b", "c"].map(str::to_owned)));
    assert!(bench.vhost().exchange("last").is_none());
    for queue in ["a", "b"] {
        bench.queue(queue, false).unwrap();
    }
    bench.exchange("last", "fanout", true).unwrap();
    let bindings = ["a", "b"].map(|queue| binding("last", QUEUE, queue));
    bench.commits_for(|b| {
        b.as_guest(|vhost, caller| {
            assert_eq!(b.broker.bind_all(vhost, caller, &bindings).done.len(), 2);
            assert_eq!(b.broker.unbind_all(vhost, caller, &bindings).done.len(), 2);
        });
    });
    assert!(bench.vhost().exchange("last").is_none());
    for exchange in ["to", "too"] {
        bench.exchange(exchange, "fanout", false).unwrap();
    }
    bench.exchange("last", "fanout", true).unwrap();
    for exchange in ["to", "too"] {
        bench.bind("last", DestinationKind::Exchange, exchange).unwrap();
    }
    let deletions = ["to", "too"].map(|name| (ExchangeName::new(name), false));
    bench.commits_for(|b| {
        b.as_guest(|vhost, caller| b.broker.delete_exchanges(vhost, caller, &deletions).done.len())
    });
    assert!(bench.vhost().exchange("last").is_none());
}

#[test]
fn a_definition_too_long_to_be_stored_is_refused_by_name_and_those_before_it_stand() {
    let bench = bench();
    let (small, mut large) = (FieldTable::default(), FieldTable::default());
    large.insert("note".into(), Value::LongString("a".repeat(61_000).into()));
    let requests = [("a", &small), ("b", &large), ("c", &small)].map(|(name, arguments)| {
        let request =
            QueueRequest { passive: false, durable: true, exclusive: false, auto_delete: false, arguments };
        (QueueName::new(name), request)
    });
    let row = bench
        .as_guest(|vhost, caller| bench.broker.declare_queues(vhost, caller, &Turn::at(clock()), &requests));
    let refused = row.refused.expect("a refusal");
    assert!(matches!(&refused, Refusal::Precondition(what) if what.contains("queue / b")), "{refused}");
    let there: Vec<_> = ["a", "b", "c"].map(|name| bench.vhost().queue(name).is_some()).into();
    assert_eq!(there, [true, false, false]);
}
