//! Runs the scenarios named on the command line, one line each: `ok NAME`, or `FAIL NAME: why`.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// One scenario.
pub type Scenario = Pin<Box<dyn Future<Output = ()>>>;

/// A scenario's name and what it does.
pub type Named = (&'static str, fn() -> Scenario);

/// `amqp://guest:guest@host:port`
pub fn url() -> String {
    std::env::var("AMQP_URL").expect("AMQP_URL is set")
}

/// A name that nobody else uses.
pub fn name() -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    format!("rust{}.{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed))
}

/// A body of 20 MB.
pub fn big() -> Vec<u8> {
    b"leveret 0123456789.\n".repeat(1_000_000)
}

/// What comes soon, or a panic.
pub async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(180), what).await.expect("something in time")
}

/// Runs what the command line names, and exits.
pub fn run(scenarios: &[Named]) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("runtime");
    let mut failed = false;
    for wanted in std::env::args().skip(1) {
        let Some((_, work)) = scenarios.iter().find(|(name, _)| *name == wanted) else {
            println!("none {wanted}");
            continue;
        };
        let limited =
            || runtime.block_on(async { tokio::time::timeout(Duration::from_secs(600), work()).await });
        match std::panic::catch_unwind(AssertUnwindSafe(limited)) {
            Ok(Ok(())) => println!("ok {wanted}"),
            Ok(Err(_)) => {
                failed = true;
                println!("FAIL {wanted}: it takes too long");
            }
            Err(_) => {
                failed = true;
                println!("FAIL {wanted}: see stderr");
            }
        }
    }
    std::process::exit(i32::from(failed));
}
