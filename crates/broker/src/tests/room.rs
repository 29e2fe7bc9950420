//! Dead letters while the store has no room to write them anew.

use leveret_queues::Token;
use leveret_store::Pressure;
use leveret_store::memory::MemStore;

use super::*;
use crate::queue_handle::{GetOutcome, ROOM_AGAIN_MS, WRITE_AGAIN_MS};

const TTL_MS: u64 = 10;

/// A queue `q` with dead letters in `dead`, over an in-memory store.
struct Room {
    bench: Bench,
    store: Arc<MemStore>,
}

impl Room {
    fn new(arguments: &[(&str, i64)]) -> Self {
        let (store, definitions) = (Arc::new(MemStore::new()), Kept::default());
        let bench = Bench::start(Arc::clone(&store) as _, &definitions, definitions.found(HashMap::new()));
        bench.queue("dead", false).unwrap();
        let text = |value: &str| Value::LongString(value.into());
        let mut table = FieldTable::default();
        table.insert("x-dead-letter-exchange".into(), text(""));
        table.insert("x-dead-letter-routing-key".into(), text("dead"));
        for (name, value) in arguments {
            table.insert((*name).into(), Value::LongLongInt(*value));
        }
        bench.queue_with("q", false, &table).unwrap();
        Self { bench, store }
    }

    fn blocked(&self, blocked: bool) {
        let reason = || Pressure::Blocked("no room".to_owned());
        self.store.set_pressure(if blocked { reason() } else { Pressure::None });
    }

    fn publish(&self, body: &str) {
        let meta = MessageMeta { persistent: true, ..MessageMeta::default() };
        // Delivery mode 2.
        let properties = [0x10, 0, 2];
        let message = Message::new(Short::EMPTY, Short::literal("q"), &properties, body.as_bytes(), meta);
        let incoming = [Incoming { message, headers: false, mandatory: false }];
        self.bench.publish(Turn::at(clock()), incoming.into_iter());
    }

    /// Ready messages of `q` and of `dead`.
    fn ready(&self) -> (u64, u64) {
        let ready = |name| self.bench.vhost().queue(name).unwrap().counts().ready;
        (ready("q"), ready("dead"))
    }

    fn tick(&self, after_ms: u64) {
        self.bench.broker.tick(clock().plus(after_ms));
    }

    /// Takes a message of `q` at that time.
    fn get(&self, after_ms: u64) -> Option<(String, Token)> {
        let mut turn = Turn::at(clock().plus(after_ms));
        let got = self.bench.vhost().queue("q").unwrap().get(&mut turn, false).unwrap();
        self.bench.broker.finish(&mut turn);
        match got {
            GetOutcome::Message(delivery, _) => {
                let body = String::from_utf8_lossy(delivery.message.body()).into_owned();
                Some((body, delivery.token.unwrap()))
            }
            GetOutcome::Empty | GetOutcome::NotYet => None,
        }
    }

    fn reject(&self, token: Token) {
        let mut turn = Turn::at(clock());
        self.bench.vhost().queue("q").unwrap().reject(&mut turn, &[token]);
        self.bench.broker.finish(&mut turn);
    }

    /// After a crash that keeps all synced data, and of the rest what the seed decides.
    fn crash(self, seed: u64) -> Self {
        let store = Arc::new(self.store.crash(seed));
        let definitions = self.bench.definitions;
        let found = definitions.found(store.recovered());
        Self { bench: Bench::start(Arc::clone(&store) as _, &definitions, found), store }
    }
}

#[test]
fn what_expires_waits_for_room_and_is_neither_delivered_nor_lost_nor_doubled() {
    let room = Room::new(&[("x-message-ttl", 10)]);
    room.publish("a");
    room.store.sync();
    room.blocked(true);
    let before = room.store.recovered();
    room.tick(TTL_MS);
    assert_eq!(room.ready(), (1, 0), "what is dead-lettered is written anew");
    assert!(room.get(TTL_MS + 1).is_none());
    room.tick(TTL_MS + ROOM_AGAIN_MS);
    room.store.sync();
    assert_eq!((room.ready(), room.store.recovered()), ((1, 0), before), "nothing was written");
    let room = room.crash(0);
    room.blocked(true);
    room.tick(2 * TTL_MS);
    room.store.answer_reads();
    assert_eq!(room.ready(), (1, 0));
    room.blocked(false);
    for again in 1..4 {
        room.tick(2 * TTL_MS + again * 2 * ROOM_AGAIN_MS);
        room.store.answer_reads();
    }
    assert_eq!(room.ready(), (0, 1));
    room.store.sync();
    assert_eq!(room.crash(0).ready(), (0, 1));
}

#[test]
fn a_store_that_only_falls_behind_is_asked_again_soon() {
    let room = Room::new(&[("x-message-ttl", 10)]);
    room.publish("a");
    room.store.set_pressure(Pressure::Full);
    room.tick(TTL_MS);
    assert_eq!(room.ready(), (1, 0));
    room.blocked(false);
    room.tick(TTL_MS + WRITE_AGAIN_MS);
    assert_eq!(room.ready(), (0, 1));
}

#[test]
fn a_length_limit_waits_for_room_too() {
    let room = Room::new(&[("x-max-length", 1)]);
    room.publish("a");
    room.blocked(true);
    room.publish("b");
    assert_eq!(room.ready(), (2, 0));
    room.blocked(false);
    room.tick(ROOM_AGAIN_MS);
    assert_eq!(room.ready(), (1, 1));
    assert_eq!(room.get(ROOM_AGAIN_MS).unwrap().0, "b");
}

#[test]
fn what_a_consumer_rejects_waits_for_room_and_after_a_crash_it_is_in_one_queue_only() {
    for seed in 0..8 {
        let room = Room::new(&[]);
        room.publish("a");
        room.store.sync();
        room.blocked(true);
        let (_, token) = room.get(1).unwrap();
        room.reject(token);
        assert_eq!(room.ready(), (1, 0), "its body would have to be written anew");
        assert!(room.get(2).is_none(), "nobody gets it again");
        room.store.sync();
        if seed == 0 {
            assert_eq!(room.crash(seed).ready(), (1, 0));
            continue;
        }
        room.blocked(false);
        room.tick(ROOM_AGAIN_MS);
        assert_eq!(room.ready(), (0, 1));
        let synced = seed % 2 == 0;
        if synced {
            room.store.sync();
        }
        let found = room.crash(seed).ready();
        assert!(found == (0, 1) || !synced && found == (1, 0), "{found:?}");
    }
}
