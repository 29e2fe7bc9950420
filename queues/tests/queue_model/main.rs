//! Random operations on a queue, compared step by step with a model that keeps plain vectors.
//!
//! Checked: order, recipients, credit, priorities, redelivery marks and counts, every reported drop and its reason,
//! totals, and that a store which only follows the reported effects holds exactly what must survive a restart. The
//! order of turns among equals is left to unit tests.

mod model;
mod world;

use leveret_queues::{DelayedRetry, Overflow, Requeue, RetryType, Settings};
use proptest::prelude::*;
use world::World;

/// One step. Numbers that select something are taken modulo the number of choices.
#[derive(Clone, Debug)]
enum Op {
    Publish { count: u8, priority: Option<u8>, ttl: Option<u64>, size: u8, persistent: bool },
    Attach { no_ack: bool, prefetch: u32, priority: i32, exclusive: bool, room: usize },
    Detach { who: usize, requeue: bool },
    Room { who: usize, room: usize },
    Get { no_ack: bool },
    Settle { from: usize, count: usize },
    Reject { from: usize, count: usize },
    Requeue { from: usize, count: usize, cause: Requeue },
    Advance { ms: u64 },
    Limits { length: Option<u64>, bytes: Option<u64> },
    DelayRetries { retry: Option<DelayedRetry> },
    ReleaseRetries,
    Purge,
    Rest,
    PageOut { keep: u64, behind: u64, held: bool },
    HandOutLean { behind: Option<u64> },
    Candidates { max: usize },
    Paged,
    Answer { most: usize },
    FailRead,
    Restart { chunk: usize },
}

fn retry() -> impl Strategy<Value = DelayedRetry> {
    let which = prop_oneof![Just(RetryType::Failed), Just(RetryType::Returned), Just(RetryType::All)];
    (which, 0..30_u64, 0..60_u64).prop_map(|(which, min_ms, max_ms)| DelayedRetry { which, min_ms, max_ms })
}

/// Steps for any queue.
fn plain_op() -> impl Strategy<Value = Op> {
    let which = || (0..40_usize, 1..12_usize);
    let cause = prop_oneof![
        Just(Requeue::Nack),
        Just(Requeue::Reject),
        Just(Requeue::Recover),
        Just(Requeue::ChannelClosed)
    ];
    let publish = (
        prop_oneof![3 => Just(1_u8), 2 => 2..30_u8],
        prop::option::of(0..6_u8),
        prop_oneof![4 => Just(None), 1 => (0..60_u64).prop_map(Some)],
        0..5_u8,
        any::<bool>(),
    )
        .prop_map(|(count, priority, ttl, size, persistent)| Op::Publish {
            count,
            priority,
            ttl,
            size,
            persistent,
        });
    let attach = (
        prop::bool::weighted(0.2),
        0..4_u32,
        -1..2_i32,
        prop::bool::weighted(0.05),
        prop_oneof![1 => Just(0_usize), 3 => 1..4_usize, 3 => Just(1000)],
    )
        .prop_map(|(no_ack, prefetch, priority, exclusive, room)| Op::Attach {
            no_ack,
            prefetch,
            priority,
            exclusive,
            room,
        });
    let limit = || prop_oneof![Just(None), (0..9_u64).prop_map(Some)];
    prop_oneof![
        10 => publish,
        4 => attach,
        2 => (0..9_usize, any::<bool>()).prop_map(|(who, requeue)| Op::Detach { who, requeue }),
        3 => (0..9_usize, 0..6_usize).prop_map(|(who, room)| Op::Room { who, room }),
        5 => any::<bool>().prop_map(|no_ack| Op::Get { no_ack }),
        5 => which().prop_map(|(from, count)| Op::Settle { from, count }),
        2 => which().prop_map(|(from, count)| Op::Reject { from, count }),
        5 => (which(), cause).prop_map(|((from, count), cause)| Op::Requeue { from, count, cause }),
        3 => (1..40_u64).prop_map(|ms| Op::Advance { ms }),
        1 => (limit(), limit()).prop_map(|(length, bytes)| Op::Limits { length, bytes }),
        1 => prop::option::of(retry()).prop_map(|retry| Op::DelayRetries { retry }),
        1 => Just(Op::ReleaseRetries),
        1 => Just(Op::Purge),
        2 => Just(Op::Rest),
    ]
}

