//! Declaring, checking, binding and deleting (docs/semantics.md, Names and Declaring again).

use super::conversation;

/// The last method closes channel 1, which is then reopened.
fn refused(said: &str, code: u16, words: &str) -> String {
    let method = said.split(' ').next().expect("a method");
    format!(
        "C 1 {said} \n S 1 channel.close {code} by {method} saying {words}
         C 1 channel.close-ok \n A 1 channel.open \n"
    )
}

/// Queue `q` and exchange `x` do not exist.
fn gone(what: &str) -> String {
    refused(&format!("{what} passive"), 404, "")
}

#[test]
fn every_queue_is_bound_to_the_default_exchange_by_its_name() {
    conversation(
        "A 1 queue.declare queue=q
         C 1 basic.publish routing_key=q << x \n C 1 basic.publish routing_key=other << y
         C 1 basic.get queue=q no_ack
         S 1 basic.get-ok exchange=\"\" routing_key=q message_count=0 << x",
    );
}

#[test]
fn the_default_exchange_is_not_for_declaring_deleting_or_binding() {
    for said in [
        "exchange.declare type=direct durable",
        "exchange.declare type=direct passive",
        "exchange.delete",
        "queue.bind queue=q",
        "queue.unbind queue=q",
        "exchange.bind destination=amq.topic",
        "exchange.bind source=amq.topic",
        "exchange.unbind destination=amq.topic",
    ] {
        conversation(&format!(
            "A 1 queue.declare queue=q \n {}",
            refused(said, 403, "operation not permitted on the default exchange")
        ));
    }
}

#[test]
fn predeclared_exchanges_may_be_declared_as_they_are_and_not_be_deleted() {
    for (name, kind) in [
        ("amq.direct", "direct"),
        ("amq.fanout", "fanout"),
        ("amq.topic", "topic"),
        ("amq.headers", "headers"),
        ("amq.match", "headers"),
        ("amq.rabbitmq.trace", "topic internal"),
    ] {
        conversation(&format!(
            "A 1 exchange.declare exchange={name} type={kind} durable
             A 1 exchange.declare exchange={name} type=any passive
             {}",
            refused(&format!("exchange.delete exchange={name}"), 403, "deletion of system exchange"),
        ));
    }
}

#[test]
fn names_that_begin_with_amq_are_reserved() {
    conversation(&format!(
        "{} {} {}",
        refused("exchange.declare exchange=amq.mine type=direct", 403, "reserved prefix 'amq.*'"),
        refused("queue.declare queue=amq.mine", 403, "reserved prefix 'amq.*'"),
        refused("exchange.delete exchange=amq.mine", 403, "deletion of system exchange"),
    ));
}

#[test]
fn a_queue_without_a_name_is_named_and_may_be_looked_at() {
    conversation(
        "A 1 queue.declare exclusive \n A 1 queue.declare passive \n A 1 queue.bind exchange=amq.fanout
         C 1 basic.publish exchange=amq.fanout << x
         C 1 queue.declare passive \n S 1 queue.declare-ok message_count=1 consumer_count=0
         C 1 basic.get \n S 1 basic.get-ok << x
         C 1 queue.purge \n S 1 queue.purge-ok message_count=0
         C 1 queue.delete \n S 1 queue.delete-ok message_count=0",
    );
}

#[test]
fn the_last_declared_queue_stands_for_no_name_and_for_no_key() {
    conversation(
        "A 1 queue.declare queue=other \n A 1 queue.declare queue=q \n A 1 queue.declare queue=q passive
         A 1 queue.bind exchange=amq.direct
         C 1 basic.publish exchange=amq.direct routing_key=q << x
         C 1 basic.consume consumer_tag=c no_ack \n S 1 basic.consume-ok
         S 1 basic.deliver consumer_tag=c exchange=amq.direct routing_key=q << x
         A 1 queue.unbind exchange=amq.direct routing_key=q
         C 1 basic.publish exchange=amq.direct routing_key=q mandatory << y \n S 1 basic.return << y",
    );
    // Per channel.
    conversation(&format!(
        "A 2 channel.open \n A 2 queue.declare queue=q \n {}",
        refused("queue.purge", 404, "no previously declared queue")
    ));
}

