//! Direct reply-to.

use super::conform;

#[test]
fn a_reply_comes_straight_back() {
    conform(|t| {
        let mut client = t.client();
        let mut server = t.client();
        server.declare("queue=$rpc exclusive");
        client.ask(
            "basic.consume queue=amq.rabbitmq.reply-to consumer_tag=r no_ack",
            "basic.consume-ok consumer_tag=r",
        );
        client.publish_with(
            "routing_key=$rpc",
            "reply_to=amq.rabbitmq.reply-to correlation_id=7",
            "question",
        );
        server.wait_ready("$rpc", 1);
        let question = server.take("$rpc");
        let reply_to = question.props.get("reply_to").expect("reply_to").str();
        let parts: Vec<_> = reply_to.split('.').collect();
        assert!(
            matches!(parts[..], ["amq", "rabbitmq", "reply-to", a, b] if !a.is_empty() && !b.is_empty()),
            "{reply_to}"
        );
        server.ask(
            &format!("queue.declare queue={reply_to} passive"),
            "queue.declare-ok message_count=0 consumer_count=1",
        );
        server.publish_with(&format!("routing_key={reply_to} mandatory"), "correlation_id=7", "answer");
        let answer = client.hear("basic.deliver consumer_tag=r delivery_tag=1 exchange=\"\" redelivered=0");
        assert_eq!(answer.text(), "answer");
        assert_eq!(answer.props.get("correlation_id").expect("id").str(), "7");
        server.silent();
    });
}

#[test]
fn it_must_be_consumed_without_acks_and_once() {
    conform(|t| {
        let mut c = t.client();
        c.say("basic.consume queue=amq.rabbitmq.reply-to");
        c.channel_closes(406, "basic.consume", "reply consumer cannot acknowledge");
        c.open_channel(1);
        c.ask("basic.consume queue=amq.rabbitmq.reply-to no_ack", "basic.consume-ok");
        c.say("basic.consume queue=amq.rabbitmq.reply-to no_ack");
        c.channel_closes(406, "basic.consume", "reply consumer already set");
    });
}

#[test]
fn a_request_without_a_consumer_is_refused() {
    conform(|t| {
        let mut c = t.client();
        c.publish_with("routing_key=$q", "reply_to=amq.rabbitmq.reply-to", "x");
        c.channel_closes(406, "basic.publish", "fast reply consumer does not exist");
    });
}

#[test]
fn looking_at_it_tells_whether_someone_listens() {
    conform(|t| {
        let mut c = t.client();
        c.say("queue.declare queue=amq.rabbitmq.reply-to.nobody passive");
        c.channel_closes(404, "queue.declare", "");
    });
}
