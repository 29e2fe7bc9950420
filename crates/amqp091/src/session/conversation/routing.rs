//! Routing of publishes, and the answer to unroutable ones (docs/semantics.md, Routing: CC and BCC, alternate
//! exchanges, exchange bindings).

use super::conversation;

/// Which of `keys` reach queue `q` through `exchange`, by a binding with `key`.
#[track_caller]
fn reaches(exchange: &str, binding: &str, keys: &[(&str, bool)]) {
    for (key, reached) in keys {
        let outcome = if *reached { "" } else { "S 1 basic.return reply_code=312 << m" };
        conversation(&format!(
            "A 1 queue.declare queue=q \n A 1 queue.bind queue=q exchange={exchange} routing_key=\"{binding}\"
             C 1 basic.publish exchange={exchange} routing_key=\"{key}\" mandatory << m \n {outcome}
             C 1 queue.purge queue=q \n S 1 queue.purge-ok message_count={}",
            u8::from(*reached)
        ));
    }
}

#[test]
fn a_direct_exchange_compares_keys_and_a_fanout_exchange_does_not() {
    reaches("amq.direct", "a.b", &[("a.b", true), ("a", false), ("", false), ("A.b", false)]);
    reaches("amq.fanout", "a", &[("a", true), ("b", true), ("", true)]);
}

#[test]
fn a_topic_exchange_compares_words() {
    reaches("amq.topic", "a.*", &[("a.b", true), ("a.", true), ("a", false), ("a.b.c", false)]);
    reaches("amq.topic", "a.#", &[("a", true), ("a.b.c", true), ("b.a", false), ("ab", false)]);
    reaches("amq.topic", "#.c", &[("c", true), ("a.b.c", true), ("c.d", false)]);
    reaches("amq.topic", "*.#.*", &[("a", false), ("a.b", true), ("a.b.c", true)]);
    reaches("amq.topic", "", &[("", true), ("a", false)]);
}

#[test]
fn a_headers_exchange_compares_headers() {
    for (arguments, headers, matches) in [
        ("{a:1,b:2}", "{a:1,b:2,c:3}", true),
        ("{a:1,b:2}", "{a:1}", false),
        ("{x-match:all,a:1}", "{a:2}", false),
        ("{x-match:any,a:1,b:2}", "{a:9,b:2}", true),
        ("{x-match:any,a:1,b:2}", "{a:9,b:9}", false),
        ("{x-match:any}", "{a:1}", false),
        ("{x-match:all}", "{a:1}", true),
        ("{}", "{}", true),
        ("{x-match:all,x-a:1,b:1}", "{b:1}", true),
        ("{x-match:all-with-x,x-a:1,b:1}", "{b:1}", false),
        ("{x-match:all-with-x,x-a:1,b:1}", "{b:1,x-a:1}", true),
        ("{x-match:any,x-a:1}", "{x-a:1}", false),
        ("{x-match:any-with-x,x-a:1}", "{x-a:1}", true),
        ("{a:5}", "{a:5l}", true),
        ("{a:5}", "{a:\"5\"}", false),
        ("{a:void}", "{a:anything}", true),
        ("{a:void}", "{b:1}", false),
        ("{a:true}", "{a:false}", false),
    ] {
        let outcome = if matches { "" } else { "S 1 basic.return << m" };
        conversation(&format!(
            "A 1 queue.declare queue=q \n A 1 queue.bind queue=q exchange=amq.headers routing_key=k arguments={arguments}
             C 1 basic.publish exchange=amq.headers mandatory with headers={headers} << m \n {outcome}
             C 1 queue.purge queue=q \n S 1 queue.purge-ok message_count={}",
            u8::from(matches)
        ));
    }
    for wrong in ["some", "5", "true"] {
        conversation(&format!(
            "A 1 queue.declare queue=q
             C 1 queue.bind queue=q exchange=amq.headers arguments={{x-match:{wrong}}}
             S 1 channel.close 406 by queue.bind"
        ));
    }
}

#[test]
fn a_queue_gets_one_copy_however_many_ways_lead_to_it() {
    conversation(
        "A 1 queue.declare queue=q \n A 1 queue.bind queue=q exchange=amq.topic routing_key=#
         A 1 queue.bind queue=q exchange=amq.topic routing_key=a.*
         C 1 basic.publish exchange=amq.topic routing_key=a.b with headers={CC:[a.c,x],BCC:[a.d]} << m
         C 1 queue.purge queue=q \n S 1 queue.purge-ok message_count=1",
    );
}

#[test]
fn loops_of_exchanges_end() {
    conversation(
        "A 1 exchange.declare exchange=a type=fanout \n A 1 exchange.declare exchange=b type=fanout internal
         A 1 exchange.bind destination=b source=a \n A 1 exchange.bind destination=a source=b
         A 1 exchange.bind destination=a source=a
         A 1 queue.declare queue=q \n A 1 queue.bind queue=q exchange=a \n A 1 queue.bind queue=q exchange=b
         C 1 basic.publish exchange=a routing_key=k << m
         C 1 basic.get queue=q no_ack \n S 1 basic.get-ok exchange=a routing_key=k message_count=0 << m
         A 1 exchange.unbind destination=b source=a \n A 1 queue.unbind queue=q exchange=a
         C 1 basic.publish exchange=a mandatory << n \n S 1 basic.return exchange=a << n",
    );
}