/// Steps for a queue whose bodies leave memory, and which outlives its process.
fn paging_op() -> impl Strategy<Value = Op> {
    let page_out =
        (prop_oneof![Just(0), 0..2000_u64], prop_oneof![3 => Just(0), 1 => 0..9_u64], any::<bool>());
    prop_oneof![
        4 => page_out.prop_map(|(keep, behind, held)| Op::PageOut { keep, behind, held }),
        2 => prop::option::of(0u64..4).prop_map(|behind| Op::HandOutLean { behind }),
        4 => (1..40_usize).prop_map(|max| Op::Candidates { max }),
        4 => Just(Op::Paged),
        8 => (0..40_usize).prop_map(|most| Op::Answer { most }),
        1 => Just(Op::FailRead),
        1 => (1..9_usize).prop_map(|chunk| Op::Restart { chunk }),
    ]
}

fn op(paging: bool) -> BoxedStrategy<Op> {
    if paging { prop_oneof![2 => plain_op(), 1 => paging_op()].boxed() } else { plain_op().boxed() }
}

fn settings(paging: bool) -> impl Strategy<Value = Settings> {
    let rare = |range: std::ops::Range<u64>| prop_oneof![3 => Just(None), 1 => range.prop_map(Some)];
    let overflow = prop_oneof![
        2 => Just(Overflow::DropHead),
        1 => Just(Overflow::RejectPublish),
        1 => Just(Overflow::RejectPublishDeadLetter)
    ];
    (
        (any::<bool>(), prop::option::of(Just(3)), rare(0..60), rare(0..20), rare(0..30)),
        (overflow, prop::option::of(0..3_u32), prop::bool::weighted(0.2), any::<bool>()),
        prop::option::of(retry()),
    )
        .prop_map(move |(a, b, delayed_retry)| Settings {
            durable: a.0,
            max_priority: a.1,
            message_ttl_ms: a.2,
            max_length: a.3,
            max_bytes: a.4,
            overflow: b.0,
            delivery_limit: b.1,
            delayed_retry,
            single_active_consumer: b.2,
            // The model cannot see unreported drops while a front is on disk.
            dead_letters: b.3 || paging,
            expires_ms: None,
        })
}

fn run(settings: Settings, ops: Vec<Op>) {
    let mut world = World::new(settings);
    for op in ops {
        match op {
            Op::Publish { count, priority, ttl, size, persistent } => {
                for _ in 0..count {
                    world.publish(priority, ttl, size, persistent);
                }
            }
            Op::Attach { no_ack, prefetch, priority, exclusive, room } => {
                world.attach(no_ack, prefetch, priority, exclusive, room);
            }
            Op::Detach { who, requeue } => world.detach(who, requeue),
            Op::Room { who, room } => world.room(who, room),
            Op::Get { no_ack } => world.get(no_ack),
            Op::Settle { from, count } => world.settle(from, count),
            Op::Reject { from, count } => world.reject(from, count),
            Op::Requeue { from, count, cause } => world.requeue(from, count, cause),
            Op::Advance { ms } => world.advance(ms),
            Op::Limits { length, bytes } => world.limits(length, bytes),
            Op::DelayRetries { retry } => world.delay_retries(retry),
            Op::ReleaseRetries => world.release_retries(),
            Op::Purge => world.purge(),
            Op::Rest => world.rest(),
            Op::PageOut { keep, behind, held } => world.page_out(keep, behind, held),
            Op::HandOutLean { behind } => world.hand_out_lean(behind),
            Op::Candidates { max } => world.candidates(max),
            Op::Paged => world.paged(),
            Op::Answer { most } => world.answer(most),
            Op::FailRead => world.fail_read(),
            Op::Restart { chunk } => world.restart(chunk),
        }
    }
    world.drain();
}

/// A pair of strategies, so that both know whether bodies leave memory.
fn case(paging: bool, most: usize) -> impl Strategy<Value = (Settings, Vec<Op>)> {
    (settings(paging), prop::collection::vec(op(paging), 1..most))
}

proptest! {
    #[test]
    fn queue_in_memory_does_what_the_model_does((settings, ops) in case(false, 100)) {
        run(settings, ops);
    }

    #[test]
    fn queue_that_pages_and_restarts_does_what_the_model_does((settings, ops) in case(true, 100)) {
        run(settings, ops);
    }

    #[test]
    fn unlimited_queue_loses_nothing((mut settings, ops) in case(true, 100)) {
        settings.message_ttl_ms = None;
        settings.max_length = None;
        settings.max_bytes = None;
        settings.delivery_limit = None;
        let mild = |op: &Op| !matches!(op, Op::Limits { .. } | Op::Purge | Op::Reject { .. });
        run(settings, ops.into_iter().filter(mild).collect());
    }
}
