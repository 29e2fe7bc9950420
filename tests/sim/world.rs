//! The broker with its store and its clients, all in one thread: everything happens within calls.
//!
//! Not determined by the seed: the order in which queues due at the same instant are ticked, and in which a batch of
//! publishes reaches different queues. The model accepts any.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Waker;

use leveret_broker::Broker;
use leveret_broker::broker::Found;
use leveret_broker::definitions::DefinitionStore;
use leveret_broker::limits::Limits;
use leveret_broker::login_options::LoginOptions;
use leveret_broker::policies::{PolicyKind, PolicyRecord};
use leveret_broker::queue_handle::{Peek, PeekedMessage, QueueHandle};
use leveret_broker::vhost::Vhost;
use leveret_message::stored::RecoveredQueue;
use leveret_message::{Millis, QueueId};
use leveret_store::memory::MemStore;
use parking_lot::Mutex;

use crate::client::{Client, Heard, Said, sign_of};
use crate::model::shape::PolicyShape;

thread_local! {
    static NOW: Cell<u64> = const { Cell::new(0) };
}

fn clock() -> Millis {
    Millis(NOW.get())
}

/// Stored definitions. When a commit returns it is durable, or has changed nothing.
#[derive(Clone, Default)]
pub(crate) struct Kept {
    map: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    last_id: Arc<AtomicU64>,
    fails: Arc<AtomicBool>,
}

