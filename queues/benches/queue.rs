//! Cost of a message in a queue, alone on a warm core: no frames, no locks, no disk.
//!
//! Every figure is per batch of 1,000 messages: read microseconds as nanoseconds per message. Messages are created
//! outside the measured part and shared, not allocated per iteration. `deque_of_messages` is the floor: the same
//! handles through a `VecDeque`, without any of a queue's rules.

use std::collections::VecDeque;
use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use leveret_message::{Message, MessageMeta, Millis, Short};
use leveret_queues::{ConsumerId, ConsumerSpec, Delivery, Effects, Outlet, Queue, Requeue, Settings, Token};

const BATCH: usize = 1000;
const NOW: Millis = Millis(1_000_000);

/// Keeps tokens, as a channel would, and drops messages, as a writer would.
#[derive(Default)]
struct Sink {
    tokens: Vec<Token>,
}

impl Outlet<u32> for Sink {
    fn reserve(&mut self, _consumer: &u32, _bytes: usize) -> bool {
        true
    }

    fn deliver(&mut self, _consumer: &u32, delivery: Delivery) {
        self.tokens.extend(delivery.token);
        black_box(delivery.message.body());
    }
}

struct Rig {
    queue: Queue<u32>,
    sink: Sink,
    fx: Effects,
    message: Message,
}

fn rig(settings: Settings, consumers: u32, no_ack: bool, prefetch: u32) -> Rig {
    let mut rig = Rig {
        queue: Queue::new(settings, NOW),
        sink: Sink::default(),
        fx: Effects::default(),
        message: Message::new(
            Short::EMPTY,
            Short::literal("queue"),
            b"\0\0",
            &[0; 16],
            MessageMeta { persistent: settings.durable, ..MessageMeta::default() },
        ),
    };
    for n in 0..consumers {
        let spec = ConsumerSpec {
            id: ConsumerId(u64::from(n)),
            handle: n,
            no_ack,
            prefetch,
            priority: 0,
            exclusive: false,
        };
        rig.queue.attach(NOW, spec, &mut rig.fx).expect("admitted");
    }
    rig
}

impl Rig {
    fn publish(&mut self) {
        for _ in 0..BATCH {
            let message = self.message.clone();
            black_box(self.queue.publish(NOW, message, &mut self.sink, &mut self.fx));
        }
    }

    fn settle(&mut self) {
        self.queue.settle(&self.sink.tokens, &mut self.fx);
        self.sink.tokens.clear();
        self.queue.dispatch(NOW, &mut self.sink, &mut self.fx);
    }

    fn clear(&mut self) {
        black_box(self.fx.gone.len());
        self.fx.clear();
    }
}

fn straight_through(c: &mut Criterion) {
    let durable = Settings { durable: true, ..Settings::default() };
    for consumers in [1, 1000] {
        let mut r = rig(Settings::default(), consumers, true, 0);
        c.bench_function(&format!("publish_deliver_no_ack/{consumers}"), |b| {
            b.iter(|| r.publish());
        });
        let mut r = rig(Settings::default(), consumers, false, 0);
        c.bench_function(&format!("publish_deliver_ack/{consumers}"), |b| {
            b.iter(|| {
                r.publish();
                r.settle();
            });
        });
        let mut r = rig(durable, consumers, false, 0);
        c.bench_function(&format!("publish_deliver_ack_stored/{consumers}"), |b| {
            b.iter(|| {
                r.publish();
                r.settle();
                r.clear();
            });
        });
        // Half of each batch finds all consumers full, waits in the queue, and is delivered as acks arrive.
        let prefetch = 500 / consumers.min(500);
        let mut r = rig(Settings::default(), consumers.min(500), false, prefetch);
        c.bench_function(&format!("publish_wait_deliver_ack/{}", consumers.min(500)), |b| {
            b.iter(|| {
                r.publish();
                r.settle();
                r.settle();
            });
        });
    }
}

fn backlog(c: &mut Criterion) {
    for (name, settings, priorities) in [
        ("enqueue", Settings::default(), false),
        ("enqueue_priorities", Settings { max_priority: Some(9), ..Settings::default() }, true),
    ] {
        c.bench_function(name, |b| {
            let metas: Vec<Message> = (0..10)
                .map(|n| {
                    let priority = priorities.then_some(n);
                    let meta = MessageMeta { priority, ..MessageMeta::default() };
                    Message::new(Short::EMPTY, Short::literal("queue"), b"\0\0", &[0; 16], meta)
                })
                .collect();
            b.iter_batched_ref(
                || rig(settings, 0, true, 0),
                |r| {
                    for n in 0..BATCH {
                        let message = metas[n % 10].clone();
                        r.queue.publish(NOW, message, &mut r.sink, &mut r.fx);
                    }
                },
                BatchSize::SmallInput,
            );
        });
    }
    c.bench_function("deque_of_messages", |b| {
        let message = rig(Settings::default(), 0, true, 0).message;
        let mut deque = VecDeque::new();
        b.iter(|| {
            for _ in 0..BATCH {
                deque.push_back(message.clone());
            }
            while let Some(message) = deque.pop_front() {
                black_box(message.body());
            }
        });
    });
    c.bench_function("drain_no_ack", |b| {
        b.iter_batched_ref(
            || {
                let mut r = rig(Settings::default(), 0, true, 0);
                r.publish();
                r
            },
            |r| {
                let spec = ConsumerSpec {
                    id: ConsumerId(1),
                    handle: 1,
                    no_ack: true,
                    prefetch: 0,
                    priority: 0,
                    exclusive: false,
                };
                r.queue.attach(NOW, spec, &mut r.fx).expect("admitted");
                r.queue.dispatch(NOW, &mut r.sink, &mut r.fx);
            },
            BatchSize::SmallInput,
        );
    });
    c.bench_function("requeue_redeliver", |b| {
        let mut r = rig(Settings::default(), 1, false, 0);
        r.publish();
        b.iter(|| {
            let tokens = std::mem::take(&mut r.sink.tokens);
            r.queue.requeue(NOW, &tokens, Requeue::Nack, &mut r.fx);
            r.queue.dispatch(NOW, &mut r.sink, &mut r.fx);
        });
    });
}

criterion_group!(benches, straight_through, backlog);
criterion_main!(benches);
