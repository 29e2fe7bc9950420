//! Policies over HTTP: success, not found, bad input, no permission, and in definitions.

use serde_json::{Value, json};

use super::Http;
use crate::harness::Broker;

#[test]
fn a_policy_from_creation_to_deletion() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    let policymaker = http.user("p", "policymaker");
    for (kind, login) in [("policies", &policymaker), ("operator-policies", &http)] {
        let path = format!("/api/{kind}/%2F/a%20b");
        login.put(&path, &json!({ "pattern": "^q", "definition": { "max-length": 5 } })).is(201);
        let shown = json!({
            "vhost": "/", "name": "a b", "pattern": "^q", "apply-to": "all", "priority": 0,
            "definition": { "max-length": 5 },
        });
        assert_eq!(login.get(&path).is(200).json, shown);
        for list in [format!("/api/{kind}"), format!("/api/{kind}/%2F")] {
            assert_eq!(login.get(&list).is(200).json, json!([shown]), "{list}");
        }
        let body = json!({
            "pattern": "^r", "definition": { "expires": 5 }, "priority": "7", "apply-to": "classic_queues",
            "vhost": "/", "name": "a b",
        });
        login.put(&path, &body).is(204);
        let changed = login.get(&path).is(200).json;
        assert_eq!((&changed["priority"], &changed["apply-to"]), (&json!(7), &json!("classic_queues")));
        login.delete(&path).is(204);
        login.delete(&path).refused(404, "Object Not Found", "policy_not_found");
        login.get(&path).refused(404, "Object Not Found", "policy_not_found");
    }
}

#[test]
fn what_is_wrong_with_a_policy_is_said_by_name() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    for (body, words) in [
        (json!({ "definition": { "max-length": 5 } }), "pattern"),
        (json!({ "pattern": "" }), "definition"),
        (
            json!({ "pattern": "(", "definition": { "max-length": 5 } }),
            "Validation failed\n\npattern should be regular",
        ),
        (json!({ "pattern": "", "definition": {} }), "Validation failed\n\nno policy provided\n"),
        (json!({ "pattern": "", "definition": [] }), "no policy provided"),
        (json!({ "pattern": "", "definition": "x" }), "definition must be a dictionary"),
        (
            json!({ "pattern": "", "definition": { "max-length": -1 } }),
            "Validation failed\n\n-1 is not a valid maximum length\n",
        ),
        (
            json!({ "pattern": "", "definition": { "nonsense": 1 } }),
            "[{<<\"nonsense\">>,1}] are not recognised policy settings",
        ),
        (json!({ "pattern": "", "definition": { "ha-mode": "all" } }), "ha-mode is not supported"),
        (json!({ "pattern": "", "apply-to": "streams", "definition": { "max-length": 1 } }), "no streams"),
        (
            json!({ "pattern": "", "apply-to": "queue", "definition": { "max-length": 1 } }),
            "apply-to 'queue' unrecognised",
        ),
        (json!({ "pattern": "", "priority": "x", "definition": { "max-length": 1 } }), "priority"),
    ] {
        http.put("/api/policies/%2F/p", &body).refused(400, "bad_request", words);
    }
    let dlx = json!({ "pattern": "", "definition": { "dead-letter-exchange": "x" } });
    let refused = http.put("/api/operator-policies/%2F/p", &dlx);
    refused.refused(400, "bad_request", "dead-letter-exchange cannot be set by an operator policy");
    let good = json!({ "pattern": "", "definition": { "max-length": 1 } });
    for kind in ["policies", "operator-policies"] {
        http.put(&format!("/api/{kind}/none/p"), &good).refused(404, "not_found", "vhost_not_found");
        http.get(&format!("/api/{kind}/none")).refused(404, "Object Not Found", "vhost_not_found");
        assert_eq!(http.get(&format!("/api/{kind}")).json, json!([]));
    }
}

