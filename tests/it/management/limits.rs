//! Limits, topic permissions and parameters over HTTP: success, not found, bad input, no permission.

use serde_json::{Value, json};

use super::Http;
use crate::harness::Broker;

#[test]
fn limits_of_vhosts() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    http.put("/api/vhosts/v", &json!({})).is(201);
    assert_eq!(http.get("/api/vhost-limits").is(200).json, json!([]));
    http.put("/api/vhost-limits/v/max-queues", &json!({ "value": 5 })).is(204);
    http.put("/api/vhost-limits/v/max-connections", &json!({ "value": -1 })).is(204);
    let row = json!({ "vhost": "v", "value": { "max-connections": -1, "max-queues": 5 } });
    assert_eq!(http.get("/api/vhost-limits").is(200).json, json!([row]));
    assert_eq!(http.get("/api/vhost-limits/v").is(200).json, json!([row]));
    assert_eq!(http.get("/api/vhost-limits/%2F").is(200).json, json!([]));
    http.delete("/api/vhost-limits/v/max-connections").is(204);
    http.delete("/api/vhost-limits/v/max-connections").is(204);
    assert_eq!(http.get("/api/vhost-limits").json, json!([{ "vhost": "v", "value": { "max-queues": 5 } }]));
    for (body, words) in [
        (json!({}), "value"),
        (json!({ "value": "5" }), "max-queues should be a number"),
        (json!({ "value": 1.5 }), "should be a number"),
    ] {
        http.put("/api/vhost-limits/v/max-queues", &body).refused(400, "bad_request", words);
    }
    let unknown = http.put("/api/vhost-limits/v/max-channels", &json!({ "value": 1 }));
    unknown.refused(400, "bad_request", "Validation failed\n\nUnrecognised terms");
    http.put("/api/vhost-limits/none/max-queues", &json!({ "value": 1 })).refused(404, "not_found", "vhost");
    http.get("/api/vhost-limits/none").refused(404, "Object Not Found", "vhost");
    let other = http.user("p", "policymaker");
    other.put("/api/vhost-limits/%2F/max-queues", &json!({ "value": 1 })).refused(
        401,
        "not_authorised",
        "administrator",
    );
    assert_eq!(other.get("/api/vhost-limits").is(200).json, json!([]), "of vhosts that it may see");
}

#[test]
fn limits_of_users() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    let other = http.user("u", "monitoring");
    http.put("/api/user-limits/u/max-channels", &json!({ "value": 5 })).is(204);
    let row = json!({ "user": "u", "value": { "max-channels": 5 } });
    assert_eq!(http.get("/api/user-limits").is(200).json, json!([row]));
    assert_eq!(http.get("/api/user-limits/u").is(200).json, json!([row]));
    assert_eq!(http.get("/api/users/u").json["limits"], json!({ "max-channels": 5 }));
    let user = json!({ "password": "pw", "tags": "", "limits": { "max-connections": 1 } });
    http.put("/api/users/u", &user).is(204);
    assert_eq!(http.get("/api/users/u").json["limits"], json!({ "max-connections": 1 }));
    http.put("/api/users/u", &json!({ "password": "pw", "tags": "monitoring" })).is(204);
    assert_eq!(http.get("/api/users/u").json["limits"], json!({ "max-connections": 1 }));
    http.put("/api/user-limits/u/max-queues", &json!({ "value": 5 })).refused(
        400,
        "bad_request",
        "user-limits",
    );
    http.put("/api/user-limits/none/max-channels", &json!({ "value": 5 })).refused(
        400,
        "bad_request",
        "user",
    );
    http.delete("/api/user-limits/none/max-channels").refused(404, "Object Not Found", "user");
    http.get("/api/user-limits/none").refused(404, "Object Not Found", "user");
    other.get("/api/user-limits").refused(401, "not_authorised", "administrator");
    other.put("/api/user-limits/u/max-channels", &json!({ "value": -1 })).refused(
        401,
        "not_authorised",
        "administrator",
    );
    http.delete("/api/users/u").is(204);
    assert_eq!(http.get("/api/user-limits").json, json!([]));
    http.user("u", "");
    assert_eq!(http.get("/api/users/u").json["limits"], json!({}), "a new user of the same name");
}

