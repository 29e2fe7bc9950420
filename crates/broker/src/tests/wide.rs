//! Publishes to many queues.

use leveret_store::memory::MemStore;

use super::*;

/// Number of times work is moved aside when `messages` messages go through a fanout to `queues` queues.
fn asides(queues: usize, messages: usize) -> usize {
    let definitions = Kept::default();
    let bench = Bench::start(Arc::new(MemStore::new()), &definitions, definitions.found(HashMap::new()));
    bench.exchange("x", "fanout", false).unwrap();
    for queue in 0..queues {
        bench.queue(&format!("q{queue}"), false).unwrap();
        bench.bind("x", DestinationKind::Queue, &format!("q{queue}")).unwrap();
    }
    let asides = bench.asides(messages);
    let ready = |queue: &Arc<crate::queue_handle::QueueHandle>| queue.counts().ready;
    assert!(bench.vhost().queues().iter().all(|queue| ready(queue) == messages as u64));
    asides
}

#[test]
fn what_takes_milliseconds_keeps_no_thread_from_others_whether_messages_or_queues_are_many() {
    assert_eq!(asides(1, 4000), 0, "all that comes in one read");
    assert_eq!(asides(40, 100), 0);
    // In batches of 16,384.
    assert_eq!(asides(100, 400), 3);
    // Each alone, after the messages before it.
    assert_eq!(asides(1100, 3), 3);
}
