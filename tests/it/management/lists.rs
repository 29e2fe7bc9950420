//! Pages, filters, sorting, columns; and many queues.

use serde_json::{Value, json};

use super::Http;
use crate::harness::Broker;
use crate::wait;

fn names(list: &Value) -> Vec<&str> {
    let list = list.as_array().expect("a list").iter();
    list.map(|item| item["name"].as_str().expect("a name")).collect()
}

#[test]
fn lists_are_cut_and_sorted_as_asked() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    for name in ["b", "a", "c"] {
        http.put(&format!("/api/queues/%2F/{name}"), &json!({})).is(201);
    }
    let publication =
        json!({ "properties": {}, "routing_key": "b", "payload": "", "payload_encoding": "string" });
    http.post("/api/exchanges/%2F/amq.default/publish", &publication).is(200);
    assert_eq!(names(&http.get("/api/queues").json), ["a", "b", "c"]);
    assert_eq!(names(&http.get("/api/queues?sort=name&sort_reverse=true").json), ["c", "b", "a"]);
    assert_eq!(names(&http.get("/api/queues?sort=messages&sort_reverse=true").json)[0], "b");
    let page = http.get("/api/queues/%2F?page=2&page_size=2").is(200).json;
    assert_eq!(names(&page["items"]), ["c"]);
    assert_eq!((&page["page_count"], &page["total_count"]), (&json!(2), &json!(3)));
    // KEDA's request.
    let keda = http
        .get("/api/queues/%2F?page=1&use_regex=true&pagination=false&name=%5E%5Bab%5D&page_size=100")
        .json;
    assert_eq!(names(&keda["items"]), ["a", "b"]);
    let only = http.get("/api/queues?columns=name,message_stats.publish_details.rate").json;
    assert_eq!(only[0], json!({ "name": "a", "message_stats": { "publish_details": { "rate": 0.0 } } }));
    assert_eq!(http.get("/api/queues/%2F/b?columns=messages").json, json!({ "messages": 1 }));
    let cheap = http.get("/api/queues?disable_stats=true&enable_queue_totals=true").json;
    assert_eq!(cheap[1]["messages"], 1);
    assert!(cheap[1].get("message_stats").is_none());
    http.get("/api/queues?page=9").refused(400, "page_out_of_range", "Page out of range, page: 9");
    http.get("/api/queues?page=1&page_size=501").refused(400, "invalid_pagination_parameters", "500");
    http.get("/api/queues?page=x").refused(400, "bad_request", "page");
    http.get("/api/queues?page=1&use_regex=true&name=(").refused(400, "bad_request", "regular expression");
}

#[test]
fn a_slash_at_the_end_of_a_path_says_nothing() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    http.put("/api/queues/%2F/q/", &json!({})).is(201);
    for path in [
        "/api/queues",
        "/api/queues/%2F",
        "/api/queues/%2F/q",
        "/api/permissions",
        "/api/users",
        "/api/overview",
    ] {
        assert_eq!(http.get(&format!("{path}/")).status, http.get(path).is(200).status, "{path}/");
    }
    assert_eq!(names(&http.get("/api/queues/?page=1").is(200).json["items"]), ["q"]);
    // An empty name is valid, but no object has it.
    http.get("/api/queues//").is(404);
    http.get("/api/queues/%2F//").is(404);
    // With a trailing slash public paths stay public with it, protected ones stay protected.
    let nobody = http.nobody();
    nobody.get("/api/health/checks/is-in-service/").is(200);
    nobody.get("/api/queues/").is(401);
    nobody.get("/").is(200);
    http.delete("/api/queues/%2F/q/").is(204);
}

#[test]
fn ten_thousand_queues_are_listed_at_once() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    let queues: Vec<_> =
        (0..10_000).map(|n| json!({ "vhost": "/", "name": format!("q{n:05}"), "durable": false })).collect();
    http.post("/api/definitions", &json!({ "queues": queues })).is(204);
    let (all, time) = wait::time(|| http.get("/api/queues"));
    assert_eq!(all.json.as_array().map(Vec::len), Some(10_000));
    let (some, short) = wait::time(|| http.get("/api/queues?page=1&page_size=500&sort=name"));
    assert_eq!(some.json["items"].as_array().map(Vec::len), Some(500));
    println!("10,000 queues are listed in {time:?}, 500 of them in {short:?}");
    // Twenty times the rows; a linear look-up for each would take thousands of times the work.
    assert!(time < short * 200, "{time:?} beside {short:?}");
    let page = http.get("/api/queues?page=100&page_size=100&sort=name").is(200).json;
    assert_eq!(page["items"][99]["name"], "q09999");
}
