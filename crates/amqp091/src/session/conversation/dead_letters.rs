//! Dead letters: when, where to, and their history (docs/semantics.md, Dead letters).

use super::conversation;

/// Queue `q`, which dead-letters to queue `dead` through exchange `dlx`.
fn scene(more: &str) -> String {
    format!(
        "A 1 exchange.declare exchange=dlx type=fanout \n A 1 queue.declare queue=dead \n A 1 queue.bind queue=dead exchange=dlx
         A 1 queue.declare queue=q arguments={{x-dead-letter-exchange:dlx{more}}} \n"
    )
}

/// `dead` holds one message, dead-lettered for this reason.
fn died(body: &str, reason: &str) -> String {
    format!(
        "-- \n C 1 basic.get queue=dead no_ack
         S 1 basic.get-ok redelivered=0 exchange=dlx routing_key=q message_count=0 with headers={{x-death:[{{count:1l,reason:{reason},queue:q,exchange:\"\",routing-keys:[q]}}],x-first-death-queue:q,x-first-death-reason:{reason},x-first-death-exchange:\"\",x-last-death-queue:q,x-last-death-reason:{reason},x-last-death-exchange:\"\"}} << {body} \n"
    )
}

#[test]
fn what_is_rejected_dies() {
    for said in
        ["basic.reject delivery_tag=1", "basic.nack delivery_tag=1", "basic.nack delivery_tag=0 multiple"]
    {
        conversation(&format!(
            "{} C 1 basic.publish routing_key=q with headers={{mine:1}} message_id=m << x
             C 1 basic.get queue=q \n S 1 basic.get-ok << x \n C 1 {said} \n {}",
            scene(""),
            died("x", "rejected")
        ));
    }
}

#[test]
fn what_a_queue_drops_dies() {
    for (arguments, properties, then, reason) in [
        (",x-message-ttl:50", "", "T 50", "expired"),
        (",x-max-length:0", "", "", "maxlen"),
        (",x-max-length-bytes:0", "", "", "maxlen"),
        (",x-max-length:0,x-overflow:reject-publish-dlx", "", "", "maxlen"),
        (
            ",x-delivery-limit:1",
            "",
            "C 1 basic.get queue=q \n S 1 basic.get-ok \n C 1 basic.reject delivery_tag=1 requeue
             C 1 basic.get queue=q \n S 1 basic.get-ok \n C 1 basic.reject delivery_tag=2 requeue",
            "delivery_limit",
        ),
    ] {
        conversation(&format!(
            "{} C 1 basic.publish routing_key=q {properties} << x \n {then} \n {}",
            scene(arguments),
            died("x", reason)
        ));
    }
}

#[test]
fn an_expiration_is_kept_in_the_history_alone() {
    conversation(&format!(
        "{} C 1 basic.publish routing_key=q with expiration=20 << x \n T 20
         C 1 basic.get queue=dead
         S 1 basic.get-ok with headers={{x-death:[{{count:1l,reason:expired,original-expiration:\"20\"}}]}} without expiration << x",
        scene("")
    ));
}

#[test]
fn purge_delete_and_requeue_kill_nothing() {
    conversation(&format!(
        "{} C 1 basic.publish routing_key=q << a \n C 1 basic.publish routing_key=q << b
         C 1 basic.get queue=q \n S 1 basic.get-ok << a \n C 1 basic.nack delivery_tag=1 requeue
         C 1 queue.purge queue=q \n S 1 queue.purge-ok message_count=2
         C 1 basic.publish routing_key=q << c \n C 1 queue.delete queue=q \n S 1 queue.delete-ok message_count=1
         C 1 basic.get queue=dead \n S 1 basic.get-empty",
        scene("")
    ));
}

#[test]
fn a_full_queue_that_refuses_kills_nothing() {
    conversation(&format!(
        "{} C 1 basic.publish routing_key=q << x \n -- \n C 1 basic.get queue=dead \n S 1 basic.get-empty",
        scene(",x-max-length:0,x-overflow:reject-publish")
    ));
}

#[test]
fn a_missing_exchange_drops_it() {
    conversation(
        "A 1 queue.declare queue=q arguments={x-dead-letter-exchange:none}
         C 1 basic.publish routing_key=q << x \n C 1 basic.get queue=q \n S 1 basic.get-ok \n C 1 basic.reject delivery_tag=1 \n --
         C 1 basic.get queue=q \n S 1 basic.get-empty",
    );
}

#[test]
fn it_goes_by_all_its_keys_unless_the_queue_has_one() {
    let dies = "C 1 basic.get queue=q \n S 1 basic.get-ok \n C 1 basic.reject delivery_tag=1 \n -- \n";
    conversation(&format!(
        "A 1 exchange.declare exchange=dlx type=direct
         A 1 queue.declare queue=q arguments={{x-dead-letter-exchange:dlx}} \n A 1 queue.declare queue=a \n A 1 queue.declare queue=b
         A 1 queue.bind queue=a exchange=dlx routing_key=cc \n A 1 queue.bind queue=b exchange=dlx routing_key=q
         C 1 basic.publish routing_key=q with headers={{CC:[cc]}} << x \n {dies}
         C 1 basic.get queue=a \n S 1 basic.get-ok exchange=dlx routing_key=q with headers={{CC:[cc]}} << x
         C 1 basic.get queue=b \n S 1 basic.get-ok exchange=dlx routing_key=q with headers={{CC:[cc]}} << x"
    ));
    conversation(&format!(
        "A 1 queue.declare queue=dead
         A 1 queue.declare queue=q arguments={{x-dead-letter-exchange:\"\",x-dead-letter-routing-key:dead}}
         C 1 basic.publish routing_key=q with headers={{CC:[none]}} << x \n {dies}
         C 1 basic.get queue=dead
         S 1 basic.get-ok exchange=\"\" routing_key=dead with headers={{x-death:[{{count:1l,routing-keys:[q,none]}}]}} without CC << x"
    ));
}

/// Queues `a` and `b`, which dead-letter to each other.
fn pair(more: &str) -> String {
    format!(
        "A 1 queue.declare queue=a arguments={{x-dead-letter-exchange:\"\",x-dead-letter-routing-key:b{more}}}
         A 1 queue.declare queue=b arguments={{x-dead-letter-exchange:\"\",x-dead-letter-routing-key:a{more}}}
         C 1 basic.publish routing_key=a << x \n"
    )
}

#[test]
fn deaths_are_counted_by_queue_and_reason_newest_first() {
    let die = |queue: &str, tag: u8| {
        format!(
            "C 1 basic.get queue={queue} \n S 1 basic.get-ok delivery_tag={tag} \n C 1 basic.reject delivery_tag={tag} \n -- \n"
        )
    };
    conversation(&format!(
        "{} {} {} {} C 1 basic.get queue=b
         S 1 basic.get-ok with headers={{x-death:[{{count:2l,queue:a,reason:rejected}},{{count:1l,queue:b,reason:rejected}}],x-first-death-queue:a,x-last-death-queue:a}} << x",
        pair(""),
        die("a", 1),
        die("b", 2),
        die("a", 3)
    ));
}

#[test]
fn a_cycle_without_a_client_ends_and_one_with_a_rejection_goes_on() {
    conversation(&format!(
        "{} T 20 \n C 1 queue.declare queue=b passive \n S 1 queue.declare-ok message_count=1
         T 40 \n C 1 queue.declare queue=a passive \n S 1 queue.declare-ok message_count=0
         C 1 queue.declare queue=b passive \n S 1 queue.declare-ok message_count=0",
        pair(",x-message-ttl:20")
    ));
    let round = |n: u64| {
        format!(
            "C 1 basic.get queue=a \n S 1 basic.get-ok delivery_tag={n} << x \n C 1 basic.reject delivery_tag={n} \n T {} \n",
            n * 20
        )
    };
    conversation(&format!(
        "A 1 queue.declare queue=a arguments={{x-dead-letter-exchange:\"\",x-dead-letter-routing-key:b}}
         A 1 queue.declare queue=b arguments={{x-dead-letter-exchange:\"\",x-dead-letter-routing-key:a,x-message-ttl:20}}
         C 1 basic.publish routing_key=a << x \n {} C 1 basic.get queue=a
         S 1 basic.get-ok with headers={{x-death:[{{count:4l,queue:b,reason:expired}},{{count:4l,queue:a,reason:rejected}}]}}",
        (1..=4).map(round).collect::<String>()
    ));
}

#[test]
fn what_a_publisher_says_of_deaths_is_no_history() {
    conversation(&format!(
        "{} C 1 basic.publish routing_key=q with headers={{x-death:[{{count:7l,reason:rejected,queue:q}}]}} << x
         C 1 basic.get queue=q \n S 1 basic.get-ok << x \n C 1 basic.reject delivery_tag=1 \n {}",
        scene(""),
        died("x", "rejected")
    ));
}