#[test]
fn line_breaks_are_taken_out_of_names() {
    conversation(
        "C 1 queue.declare queue=\"q\\r\\n\" \n S 1 queue.declare-ok queue=q
         A 1 exchange.declare exchange=\"x\\n\" type=fanout \n A 1 exchange.declare exchange=x passive
         A 1 queue.bind queue=\"q\\n\" exchange=\"\\rx\" \n C 1 basic.publish exchange=x << m
         C 1 queue.delete queue=\"q\\n\" \n S 1 queue.delete-ok message_count=1",
    );
}

#[test]
fn a_queue_is_the_same_by_its_fields_and_known_arguments() {
    for (first, second, same) in [
        ("", "", true),
        ("durable", "", false),
        ("", "auto_delete", false),
        ("exclusive durable", "exclusive", true),
        ("arguments={x-max-length:5}", "", false),
        ("arguments={x-max-length:5}", "arguments={x-max-length:5l}", true),
        ("arguments={x-max-length:5}", "arguments={x-max-length:6}", false),
        ("arguments={x-dead-letter-exchange:a}", "arguments={x-dead-letter-exchange:b}", false),
        ("arguments={x-foo:1}", "arguments={x-foo:other}", true),
        ("arguments={x-foo:1}", "", true),
        ("", "arguments={x-queue-type:classic}", true),
        ("durable", "durable arguments={x-queue-type:quorum}", false),
    ] {
        let second = format!("queue.declare queue=q {second}");
        let answer = if same { format!("A 1 {second}") } else { refused(&second, 406, "inequivalent arg") };
        conversation(&format!("A 1 queue.declare queue=q {first} \n {answer}"));
    }
    // Exclusivity is checked first.
    conversation(&format!(
        "A 1 queue.declare queue=q \n {}",
        refused("queue.declare queue=q exclusive durable", 405, "")
    ));
}

#[test]
fn an_inequivalent_argument_is_named_with_both_values() {
    for (said, words) in [
        ("durable", "'durable' for queue 'q' in vhost '/': received 'true' but current is 'false'"),
        (
            "arguments={x-message-ttl:5}",
            "'x-message-ttl' for queue 'q' in vhost '/': received the value '5' of type 'signedint' but current is none",
        ),
    ] {
        let text = format!("PRECONDITION_FAILED - inequivalent arg {words}");
        let said = format!("queue.declare queue=q {said}");
        conversation(&format!("A 1 queue.declare queue=q \n {}", refused(&said, 406, &text)));
    }
}

#[test]
fn an_exchange_is_the_same_by_its_fields_and_alternate() {
    for (second, same) in [
        ("type=direct", true),
        ("type=direct arguments={other:1}", true),
        ("type=fanout", false),
        ("type=direct durable", false),
        ("type=direct auto_delete", false),
        ("type=direct internal", false),
        ("type=direct arguments={alternate-exchange:amq.fanout}", false),
    ] {
        let second = format!("exchange.declare exchange=x {second}");
        let answer = if same { format!("A 1 {second}") } else { refused(&second, 406, "inequivalent arg") };
        conversation(&format!("A 1 exchange.declare exchange=x type=direct \n {answer}"));
    }
}

#[test]
fn arguments_are_checked() {
    for arguments in [
        "x-message-ttl:-1",
        "x-message-ttl:315360000001l",
        "x-expires:0",
        "x-max-length:-1",
        "x-max-length-bytes:word",
        "x-max-priority:256",
        "x-overflow:word",
        "x-dead-letter-exchange:5",
        "x-dead-letter-routing-key:q",
        "x-single-active-consumer:word",
        "x-queue-type:word",
    ] {
        conversation(&refused(&format!("queue.declare queue=q arguments={{{arguments}}}"), 406, ""));
    }
    for declared in ["", "durable exclusive", "durable auto_delete"] {
        let said = format!("queue.declare queue=q {declared} arguments={{x-queue-type:quorum}}");
        conversation(&refused(&said, 406, ""));
    }
    conversation(&refused("exchange.declare exchange=x type=word", 406, "unknown exchange type 'word'"));
    let alternate = "exchange.declare exchange=x type=direct arguments={alternate-exchange:5}";
    conversation(&refused(alternate, 406, "alternate-exchange"));
}