#[test]
fn what_finds_no_queue_goes_to_the_alternate_exchange() {
    conversation(
        "A 1 exchange.declare exchange=x type=direct arguments={alternate-exchange:y}
         A 1 exchange.declare exchange=y type=direct arguments={alternate-exchange:z}
         C 1 basic.publish exchange=x routing_key=k mandatory << missing \n S 1 basic.return exchange=x << missing
         A 1 exchange.declare exchange=z type=fanout internal arguments={alternate-exchange:x}
         C 1 basic.publish exchange=x routing_key=k mandatory << round \n S 1 basic.return exchange=x << round
         A 1 queue.declare queue=rest \n A 1 queue.bind queue=rest exchange=z
         A 1 queue.declare queue=q \n A 1 queue.bind queue=q exchange=x routing_key=known
         C 1 basic.publish exchange=x routing_key=other mandatory << a
         C 1 basic.publish exchange=x routing_key=known mandatory << b
         C 1 basic.get queue=rest \n S 1 basic.get-ok exchange=x routing_key=other message_count=0 << a
         C 1 basic.get queue=q \n S 1 basic.get-ok << b",
    );
}

#[test]
fn copies_go_by_more_keys_and_bcc_is_not_seen() {
    conversation(
        "A 1 queue.declare queue=a \n A 1 queue.declare queue=b \n A 1 queue.declare queue=c
         C 1 basic.publish routing_key=a with headers={CC:[b,none],BCC:[5,c],mine:1} << m
         C 1 basic.get queue=a \n S 1 basic.get-ok routing_key=a with headers={CC:[b,none],mine:1} without BCC << m
         C 1 basic.get queue=b \n S 1 basic.get-ok routing_key=a with headers={CC:[b,none]} without BCC << m
         C 1 basic.get queue=c \n S 1 basic.get-ok routing_key=a with headers={CC:[b,none]} without BCC << m
         C 1 basic.publish routing_key=none mandatory with headers={BCC:[c]} << routed
         C 1 basic.get queue=c \n S 1 basic.get-ok << routed",
    );
    for headers in ["CC:b", "CC:{a:1}", "BCC:5"] {
        conversation(&format!(
            "C 1 basic.publish routing_key=q with headers={{{headers}}} << m
             S 1 channel.close 406 by basic.publish"
        ));
    }
}

#[test]
fn what_is_mandatory_comes_back_whole_and_what_is_not_is_dropped() {
    conversation(
        "C 1 basic.publish routing_key=none << dropped
         C 1 basic.publish exchange=amq.topic routing_key=none mandatory with headers={a:1} message_id=m priority=3 << x
         S 1 basic.return reply_code=312 reply_text=NO_ROUTE exchange=amq.topic routing_key=none with headers={a:1} message_id=m priority=3 << x",
    );
}

#[test]
fn properties_arrive_as_they_were_sent() {
    conversation(
        "A 1 queue.declare queue=q \n A 1 basic.consume queue=q no_ack
         C 1 basic.publish routing_key=q with content_type=text delivery_mode=2 correlation_id=c reply_to=r expiration=60000 timestamp=7T type=t user_id=guest app_id=a headers={n:1l,t:{a:[1,void]}} << x
         S 1 basic.deliver with content_type=text delivery_mode=2 correlation_id=c reply_to=r expiration=60000 timestamp=7T type=t user_id=guest app_id=a headers={n:1l,t:{a:[1,void]}} << x
         C 1 basic.publish routing_key=q << \n S 1 basic.deliver without headers <<",
    );
}

#[test]
fn only_oneself_may_be_named_as_the_user() {
    conversation(
        "A 1 queue.declare queue=q \n C 1 basic.publish routing_key=q with user_id=guest << own
         C 1 basic.get queue=q \n S 1 basic.get-ok with user_id=guest << own
         C 1 basic.publish routing_key=q with user_id=other << forged
         S 1 channel.close 406 by basic.publish saying user_id",
    );
}

#[test]
fn a_direct_reply_comes_straight_back() {
    conversation(
        "A2 1 queue.declare queue=rpc \n A2 1 basic.consume queue=rpc no_ack
         A 1 basic.consume queue=amq.rabbitmq.reply-to consumer_tag=r no_ack
         C 1 basic.publish routing_key=rpc with reply_to=amq.rabbitmq.reply-to correlation_id=7 << question
         S2 1 basic.deliver with correlation_id=7 << question
         C2 1 queue.declare queue=amq.rabbitmq.reply-to.nobody passive \n S2 1 channel.close 404 by queue.declare",
    );
    for (before, said, code, words) in [
        ("", "basic.consume queue=amq.rabbitmq.reply-to", 406, "reply consumer cannot acknowledge"),
        (
            "A 1 basic.consume queue=amq.rabbitmq.reply-to no_ack",
            "basic.consume queue=amq.rabbitmq.reply-to no_ack",
            406,
            "reply consumer already set",
        ),
        (
            "",
            "basic.publish routing_key=q with reply_to=amq.rabbitmq.reply-to << x",
            406,
            "fast reply consumer does not exist",
        ),
    ] {
        let method = said.split(' ').next().expect("a method");
        conversation(&format!(
            "{before} \n C 1 {said} \n S 1 channel.close {code} by {method} saying {words}"
        ));
    }
}