impl DefinitionStore for Kept {
    fn commit(&self, changes: &[(String, Option<Vec<u8>>)]) -> Result<(), String> {
        if self.fails.load(Ordering::Relaxed) {
            return Err("No space left on device".to_owned());
        }
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
        Ok(self.last_id.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

impl Kept {
    fn found(&self, queues: HashMap<QueueId, RecoveredQueue>) -> Found {
        let map = self.map.lock();
        let definitions = map.iter().map(|(key, value)| (key.as_str().into(), value.as_slice().into()));
        Found { definitions: definitions.collect(), queues, ..Found::default() }
    }
}

/// The definitions of a first start. Hashing the password is deliberately slow.
static FIRST: LazyLock<BTreeMap<String, Vec<u8>>> = LazyLock::new(|| {
    let kept = Kept::default();
    start(&Arc::new(MemStore::new()), &kept, u64::MAX);
    let map = kept.map.lock();
    map.clone()
});

fn start(store: &Arc<MemStore>, kept: &Kept, memory: u64) -> Arc<Broker> {
    let found = kept.found(store.recovered());
    let mut limits = Limits { channel_max: 4, ..Limits::default() };
    limits.memory_bytes_max = limits.memory_bytes_max.min(memory);
    let definitions = Box::new(kept.clone());
    Broker::start(limits, LoginOptions::default(), Arc::clone(store) as _, definitions, found, clock)
        .expect("the broker starts")
}

/// A ready message, as seen by an operator.
pub(crate) struct Stands {
    pub(crate) sign: String,
    pub(crate) redelivered: bool,
    pub(crate) count: u64,
}

pub(crate) struct World {
    pub(crate) broker: Arc<Broker>,
    store: Arc<MemStore>,
    kept: Kept,
    clients: BTreeMap<usize, Client>,
    connections: u64,
    /// Successful syncs of the store.
    pub(crate) syncs: u64,
    memory: u64,
}

impl World {
    /// A first start. Bodies may use this many bytes of memory.
    pub(crate) fn new(memory: u64) -> Self {
        NOW.set(1_000_000);
        let kept = Kept::default();
        kept.map.lock().clone_from(&FIRST);
        let store = Arc::new(MemStore::new());
        let broker = start(&store, &kept, memory);
        Self { broker, store, kept, clients: BTreeMap::new(), connections: 0, syncs: 0, memory }
    }

    pub(crate) fn now() -> u64 {
        NOW.get()
    }

    pub(crate) fn vhost(&self) -> Arc<Vhost> {
        self.broker.vhost("/").expect("the vhost")
    }

    /// Connects a client, with this connection number.
    pub(crate) fn connect(&mut self, client: usize) {
        self.connections += 1;
        self.clients.insert(client, Client::new(&self.broker, self.connections));
    }

    /// Passes a client's octets to the broker, until all are processed.
    pub(crate) fn say(&mut self, client: usize, octets: &[u8]) {
        let mut octets = octets;
        let before = self.syncs;
        for _ in 0..1_000 {
            let speaker = self.clients.get_mut(&client).expect("a client");
            match speaker.say(clock(), octets) {
                Said::Done => {
                    if self.syncs > before {
                        // So that all of the input is durable, not a part unknown to the model.
                        self.sync();
                    }
                    return self.broker.relieve_memory(clock());
                }
                Said::Unread(queue) => {
                    let _ = queue.poll_head(Waker::noop());
                    self.read();
                }
                Said::Waits => self.relieve(),
            }
            octets = &[];
        }
        panic!("hangs: the broker does not get on with what client {client} said");
    }

    /// Makes room for publishers, as the store's committer and the memory tasks would.
    fn relieve(&mut self) {
        self.sync();
        self.broker.relieve_memory(clock());
        self.broker.relieve();
    }

    /// Performs the store's pending reads, as its reader would.
    fn read(&self) {
        for _ in 0..1_000 {
            if self.store.answer_reads() == 0 {
                return;
            }
        }
        panic!("hangs: the broker reads without end");
    }

    pub(crate) fn lose(&mut self, client: usize) {
        if let Some(mut client) = self.clients.remove(&client) {
            client.lose(clock());
        }
    }

    /// The output to each client, after all due work is done.
    pub(crate) fn listen(&mut self) -> Vec<(usize, Heard)> {
        let mut all = Vec::new();
        for _ in 0..1_000 {
            self.read();
            let before = all.len();
            for (number, client) in &mut self.clients {
                all.extend(client.listen(clock()).into_iter().map(|heard| (*number, heard)));
            }
            let due = self.earliest().is_some_and(|at| at <= NOW.get());
            if due {
                self.broker.tick(clock());
            } else if all.len() == before {
                return all;
            }
        }
        panic!("hangs: the broker goes on without end");
    }

    fn earliest(&self) -> Option<u64> {
        self.broker.deadlines().earliest(Waker::noop()).map(|at| at.0)
    }

    pub(crate) fn is_over(&self, client: usize) -> bool {
        self.clients.get(&client).is_none_or(|client| client.over)
    }

    /// Advances time to the next instant requested by the broker, but not past `end`; `false` if there is none.
    pub(crate) fn pass(&self, end: u64) -> bool {
        let Some(at) = self.earliest().filter(|at| *at <= end) else {
            NOW.set(end);
            return false;
        };
        NOW.set(at.max(NOW.get()));
        self.broker.tick(clock());
        true
    }

    /// The queues in the order in which a policy is applied.
    pub(crate) fn queues(&self) -> Vec<String> {
        self.vhost().queues().iter().map(|queue| queue.name.as_str().to_owned()).collect()
    }

    pub(crate) fn put_policy(&self, name: &str, policy: &PolicyShape) {
        let mut definition = serde_json::Map::new();
        if let Some(max) = policy.max_length {
            definition.insert("max-length".to_owned(), max.into());
        }
        if let Some(exchange) = policy.dead_letter {
            definition.insert("dead-letter-exchange".to_owned(), exchange.into());
        }
        let pattern = format!("^{}", policy.prefix);
        let record =
            PolicyRecord::read(PolicyKind::User, &pattern, Some("queues"), policy.priority, &definition);
        let record = record.expect("a policy");
        self.broker.put_policy("/", PolicyKind::User, name, record).expect("it is kept");
    }

    pub(crate) fn clear_policy(&self, name: &str) {
        self.broker.delete_policy("/", PolicyKind::User, name).expect("it is kept");
    }

    pub(crate) fn sync(&mut self) {
        self.syncs += 1;
        self.store.sync();
    }

    pub(crate) fn fail_sync(&self) {
        self.store.fail_sync(0);
        self.store.sync();
    }

    /// Makes storing definitions fail, or work again.
    pub(crate) fn definitions_fail(&self, fails: bool) {
        self.kept.fails.store(fails, Ordering::Relaxed);
        if !fails {
            self.broker.delete_again();
        }
    }

    /// Loses everything in memory, and restarts the broker on the store's contents.
    pub(crate) fn crash(&mut self, seed: u64) {
        self.kept.fails.store(false, Ordering::Relaxed);
        self.syncs += 1;
        let store = Arc::new(self.store.crash(seed));
        self.clients.clear();
        self.broker = start(&store, &self.kept, self.memory);
        self.store = store;
    }

    /// A queue's ready messages, in delivery order.
    pub(crate) fn contents(&self, queue: &Arc<QueueHandle>) -> Vec<Stands> {
        let (looks, _) = queue.peek(Millis(0), 0, usize::MAX).expect("the queue");
        let mut all = Vec::new();
        for look in looks {
            match look {
                Peek::Here(seen) => all.push(stands(&seen)),
                Peek::OnDisk(range) => {
                    let mut rest = Some(range);
                    while let Some(range) = rest.take() {
                        let found = Arc::new(Mutex::new(None));
                        let answer = Arc::clone(&found);
                        queue.read_range(Millis(0), range, usize::MAX, move |read| *answer.lock() = read);
                        self.read();
                        let (seen, more) = found.lock().take().expect("the store can be read");
                        all.extend(seen.iter().map(stands));
                        rest = more;
                    }
                }
            }
        }
        all
    }
}

fn stands(seen: &PeekedMessage) -> Stands {
    let (sign, count) = sign_of(seen.message.body(), seen.message.properties());
    Stands { sign, redelivered: seen.redelivered, count }
}
