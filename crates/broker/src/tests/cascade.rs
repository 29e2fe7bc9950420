//! Dead letters that push others out of full queues.

use leveret_store::memory::MemStore;

use super::*;

/// Number of times work is moved aside when `messages` messages go to queues of length one that dead-letter to each
/// other.
fn asides(queues: usize, messages: usize) -> usize {
    let definitions = Kept::default();
    let bench = Bench::start(Arc::new(MemStore::new()), &definitions, definitions.found(HashMap::new()));
    bench.exchange("x", "fanout", false).unwrap();
    let mut arguments = FieldTable::default();
    arguments.insert("x-max-length".into(), Value::LongInt(1));
    arguments.insert("x-dead-letter-exchange".into(), Value::LongString("x".into()));
    for queue in 0..queues {
        bench.queue_with(&format!("q{queue}"), false, &arguments).unwrap();
        bench.bind("x", DestinationKind::Queue, &format!("q{queue}")).unwrap();
    }
    let asides = bench.asides(messages);
    let ready = |queue: &Arc<crate::queue_handle::QueueHandle>| queue.counts().ready;
    assert!(bench.vhost().queues().iter().all(|queue| ready(queue) == 1));
    asides
}

#[test]
fn dead_letters_without_end_keep_no_thread_from_others() {
    assert_eq!(asides(1, 4000), 1, "all that comes in one read may be pushed out again");
    assert_eq!(asides(3, 10), 0);
    assert_eq!(asides(6, 2), 1);
}
