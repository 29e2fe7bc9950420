//! Delayed retries (`x-delayed-retry-type`), on classic and quorum queues.

mod lapin;
mod restarts;
mod rules;

use serde_json::{Value, json};

use crate::harness::Broker;
use crate::management::Http;
use crate::raw::Client;
use crate::wait;

/// A wait that no test outlives.
const HOUR_MS: u64 = 3_600_000;

/// What the broker's clock, in whole milliseconds, may be ahead of ours.
const ROUNDING_MS: u64 = 2;

/// A broker with its API and a client that gets confirms.
struct Scene {
    broker: Broker,
    http: Http,
    c: Client,
}

impl Scene {
    fn new() -> Self {
        let broker = Broker::new();
        let (http, mut c) = (Http::of(&broker), broker.client());
        c.confirms();
        Self { broker, http, c }
    }

    /// Declares the durable queue `q`, which delays all retries.
    fn queue(&mut self, min_ms: u64, more: &str) {
        self.c.declare(&format!(
            "queue=q durable arguments={{x-delayed-retry-type:all,x-delayed-retry-min:{min_ms}{more}}}"
        ));
    }

    fn publish(&mut self, bodies: &[&str]) {
        for body in bodies {
            self.c.publish_confirmed("routing_key=q", "delivery_mode=2", body);
        }
    }

    /// Takes the first ready message and gives it back.
    fn fail(&mut self) {
        let got = self.c.ask("basic.get queue=q", "basic.get-ok");
        self.c.say(&format!("basic.reject delivery_tag={} requeue", got.tag()));
    }

    /// Ready, unacknowledged and waiting messages of `q`, whose sum is the total.
    fn lengths(&self) -> [u64; 3] {
        let shown = self.http.get("/api/queues/%2F/q").is(200).json;
        let of = |name: &str| shown[name].as_u64().expect("a number");
        let parts = ["messages_ready", "messages_unacknowledged", "messages_delayed_retry"].map(of);
        assert_eq!(of("messages"), parts.iter().sum::<u64>(), "{shown}");
        parts
    }

    fn wait_lengths(&self, want: [u64; 3]) {
        wait::until(&format!("ready, unacknowledged and waiting are {want:?}"), || self.lengths() == want);
    }

    /// Looks at the messages of `q` where they are.
    fn peek(&self) -> Vec<Value> {
        let wish = json!({ "count": 100, "ackmode": "peek", "encoding": "auto" });
        let shown = self.http.post("/api/queues/%2F/q/get", &wish).is(200).json;
        shown.as_array().expect("messages").clone()
    }

    fn release(&self) -> u64 {
        let answer = self.http.post("/api/queues/%2F/q/retry/release", &json!({})).is(200).json;
        answer["released"].as_u64().expect("a number")
    }
}
