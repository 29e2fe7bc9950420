//! Drops from queues by expiry and by length (docs/semantics.md, Expiry and length), and delayed messages.

use super::conversation;

/// `q` has `count` ready messages.
fn ready(count: u64) -> String {
    format!("C 1 queue.declare queue=q passive \n S 1 queue.declare-ok message_count={count} \n")
}

#[test]
fn the_lower_time_to_live_counts() {
    for (queue, message, dies) in [
        ("arguments={x-message-ttl:50}", "", 50),
        ("", "with expiration=50", 50),
        ("arguments={x-message-ttl:50}", "with expiration=600", 50),
        ("arguments={x-message-ttl:600}", "with expiration=50", 50),
    ] {
        conversation(&format!(
            "A 1 queue.declare queue=q {queue} \n C 1 basic.publish routing_key=q {message} << x
             T {} \n {} T {dies} \n {} C 1 basic.get queue=q \n S 1 basic.get-empty",
            dies - 1,
            ready(1),
            ready(0)
        ));
    }
}

#[test]
fn a_time_to_live_of_nought_is_for_who_waits() {
    for (queue, message) in [("arguments={x-message-ttl:0}", ""), ("", "with expiration=0")] {
        conversation(&format!(
            "A 1 queue.declare queue=q {queue} \n C 1 basic.publish routing_key=q {message} << lost
             C 1 basic.get queue=q \n S 1 basic.get-empty
             A 1 basic.consume queue=q no_ack
             C 1 basic.publish routing_key=q {message} << taken \n S 1 basic.deliver << taken"
        ));
    }
}

#[test]
fn what_is_no_time_to_live_closes_the_channel() {
    for wrong in ["\"\"", "12a", "\"-1\"", "315360000001l"] {
        let wrong = wrong.trim_end_matches('l');
        conversation(&format!(
            "C 1 basic.publish routing_key=q with expiration={wrong} << x
             S 1 channel.close 406 by basic.publish saying expiration"
        ));
    }
}

#[test]
fn what_expires_behind_a_live_message_goes_when_it_is_in_front() {
    conversation(&format!(
        "A 1 queue.declare queue=q \n C 1 basic.publish routing_key=q << lives
         C 1 basic.publish routing_key=q with expiration=50 << dies \n T 1000 \n {}
         C 1 basic.get queue=q \n S 1 basic.get-ok << lives \n T 1001 \n {}",
        ready(2),
        ready(0)
    ));
}