#[test]
fn topic_permissions() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    let other = http.user("u", "monitoring");
    http.put("/api/vhosts/v", &json!({})).is(201);
    let body = |exchange: &str| json!({ "exchange": exchange, "write": "^a", "read": ".*" });
    http.put("/api/topic-permissions/%2F/u", &body("x")).is(201);
    http.put("/api/topic-permissions/%2F/u", &body("x")).is(204);
    // New means that the user had none in this vhost.
    http.put("/api/topic-permissions/%2F/u", &body("y")).is(204);
    http.put("/api/topic-permissions/v/guest", &body("x")).is(201);
    let row = json!({ "user": "u", "vhost": "/", "exchange": "x", "write": "^a", "read": ".*" });
    let count = |path: &str| http.get(path).is(200).json.as_array().map(Vec::len);
    assert_eq!(http.get("/api/topic-permissions/%2F/u").json[0], row);
    assert_eq!(http.get("/api/topic-permissions/%2F/u/x").json, json!([row]));
    for (path, want) in [
        ("/api/topic-permissions", 3),
        ("/api/topic-permissions/%2F/u", 2),
        ("/api/vhosts/%2F/topic-permissions", 2),
        ("/api/vhosts/v/topic-permissions", 1),
        ("/api/users/u/topic-permissions", 2),
        ("/api/users/guest/topic-permissions", 1),
    ] {
        assert_eq!(count(path), Some(want), "{path}");
    }
    let invalid = json!({ "exchange": "x", "write": "(", "read": "" });
    http.put("/api/topic-permissions/%2F/u", &invalid).refused(
        400,
        "bad_request",
        "not a regular expression",
    );
    http.put("/api/topic-permissions/%2F/u", &json!({ "write": "" })).refused(400, "bad_request", "exchange");
    http.put("/api/topic-permissions/none/u", &body("x")).refused(400, "bad_request", "vhost_or_user");
    http.put("/api/topic-permissions/%2F/none", &body("x")).refused(400, "bad_request", "vhost_or_user");
    http.get("/api/topic-permissions/none/u").refused(404, "Object Not Found", "vhost");
    http.get("/api/topic-permissions/%2F/none").refused(404, "Object Not Found", "user");
    http.get("/api/topic-permissions/v/u").refused(404, "Object Not Found", "topic_permission");
    http.get("/api/users/none/topic-permissions").refused(404, "Object Not Found", "user");
    other.get("/api/topic-permissions").refused(401, "not_authorised", "administrator");
    other.put("/api/topic-permissions/%2F/u", &body("x")).refused(401, "not_authorised", "administrator");
    other.delete("/api/topic-permissions/%2F/u").refused(401, "not_authorised", "administrator");
    http.delete("/api/topic-permissions/%2F/u/x").is(204);
    http.delete("/api/topic-permissions/%2F/u/x").refused(404, "Object Not Found", "topic_permission");
    assert_eq!(count("/api/topic-permissions/%2F/u"), Some(1));
    http.delete("/api/topic-permissions/%2F/u").is(204);
    http.delete("/api/vhosts/v").is(204);
    assert_eq!(count("/api/topic-permissions"), Some(0));
}

#[test]
fn parameters_are_limits_in_another_form_and_unknown_components_are_refused() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    let value = json!({ "value": { "max-queues": 7 } });
    http.put("/api/parameters/vhost-limits/%2F/limits", &value).is(201);
    http.put("/api/parameters/vhost-limits/%2F/limits", &value).is(204);
    let row = json!({
        "component": "vhost-limits", "vhost": "/", "name": "limits", "value": { "max-queues": 7 },
    });
    for path in ["", "/vhost-limits", "/vhost-limits/%2F"] {
        assert_eq!(http.get(&format!("/api/parameters{path}")).is(200).json, json!([row]), "{path}");
    }
    assert_eq!(http.get("/api/parameters/vhost-limits/%2F/limits").is(200).json, row);
    assert_eq!(http.get("/api/vhost-limits").json, json!([{ "vhost": "/", "value": { "max-queues": 7 } }]));
    assert_eq!(http.get("/api/parameters/shovel").is(200).json, json!([]));
    http.put("/api/parameters/shovel/%2F/s", &json!({ "value": {} })).refused(
        400,
        "bad_request",
        "Validation failed\n\ncomponent shovel not found\n",
    );
    http.put("/api/parameters/policy/%2F/p", &json!({ "value": {} })).refused(
        400,
        "bad_request",
        "policies may not be set using this method",
    );
    http.put("/api/parameters/vhost-limits/%2F/other", &value).refused(400, "bad_request", "limits");
    http.put("/api/parameters/vhost-limits/%2F/limits", &json!({})).refused(400, "bad_request", "value");
    http.get("/api/parameters/vhost-limits/none").refused(404, "Object Not Found", "vhost");
    http.get("/api/parameters/shovel/%2F/s").refused(404, "Object Not Found", "parameter");
    let other = http.user("m", "management");
    other.get("/api/parameters").refused(401, "not_authorised", "policymaker");
    other.put("/api/parameters/vhost-limits/%2F/limits", &value).refused(
        401,
        "not_authorised",
        "policymaker",
    );
    let policymaker = http.user("p", "policymaker");
    assert_eq!(policymaker.get("/api/parameters").is(200).json, json!([row]));
    let refused = policymaker.put("/api/parameters/vhost-limits/%2F/limits", &value);
    refused.refused(401, "not_authorised", "administrator");
    http.delete("/api/parameters/vhost-limits/%2F/limits").is(204);
    http.delete("/api/parameters/vhost-limits/%2F/limits").refused(404, "Object Not Found", "parameter");
}

