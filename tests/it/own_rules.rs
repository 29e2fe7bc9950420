//! Rules specific to Leveret, where other brokers have none or different ones.

use crate::harness::Broker;
use crate::management::{Http, listening};

#[test]
fn an_open_transaction_is_bounded() {
    let broker = Broker::new();
    let mut c = broker.client();
    c.declare("queue=q");
    c.ask("tx.select", "tx.select-ok");
    let body = vec![b'x'; 15_000_000];
    for _ in 0..5 {
        c.publish("routing_key=q", &body);
    }
    c.channel_closes(406, "basic.publish", "transaction is larger than configured max size");
    c.open_channel(1);
    assert_eq!(c.counts("q").0, 0);
}

#[test]
fn what_a_commit_was_answered_for_survives_kill() {
    let mut broker = Broker::new();
    let mut c = broker.client();
    c.declare("queue=q durable");
    c.ask("tx.select", "tx.select-ok");
    for n in 0..1000 {
        c.publish_with("routing_key=q", "delivery_mode=2", n.to_string());
    }
    c.ask("tx.commit", "tx.commit-ok");
    for tag in 1..=10 {
        c.ask("basic.get queue=q", &format!("basic.get-ok delivery_tag={tag}"));
    }
    c.say("basic.ack delivery_tag=10 multiple");
    c.ask("tx.commit", "tx.commit-ok");
    broker.kill();
    broker.start_again();
    let mut c = broker.client();
    assert_eq!(c.drain("q"), (10..1000).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[test]
fn direct_reply_queues_are_nobody_elses() {
    let broker = Broker::new();
    let (mut requester, mut server) = (broker.client(), broker.client());
    server.declare("queue=rpc");
    requester.ask("basic.consume queue=amq.rabbitmq.reply-to no_ack", "basic.consume-ok");
    requester.publish_with("routing_key=rpc", "reply_to=amq.rabbitmq.reply-to", "question");
    server.wait_ready("rpc", 1);
    let question = server.take("rpc");
    let reply_to = question.props.get("reply_to").expect("reply_to").str().clone();
    for (say, code, method) in [
        (format!("queue.bind queue={reply_to} exchange=amq.fanout"), 403, "queue.bind"),
        (format!("basic.get queue={reply_to}"), 404, "basic.get"),
        (format!("basic.consume queue={reply_to} no_ack"), 404, "basic.consume"),
        (format!("queue.purge queue={reply_to}"), 404, "queue.purge"),
    ] {
        server.say(&say);
        server.channel_closes(code, method, "");
        server.open_channel(1);
    }
    server.ask(&format!("queue.delete queue={reply_to}"), "queue.delete-ok message_count=0");
    server.publish(&format!("routing_key={reply_to}"), "answer");
    assert_eq!(requester.hear("basic.deliver").text(), "answer");
    requester.close();
    // The requester is gone: the reply counts as routed, and is dropped.
    server.publish(&format!("routing_key={reply_to} mandatory"), "late");
    server.silent();
    server.say(&format!("queue.declare queue={reply_to} passive"));
    server.channel_closes(404, "queue.declare", "");
}

#[test]
fn a_consumer_of_replies_that_was_cancelled_can_be_started_anew() {
    let broker = Broker::new();
    let mut c = broker.client();
    for _ in 0..3 {
        c.ask("basic.consume queue=amq.rabbitmq.reply-to consumer_tag=r no_ack", "basic.consume-ok");
        c.ask("basic.cancel consumer_tag=r", "basic.cancel-ok");
    }
    c.publish_with("routing_key=none", "reply_to=amq.rabbitmq.reply-to", "x");
    c.channel_closes(406, "basic.publish", "fast reply consumer does not exist");
}

#[test]
fn a_duplicate_is_confirmed_and_not_returned() {
    let broker = Broker::new();
    let mut c = broker.client();
    c.ask(
        "exchange.declare exchange=x type=direct arguments={x-message-deduplication:true,x-deduplication-header:id,x-cache-ttl:600000}",
        "exchange.declare-ok",
    );
    c.declare("queue=q");
    c.ask("queue.bind queue=q exchange=x routing_key=k", "queue.bind-ok");
    c.confirms();
    for n in [5, 5, 6] {
        c.publish_confirmed(
            "exchange=x routing_key=k mandatory",
            &format!("headers={{id:{n}}}"),
            n.to_string(),
        );
    }
    assert_eq!(c.drain("q"), ["5", "6"]);
    for bad in ["x-message-deduplication:1", "x-message-deduplication:true,x-cache-size:0"] {
        for say in [
            format!("queue.declare queue=r arguments={{{bad}}}"),
            format!("exchange.declare exchange=y type=direct arguments={{{bad}}}"),
        ] {
            c.say(&say);
            c.channel_closes(406, say.split(' ').next().expect("a method"), "invalid arg");
            c.open_channel(1);
        }
    }
}

#[test]
fn a_server_named_queue_may_have_a_prefix() {
    let broker = Broker::new();
    let mut c = broker.client();
    let name = c.declare("exclusive arguments={x-name-prefix:orders}");
    assert!(name.starts_with("orders-") && name.len() == 29, "{name}");
    for (prefix, code) in [("amq.orders".to_owned(), 403), ("p".repeat(65), 406), ("5".to_owned(), 406)] {
        c.say(&format!("queue.declare exclusive arguments={{x-name-prefix:{prefix}}}"));
        c.channel_closes(code, "queue.declare", "");
        c.open_channel(1);
    }
}

#[test]
fn dead_letters_do_not_multiply_without_end() {
    let broker = Broker::with(&["--dead-letter-copies-max", "50"]);
    let mut c = broker.client();
    c.ask("exchange.declare exchange=all type=fanout", "exchange.declare-ok");
    let queues: Vec<String> = (0..12).map(|n| format!("q{n}")).collect();
    for queue in &queues {
        c.declare(&format!("queue={queue} arguments={{x-dead-letter-exchange:all,x-message-ttl:1}}"));
        c.ask(&format!("queue.bind queue={queue} exchange=all"), "queue.bind-ok");
    }
    c.declare("queue=last");
    c.ask("queue.bind queue=last exchange=all", "queue.bind-ok");
    c.publish("routing_key=q0", "x");
    let scraped = Http::at(listening(&broker, "metrics"));
    let counted = |name: &str| -> u64 {
        let text = scraped.get("/metrics").is(200).text;
        let line = text.lines().find(|line| line.starts_with(name)).expect("the counter");
        line.rsplit(' ').next().and_then(|count| count.parse().ok()).expect("a number")
    };
    let mut deaths = 0;
    // If none dies between two readings, none is moving.
    crate::wait::until("no queue drops anything any more", || {
        let before =
            std::mem::replace(&mut deaths, counted("rabbitmq_global_messages_dead_lettered_expired"));
        deaths > 0 && before == deaths && {
            let empty = queues.iter().all(|queue| c.counts(queue).0 == 0);
            empty && counted("rabbitmq_global_messages_dead_lettered_expired") == deaths
        }
    });
    assert!((12..12 * 50).contains(&deaths), "{deaths}");
    assert!(counted("leveret_dead_letter_copies_left_out_total") > 0);
    let log = broker.log();
    assert!(log.contains("dead_letter_copies_max"), "{log}");
}

#[test]
fn a_publish_to_very_many_queues_keeps_its_place_among_others() {
    let broker = Broker::new();
    let mut c = broker.client();
    c.ask("exchange.declare exchange=all type=fanout", "exchange.declare-ok");
    for n in 0..1500 {
        c.say(&format!("queue.declare queue=q{n} nowait exclusive"));
        c.say(&format!("queue.bind queue=q{n} exchange=all nowait"));
    }
    c.declare("queue=full exclusive arguments={x-max-length:3,x-overflow:reject-publish}");
    c.ask("queue.bind queue=full exchange=all", "queue.bind-ok");
    c.confirms();
    let mut batch = Vec::new();
    for (args, body) in [
        ("routing_key=q7", "1"),
        ("exchange=all mandatory", "2"),
        ("routing_key=q7", "3"),
        ("routing_key=full", "3"),
        ("exchange=all", "4"),
        ("exchange=all", "5"),
        ("routing_key=q7", "6"),
    ] {
        batch.extend(c.publish_bytes(1, args, "", body.as_bytes()));
    }
    c.bytes(&batch);
    // One queue has no room for the last of the messages routed to all.
    c.hear("basic.nack delivery_tag=6 multiple=0");
    while c.hear("basic.ack").tag() < 7 {}
    assert_eq!(c.drain("q7"), ["1", "2", "3", "4", "5", "6"]);
    assert_eq!(c.drain("full"), ["2", "3", "4"]);
    for n in [0, 1, 1022, 1023, 1024, 1025, 1499] {
        assert_eq!(c.drain(&format!("q{n}")), ["2", "4", "5"]);
    }
}
