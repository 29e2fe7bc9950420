//! Delayed messages over the real store, with a test-controlled clock.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use leveret_message::properties::PropertiesEdit;
use leveret_message::stored::RecoveredQueue;
use leveret_message::table::ValueRef;
use leveret_message::table::edit::put_entry;
use leveret_message::{Message, MessageMeta, Millis, QueueId, Seq, Short};
use leveret_store::log::{LogStore, Options};
use leveret_store::memory::MemStore;
use leveret_store::{Pressure, Store};
use parking_lot::{Condvar, Mutex};

use super::DelayRoom;
use crate::Caller;
use crate::arguments::{FieldTable, Value};
use crate::broker::{Broker, Found};
use crate::definitions::DefinitionStore;
use crate::delay::PendingId;
use crate::exchanges::ExchangeRequest;
use crate::limits::Limits;
use crate::login_options::LoginOptions;
use crate::names::{ExchangeName, UserName, VhostName};
use crate::publish::{Fate, Incoming, Publisher};
use crate::queue_handle::WRITE_AGAIN_MS;
use crate::queues::QueueRequest;
use crate::turn::Turn;
use crate::users::AccessRights;

const DAY_MS: u64 = 86_400_000;

#[derive(Clone, Default)]
struct Definitions {
    map: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    next: Arc<AtomicU64>,
}

impl DefinitionStore for Definitions {
    fn commit(&self, changes: &[(String, Option<Vec<u8>>)]) -> Result<(), String> {
        let mut map = self.map.lock();
        for (key, value) in changes {
            match value {
                Some(value) => map.insert(key.clone(), value.clone()),
                None => map.remove(key),
            };
        }
        Ok(())
    }