#[test]
fn global_parameters_are_any_values() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    http.put("/api/global-parameters/b", &json!({ "value": [1, { "x": null }] })).is(201);
    http.put("/api/global-parameters/b", &json!({ "value": "text" })).is(204);
    http.put("/api/global-parameters/a", &json!({ "value": 1 })).is(201);
    let all = json!([{ "name": "a", "value": 1 }, { "name": "b", "value": "text" }]);
    assert_eq!(http.get("/api/global-parameters").is(200).json, all);
    assert_eq!(http.get("/api/global-parameters/a").is(200).json, all[0]);
    http.put("/api/global-parameters/c", &json!({})).refused(400, "bad_request", "value");
    let long = json!({ "value": "x".repeat(70_000) });
    http.put("/api/global-parameters/c", &long).refused(400, "bad_request", "bytes");
    http.get("/api/global-parameters/c").refused(404, "Object Not Found", "parameter");
    http.delete("/api/global-parameters/c").refused(404, "Object Not Found", "parameter");
    let other = http.user("m", "monitoring");
    other.get("/api/global-parameters").refused(401, "not_authorised", "policymaker");
    other.put("/api/global-parameters/c", &json!({ "value": 1 })).refused(
        401,
        "not_authorised",
        "policymaker",
    );
    http.user("p", "policymaker").delete("/api/global-parameters/a").is(204);
}

#[test]
fn rules_go_with_definitions() {
    let (one, two) = (Broker::new(), Broker::new());
    let (one, two) = (Http::of(&one), Http::of(&two));
    one.put("/api/vhosts/v", &json!({})).is(201);
    one.put("/api/vhost-limits/v/max-queues", &json!({ "value": 5 })).is(204);
    one.put("/api/user-limits/guest/max-channels", &json!({ "value": 50 })).is(204);
    one.put("/api/global-parameters/g", &json!({ "value": {} })).is(201);
    let topic = json!({ "exchange": "x", "write": "^a", "read": ".*" });
    one.put("/api/topic-permissions/v/guest", &topic).is(201);
    let exported = one.get("/api/definitions").is(200).json;
    let dry = two.post("/api/definitions?dry_run=true", &exported).is(200).json;
    let kinds = |report: &Value| -> Vec<String> {
        let all = report["create"].as_array().expect("a list").iter();
        all.map(|made| made["kind"].as_str().expect("a kind").to_owned()).collect()
    };
    let made = kinds(&dry);
    for kind in ["topic_permissions", "global_parameters", "parameters"] {
        assert!(made.contains(&kind.to_owned()), "{kind} in {dry}");
    }
    assert_eq!(dry["conflicts"], json!([]));
    two.post("/api/definitions", &exported).is(204);
    assert_eq!(two.get("/api/definitions").is(200).json, exported);
    let of_v = two.get("/api/definitions/v").is(200).json;
    let parameter = json!({ "component": "vhost-limits", "name": "limits", "value": { "max-queues": 5 } });
    assert_eq!(of_v["parameters"], json!([parameter]));
    two.post("/api/definitions/%2F", &of_v).is(204);
    assert_eq!(two.get("/api/vhost-limits").json.as_array().map(Vec::len), Some(2));
    let raised = json!({ "parameters": [
        { "component": "vhost-limits", "name": "limits", "value": {} },
        { "component": "shovel", "name": "s", "value": {} },
    ] });
    let policymaker = two.user("p", "policymaker");
    policymaker.post("/api/definitions/%2F", &raised).refused(401, "not_authorised", "administrator");
}
