//! The headers exchange.

use super::conform;

/// Checks that a message with `headers` matches a binding with `arguments`, or not, as `matches` says.
#[track_caller]
fn check(t: &super::Scene, arguments: &str, headers: &str, matches: bool) {
    let mut c = t.client();
    c.declare("queue=$q exclusive");
    // A separate exchange: other tests' publishes would match, too.
    c.ask("exchange.declare exchange=$h type=headers auto_delete", "exchange.declare-ok");
    c.ask(&format!("queue.bind queue=$q exchange=$h arguments={arguments}"), "queue.bind-ok");
    let mut arguments_and_tail = headers.to_owned();
    if headers.is_empty() {
        arguments_and_tail.push_str("{}");
    }
    c.publish_with("exchange=$h", &format!("headers={arguments_and_tail}"), "x");
    assert_eq!(c.drain("$q").len() == 1, matches, "{arguments} with {headers}");
    c.close();
}

#[test]
fn bad_x_match() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q exclusive");
        for bad in ["some", "5", "true"] {
            c.say(&format!("queue.bind queue=$q exchange=amq.headers arguments={{x-match:{bad}}}"));
            c.channel_closes(406, "queue.bind", "");
            c.open_channel(1);
        }
    });
}

#[test]
fn all_and_any() {
    conform(|t| {
        let key = t.client().expand("$k");
        for (arguments, headers, matches) in [
            ("{KEY:1,b:2}", "{KEY:1,b:2,c:3}", true),
            ("{KEY:1,b:2}", "{KEY:1}", false),
            ("{x-match:all,KEY:1}", "{KEY:2}", false),
            ("{x-match:any,KEY:1,b:2}", "{KEY:9,b:2}", true),
            ("{x-match:any,KEY:1,b:2}", "{KEY:9,b:9}", false),
            ("{x-match:any,KEY:1}", "{}", false),
            ("{x-match:any}", "{KEY:1}", false),
            ("{x-match:all}", "{KEY:1}", true),
        ] {
            check(t, &arguments.replace("KEY", &key), &headers.replace("KEY", &key), matches);
        }
    });
}

#[test]
fn with_x_looks_at_keys_that_start_with_x() {
    conform(|t| {
        for (arguments, headers, matches) in [
            ("{x-match:all,x-a:1,b:1}", "{b:1}", true),
            ("{x-match:all-with-x,x-a:1,b:1}", "{b:1}", false),
            ("{x-match:all-with-x,x-a:1,b:1}", "{b:1,x-a:1}", true),
            ("{x-match:any,x-a:1}", "{x-a:1}", false),
            ("{x-match:any-with-x,x-a:1}", "{x-a:1}", true),
        ] {
            check(t, arguments, headers, matches);
        }
    });
}

#[test]
fn values_are_compared_by_value_and_void_means_present() {
    conform(|t| {
        for (arguments, headers, matches) in [
            ("{n:5}", "{n:5l}", true),
            ("{n:5b}", "{n:5u}", true),
            ("{n:5}", "{n:\"5\"}", false),
            ("{n:void}", "{n:anything}", true),
            ("{n:void}", "{m:1}", false),
            ("{n:true}", "{n:true}", true),
            ("{n:true}", "{n:false}", false),
        ] {
            check(t, arguments, headers, matches);
        }
    });
}
