//! CC and BCC: additional routing keys in headers.

use super::conform;

#[test]
fn every_key_is_routed_and_bcc_is_not_seen() {
    conform(|t| {
        let mut c = t.client();
        for q in ["$to", "$cc", "$bcc"] {
            c.declare(&format!("queue={q} exclusive"));
        }
        c.publish_with("routing_key=$to", "headers={CC:[$cc,$none],BCC:[$bcc],mine:1}", "x");
        for q in ["$to", "$cc", "$bcc"] {
            let got = c.take(q);
            assert_eq!(got.field("routing_key").str(), c.expand("$to"));
            assert_eq!(
                got.props.get("headers").expect("headers").to_string(),
                c.expand("{CC:[\"$cc\",\"$none\"],mine:1}")
            );
        }
    });
}

#[test]
fn a_queue_gets_one_copy_though_several_keys_match() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q exclusive");
        c.publish_with("routing_key=$q", "headers={CC:[$q,$q],BCC:[$q]}", "x");
        assert_eq!(c.drain("$q"), ["x"]);
    });
}

#[test]
fn mandatory_is_satisfied_by_a_copy() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q exclusive");
        c.publish_with("routing_key=$none mandatory", "headers={BCC:[$q]}", "x");
        c.silent_after("$q");
        assert_eq!(c.drain("$q"), ["x"]);
    });
}