#[test]
fn policies_are_for_policymakers_and_operators_policies_for_administrators() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    http.put("/api/vhosts/closed", &json!({})).is(201);
    let good = json!({ "pattern": "", "definition": { "max-length": 1 } });
    let (user, policymaker) = (http.user("m", "management"), http.user("p", "policymaker"));
    user.put("/api/policies/%2F/p", &good).refused(401, "not_authorised", "policymaker");
    user.delete("/api/policies/%2F/p").refused(401, "not_authorised", "policymaker");
    policymaker.put("/api/policies/closed/p", &good).refused(401, "not_authorised", "virtual host");
    policymaker.put("/api/policies/%2F/p", &good).is(201);
    user.get("/api/policies/%2F/p").is(200);
    policymaker.put("/api/operator-policies/%2F/p", &good).refused(401, "not_authorised", "administrator");
    let value = json!({ "value": { "pattern": "", "definition": { "max-length": 1 } } });
    policymaker.put("/api/parameters/operator_policy/%2F/p", &value).refused(
        401,
        "not_authorised",
        "administrator",
    );
    http.put("/api/parameters/operator_policy/%2F/p", &value).is(201);
    assert_eq!(
        http.get("/api/operator-policies/%2F/p").is(200).json["definition"],
        json!({ "max-length": 1 })
    );
    assert_eq!(http.get("/api/parameters/operator_policy").json.as_array().map(Vec::len), Some(1));
    http.delete("/api/parameters/operator_policy/%2F/p").is(204);
    http.get("/api/operator-policies/%2F/p").refused(404, "Object Not Found", "policy");
}

#[test]
fn policies_go_with_definitions_and_what_is_not_supported_is_told() {
    let (one, two) = (Broker::new(), Broker::new());
    let (one, two) = (Http::of(&one), Http::of(&two));
    let policy = json!({
        "pattern": "^(?!amq\\.).*", "apply-to": "queues", "priority": 3,
        "definition": { "dead-letter-exchange": "dlx", "message-ttl": 60000 },
    });
    one.put("/api/policies/%2F/p", &policy).is(201);
    let operator = json!({ "pattern": "", "definition": { "max-length": 1000 } });
    one.put("/api/operator-policies/%2F/guard", &operator).is(201);
    one.put("/api/queues/%2F/q", &json!({ "durable": true })).is(201);
    let exported = one.get("/api/definitions").is(200).json;
    assert_eq!(exported["policies"][0]["pattern"], "^(?!amq\\.).*");
    assert_eq!(exported["parameters"][0]["component"], "operator_policy");
    assert_eq!(two.post("/api/definitions?dry_run", &exported).is(200).json["conflicts"], json!([]));
    two.post("/api/definitions", &exported).is(204);
    assert_eq!(two.get("/api/definitions").is(200).json, exported);
    let queue = two.get("/api/queues/%2F/q").is(200).json;
    assert_eq!((&queue["policy"], &queue["operator_policy"]), (&json!("p"), &json!("guard")));
    let of_vhost = two.get("/api/definitions/%2F").is(200).json;
    assert!(of_vhost["policies"][0].get("vhost").is_none());
    two.put("/api/vhosts/v", &json!({})).is(201);
    two.post("/api/definitions/v", &of_vhost).is(204);
    assert_eq!(two.get("/api/policies/v/p").is(200).json["priority"], 3);
    let file = json!({ "policies": [
        { "vhost": "/", "name": "ha", "pattern": "", "apply-to": "all", "definition": { "ha-mode": "all" }, "priority": 0 },
        { "vhost": "/", "name": "good", "pattern": "", "apply-to": "all", "definition": { "expires": 5000 }, "priority": 0 },
    ] });
    let answer = two.post("/api/definitions", &file);
    answer.refused(400, "bad_request", "ha-mode is not supported: queues are not mirrored");
    let conflict = |key: &str| -> Value { answer.json["conflicts"][0][key].clone() };
    assert_eq!((conflict("kind"), conflict("name")), (json!("policies"), json!("ha")));
    two.get("/api/policies/%2F/good").is(200);
}