#[test]
fn a_passive_declare_looks_at_the_name_only() {
    conversation(
        "A 1 queue.declare queue=q \n C 1 basic.publish routing_key=q << a \n C 1 basic.publish routing_key=q << b
         A 1 basic.qos prefetch_count=1
         A 1 basic.consume queue=q consumer_tag=c \n S 1 basic.deliver << a
         C 1 queue.declare queue=q passive durable auto_delete arguments={x-max-length:9}
         S 1 queue.declare-ok queue=q message_count=1 consumer_count=1
         A 1 exchange.declare exchange=amq.direct type=fanout passive internal",
    );
}

#[test]
fn nowait_says_nothing_but_of_a_failure() {
    conversation(&format!(
        "C 1 exchange.declare exchange=x type=fanout nowait \n C 1 exchange.declare exchange=y type=fanout nowait
         C 1 queue.declare queue=q nowait \n C 1 queue.bind queue=q exchange=y nowait
         C 1 exchange.bind destination=y source=x nowait
         C 1 queue.declare queue=q passive nowait \n C 1 basic.consume queue=q consumer_tag=c nowait no_ack
         C 1 basic.publish exchange=x << m \n S 1 basic.deliver consumer_tag=c exchange=x << m
         C 1 exchange.unbind destination=y source=x nowait \n C 1 basic.cancel consumer_tag=c nowait
         C 1 queue.purge queue=q nowait \n C 1 queue.delete queue=q nowait \n C 1 exchange.delete exchange=x nowait
         C 1 confirm.select nowait \n {}",
        refused("queue.declare queue=q passive nowait", 404, "")
    ));
}

#[test]
fn a_binding_is_there_once_and_goes_with_either_end() {
    conversation(&format!(
        "A 1 queue.declare queue=q \n A 1 exchange.declare exchange=x type=direct
         A 1 queue.bind queue=q exchange=x routing_key=k \n A 1 queue.bind queue=q exchange=x routing_key=k
         C 1 basic.publish exchange=x routing_key=k << once
         C 1 queue.purge queue=q \n S 1 queue.purge-ok message_count=1
         A 1 queue.unbind queue=q exchange=x routing_key=other
         C 1 basic.publish exchange=x routing_key=k << still
         C 1 queue.purge queue=q \n S 1 queue.purge-ok message_count=1
         A 1 queue.unbind queue=q exchange=x routing_key=k
         C 1 basic.publish exchange=x routing_key=k mandatory << no more \n S 1 basic.return << no more
         A 1 queue.bind queue=q exchange=x routing_key=k
         A 1 queue.delete queue=q \n A 1 queue.declare queue=q
         C 1 basic.publish exchange=x routing_key=k mandatory << nor here \n S 1 basic.return << nor here
         A 1 exchange.delete exchange=x \n {}",
        gone("exchange.declare exchange=x")
    ));
}

#[test]
fn an_auto_delete_queue_goes_with_its_last_consumer() {
    let declared = "A 1 queue.declare queue=q auto_delete \n A 2 channel.open
        A 1 basic.consume queue=q consumer_tag=a \n A 2 basic.consume queue=q consumer_tag=b
        A 1 basic.cancel consumer_tag=a
        C 1 queue.declare queue=q passive \n S 1 queue.declare-ok consumer_count=1 \n";
    let gone = gone("queue.declare queue=q");
    conversation(&format!("{declared} A 2 basic.cancel consumer_tag=b \n {gone}"));
    conversation(&format!("{declared} A 2 channel.close \n {gone}"));
    // A queue only checked passively stays.
    conversation(
        "A 1 queue.declare queue=q auto_delete \n C 1 basic.get queue=q \n S 1 basic.get-empty
         A 1 channel.close \n A 1 channel.open \n A 1 queue.declare queue=q passive",
    );
}

