//! Each thread of a store panics or stalls: publishers are held up and refused, with the reason, and how the store
//! ended is reported.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use leveret_message::ids::{QueueId, Seq};
use leveret_message::message::{Message, MessageMeta};
use leveret_message::short::Short;
use parking_lot::{Condvar, Mutex};

use super::{LogStore, Options};
use crate::sim::{Call, SimDb, SimDisk};
use crate::watch::Pulse;
use crate::{Broken, Pressure, ReadWish, Record, Store, Synced, Waiter};

struct Told(Sender<Result<Synced, Broken>>);

impl Waiter for Told {
    fn synced(&self, _token: u64, outcome: Result<Synced, Broken>) {
        let _ = self.0.send(outcome);
    }
}

/// Blocks calls of one kind while it is shut.
#[derive(Default)]
struct Door {
    shut: Mutex<bool>,
    opened: Condvar,
}

impl Door {
    fn pass(&self) {
        let mut shut = self.shut.lock();
        while *shut {
            self.opened.wait(&mut shut);
        }
    }

    fn set(&self, shut: bool) {
        *self.shut.lock() = shut;
        self.opened.notify_all();
    }
}

struct Bench {
    store: LogStore,
    disk: SimDisk,
    db: SimDb,
    next: u64,
}

impl Bench {
    fn new() -> Self {
        let (disk, db) = (SimDisk::new(1), SimDb::new(1));
        let options = Options {
            segment_bytes: 1 << 20,
            checkpoint_every: Duration::from_millis(5),
            stalled_after: Duration::from_millis(100),
            ..Options::default()
        };
        let store = LogStore::over(Arc::new(disk.clone()), Arc::new(db.clone()), options).unwrap();
        Self { store, disk, db, next: 1 }
    }

    /// From now on `hook` sees all calls.
    fn on_call(&self, hook: impl Fn(Call) + Send + Sync + Clone + 'static) {
        self.db.on_call(hook.clone());
        self.disk.on_call(hook);
    }

    /// Appends a message and waits for its sync.
    fn publish(&mut self) -> Receiver<Result<Synced, Broken>> {
        let meta = MessageMeta { persistent: true, ..MessageMeta::default() };
        let message = Message::new(Short::EMPTY, Short::literal("q"), b"\0\0", b"body", meta);
        message.always_log();
        let record = Record::Enqueue {
            queue: QueueId(1),
            seq: Seq(self.next),
            message,
            priority_level: 0,
            expires: None,
            transient: false,
            sole: false,
        };
        self.next += 1;
        let _ = self.store.append(&mut vec![record]);
        let (told, hears) = channel();
        let waiter: Arc<dyn Waiter> = Arc::new(Told(told));
        self.store.notify(&waiter, 1);
        hears
    }

    fn read(&self) {
        let wish = ReadWish {
            queue: QueueId(1),
            priority_level: 0,
            from: Seq(0),
            to: Seq(99),
            max_messages: 9,
            max_bytes: 9,
        };
        self.store.read(wish, Box::new(|_| ()));
    }

    #[track_caller]
    fn check_blocked(&self, words: &str) {
        let said = |pressure| matches!(pressure, Pressure::Blocked(reason) if reason.contains(words));
        until("publishers are held up", || said(self.store.pressure()));
    }
}

const PATIENCE: Duration = Duration::from_mins(1);

#[expect(clippy::disallowed_methods, reason = "it waits for threads, with a limit")]
#[track_caller]
fn until(what: &str, done: impl Fn() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < PATIENCE, "{what}: never");
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

/// The call in which each thread is caught, and the thread.
const CAUGHT: [(Call, &str); 3] =
    [(Call::Sync, "log-commit"), (Call::Index, "log-keeper"), (Call::Read, "log-reader")];

fn is_in(thread: &str) -> bool {
    std::thread::current().name() == Some(thread)
}

#[test]
fn a_thread_that_panics_stops_the_store_and_says_so() {
    for (call, thread) in CAUGHT {
        let mut bench = Bench::new();
        assert!(bench.publish().recv_timeout(PATIENCE).unwrap().is_ok());
        bench.on_call(move |called| assert!(called != call || !is_in(thread), "on purpose"));
        bench.read();
        let told = bench.publish();
        bench.check_blocked(thread);
        // Confirmed before the others knew, or refused; but not left unanswered.
        let first = told.recv_timeout(PATIENCE).unwrap();
        assert!(first.is_err() || thread != "log-commit");
        assert!(bench.publish().recv_timeout(PATIENCE).unwrap().is_err(), "{thread}");
        assert!(bench.store.close().is_err(), "{thread}");
        // What was confirmed is there.
        bench.on_call(|_| ());
        let store = LogStore::over(Arc::new(bench.disk), Arc::new(bench.db), Options::default()).unwrap();
        assert!(!store.live_entries(QueueId(1), Seq(0), 9).unwrap().is_empty(), "{thread}");
    }
}

#[test]
fn a_thread_that_stands_holds_publishers_up_until_it_goes_on() {
    for (call, thread) in CAUGHT {
        let mut bench = Bench::new();
        assert!(bench.publish().recv_timeout(PATIENCE).unwrap().is_ok());
        let door = Arc::new(Door::default());
        let own = Arc::clone(&door);
        bench.on_call(move |called| {
            if called == call && is_in(thread) {
                own.pass();
            }
        });
        door.set(true);
        bench.read();
        let told = bench.publish();
        bench.check_blocked(thread);
        let first = told.recv_timeout(PATIENCE).unwrap();
        assert!(first.is_err() || thread != "log-commit");
        assert!(bench.publish().recv_timeout(PATIENCE).unwrap().is_err(), "{thread}");
        door.set(false);
        until("they go on", || bench.store.pressure() == Pressure::None);
        assert!(bench.publish().recv_timeout(PATIENCE).unwrap().is_ok(), "{thread}");
        assert_eq!(bench.store.close(), Ok(()), "{thread}");
    }
}

#[test]
fn a_store_whose_thread_stands_is_closed_all_the_same_and_not_in_order() {
    for (call, thread) in CAUGHT {
        let mut bench = Bench::new();
        assert!(bench.publish().recv_timeout(PATIENCE).unwrap().is_ok());
        let door = Arc::new(Door::default());
        let own = Arc::clone(&door);
        bench.on_call(move |called| {
            if called == call && is_in(thread) {
                own.pass();
            }
        });
        door.set(true);
        bench.read();
        let _told = bench.publish();
        bench.check_blocked(thread);
        let ended = bench.store.close();
        door.set(false);
        assert!(ended.is_err(), "{thread}");
    }
}

#[test]
fn another_s_thread_counts_as_the_store_s_own() {
    let mut bench = Bench::new();
    let pulse = Pulse::new("definitions");
    bench.store.watch_also([Arc::clone(&pulse)]);
    pulse.begin();
    bench.check_blocked("definitions");
    pulse.rest();
    until("they go on", || bench.store.pressure() == Pressure::None);
    assert!(bench.publish().recv_timeout(PATIENCE).unwrap().is_ok());
    let own = Arc::clone(&pulse);
    let _ = std::thread::spawn(move || own.live(|| panic!("on purpose"))).join();
    bench.check_blocked("definitions");
    assert!(bench.publish().recv_timeout(PATIENCE).unwrap().is_err());
    assert!(bench.store.close().is_err());
}
