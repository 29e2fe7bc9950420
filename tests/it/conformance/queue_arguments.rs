//! Queue arguments: types and ranges.

use super::conform;

#[test]
fn invalid_argument_is_refused_with_its_name() {
    conform(|t| {
        let mut c = t.client();
        for (argument, words) in [
            (
                "x-max-length:-1",
                "invalid arg 'x-max-length' for queue '$q' in vhost '/': {value_negative,-1}",
            ),
            ("x-max-length:many", "invalid arg 'x-max-length' for queue '$q' in vhost '/'"),
            (
                "x-max-length-bytes:-1",
                "invalid arg 'x-max-length-bytes' for queue '$q' in vhost '/': {value_negative,-1}",
            ),
            ("x-max-length-bytes:2.5", "invalid arg 'x-max-length-bytes'"),
            (
                "x-message-ttl:-1",
                "invalid arg 'x-message-ttl' for queue '$q' in vhost '/': {value_negative,-1}",
            ),
            ("x-message-ttl:315360000001l", "invalid arg 'x-message-ttl'"),
            ("x-message-ttl:soon", "invalid arg 'x-message-ttl'"),
            ("x-expires:0", "invalid arg 'x-expires' for queue '$q' in vhost '/': {value_zero,0}"),
            ("x-expires:-1", "invalid arg 'x-expires'"),
            ("x-expires:true", "invalid arg 'x-expires'"),
            ("x-dead-letter-exchange:5", "x-dead-letter-exchange"),
            (
                "x-dead-letter-routing-key:k",
                "invalid arg 'x-dead-letter-routing-key' for queue '$q' in vhost '/': routing_key_but_no_dlx_defined",
            ),
            ("x-dead-letter-exchange:a,x-dead-letter-routing-key:5", "x-dead-letter-routing-key"),
            ("x-max-priority:256", "invalid arg 'x-max-priority'"),
            ("x-max-priority:-1", "invalid arg 'x-max-priority'"),
            ("x-max-priority:high", "invalid arg 'x-max-priority'"),
            ("x-overflow:explode", "invalid arg 'x-overflow'"),
            ("x-overflow:1", "invalid arg 'x-overflow'"),
            ("x-single-active-consumer:yes", "invalid arg 'x-single-active-consumer'"),
            ("x-queue-type:quantum", "x-queue-type"),
            ("x-queue-type:5", "x-queue-type"),
        ] {
            c.say(&format!("queue.declare queue=$q exclusive arguments={{{argument}}}"));
            c.channel_closes(406, "queue.declare", words);
            c.open_channel(1);
        }
    });
}

#[test]
fn arguments_at_the_ends_of_their_ranges_are_accepted() {
    conform(|t| {
        let mut c = t.client();
        for argument in [
            "x-max-length:0",
            "x-max-length-bytes:0",
            "x-message-ttl:0",
            "x-message-ttl:315360000000l",
            "x-expires:600000",
            "x-dead-letter-exchange:\"\"",
            "x-max-priority:1",
            "x-max-priority:255",
            "x-overflow:drop-head",
            "x-overflow:reject-publish",
            "x-overflow:reject-publish-dlx",
            "x-single-active-consumer:false",
            "x-queue-mode:lazy",
            "x-queue-version:2",
        ] {
            c.declare(&format!("queue=$q exclusive arguments={{{argument}}}"));
            c.ask("queue.delete queue=$q", "queue.delete-ok");
        }
    });
}