#[test]
fn an_auto_delete_exchange_goes_with_its_last_binding() {
    let declared = "A 1 exchange.declare exchange=x type=fanout auto_delete
        A 1 queue.declare queue=a \n A 1 queue.declare queue=b \n A 1 exchange.declare exchange=x passive
        A 1 queue.bind queue=a exchange=x \n A 1 queue.bind queue=b exchange=x
        A 1 queue.unbind queue=a exchange=x \n A 1 exchange.declare exchange=x passive \n";
    let gone = gone("exchange.declare exchange=x");
    conversation(&format!("{declared} A 1 queue.unbind queue=b exchange=x \n {gone}"));
    conversation(&format!("{declared} A 1 queue.delete queue=b \n {gone}"));
    // Bindings to it do not count, bindings from it do.
    conversation(&format!(
        "A 1 exchange.declare exchange=x type=fanout auto_delete
         A 1 exchange.bind destination=x source=amq.topic \n A 1 exchange.unbind destination=x source=amq.topic
         A 1 exchange.declare exchange=x passive
         A 1 exchange.declare exchange=y type=fanout \n A 1 exchange.bind destination=y source=x
         A 1 exchange.delete exchange=y \n {gone}"
    ));
}

#[test]
fn what_is_in_use_is_not_deleted_if_unused() {
    conversation(&format!(
        "A 1 queue.declare queue=q \n A 1 exchange.declare exchange=x type=fanout
         A 1 queue.bind queue=q exchange=x \n C 1 basic.publish exchange=x << m
         {} {}
         A 1 queue.unbind queue=q exchange=x \n A 1 exchange.delete exchange=x if_unused
         C 1 queue.delete queue=q if_unused \n S 1 queue.delete-ok message_count=1",
        refused("exchange.delete exchange=x if_unused", 406, "in use"),
        refused("queue.delete queue=q if_empty", 406, "not empty"),
    ));
}

#[test]
fn an_exclusive_queue_goes_with_its_connection() {
    for (end, next) in [
        ("A2 0 connection.close \n S2 end", "A 1 queue.declare queue=q"),
        ("C2 gone", "A 1 queue.declare queue=q"),
        // On a channel without such a queue.
        ("A2 1 channel.close", "C 1 queue.declare queue=q passive \n S 1 channel.close 405 by queue.declare"),
    ] {
        conversation(&format!("A2 1 queue.declare queue=q exclusive durable \n {end} \n {next}"));
    }
}

#[test]
fn what_is_denied_is_named() {
    for (permission, said, words) in [
        ("\"\" .* .*", "queue.declare queue=new", "configure access to queue 'new'"),
        ("\"\" .* .*", "queue.delete queue=q", "configure access to queue 'q'"),
        ("\"\" .* .*", "exchange.declare exchange=new type=fanout", "configure access to exchange 'new'"),
        ("\"\" .* .*", "exchange.delete exchange=x", "configure access to exchange 'x'"),
        (".* \"\" .*", "basic.publish exchange=x << m", "write access to exchange 'x'"),
        (".* ^x$ .*", "basic.publish routing_key=q << m", "write access to exchange 'amq.default'"),
        (".* ^x$ .*", "queue.bind queue=q exchange=x", "write access to queue 'q'"),
        (".* .* ^q$", "queue.bind queue=q exchange=x", "read access to exchange 'x'"),
        (".* .* ^x$", "basic.get queue=q", "read access to queue 'q'"),
        (".* .* ^x$", "basic.consume queue=q", "read access to queue 'q'"),
        (".* .* ^x$", "queue.purge queue=q", "read access to queue 'q'"),
        ("\"\" \"\" \"\"", "queue.declare queue=q passive", "access to queue 'q'"),
        (
            "new .* ^x$",
            "queue.declare queue=new arguments={x-dead-letter-exchange:x}",
            "read access to queue 'new'",
        ),
        (
            "new ^q$ .*",
            "queue.declare queue=new arguments={x-dead-letter-exchange:x}",
            "write access to exchange 'x'",
        ),
        (
            "new ^q$ .*",
            "exchange.declare exchange=new type=fanout arguments={alternate-exchange:x}",
            "write access to exchange 'x'",
        ),
    ] {
        let words = format!("{words} in vhost '/' refused for user 'guest'");
        conversation(&format!(
            "A 1 queue.declare queue=q \n A 1 exchange.declare exchange=x type=fanout
             O permission {permission} \n {}",
            refused(said, 403, &words)
        ));
    }
}