    fn next_id(&self) -> Result<u64, String> {
        Ok(self.next.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

/// The clock of the store's threads.
fn clock() -> Millis {
    Millis(0)
}

/// A broker on a folder, with one user's rights.
struct Bench<S = LogStore> {
    broker: Arc<Broker>,
    store: Arc<S>,
    definitions: Definitions,
    rights: AccessRights,
}

impl Bench {
    fn open(folder: &Path, definitions: &Definitions, now: Millis) -> Self {
        let (store, recovered) = LogStore::open(folder, &Options::default()).expect("store");
        Self::on(store, recovered.queues, definitions, now)
    }

    /// Restarts; nothing else may hold the store.
    fn again(self, folder: &Path, now: Millis) -> Self {
        self.store.close().expect("in order");
        let definitions = self.definitions.clone();
        drop(self);
        Self::open(folder, &definitions, now)
    }
}

impl<S: Store + 'static> Bench<S> {
    fn on(
        store: S,
        queues: HashMap<QueueId, RecoveredQueue>,
        definitions: &Definitions,
        now: Millis,
    ) -> Self {
        let store = Arc::new(store);
        let found = Found {
            definitions: definitions
                .map
                .lock()
                .iter()
                .map(|(key, value)| (key.as_str().into(), value.as_slice().into()))
                .collect(),

            queues,
            ..Found::default()
        };
        let own = Box::new(definitions.clone());
        let broker = Broker::start(
            Limits::default(),
            LoginOptions::default(),
            Arc::clone(&store) as _,
            own,
            found,
            clock,
        )
        .expect("broker");
        let (user, vhost) = (UserName::new("guest"), VhostName::new("/"));
        let rights = AccessRights::of(&broker.users, &user, &vhost).expect("guest");
        let bench = Self { broker, store, definitions: definitions.clone(), rights };
        bench.broker.tick(now);
        bench
    }

    /// A durable delayed exchange `x` with a durable queue `q`.
    fn declare(&mut self) {
        let vhost = self.broker.vhost("/").expect("vhost");
        let caller = Caller { rights: &self.rights, connection: None };
        let mut arguments = FieldTable::default();
        arguments.insert("x-delayed-type".into(), Value::LongString("fanout".into()));
        let request = ExchangeRequest {
            kind: "x-delayed-message",
            durable: true,
            auto_delete: false,
            internal: false,
            arguments: &arguments,
        };
        let x = ExchangeName::new("x");
        self.broker.declare_exchange(&vhost, &caller, &x, &request).expect("exchange");
        let none = FieldTable::default();
        let request = QueueRequest {
            passive: false,
            durable: true,
            exclusive: false,
            auto_delete: false,
            arguments: &none,
        };
        let q = crate::names::QueueName::new("q");
        let mut turn = Turn::default();
        self.broker.declare_queue(&vhost, &caller, &mut turn, &q, &request).expect("queue");
        let request = crate::bindings::BindingRequest {
            source: x,
            kind: crate::definitions::DestinationKind::Queue,
            destination: "q".to_owned(),
            routing_key: String::new(),
            arguments: none.clone(),
        };
        self.broker.bind(&vhost, &caller, &request).expect("binding");
    }

    fn publish(&mut self, now: u64, header: &str, value: ValueRef<'_>, body: &[u8], persistent: bool) {
        let mut table = Vec::new();
        put_entry(&mut table, header.as_bytes(), value);
        let mut edit = PropertiesEdit::default();
        edit.set_headers(&table);
        let meta = MessageMeta { persistent, ..MessageMeta::default() };
        let message = Message::new(Short::literal("x"), Short::literal("k"), &edit.finish(), body, meta);
        let incoming = Incoming { message, headers: true, mandatory: true };
        let vhost = self.broker.vhost("/").expect("vhost");
        let (mut publisher, mut turn) = (Publisher::default(), Turn::at(Millis(now)));
        let (fates, refusal) =
            publisher.publish(&self.broker, &vhost, &mut self.rights, &mut turn, std::iter::once(incoming));
        assert!(refusal.is_none() && matches!(fates.as_slice(), [Fate::Accepted]), "{fates:?}");
        self.broker.finish(&mut turn);
    }

    fn delayed(&mut self, now: u64, delay: i64, body: &[u8]) {
        self.publish(now, "x-delay", ValueRef::I64(delay), body, true);
    }

    fn delay_room(&self) -> Arc<DelayRoom> {
        self.broker.vhost("/").expect("vhost").delay_room("x").expect("holder")
    }

    fn ready(&self) -> u64 {
        self.broker.vhost("/").expect("vhost").queue("q").expect("queue").counts().ready
    }

    /// Ticks until the queue has `count` messages: bodies on disk arrive on another thread.
    fn tick_until(&self, now: u64, count: u64) {
        let mut turns = 0;
        while self.ready() < count {
            self.broker.tick(Millis(now));
            let pause = Mutex::new(());
            Condvar::new().wait_for(&mut pause.lock(), std::time::Duration::from_millis(1));
            turns += 1;
            assert!(turns < 30_000, "{} of {count}", self.ready());
        }
    }
}

#[test]
fn a_message_waits_over_a_restart_is_counted_and_comes_when_its_day_is_over() {
    let folder = tempfile::tempdir().expect("folder");
    let mut bench = Bench::open(folder.path(), &Definitions::default(), Millis(0));
    bench.declare();
    bench.delayed(1000, i64::try_from(DAY_MS).expect("small"), b"tomorrow");
    bench.delayed(1000, 5, b"soon");
    bench.broker.tick(Millis(1005));
    assert_eq!((bench.ready(), bench.delay_room().count()), (1, 1));
    for _ in 0..2 {
        bench = bench.again(folder.path(), Millis(2000));
        assert_eq!((bench.ready(), bench.delay_room().count()), (1, 1));
        assert_eq!(bench.delay_room().list(None, 10)[0].due, Millis(1000 + DAY_MS));
    }
    bench.broker.tick(Millis(999 + DAY_MS));
    assert_eq!(bench.ready(), 1);
    bench.tick_until(1000 + DAY_MS, 2);
    assert_eq!(bench.delay_room().count(), 0);
    bench = bench.again(folder.path(), Millis(DAY_MS * 2));
    assert_eq!((bench.ready(), bench.delay_room().count()), (2, 0));
}

#[test]
fn delays_longer_than_32_bits_of_milliseconds_are_kept_and_longer_than_ten_years_are_not() {
    let folder = tempfile::tempdir().expect("folder");
    let mut bench = Bench::open(folder.path(), &Definitions::default(), Millis(0));
    bench.declare();
    let ten_years = 315_360_000_000;
    bench.delayed(0, ten_years, b"held");
    bench.delayed(0, ten_years + 1, b"at once");
    bench.delayed(0, 0, b"at once");
    bench.delayed(0, -5, b"at once");
    bench.publish(0, "x-delay", ValueRef::LongString(b"soon"), b"at once", true);
    bench.publish(0, "x-delay", ValueRef::LongString(b"7000"), b"held", true);
    bench.publish(0, "x-delay", ValueRef::F64(8000.9), b"held", true);
    bench.publish(0, "x-deliver-at", ValueRef::I64(9000), b"held", true);
    bench.publish(9, "x-deliver-at", ValueRef::I64(9), b"at once", true);
    assert_eq!(bench.ready(), 5);
    let due: Vec<_> = bench.delay_room().list(None, 10).iter().map(|id| id.due.0).collect();
    assert_eq!(due, [7000, 8000, 9000, 315_360_000_000]);
}

#[test]
fn a_waiting_message_can_be_cancelled_moved_and_released() {
    let folder = tempfile::tempdir().expect("folder");
    let mut bench = Bench::open(folder.path(), &Definitions::default(), Millis(0));
    bench.declare();
    // Some bodies stay in memory, those with long delays are on disk only.
    for delay in [1000, 2000, 3000, 100_000, 200_000, 300_000] {
        bench.delayed(0, delay, delay.to_string().as_bytes());
    }
    let mut turn = Turn::at(Millis(1));
    let delay_room = bench.delay_room();
    let ids = delay_room.list(None, 10);
    for (cancelled, moved, released) in [(0, 1, 2), (3, 4, 5)] {
        delay_room.cancel(&mut turn, ids[cancelled]).expect("cancel");
        delay_room.reschedule(&mut turn, ids[moved], Millis(500_000), |_| {}).expect("move");
        delay_room.release_now(&mut turn, ids[released], |_| {}).expect("release");
        assert!(delay_room.cancel(&mut turn, ids[cancelled]).is_err());
    }
    bench.broker.finish(&mut turn);
    bench.tick_until(1, 2);
    let moved = |bench: &Bench| {
        let due: Vec<_> = bench.delay_room().list(None, 10).iter().map(|id| id.due.0).collect();
        due
    };
    let mut turns = 0;
    while moved(&bench).len() < 2 {
        bench.broker.tick(Millis(1));
        let pause = Mutex::new(());
        Condvar::new().wait_for(&mut pause.lock(), std::time::Duration::from_millis(1));
        turns += 1;
        assert!(turns < 10_000);
    }
    assert_eq!(moved(&bench), [500_000, 500_000]);
    drop(delay_room);
    let bench = bench.again(folder.path(), Millis(2));
    assert_eq!((bench.ready(), moved(&bench)), (2, vec![500_000, 500_000]));
    bench.tick_until(500_000, 4);
}

#[test]
fn more_than_fits_into_memory_comes_in_order_of_due_times() {
    let folder = tempfile::tempdir().expect("folder");
    let mut bench = Bench::open(folder.path(), &Definitions::default(), Millis(0));
    bench.declare();
    let body = vec![b'x'; 20_000];
    for n in 0..600_i64 {
        bench.publish(0, "x-delay", ValueRef::I64(1 + n * 7919 % 600), &body, n % 3 != 0);
    }
    assert!(bench.broker.memory().held() <= crate::limits::DELAYED_BYTES_MAX as u64);
    bench.tick_until(600, 600);
    assert_eq!(bench.delay_room().count(), 0);
    let vhost = bench.broker.vhost("/").expect("vhost");
    let queue = vhost.queue("q").expect("queue");
    let mut last = 0;
    for _ in 0..600 {
        let delivery = loop {
            match queue.get(&mut Turn::default(), true).expect("get") {
                crate::queue_handle::GetOutcome::Message(delivery, _) => break delivery,
                other => assert!(matches!(other, crate::queue_handle::GetOutcome::NotYet)),
            }
        };
        let table = crate::attributes::headers(&delivery.message).expect("headers");
        let delay = -table.get("x-delay").and_then(ValueRef::as_i64).expect("x-delay");
        assert!(delay >= last, "{delay} after {last}");
        last = delay;
    }
}

#[test]
fn deleting_the_exchange_forgets_what_waits() {
    let folder = tempfile::tempdir().expect("folder");
    let mut bench = Bench::open(folder.path(), &Definitions::default(), Millis(0));
    bench.declare();
    bench.delayed(0, 1000, b"x");
    let vhost = bench.broker.vhost("/").expect("vhost");
    let caller = Caller { rights: &bench.rights, connection: None };
    bench.broker.delete_exchange(&vhost, &caller, &ExchangeName::new("x"), false).expect("deleted");
    assert!(vhost.delay_room("x").is_none());
    assert!(!bench.definitions.map.lock().keys().any(|key| key.starts_with("delay")));
    bench.broker.tick(Millis(2000));
    drop(vhost);
    let mut bench = bench.again(folder.path(), Millis(3000));
    bench.declare();
    bench.broker.tick(Millis(4000));
    assert_eq!((bench.ready(), bench.delay_room().count()), (0, 0));
    assert!(
        bench
            .delay_room()
            .cancel(&mut Turn::default(), PendingId { due: Millis(1000), seq: Seq(1) })
            .is_err()
    );
}

#[test]
fn while_the_store_can_write_nothing_nothing_is_released() {
    let mut bench = Bench::on(MemStore::new(), HashMap::new(), &Definitions::default(), Millis(0));
    bench.declare();
    bench.delayed(1000, 5, b"soon");
    bench.store.set_pressure(Pressure::Blocked("no room".to_owned()));
    bench.broker.tick(Millis(1005));
    assert_eq!((bench.ready(), bench.delay_room().count()), (0, 1), "what is released is written anew");
    bench.store.set_pressure(Pressure::None);
    bench.broker.tick(Millis(1005 + WRITE_AGAIN_MS));
    assert_eq!((bench.ready(), bench.delay_room().count()), (1, 0));
}
