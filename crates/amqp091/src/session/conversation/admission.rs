//! Login and limits (docs/semantics.md, Errors).

use super::{conversation, handshake, handshake_from, play_from};

const CAPABLE: &str = "locale=en_US client_properties={capabilities:{authentication_failure_close:true}}";
const TUNED: &str = "C 0 connection.start-ok mechanism=EXTERNAL locale=en_US \n S 0 connection.tune
    C 0 connection.tune-ok channel_max=5 frame_max=4096";

#[test]
fn wrong_credentials_are_told_only_to_who_understands() {
    for (mechanism, response) in [
        ("PLAIN", "\0guest\0wrong"),
        ("PLAIN", "\0nobody\0guest"),
        ("PLAIN", "\0guest\0"),
        ("AMQPLAIN", "\x05LOGINS\0\0\0\x05guest\x08PASSWORDS\0\0\0\x05wrong"),
    ] {
        let said = format!("C 0 connection.start-ok mechanism={mechanism} response=\"{response}\"");
        handshake(&format!(
            "{said} {CAPABLE}
             S 0 connection.close 403 by 0,0 saying ACCESS_REFUSED - Login was refused using authentication mechanism {mechanism}.
             C 0 connection.close-ok \n S end"
        ));
        handshake(&format!("{said} locale=en_US \n S end"));
    }
}

#[test]
fn guest_comes_from_this_machine_only() {
    let said = format!("C 0 connection.start-ok mechanism=EXTERNAL {CAPABLE}");
    for address in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
        handshake_from(address, &format!("{said} \n S 0 connection.tune"));
    }
    for address in ["192.0.2.1", "::ffff:192.0.2.1", "2001:db8::1", "0.0.0.0"] {
        handshake_from(
            address,
            &format!("{said} \n S 0 connection.close 403 by 0,0 saying Login was refused"),
        );
    }
}

#[test]
fn a_vhost_is_entered_by_permission_and_in_so_many_connections_only() {
    for (act, vhost, saying) in [
        ("O vhost v", "v", "access to vhost 'v' refused for user 'guest'"),
        ("O vhost_limit max-connections 0", "/", "limit"),
        ("O user_limit max-connections 0", "/", "limit"),
    ] {
        play_from(
            false,
            &format!(
                "{TUNED} \n {act} \n C 0 connection.open virtual_host={vhost}
                 S 0 connection.close 530 by connection.open saying {saying}
                 C 0 connection.close-ok \n S end"
            ),
        );
    }
    // A new limit leaves existing connections alone.
    conversation(
        "O vhost_limit max-connections 1 \n A 1 queue.declare queue=q \n O vhost_limit max-connections 2
         C2 1 queue.declare queue=q \n S2 1 queue.declare-ok",
    );
}

#[test]
fn channels_are_limited_for_a_user_and_for_all() {
    for act in ["O user_limit max-channels 2", "O limit channels_max 2"] {
        conversation(&format!(
            "{act} \n A 2 channel.open \n C 2 channel.close \n S 2 channel.close-ok \n A 3 channel.open
             C 4 channel.open \n S 0 connection.close 530 by channel.open \n C 0 connection.close-ok \n S end"
        ));
    }
}

/// The limit applies to later connections only.
#[test]
fn a_body_that_is_too_long_closes_the_channel_and_what_follows_of_it_is_skipped() {
    for size in [11, 12, 1 << 20] {
        conversation(&format!(
            "O limit message_bytes_max 10 \n A2 1 queue.declare queue=q
             C2 1 basic.publish routing_key=q << 0123456789
             C2 1 basic.publish routing_key=q \n C2 1 header {size} \n C2 1 body 01234567890
             S2 1 channel.close 406 by basic.publish \n C2 1 channel.close-ok \n A2 1 channel.open
             C2 1 queue.declare queue=q passive \n S2 1 queue.declare-ok message_count=1"
        ));
    }
}

#[test]
fn queues_and_exchanges_are_limited_and_what_is_there_may_be_declared_again() {
    conversation(
        "A 1 queue.declare queue=q \n O vhost_limit max-queues 1 \n A 1 queue.declare queue=q
         C 1 queue.declare queue=r \n S 1 channel.close 406 by queue.declare saying limit
         C 1 channel.close-ok \n A 1 channel.open \n C 1 queue.delete queue=q \n S 1 queue.delete-ok
         A 1 queue.declare queue=r",
    );
    conversation(
        "A 1 exchange.declare exchange=x type=fanout \n O limit exchanges_max 1
         A 1 exchange.declare exchange=x type=fanout
         C 1 exchange.declare exchange=y type=fanout \n S 1 channel.close 406 by exchange.declare saying limit",
    );
}
