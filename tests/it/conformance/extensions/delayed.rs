//! The delayed message exchange.

use super::conform;
use crate::wait;

#[test]
fn a_message_arrives_when_its_delay_is_over_with_the_delay_negated() {
    conform(|t| {
        let mut c = t.client();
        c.ask(
            "exchange.declare exchange=$x type=x-delayed-message auto_delete arguments={x-delayed-type:direct}",
            "exchange.declare-ok",
        );
        c.declare("queue=$q exclusive");
        c.ask("queue.bind queue=$q exchange=$x routing_key=k", "queue.bind-ok");
        c.ask("basic.consume queue=$q no_ack", "basic.consume-ok");
        let ((), took) = wait::time(|| {
            c.publish_with("exchange=$x routing_key=k", "headers={x-delay:500}", "late");
            c.publish_with("exchange=$x routing_key=k", "headers={x-delay:200}", "sooner");
            c.publish("exchange=$x routing_key=k", "at once");
            assert_eq!(c.hear("basic.deliver").text(), "at once");
            assert_eq!(c.hear("basic.deliver").text(), "sooner");
            let late = c.hear("basic.deliver exchange=$x routing_key=k");
            assert_eq!(late.text(), "late");
            assert_eq!(late.header("x-delay").expect("x-delay").int(), -500);
        });
        assert!(took.as_millis() >= 490, "{took:?}");
    });
}

#[test]
fn confirmed_when_stored_and_not_returned() {
    conform(|t| {
        let mut c = t.client();
        c.ask(
            "exchange.declare exchange=$x type=x-delayed-message arguments={x-delayed-type:fanout}",
            "exchange.declare-ok",
        );
        c.confirms();
        c.publish_with("exchange=$x mandatory", "headers={x-delay:3600000}", "x");
        c.hear("basic.ack delivery_tag=1");
        c.silent();
        c.ask("exchange.delete exchange=$x", "exchange.delete-ok");
    });
}

#[test]
fn the_inner_type_must_exist() {
    conform(|t| {
        let mut c = t.client();
        for arguments in
            ["{}", "{x-delayed-type:$none}", "{x-delayed-type:x-delayed-message}", "{x-delayed-type:5}"]
        {
            c.say(&format!("exchange.declare exchange=$x type=x-delayed-message arguments={arguments}"));
            c.channel_closes(406, "exchange.declare", "'x-delayed-type' must be an existing exchange type");
            c.open_channel(1);
        }
    });
}