#[test]
fn what_is_out_expires_when_it_comes_back() {
    conversation(&format!(
        "A 1 queue.declare queue=dead
         A 1 queue.declare queue=q arguments={{x-dead-letter-exchange:\"\",x-dead-letter-routing-key:dead}}
         C 1 basic.publish routing_key=q with expiration=50 << x \n C 1 basic.get queue=q \n S 1 basic.get-ok << x
         T 1000 \n C 1 basic.get queue=dead \n S 1 basic.get-empty
         C 1 basic.nack delivery_tag=1 requeue \n {}
         C 1 basic.get queue=dead \n S 1 basic.get-ok without expiration << x",
        ready(0)
    ));
}

#[test]
fn an_idle_queue_expires_without_dead_letters() {
    let declared = "A 1 queue.declare queue=dead
        A 1 queue.declare queue=q arguments={x-expires:100,x-dead-letter-exchange:\"\",x-dead-letter-routing-key:dead}
        C 1 basic.publish routing_key=q << x \n";
    let gone = "C 1 basic.get queue=dead \n S 1 basic.get-empty
        C 1 queue.declare queue=q passive \n S 1 channel.close 404 by queue.declare";
    conversation(&format!("{declared} T 100 \n {gone}"));
    // Redeclaring, a get and a consumer count as use; a publish does not.
    for used in [
        "A 1 queue.declare queue=q arguments={x-expires:100,x-dead-letter-exchange:\"\",x-dead-letter-routing-key:dead}",
        "C 1 basic.get queue=q \n S 1 basic.get-ok",
        "A 1 basic.consume queue=q consumer_tag=c \n S 1 basic.deliver \n A 1 basic.cancel consumer_tag=c",
    ] {
        conversation(&format!("{declared} T 60 \n {used} \n T 159 \n A 1 queue.declare queue=q passive"));
        conversation(&format!("{declared} T 60 \n {used} \n T 160 \n {gone}"));
    }
    conversation(&format!("{declared} T 60 \n C 1 basic.publish routing_key=q << y \n T 100 \n {gone}"));
    conversation(&format!(
        "{declared} A 1 basic.consume queue=q no_ack \n S 1 basic.deliver << x
         T 10000 \n C 1 basic.publish routing_key=q << y \n S 1 basic.deliver << y"
    ));
}

#[test]
fn a_full_queue_drops_its_head() {
    conversation(&format!(
        "A 1 queue.declare queue=q arguments={{x-max-length:2}} \n A 1 confirm.select
         C 1 basic.publish routing_key=q << a \n S 1 basic.ack delivery_tag=1
         C 1 basic.publish routing_key=q << b \n S 1 basic.ack delivery_tag=2
         C 1 basic.publish routing_key=q << c \n S 1 basic.ack delivery_tag=3
         {} C 1 basic.get queue=q \n S 1 basic.get-ok message_count=1 << b",
        ready(2)
    ));
    conversation(&format!(
        "A 1 queue.declare queue=q arguments={{x-max-length:0}} \n C 1 basic.publish routing_key=q << a \n {}",
        ready(0)
    ));
}

#[test]
fn lengths_in_bytes_are_of_bodies() {
    let publish = |body: &str| {
        format!("C 1 basic.publish routing_key=q with headers={{long:\"that does not count\"}} << {body} \n")
    };
    conversation(&format!(
        "A 1 queue.declare queue=q arguments={{x-max-length-bytes:10}} \n {} {}
         {} {}",
        ["aaaa", "bbbb", "cc", "dddd"].map(publish).concat(),
        ready(3),
        publish("more than ten bytes"),
        ready(0)
    ));
}

#[test]
fn what_is_out_does_not_count_until_it_comes_back() {
    conversation(&format!(
        "A 1 queue.declare queue=q arguments={{x-max-length:1}}
         C 1 basic.publish routing_key=q << a \n C 1 basic.get queue=q \n S 1 basic.get-ok << a
         C 1 basic.publish routing_key=q << b \n {}
         C 1 basic.nack delivery_tag=1 requeue \n {}
         C 1 basic.get queue=q \n S 1 basic.get-ok << b",
        ready(1),
        ready(1)
    ));
}

#[test]
fn a_full_queue_may_refuse_instead() {
    for (overflow, dead) in
        [("reject-publish", "S 1 basic.get-empty"), ("reject-publish-dlx", "S 1 basic.get-ok << b")]
    {
        conversation(&format!(
            "A 1 queue.declare queue=dead
             A 1 queue.declare queue=q arguments={{x-max-length:1,x-overflow:{overflow},x-dead-letter-exchange:\"\",x-dead-letter-routing-key:dead}}
             A 1 confirm.select
             C 1 basic.publish routing_key=q << a \n S 1 basic.ack delivery_tag=1
             C 1 basic.publish routing_key=q mandatory << b \n S 1 basic.nack delivery_tag=2
             C 1 basic.get queue=dead \n {dead}
             C 1 basic.get queue=q \n S 1 basic.get-ok << a
             C 1 basic.publish routing_key=q << c \n S 1 basic.ack delivery_tag=3"
        ));
    }
}

const DELAYED: &str =
    "A 1 exchange.declare exchange=x type=x-delayed-message arguments={x-delayed-type:direct}
     A 1 queue.declare queue=q \n A 1 queue.bind queue=q exchange=x routing_key=k \n A 1 confirm.select \n";

#[test]
fn a_delayed_message_is_routed_when_its_delay_is_over() {
    conversation(&format!(
        "{DELAYED} C 1 basic.publish exchange=x routing_key=k mandatory with headers={{x-delay:500}} << late
         S 1 basic.ack delivery_tag=1
         C 1 basic.publish exchange=x routing_key=k with headers={{x-delay:\"200\"}} << sooner \n S 1 basic.ack delivery_tag=2
         T 199 \n {} T 200 \n C 1 basic.get queue=q \n S 1 basic.get-ok << sooner
         T 499 \n {} T 500
         C 1 basic.get queue=q \n S 1 basic.get-ok exchange=x routing_key=k with headers={{x-delay:-500}} << late",
        ready(0),
        ready(0),
    ));
}

#[test]
fn without_a_delay_it_is_routed_at_once() {
    for headers in ["{}", "{x-delay:0}", "{x-delay:-5}", "{x-delay:soon}"] {
        conversation(&format!(
            "{DELAYED} C 1 basic.publish exchange=x routing_key=k with headers={headers} << x \n S 1 basic.ack \n {}",
            ready(1)
        ));
    }
}

#[test]
fn a_delayed_exchange_is_of_another_type() {
    for arguments in
        ["{}", "{x-delayed-type:none}", "{x-delayed-type:x-delayed-message}", "{x-delayed-type:5}"]
    {
        conversation(&format!(
            "C 1 exchange.declare exchange=x type=x-delayed-message arguments={arguments}
             S 1 channel.close 406 by exchange.declare saying 'x-delayed-type' must be an existing exchange type"
        ));
    }
}
