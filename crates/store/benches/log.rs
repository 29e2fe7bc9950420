//! Append and sync of 1 KiB messages, next to a bare write and fdatasync of as many bytes.
//!
//! `LEVERET_BENCH_DIR` chooses the folder (and so the disk).

use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use leveret_message::stored::SettleReason;
use leveret_message::{Message, MessageMeta, QueueId, Seq, Short};
use leveret_store::log::{LogStore, Options};
use leveret_store::{Broken, Record, Store, Synced, Waiter};

struct Told(Mutex<SyncSender<u64>>);

impl Waiter for Told {
    fn synced(&self, token: u64, outcome: Result<Synced, Broken>) {
        outcome.expect("the disk works");
        let sender = self.0.lock().expect("no panic while sending");
        sender.send(token).expect("the benchmark listens");
    }
}

fn folder() -> tempfile::TempDir {
    let base = std::env::var_os("LEVERET_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    tempfile::tempdir_in(base).expect("a folder to write to")
}

fn message(body: &[u8]) -> Message {
    let meta = MessageMeta { persistent: true, ..MessageMeta::default() };
    Message::new(Short::EMPTY, Short::literal("queue"), b"\x10\0\x02", body, meta)
}

fn append_and_sync(c: &mut Criterion) {
    let mut group = c.benchmark_group("append_and_sync_1k");
    let body = vec![7; 1024];
    for batch in [1u64, 16, 128, 1024] {
        group.throughput(Throughput::Elements(batch));
        group.bench_function(BenchmarkId::new("store", batch), |b| {
            let dir = folder();
            let (store, _) = LogStore::open(dir.path(), &Options::default()).expect("it opens");
            let (sender, told) = sync_channel(4);
            let waiter: Arc<dyn Waiter> = Arc::new(Told(Mutex::new(sender)));
            let mut records = Vec::new();
            let mut seq = 0;
            b.iter(|| {
                // Settles as many as it enqueues: the backlog stays at one batch.
                if seq > batch {
                    records.push(Record::Settle {
                        queue: QueueId(1),
                        first: Seq(seq - 2 * batch + 1),
                        count: batch,
                        reason: SettleReason::Acked,
                    });
                }
                for _ in 0..batch {
                    seq += 1;
                    records.push(Record::Enqueue {
                        queue: QueueId(1),
                        seq: Seq(seq),
                        message: message(&body),
                        priority_level: 0,
                        expires: None,
                        transient: false,
                        sole: false,
                    });
                }
                store.append(&mut records).expect("it is open");
                store.notify(&waiter, seq);
                told.recv().expect("it is told")
            });
        });
        group.bench_function(BenchmarkId::new("bare_write_and_fdatasync", batch), |b| {
            let dir = folder();
            let file = std::fs::File::create(dir.path().join("bare")).expect("a file");
            let len = 64 << 20;
            let bytes = vec![7; usize::try_from(batch).expect("small") * 1100];
            // Written once beforehand, so that only overwrites are measured, as with a recycled segment.
            file.write_all_at(&vec![0; len], 0).expect("room");
            file.sync_all().expect("a disk");
            let mut at = 0;
            b.iter(|| {
                if at + bytes.len() > len {
                    at = 0;
                }
                file.write_all_at(black_box(&bytes), at as u64).expect("room");
                file.sync_data().expect("a disk");
                at += bytes.len();
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = append_and_sync
}
criterion_main!(benches);
