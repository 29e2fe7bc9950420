//! Messages that were moved and delivered at their target, then returned to their source as a crash undid the move: a
//! second delivery must be marked as redelivered.

use leveret_message::properties::PropertiesEdit;
use leveret_message::table::ValueRef;
use leveret_message::table::edit::put_entry;
use leveret_store::memory::MemStore;

use super::*;
use crate::queue_handle::GetOutcome;

/// A broker on an in-memory store, and its time.
struct World {
    bench: Bench,
    store: Arc<MemStore>,
    now: u64,
}

impl World {
    /// A durable delayed exchange `x` to the queue `q`; and `brief`, which dead-letters to `q` after 10 ms.
    fn new() -> Self {
        let (store, definitions) = (Arc::new(MemStore::new()), Kept::default());
        let own = Arc::clone(&store) as _;
        let bench = Bench::start(own, &definitions, definitions.found(HashMap::new()));
        bench.queue("q", false).unwrap();
        bench.exchange("x", "x-delayed-message", false).unwrap();
        bench.bind("x", DestinationKind::Queue, "q").unwrap();
        let mut arguments = FieldTable::default();
        arguments.insert("x-message-ttl".into(), Value::LongInt(10));
        arguments.insert("x-dead-letter-exchange".into(), Value::LongString(String::new().into()));
        arguments.insert("x-dead-letter-routing-key".into(), Value::LongString("q".into()));
        bench.queue_with("brief", false, &arguments).unwrap();
        // Before the time of every start, which is that of `clock`.
        Self { bench, store, now: 100 }
    }

    fn publish(&self, exchange: &'static str, key: &'static str, delay: i64, body: &str) {
        let mut table = Vec::new();
        put_entry(&mut table, b"x-delay", ValueRef::I64(delay));
        let mut edit = PropertiesEdit::default();
        edit.set_headers(&table);
        let meta = MessageMeta { persistent: true, ..MessageMeta::default() };
        let (exchange, key) = (Short::literal(exchange), Short::literal(key));
        let message = Message::new(exchange, key, &edit.finish(), body.as_bytes(), meta);
        let incoming = Incoming { message, headers: true, mandatory: true };
        self.bench.publish(Turn::at(Millis(self.now)), std::iter::once(incoming));
    }

    /// Advances the time, and reads messages on disk.
    fn wait(&mut self, millis: u64) {
        self.now += millis;
        loop {
            self.bench.broker.tick(Millis(self.now));
            if self.store.answer_reads() == 0 {
                break;
            }
        }
    }

    /// Takes all of `q`: bodies, and whether each is marked as redelivered.
    fn taken(&mut self) -> Vec<(String, bool)> {
        let queue = self.bench.vhost().queue("q").unwrap();
        let mut taken = Vec::new();
        loop {
            let mut turn = Turn::at(Millis(self.now));
            let outcome = queue.get(&mut turn, true).unwrap();
            self.bench.broker.finish(&mut turn);
            match outcome {
                GetOutcome::Message(delivery, _) => {
                    let body = String::from_utf8(delivery.message.body().to_vec()).unwrap();
                    taken.push((body, delivery.redelivered));
                }
                GetOutcome::NotYet => self.wait(0),
                GetOutcome::Empty => return taken,
            }
        }
    }

    /// Kills the broker, keeping unsynced data as decided by `seed`, and restarts it.
    fn killed(self, seed: u64) -> Self {
        let store = Arc::new(self.store.crash(seed));
        let found = self.bench.definitions.found(store.recovered());
        let bench = Bench::start(Arc::clone(&store) as _, &self.bench.definitions, found);
        let mut world = Self { bench, store, now: self.now.max(2_000) };
        world.wait(0);
        world
    }
}

/// Whether any of `seeds` brings `body` back; it must then be marked.
#[track_caller]
fn comes_back_marked(seeds: u64, body: &str, first: impl Fn() -> World) {
    let mut came_back = 0;
    for seed in 0..seeds {
        let mut world = first();
        assert_eq!(world.taken(), [(body.to_owned(), false)], "the first time");
        let mut world = world.killed(seed);
        world.wait(10);
        for (again, redelivered) in world.taken() {
            assert_eq!(again, body);
            assert!(redelivered, "seed {seed}: seen before, and not told so");
            came_back += 1;
        }
    }
    assert!(came_back > 0, "no seed undid the move");
}

#[test]
fn what_was_released_before_the_end_comes_back_marked() {
    comes_back_marked(20, "soon", || {
        let mut world = World::new();
        world.publish("x", "k", 5, "soon");
        world.store.sync();
        world.wait(5);
        world
    });
}

#[test]
fn what_was_dead_lettered_before_the_end_comes_back_marked() {
    comes_back_marked(20, "late", || {
        let mut world = World::new();
        world.publish("", "brief", 0, "late");
        world.store.sync();
        world.wait(10);
        world
    });
}

#[test]
fn a_mark_outlives_another_end_before_anybody_saw_it() {
    let mut marked = 0;
    for seed in 0..20 {
        let mut world = World::new();
        world.publish("x", "k", 5, "soon");
        world.store.sync();
        world.wait(5);
        assert_eq!(world.taken().len(), 1);
        let world = world.killed(seed);
        // Released again into `q`, which has no consumer in this run.
        world.store.sync();
        let mut world = world.killed(seed);
        for (_, redelivered) in world.taken() {
            assert!(redelivered, "seed {seed}");
            marked += 1;
        }
    }
    assert!(marked > 0, "no seed undid the release");
}

#[test]
fn what_is_due_later_or_published_later_is_not_marked() {
    let mut world = World::new();
    world.publish("x", "k", 5, "soon");
    world.publish("x", "k", 30_000, "later");
    world.store.sync();
    world.wait(5);
    assert_eq!(world.taken(), [("soon".to_owned(), false)]);
    let mut world = world.killed(0);
    world.publish("x", "k", 1, "new");
    world.publish("", "brief", 0, "brief");
    world.wait(10);
    let seen = world.taken();
    assert!(
        seen.contains(&("new".to_owned(), false)) && seen.contains(&("brief".to_owned(), false)),
        "{seen:?}"
    );
    world.wait(30_000);
    assert_eq!(world.taken(), [("later".to_owned(), false)]);
}
