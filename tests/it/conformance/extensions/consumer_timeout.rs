//! Consumer timeouts: deliveries not acknowledged in time.

use std::time::Duration;

use super::conform;
use crate::wait;

const WORDS: &str = "timed out. Timeout value used: 400 ms.";

#[test]
fn a_delivery_of_the_queue_that_is_out_too_long_closes_its_channel_and_comes_back() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q exclusive arguments={x-consumer-timeout:400}");
        c.ask("basic.consume queue=$q", "basic.consume-ok");
        let ((), took) = wait::time(|| {
            c.publish("routing_key=$q", "slow");
            c.hear("basic.deliver redelivered=0");
            c.channel_closes(406, "", WORDS);
        });
        assert!(took.as_millis() >= 400, "{took:?}");
        c.open_channel(1);
        c.ask("basic.get queue=$q no_ack", "basic.get-ok redelivered=1");
    });
}

#[test]
fn a_consumer_that_acknowledges_in_time_goes_on() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q exclusive");
        c.ask("basic.consume queue=$q arguments={x-consumer-timeout:3000}", "basic.consume-ok");
        let mut tag = 0;
        // Longer than the timeout in total; no single delivery is outstanding for more than a moment, unless this
        // machine stalls for seconds.
        let ((), took) = wait::time(|| {
            for _ in 0..7 {
                tag += 1;
                c.publish("routing_key=$q", "quick");
                c.hear("basic.deliver");
                c.say(&format!("basic.ack delivery_tag={tag}"));
                assert!(!wait::within(Duration::from_millis(500), || false));
            }
        });
        assert!(took.as_millis() > 3000, "{took:?}");
        c.publish("routing_key=$q", "slow");
        c.hear("basic.deliver");
        c.channel_closes(406, "", "timed out. Timeout value used: 3000 ms.");
    });
}

#[test]
fn the_argument_must_be_a_positive_number() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q exclusive");
        for bad in ["abc", "0", "-1"] {
            c.say(&format!("basic.consume queue=$q arguments={{x-consumer-timeout:{bad}}}"));
            c.channel_closes(406, "basic.consume", "x-consumer-timeout");
            c.open_channel(1);
        }
    });
}
