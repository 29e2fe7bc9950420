//! Access rights of all endpoints.

use serde_json::json;

use super::Http;
use crate::harness::Broker;

const ALL: &str = "management policymaker monitoring administrator";
const MONITORS: &str = "monitoring administrator";
const POLICY: &str = "policymaker administrator";
const ADMIN: &str = "administrator";

/// Endpoint x role: method, path, body, and the permitted tags. Each user has all permissions in `/`.
const TABLE: &[(&str, &str, &str, &str)] = &[
    ("GET", "/api/overview", "", ALL),
    ("GET", "/api/events", "", ALL),
    ("GET", "/api/whoami", "", ALL),
    ("GET", "/api/cluster-name", "", ALL),
    ("PUT", "/api/cluster-name", r#"{"name":"c"}"#, ADMIN),
    ("GET", "/api/extensions", "", ALL),
    ("GET", "/api/auth/hash_password/x", "", ALL),
    ("GET", "/api/auth/attempts/x", "", MONITORS),
    ("GET", "/api/auth/attempts/x/source", "", MONITORS),
    ("DELETE", "/api/auth/attempts/x", "", ADMIN),
    ("DELETE", "/api/auth/attempts/x/source", "", ADMIN),
    ("GET", "/api/nodes", "", MONITORS),
    ("GET", "/api/nodes/x", "", MONITORS),
    ("GET", "/api/nodes/x/memory", "", MONITORS),
    ("GET", "/api/logs", "", MONITORS),
    // An invalid level: an answer that ends.
    ("GET", "/api/livelog?level=none", "", MONITORS),
    ("GET", "/api/vhosts", "", ALL),
    ("GET", "/api/vhosts/%2F", "", ALL),
    ("GET", "/api/vhosts/closed", "", MONITORS),
    ("PUT", "/api/vhosts/%2F", "{}", ADMIN),
    ("DELETE", "/api/vhosts/none", "", ADMIN),
    ("POST", "/api/vhosts/none/deletion/protection", "", ADMIN),
    ("DELETE", "/api/vhosts/none/deletion/protection", "", ADMIN),
    ("GET", "/api/vhosts/%2F/permissions", "", ADMIN),
    ("GET", "/api/vhosts/%2F/topic-permissions", "", ADMIN),
    ("GET", "/api/vhosts/%2F/connections", "", ALL),
    ("GET", "/api/vhosts/%2F/channels", "", ALL),
    ("GET", "/api/users", "", ADMIN),
    ("GET", "/api/users/none", "", ADMIN),
    ("PUT", "/api/users/none", "{}", ADMIN),
    ("DELETE", "/api/users/none", "", ADMIN),
    ("POST", "/api/users/bulk-delete", r#"{"users":[]}"#, ADMIN),
    ("GET", "/api/users/without-permissions", "", ADMIN),
    ("GET", "/api/users/none/permissions", "", ADMIN),
    ("GET", "/api/users/none/topic-permissions", "", ADMIN),
    ("GET", "/api/permissions", "", ADMIN),
    ("GET", "/api/permissions/%2F/none", "", ADMIN),
    ("PUT", "/api/permissions/%2F/none", r#"{"configure":"","write":"","read":""}"#, ADMIN),
    ("DELETE", "/api/permissions/%2F/none", "", ADMIN),
    ("GET", "/api/exchanges", "", ALL),
    ("GET", "/api/exchanges/%2F", "", ALL),
    ("GET", "/api/exchanges/closed", "", MONITORS),
    ("GET", "/api/exchanges/%2F/none", "", ALL),
    ("PUT", "/api/exchanges/%2F/amq.direct", r#"{"type":"direct"}"#, ALL),
    ("PUT", "/api/exchanges/closed/x", r#"{"type":"direct"}"#, ""),
    ("DELETE", "/api/exchanges/%2F/none", "", ALL),
    ("DELETE", "/api/exchanges/closed/none", "", ""),
    ("GET", "/api/exchanges/%2F/none/bindings/source", "", ALL),
    ("GET", "/api/exchanges/%2F/none/bindings/destination", "", ALL),
    ("POST", "/api/exchanges/%2F/none/publish", "{}", ALL),
    ("GET", "/api/queues", "", ALL),
    ("GET", "/api/queues/detailed", "", ALL),
    ("GET", "/api/queues/%2F", "", ALL),
    ("GET", "/api/queues/closed", "", MONITORS),
    ("GET", "/api/queues/%2F/none", "", ALL),
    ("PUT", "/api/queues/%2F/q", "{}", ALL),
    ("PUT", "/api/queues/closed/q", "{}", ""),
    ("DELETE", "/api/queues/%2F/none", "", ALL),
    ("DELETE", "/api/queues/closed/none", "", ""),
    ("GET", "/api/exchanges/%2F/none/delayed", "", ALL),
    ("GET", "/api/exchanges/%2F/none/delayed/1-1", "", ALL),
    ("PUT", "/api/exchanges/%2F/none/delayed/1-1", "{}", ALL),
    ("DELETE", "/api/exchanges/%2F/none/delayed/1-1", "", ALL),
    ("POST", "/api/exchanges/%2F/none/delayed/1-1/release", "", ALL),
    ("GET", "/api/exchanges/closed/none/delayed", "", ""),
    ("POST", "/api/queues/%2F/none/redrive", "{}", ALL),
    ("POST", "/api/queues/closed/none/redrive", "{}", ""),
    ("POST", "/api/queues/%2F/none/retry/release", "", ALL),
    ("POST", "/api/queues/closed/none/retry/release", "", ""),
    ("DELETE", "/api/queues/%2F/none/contents", "", ALL),
    (
        "POST",
        "/api/queues/%2F/none/get",
        r#"{"count":1,"ackmode":"ack_requeue_true","encoding":"auto"}"#,
        ALL,
    ),
    ("POST", "/api/queues/closed/q/get", r#"{"count":1,"ackmode":"ack_requeue_true","encoding":"auto"}"#, ""),
    ("GET", "/api/queues/%2F/none/bindings", "", ALL),
    ("GET", "/api/bindings", "", ALL),
    ("GET", "/api/bindings/%2F", "", ALL),
    ("GET", "/api/bindings/closed", "", MONITORS),
    ("GET", "/api/bindings/%2F/e/x/q/q", "", ALL),
    ("POST", "/api/bindings/%2F/e/x/q/q", "{}", ALL),
    ("POST", "/api/bindings/closed/e/x/q/q", "{}", ""),
    ("GET", "/api/bindings/%2F/e/x/q/q/~", "", ALL),
    ("DELETE", "/api/bindings/%2F/e/x/q/q/~", "", ALL),
    ("DELETE", "/api/bindings/closed/e/x/q/q/~", "", ""),
    ("GET", "/api/explain/%2F", "", ALL),
    ("POST", "/api/explain/%2F", "{}", ALL),
    ("GET", "/api/explain/closed", "", MONITORS),
    ("POST", "/api/explain/closed", "{}", MONITORS),
    ("GET", "/api/lint", "", ALL),
    ("GET", "/api/lint/%2F", "", ALL),
    ("GET", "/api/lint/closed", "", MONITORS),
    ("GET", "/api/lint-rules", "", ALL),
    ("GET", "/api/connections", "", ALL),
    ("GET", "/api/connections/none", "", ALL),
    ("DELETE", "/api/connections/none", "", ALL),
    ("GET", "/api/connections/none/channels", "", ALL),
    ("GET", "/api/connections/username/none", "", ALL),
    ("DELETE", "/api/connections/username/none", "", ADMIN),
    ("GET", "/api/channels", "", ALL),
    ("GET", "/api/channels/none", "", ALL),
    ("GET", "/api/consumers", "", ALL),
    ("GET", "/api/consumers/%2F", "", ALL),
    ("GET", "/api/consumers/closed", "", MONITORS),
    ("GET", "/api/definitions", "", ADMIN),
    ("POST", "/api/definitions", "{}", ADMIN),
    ("GET", "/api/definitions/%2F", "", POLICY),
    ("POST", "/api/definitions/%2F", "{}", ADMIN),
    ("GET", "/api/definitions/closed", "", ADMIN),
    ("POST", "/api/topology/plan", "{\"topology\": {}}", ADMIN),
    ("POST", "/api/topology/apply", "{\"topology\": {}}", ADMIN),
    ("GET", "/api/topology/drift", "", ADMIN),
    ("GET", "/api/all-configuration", "", ADMIN),
    ("GET", "/api/aliveness-test/%2F", "", ALL),
    ("GET", "/api/aliveness-test/closed", "", ""),
    ("GET", "/api/health/checks/alarms", "", ALL),
    ("GET", "/api/health/checks/local-alarms", "", ALL),
    ("GET", "/api/health/checks/lost", "", ALL),
    ("GET", "/api/lost/queues", "", ADMIN),
    ("PUT", "/api/lost/queues/1", r#"{"vhost":"/","name":"q"}"#, ADMIN),
    ("DELETE", "/api/lost/queues/1", "", ADMIN),
    ("GET", "/api/lost/definitions", "", ADMIN),
    ("GET", "/api/health/checks/virtual-hosts", "", ALL),
    ("GET", "/api/health/checks/port-listener/1", "", ALL),
    ("GET", "/api/health/checks/protocol-listener/amqp", "", ALL),
    ("GET", "/api/health/checks/certificate-expiration/1/months", "", ALL),
    ("GET", "/api/health/checks/node-is-quorum-critical", "", ALL),
    ("GET", "/api/parameters", "", POLICY),
    ("GET", "/api/global-parameters", "", POLICY),
    ("GET", "/api/policies", "", ALL),
    ("GET", "/api/policies/%2F", "", ALL),
    ("PUT", "/api/policies/%2F/p", r#"{"pattern":"^x$","definition":{"max-length":1}}"#, POLICY),
    ("GET", "/api/operator-policies", "", ALL),
    ("GET", "/api/vhost-limits", "", ALL),
    ("GET", "/api/user-limits", "", ADMIN),
    ("GET", "/api/topic-permissions", "", ADMIN),
    ("PUT", "/api/policies/%2F/none", r#"{"pattern":"^x$","definition":{"max-length":1}}"#, POLICY),
    ("GET", "/api/queues/%2F/none/effective", "", ALL),
    ("GET", "/api/exchanges/%2F/none/effective", "", ALL),
    ("GET", "/api/queues/closed/none/effective", "", MONITORS),
    ("GET", "/api/feature-flags", "", ALL),
    ("GET", "/api/shovels", "", ALL),
    ("GET", "/api/federation-links", "", ALL),
    ("POST", "/api/all-configuration", "{}", ADMIN),
    ("GET", "/api/all-configuration/%2F", "", POLICY),
    ("POST", "/api/all-configuration/%2F", "{}", ADMIN),
    ("GET", "/api/deprecated-features", "", ALL),
    ("GET", "/api/deprecated-features/used", "", ALL),
    ("GET", "/api/federation-links/%2F", "", ALL),
    ("GET", "/api/health/checks/metadata-store/initialized", "", ALL),
    ("GET", "/api/health/checks/metadata-store/initialized/with-data", "", ALL),
    ("GET", "/api/health/checks/node-is-mirror-sync-critical", "", ALL),
    ("GET", "/api/health/checks/quorum-queues-without-elected-leaders/all-vhosts/pattern/x", "", ALL),
    ("GET", "/api/health/checks/quorum-queues-without-elected-leaders/vhost/%2F/pattern/x", "", ALL),
    ("GET", "/api/healthchecks/node", "", ALL),
    ("GET", "/api/healthchecks/node/x", "", ALL),
    ("GET", "/api/global-parameters/none", "", POLICY),
    ("PUT", "/api/global-parameters/none", r#"{"value":1}"#, POLICY),
    ("DELETE", "/api/global-parameters/none", "", POLICY),
    ("GET", "/api/operator-policies/%2F", "", ALL),
    ("GET", "/api/operator-policies/%2F/none", "", ALL),
    ("PUT", "/api/operator-policies/%2F/none", r#"{"pattern":"^x$","definition":{"max-length":1}}"#, ADMIN),
    ("DELETE", "/api/operator-policies/%2F/none", "", ADMIN),
    ("GET", "/api/parameters/x", "", POLICY),
    ("GET", "/api/parameters/x/%2F", "", POLICY),
    ("GET", "/api/parameters/x/%2F/none", "", POLICY),
    ("PUT", "/api/parameters/x/%2F/none", r#"{"value":1}"#, POLICY),
    ("DELETE", "/api/parameters/x/%2F/none", "", POLICY),
    ("GET", "/api/policies/%2F/none", "", ALL),
    ("DELETE", "/api/policies/%2F/none", "", POLICY),
    ("GET", "/api/shovels/%2F", "", ALL),
    ("GET", "/api/shovels/vhost/%2F/none", "", ALL),
    ("PUT", "/api/shovels/vhost/%2F/none", "{}", POLICY),
    ("DELETE", "/api/shovels/vhost/%2F/none", "", ALL),
    ("GET", "/api/topic-permissions/%2F/none", "", ADMIN),
    ("PUT", "/api/topic-permissions/%2F/none", r#"{"exchange":"x","write":"","read":""}"#, ADMIN),
    ("DELETE", "/api/topic-permissions/%2F/none", "", ADMIN),
    ("GET", "/api/topic-permissions/%2F/none/x", "", ADMIN),
    ("DELETE", "/api/topic-permissions/%2F/none/x", "", ADMIN),
    ("GET", "/api/user-limits/none", "", ADMIN),
    ("GET", "/api/user-limits/none/max-channels", "", ALL),
    ("PUT", "/api/user-limits/none/max-channels", r#"{"value":1}"#, ADMIN),
    ("DELETE", "/api/user-limits/none/max-channels", "", ADMIN),
    ("GET", "/api/vhost-limits/%2F", "", ALL),
    ("GET", "/api/vhost-limits/%2F/max-queues", "", ALL),
    ("PUT", "/api/vhost-limits/%2F/max-queues", r#"{"value":1}"#, ADMIN),
    ("DELETE", "/api/vhost-limits/%2F/max-queues", "", ADMIN),
];

/// Public paths.
const PUBLIC: &[&str] = &[
    "/api/openapi.json",
    "/api/version",
    "/api/health/checks/is-in-service",
    "/api/health/checks/ready-to-serve-clients",
    "/api/health/checks/below-node-connection-limit",
    "/api/health/checks/reached-target-cluster-size",
];

/// The client is not logged in before a login or after a logout.
const LOGINS: &[&str] = &["/api/login", "/api/logout"];

#[test]
fn each_endpoint_is_for_those_whose_tag_allows_it() {
    let broker = Broker::new();
    let admin = Http::of(&broker);
    admin.put("/api/vhosts/closed", &json!({})).is(201);
    let roles: Vec<_> = ["nothing", "management", "policymaker", "monitoring", "administrator"]
        .map(|tag| (tag, admin.user(tag, tag)))
        .into();
    for (method, path, body, allowed) in TABLE {
        let answer = admin.nobody().call(method, path, &[], body);
        assert_eq!(answer.status, 401, "{method} {path} without a login");
        assert!(answer.header("www-authenticate").is_some(), "{method} {path}");
        for (tag, login) in &roles {
            let answer = login.call(method, path, &[], body);
            let may = allowed.split(' ').any(|allowed| allowed == *tag);
            assert_eq!(
                answer.status != 401,
                may,
                "{method} {path} as {tag}: {} {}",
                answer.status,
                answer.text
            );
            assert!(answer.status != 500, "{method} {path} as {tag}: {} {}", answer.status, answer.text);
            // 503 is a failing health check.
            if (400..500).contains(&answer.status) {
                assert!(
                    answer.json["error"].is_string() && answer.json["reason"].is_string(),
                    "{}",
                    answer.text
                );
            }
        }
    }
}

/// Users without permissions in a vhost see nothing in it, whatever the method; monitors may read.
#[test]
fn a_vhost_is_closed_to_whoever_has_no_permissions_in_it() {
    let broker = Broker::new();
    let admin = Http::of(&broker);
    let roles = ["management", "policymaker", "monitoring", "administrator"].map(|tag| {
        let login = admin.user(tag, tag);
        admin.delete(&format!("/api/permissions/%2F/{tag}")).is(204);
        (tag, login)
    });
    let mut open = Vec::new();
    for (method, path, body, allowed) in TABLE {
        for (tag, login) in &roles {
            let answer = login.call(method, path, &[], body);
            // Inspecting messages counts as an operation.
            let shown = !path.contains("delayed") && !path.contains("aliveness");
            // An explanation is a question, asked by POST when it has a body.
            let reads = *method == "GET" || path.contains("/explain/");
            let looks = reads && MONITORS.contains(tag) && shown;
            let administers = *tag == "administrator" && *allowed == POLICY;
            // Identical for every vhost.
            let nothing =
                path.contains("/shovels/") || path.contains("quorum-queues") || answer.status == 405;
            let open_to_all = *allowed == ADMIN || looks || administers || nothing;
            if path.contains("/%2F") && !open_to_all && answer.status != 401 {
                open.push(format!("{method} {path} as {tag}: {} {}", answer.status, answer.text));
            }
        }
    }
    assert!(open.is_empty(), "{open:#?}");
    for list in
        ["queues", "exchanges", "bindings", "connections", "channels", "consumers", "policies", "vhosts"]
    {
        let (_, login) = &roles[0];
        assert_eq!(login.get(&format!("/api/{list}")).is(200).json, json!([]), "{list}");
    }
}

#[test]
fn the_table_has_every_endpoint_that_is_described() {
    let broker = Broker::new();
    let description = Http::of(&broker).nobody().get("/api/openapi.json").is(200).json;
    let mut forgotten = Vec::new();
    for (path, operations) in description["paths"].as_object().expect("paths") {
        for method in operations.as_object().expect("operations").keys() {
            let listed = TABLE
                .iter()
                .any(|(verb, listed, ..)| verb.eq_ignore_ascii_case(method) && is_one_of(listed, path));
            if !listed && !PUBLIC.contains(&path.as_str()) && !LOGINS.contains(&path.as_str()) {
                forgotten.push(format!("{method} {path}"));
            }
        }
    }
    assert!(forgotten.is_empty(), "described, but not in the table: {forgotten:#?}");
}

/// Whether `path` matches the described path.
fn is_one_of(path: &str, described: &str) -> bool {
    let path = path.split('?').next().expect("a path");
    path.split('/').count() == described.split('/').count()
        && path
            .split('/')
            .zip(described.split('/'))
            .all(|(name, known)| known == name || known.starts_with('{'))
}

#[test]
fn probes_need_no_login_and_others_do() {
    let broker = Broker::new();
    let nobody = Http::of(&broker).nobody();
    for path in PUBLIC {
        nobody.get(path).is(200);
    }
    nobody.get("/api/nothing").refused(401, "not_authorized", "Login failed");
    nobody.login("guest", "wrong").get("/api/overview").refused(401, "not_authorized", "Login failed");
    nobody.login("none", "guest").get("/api/overview").refused(401, "not_authorized", "Login failed");
}

#[test]
fn permissions_of_the_broker_hold_over_http_too() {
    let broker = Broker::new();
    let admin = Http::of(&broker);
    let user = admin.user("limited", "management");
    let some = json!({ "configure": "^c", "write": "^c", "read": "^c" });
    admin.put("/api/permissions/%2F/limited", &some).is(204);
    user.put("/api/queues/%2F/c", &json!({})).is(201);
    user.put("/api/queues/%2F/x", &json!({})).refused(401, "not_authorised", "configure access to queue 'x'");
    admin.put("/api/queues/%2F/x", &json!({})).is(201);
    user.delete("/api/queues/%2F/x").refused(401, "not_authorised", "configure access");
    user.delete("/api/queues/%2F/x/contents").refused(401, "not_authorised", "read access to queue 'x'");
    let publication =
        json!({ "properties": {}, "routing_key": "c", "payload": "", "payload_encoding": "string" });
    user.post("/api/exchanges/%2F/amq.default/publish", &publication).refused(
        401,
        "not_authorised",
        "write access to exchange 'amq.default'",
    );
}

#[test]
fn a_page_of_another_site_changes_nothing() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    let origin = [("origin", "http://evil.example")];
    http.call("PUT", "/api/queues/%2F/q", &origin, "{}").refused(403, "forbidden", "another site");
    let site = [("sec-fetch-site", "cross-site")];
    http.call("POST", "/api/definitions", &site, "{}").refused(403, "forbidden", "another site");
    // Content types that any page's form can send.
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"] {
        for from in [("origin", "http://evil.example"), ("origin", "null"), ("sec-fetch-site", "same-site")] {
            let form = [("content-type", kind), from];
            http.call("POST", "/api/definitions", &form, r#"{"queues":[{"name":"q","vhost":"/"}]}"#).refused(
                403,
                "forbidden",
                "another site",
            );
        }
    }
    http.get("/api/queues/%2F/q").is(404);
    // No answer permits cross-origin scripts, not even a preflight.
    let asks = [("origin", "http://evil.example"), ("access-control-request-method", "PUT")];
    for (method, path) in
        [("GET", "/api/overview"), ("OPTIONS", "/api/queues/%2F/q"), ("OPTIONS", "/api/nothing")]
    {
        let answer = http.call(method, path, &asks, "");
        assert!(answer.names().all(|name| !name.starts_with("access-control-")), "{method} {path}");
    }
}

#[test]
fn answers_carry_headers_that_tie_browsers_down() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    let metrics = Http::at(super::listening(&broker, "metrics"));
    for (answer, status) in [
        (http.get("/api/overview"), 200),
        (http.get("/"), 200),
        (http.put("/api/queues/%2F/q", &json!({})), 201),
        (http.delete("/api/queues/%2F/q"), 204),
        (http.call("PUT", "/api/queues/%2F/q", &[], "{"), 400),
        (http.get("/api/queues/%FF/q"), 400),
        (http.nobody().get("/api/overview"), 401),
        (http.call("PUT", "/api/queues/%2F/q", &[("origin", "null")], "{}"), 403),
        (http.get("/api/nothing"), 404),
        (http.get("/nothing"), 404),
        (http.put("/api/overview", &json!({})), 405),
        (http.get("/api/health/checks/port-listener/1"), 503),
        (metrics.get("/metrics"), 200),
        (metrics.get("/nothing"), 404),
    ] {
        assert_eq!(answer.status, status, "{}", answer.text);
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{status}");
        assert_eq!(answer.header("x-frame-options"), Some("DENY"), "{status}");
        let policy = answer.header("content-security-policy");
        assert!(policy.is_some_and(|csp| csp.contains("frame-ancestors 'none'")), "{status}: {policy:?}");
    }
}

#[test]
fn other_methods_are_told_what_is_there() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    http.put("/api/overview", &json!({})).refused(405, "method_not_allowed", "");
    let answer = http.call("OPTIONS", "/api/queues/%2F/q", &[], "").is(200);
    assert!(answer.header("allow").is_some_and(|allow| allow.contains("PUT") && allow.contains("DELETE")));
    let answer = http.call("HEAD", "/api/queues", &[], "").is(200);
    assert_eq!(answer.text, "");
}

#[test]
fn a_refused_request_with_a_body_leaves_the_connection_usable() {
    use std::io::{Read, Write};
    let broker = Broker::new();
    let mut socket = std::net::TcpStream::connect(super::listening(&broker, "http")).unwrap();
    socket.write_all(b"PUT /api/queues/%2F/q HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\n").unwrap();
    socket.write_all(b"{ }\n").unwrap();
    socket.write_all(b"GET /api/version HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut answers = String::new();
    socket.read_to_string(&mut answers).unwrap();
    assert!(answers.starts_with("HTTP/1.1 401"), "{answers}");
    assert!(answers.contains("HTTP/1.1 200"), "{answers}");
}
