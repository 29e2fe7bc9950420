//! Lost or unreadable definitions, from outside: no message is lost with them.

use std::fs;

use serde_json::json;

use crate::harness::Broker;
use crate::management::{Http, listening};
use crate::wait;

const BODIES: i64 = 30;

/// A killed broker's folder, with messages in two queues.
fn folder_with_messages() -> Broker {
    let mut broker = Broker::new();
    let mut c = broker.client();
    c.declare("queue=kept durable");
    c.declare("queue=lost durable");
    c.confirms();
    for n in 1..=BODIES {
        c.publish_confirmed("routing_key=kept", "delivery_mode=2", n.to_string());
        c.publish_confirmed("routing_key=lost", "delivery_mode=2", n.to_string());
    }
    drop(c);
    assert!(broker.stop().success());
    broker
}

fn lose_all_definitions(broker: &Broker) {
    for entry in fs::read_dir(broker.data()).expect("the data folder") {
        let path = entry.expect("an entry").path();
        if !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("definitions")) {
            continue;
        }
        if path.is_dir() {
            fs::remove_dir_all(path).expect("the database");
        } else {
            fs::remove_file(path).expect("a file of definitions");
        }
    }
}

#[test]
fn queues_that_lost_their_definitions_are_shown_adopted_and_discarded() {
    let mut broker = folder_with_messages();
    lose_all_definitions(&broker);
    broker.start_otherwise(&["--admin-user", "guest", "--admin-password", "guest"]);
    let log = broker.log();
    assert!(log.contains("ERROR") && log.contains("30 messages without a definition, kept"), "{log}");
    let http = Http::of(&broker);
    let lost = http.get("/api/lost/queues").is(200).json;
    let ids: Vec<u64> =
        lost.as_array().expect("a list").iter().map(|row| row["id"].as_u64().expect("an id")).collect();
    assert_eq!(ids.len(), 2, "{lost}");
    assert!(lost.as_array().into_iter().flatten().all(|row| row["messages"] == BODIES), "{lost}");
    let check = http.get("/api/health/checks/lost").is(503).json;
    assert!(
        check["reason"].as_str().is_some_and(|why| why.starts_with("2 queues with 60 messages")),
        "{check}"
    );

    // New queues do not reuse their ids.
    let mut c = broker.client();
    c.declare("queue=new durable");
    assert_eq!(c.drain("new").len(), 0);

    let adopt = |id: u64, body: &str| http.call("PUT", &format!("/api/lost/queues/{id}"), &[], body);
    adopt(ids[0], r#"{"vhost":"/","name":"new"}"#).is(400);
    adopt(ids[0], r#"{"vhost":"none","name":"back"}"#).is(404);
    adopt(ids[0], r#"{"vhost":"/","name":"back"}"#).is(201);
    adopt(ids[0], r#"{"vhost":"/","name":"again"}"#).is(404);
    let bodies: Vec<i64> = c.drain("back").iter().map(|text| text.parse().expect("a number")).collect();
    assert_eq!(bodies, (1..=BODIES).collect::<Vec<_>>());
    http.call("DELETE", &format!("/api/lost/queues/{}", ids[1]), &[], "").is(204);
    assert_eq!(http.get("/api/lost/queues").json, json!([]));
    http.get("/api/health/checks/lost").is(200);
    drop(c);

    broker.kill();
    broker.start_again();
    let http = Http::of(&broker);
    assert_eq!(http.get("/api/lost/queues").json, json!([]));
    let mut c = broker.client();
    c.declare("queue=back durable passive");
}

#[test]
fn lost_users_do_not_open_the_broker_to_guest() {
    let cut_journals = |broker: &Broker| {
        for entry in fs::read_dir(broker.data()).expect("the data folder") {
            let path = entry.expect("an entry").path();
            if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("definitions.journal"))
            {
                fs::write(path, "").expect("a journal");
            }
        }
        drop(fs::remove_file(broker.data().join("definitions.snapshot.json")));
        drop(fs::remove_dir_all(broker.data().join("definitions")));
    };
    for lose in [&lose_all_definitions as &dyn Fn(&Broker), &cut_journals] {
        let mut broker = Broker::with(&["--admin-user", "boss", "--admin-password", "secret"]);
        Http::of(&broker).login("boss", "secret").get("/api/whoami").is(200);
        Http::of(&broker).get("/api/whoami").is(401);
        broker.kill();
        lose(&broker);
        broker.start_otherwise(&[]);
        Http::of(&broker).get("/api/whoami").is(401);
        let log = broker.log();
        assert!(log.contains("ERROR") && log.contains("no user exists"), "{log}");
        broker.kill();
        broker.start_otherwise(&["--admin-user", "boss", "--admin-password", "secret"]);
        Http::of(&broker).login("boss", "secret").get("/api/whoami").is(200);
    }
}

#[test]
fn a_definition_that_cannot_be_read_does_not_keep_the_broker_from_starting() {
    let mut broker = folder_with_messages();
    // The database is rebuilt from the snapshot, in which one value was edited.
    let path = broker.data().join("definitions.snapshot.json");
    let text = fs::read_to_string(&path).expect("the snapshot");
    let mut snapshot: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    snapshot["definitions"]["queue\0/\0lost"] = json!("no definition");
    snapshot.as_object_mut().expect("an object").remove("check");
    fs::write(&path, snapshot.to_string()).expect("writing");
    fs::remove_dir_all(broker.data().join("definitions")).expect("the database");
    broker.start_again();
    let http = Http::of(&broker);
    let lost = http.get("/api/lost/definitions").is(200).json;
    assert_eq!(lost[0]["definition"], "queue / lost", "{lost}");
    let check = http.get("/api/health/checks/lost").is(503).json;
    assert!(check["reason"].as_str().is_some_and(|why| why.contains("queue / lost")), "{check}");
    let mut c = broker.client();
    assert_eq!(c.drain("kept").len(), 30);
    let metrics = Http::at(listening(&broker, "metrics")).get("/metrics").is(200).text;
    for line in ["leveret_lost_queues 1", "leveret_lost_messages 30", "leveret_lost_definitions 1"] {
        assert!(metrics.lines().any(|other| other == line), "{line}");
    }
}

#[test]
fn arguments_that_json_cannot_hold_survive_and_are_exported_and_imported() {
    let mut broker = Broker::new();
    let mut c = broker.client();
    c.declare("queue=odd durable arguments={a:NaN,b:inf}");
    c.ask("queue.bind queue=odd exchange=amq.headers routing_key=k arguments={h:NaN}", "queue.bind-ok");
    drop(c);
    broker.kill();
    broker.start_again();
    let http = Http::of(&broker);
    let shown = http.get("/api/queues/%2F/odd").is(200).json;
    assert_eq!(shown["arguments"], json!({"a": "NaN", "b": "Infinity"}));
    let exported = http.get("/api/definitions").is(200);
    http.call("POST", "/api/definitions", &[], &exported.text).is(204);
    http.call("DELETE", "/api/queues/%2F/odd", &[], "").is(204);
    http.call("POST", "/api/definitions", &[], &exported.text).is(204);
    wait::until("the queue is there", || http.get("/api/queues/%2F/odd").status == 200);
}

#[test]
fn files_of_the_highest_numbers_end_nothing() {
    let mut broker = folder_with_messages();
    for stray in ["log/4294967295.seg", "definitions.journal.18446744073709551615"] {
        fs::write(broker.data().join(stray), b"").expect("a stray file");
    }
    for again in 0..2 {
        broker.start_again();
        let mut c = broker.client();
        c.declare(&format!("queue=new-{again} durable"));
        c.confirms();
        c.publish_confirmed("routing_key=kept", "delivery_mode=2", "more");
        c.say("queue.declare queue=kept passive");
        assert_eq!(c.next().field("message_count").int(), BODIES + 1 + again);
        drop(c);
        broker.kill();
    }
}

#[test]
fn a_segment_that_was_moved_to_another_disk_is_read_through_its_link() {
    let mut broker = folder_with_messages();
    let elsewhere = tempfile::tempdir().expect("another disk");
    let segments = fs::read_dir(broker.data().join("log"))
        .expect("the log")
        .map(|entry| entry.expect("an entry").path());
    let segments: Vec<_> = segments.filter(|path| path.extension().is_some_and(|end| end == "seg")).collect();
    assert!(!segments.is_empty());
    for segment in segments {
        let there = elsewhere.path().join(segment.file_name().expect("a name"));
        fs::copy(&segment, &there).expect("a copy");
        fs::remove_file(&segment).expect("the segment");
        std::os::unix::fs::symlink(&there, &segment).expect("a link");
    }
    broker.start_again();
    let mut c = broker.client();
    c.say("queue.declare queue=kept passive");
    assert_eq!(c.next().field("message_count").int(), BODIES);
    Http::of(&broker).get("/api/health/checks/lost").is(200);
}
