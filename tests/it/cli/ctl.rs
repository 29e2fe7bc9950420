//! `leveret ctl`: each command's effect, its output for scripts, and its exit codes.

use std::fs;

use serde_json::json;

use super::{Cli, leveret, run};
use crate::harness::Broker;
use crate::raw::Client;
use crate::wait;

/// The words of each output line.
fn lines(text: &str) -> Vec<Vec<&str>> {
    text.lines().map(|line| line.split_whitespace().collect()).collect()
}

#[test]
fn what_is_declared_is_listed_and_what_is_deleted_is_not() {
    let broker = Broker::new();
    let cli = Cli::of(&broker);
    for words in [
        "declare vhost v --description Orders --tags a,b",
        "declare queue q --vhost v --type quorum --arguments {\"x-max-length\":5}",
        "declare queue t --vhost v --durable=false --auto-delete",
        "declare exchange x --type topic --vhost v",
        "declare exchange y --type fanout --vhost v --internal",
        "declare binding x q --key a.# --vhost v",
        "declare binding x y --to-exchange --vhost v --arguments {\"k\":1}",
        "declare user me --tags management,monitoring --new-password secret",
        "declare permission me --vhost v --configure ^me --write .* --read .*",
    ] {
        let words: Vec<_> = words.split(' ').collect();
        let done = cli.ctl(&words);
        assert!(done.out.starts_with("declared "), "{}", done.out);
    }
    let queues = cli.ctl(&["list", "queues", "--vhost", "v"]).out;
    assert_eq!(
        lines(&queues),
        [
            vec![
                "vhost",
                "name",
                "type",
                "durable",
                "ready",
                "unacked",
                "retrying",
                "consumers",
                "policy",
                "state"
            ],
            vec!["v", "q", "quorum", "yes", "0", "0", "0", "0", "running"],
            vec!["v", "t", "classic", "no", "0", "0", "0", "0", "running"],
        ]
    );
    let named = cli.ctl(&["list", "queues", "--name", "^t$", "--columns", "name,auto_delete"]).out;
    assert_eq!(lines(&named), [["name", "auto_delete"], ["t", "yes"]]);
    let bindings = cli.ctl(&["--json", "list", "bindings", "--vhost", "v"]).json();
    let own = bindings.as_array().expect("a list").iter().filter(|binding| binding["source"] == "x").count();
    assert_eq!(own, 2);
    let permissions = cli.ctl(&["list", "permissions", "--vhost", "v", "--sort", "user"]).out;
    assert_eq!(lines(&permissions)[2], ["v", "me", "^me", ".*", ".*"]);
    let user = cli.ctl(&["show", "user", "me", "--json"]).json();
    assert_eq!(user["tags"], json!(["management", "monitoring"]));
    assert!(cli.ctl(&["show", "vhost", "v"]).out.contains("Orders"));

    // Without a new password the old one is kept.
    let changed = cli.ctl(&["declare", "user", "me", "--tags", "administrator"]);
    assert!(changed.out.starts_with("updated user me"), "{}", changed.out);
    let me = cli.login("me", "secret");
    me.ctl(&["list", "users"]);
    for words in [
        "delete binding x y --to-exchange --vhost v --arguments {\"k\":1}",
        "delete queue t --vhost v --if-unused --if-empty",
        "delete exchange y --vhost v",
        "delete vhost v",
    ] {
        let words: Vec<_> = words.split(' ').collect();
        assert!(cli.ctl(&words).out.starts_with("deleted "));
    }
    cli.ctl(&["delete", "user", "me"]);
    cli.ctl(&["delete", "permission", "guest"]);
    assert_eq!(cli.ctl(&["list", "permissions", "--json"]).json(), json!([]));
    me.run(&["ctl", "list", "vhosts"]).failed(3, "login failed");
}

#[test]
fn messages_are_published_taken_and_purged() {
    let broker = Broker::new();
    let cli = Cli::of(&broker);
    cli.ctl(&["declare", "queue", "q"]);
    cli.ctl(&["publish", "q", "hello", "--properties", "{\"delivery_mode\":2}"]);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("body");
    fs::write(&file, [0xff, 0]).expect("write");
    cli.ctl(&["publish", "q", "--file", file.to_str().expect("UTF-8")]);
    let got = cli.ctl(&["get", "q", "--count", "5", "--json"]).json();
    assert_eq!((&got[0]["payload"], &got[0]["redelivered"]), (&json!("hello"), &json!(false)));
    assert_eq!((&got[1]["payload"], &got[1]["payload_encoding"]), (&json!("/wA="), &json!("base64")));
    let text = cli.ctl(&["get", "q", "--ack"]).out;
    assert!(text.contains("hello") && text.contains("delivery_mode=2"), "{text}");
    cli.ctl(&["publish", "q", "late"]);
    assert_eq!(cli.ctl(&["purge", "q"]).out, "purged q: 2 messages\n");
    assert_eq!(cli.ctl(&["purge", "q", "--json"]).json()["messages"], 0);
    assert_eq!(cli.ctl(&["get", "q", "--json"]).json(), json!([]));
    cli.run(&["ctl", "publish", "nowhere", "x"]).failed(1, "no queue took the message");
}

#[test]
fn a_message_is_explained_without_being_published() {
    let broker = Broker::new();
    let cli = Cli::of(&broker);
    for words in [
        "declare exchange events --type topic --arguments {\"alternate-exchange\":\"none\"}",
        "declare queue orders --arguments {\"x-max-length\":5}",
        "declare binding events orders --key order.#",
        "declare binding events orders --key *.deleted",
        "declare binding amq.headers orders --arguments {\"n\":1}",
    ] {
        cli.ctl(&words.split(' ').collect::<Vec<_>>());
    }
    let told = cli.ctl(&["explain", "events", "order.created"]).out;
    let wanted = "exchange 'events' (topic), published to: 1 of 2 bindings match
    + queue orders key 'order.#'  [order=order #=created]
    - queue orders key '*.deleted': word 2 of the pattern is 'deleted', the key has 'created' there
    alternate exchange 'none' does not exist
queue orders
    waits for a consumer
    is not written to disk, as the message is transient
The message is routed to 1 queue.
";
    assert_eq!(told, wanted);
    let queues = |value: &str| {
        let header = format!("n={value}");
        let told = cli.ctl(&["explain", "amq.headers", "--header", &header, "--json"]).json();
        told["queue_count"].clone()
    };
    assert_eq!((queues("1"), queues("\"1\""), queues("2")), (json!(1), json!(0), json!(0)));
    let nowhere = cli.ctl(&["explain", "events", "x", "--publisher", "guest"]).out;
    assert!(nowhere.contains("No queue receives the message"), "{nowhere}");
    let refused = cli.ctl(&["explain", "absent", "x"]).out;
    assert!(refused.contains("The publish is refused: no exchange 'absent' in vhost '/'"), "{refused}");
    assert_eq!(cli.ctl(&["get", "orders", "--json"]).json(), json!([]));
    cli.run(&["ctl", "explain", "events", "x", "--header", "n"]).failed(3, "name=value");
    cli.run(&["ctl", "explain", "events", "--vhost", "none"]).failed(1, "no such vhost");
}

#[test]
fn lint_fails_from_a_warning_on() {
    let broker = Broker::new();
    let cli = Cli::of(&broker);
    assert_eq!(cli.ctl(&["lint"]).out, "no findings\n");
    cli.ctl(&["declare", "queue", "q"]);
    let info = cli.ctl(&["lint"]).out;
    assert!(info.contains("info: A queue has no limit. (queue-without-limit, 1 found)"), "{info}");
    cli.ctl(&["declare", "queue", "dead", "--arguments", "{\"x-dead-letter-exchange\":\"none\"}"]);
    let found = cli.run(&["ctl", "lint"]);
    found.failed(1, "errors: 1, warnings: 0");
    assert!(found.out.contains("    queue dead in vhost /: 'none' does not exist\n"), "{}", found.out);
    let found = cli.run(&["ctl", "lint", "--json", "--vhost", "/"]);
    found.failed(1, "errors: 1, warnings: 0");
    assert_eq!(found.json()["counts"]["error"], 1);
    cli.run(&["ctl", "lint", "--vhost", "none"]).failed(1, "no such vhost");
}

#[test]
fn connections_are_listed_and_closed_and_the_status_counts_them() {
    let broker = Broker::new();
    let cli = Cli::of(&broker);
    let mut client = broker.client();
    client.declare("queue=q exclusive");
    let status = cli.ctl(&["status"]).out;
    assert!(
        status.contains("1 connections, 1 channels, 1 queues") && status.contains("amqp on 127.0.0.1"),
        "{status}"
    );
    assert_eq!(cli.ctl(&["status", "--json"]).json()["overview"]["product_name"], "Leveret");
    let connections = cli.ctl(&["list", "connections", "--json"]).json();
    let name = connections[0]["name"].as_str().expect("a name");
    assert!(cli.ctl(&["list", "channels"]).out.contains(&format!("{name} (1)")));
    cli.ctl(&["close", "connection", name, "--reason", "maintenance"]);
    client.connection_closes(320, "", "maintenance");
    cli.run(&["ctl", "close", "connection", "none"]).failed(1, "no such connection: none");
    wait::until("it is gone", || cli.ctl(&["list", "connections", "--json"]).json() == json!([]));
    cli.run(&["ctl", "close", "user", "guest"]).failed(1, "closed 0 connections: guest has none");
    cli.run(&["ctl", "close", "user", "gest"]).failed(1, "no such user: gest, did you mean \"guest\"?");

    let mut client = Client::start(broker.amqp, "");
    client.say(
        "0 connection.start-ok client_properties={connection_name:worker-7} mechanism=PLAIN \
         response=\"\\0guest\\0guest\" locale=en_US",
    );
    client.hear("0 connection.tune");
    client.say("0 connection.tune-ok channel_max=10 frame_max=131072 heartbeat=0");
    client.say("0 connection.open virtual_host=/");
    client.hear("0 connection.open-ok");
    client.open_channel(1);
    for pattern in ["worker-7", "^guest$", "127.0.0.1"] {
        let found = cli.ctl(&["list", "connections", "--name", pattern, "--json"]).json();
        assert_eq!(found.as_array().map(Vec::len), Some(1), "{pattern}");
    }
    assert!(cli.ctl(&["show", "connection", "worker-7"]).out.contains("worker-7"));
    cli.run(&["ctl", "show", "connection", "worker-8"]).failed(1, "did you mean \"worker-7\"?");
    cli.ctl(&["close", "connection", "worker-7"]);
    client.connection_closes(320, "", "closed by an operator with leveret ctl");
}

#[test]
fn columns_are_named_by_their_headings_too_and_unknown_ones_are_refused() {
    let broker = Broker::new();
    let cli = Cli::of(&broker);
    for (queue, messages) in [("few", 1), ("many", 3), ("none", 0)] {
        cli.ctl(&["declare", "queue", queue]);
        for _ in 0..messages {
            cli.ctl(&["publish", queue, "x"]);
        }
    }
    for column in ["ready", "messages_ready", "messages"] {
        let sorted = cli.ctl(&["list", "queues", "--sort", column, "--reverse"]).out;
        let names: Vec<_> = lines(&sorted)[1..].iter().map(|line| line[1].to_owned()).collect();
        assert_eq!(names, ["many", "few", "none"], "{column}");
    }
    let chosen = cli.ctl(&["list", "queues", "--columns", "name,ready", "--name", "few"]).out;
    assert_eq!(lines(&chosen)[1], ["few", "1"]);
    for (flag, column, hint) in [
        ("--sort", "bogus", "--sort: unknown column \"bogus\", known are: "),
        ("--columns", "name,mesages", "--columns: unknown column \"mesages\", did you mean \"messages\"?"),
        ("--sort", "message_stats.publsh", "unknown column"),
    ] {
        cli.run(&["ctl", "list", "queues", flag, column]).failed(3, hint);
        cli.run(&["ctl", "list", "queues", flag, column, "--json"]).failed(3, hint);
    }
    cli.ctl(&["list", "queues", "--columns", "name,arguments.x-any,message_stats.publish"]);
    cli.ctl(&["list", "limits", "--columns", "vhost,value"]);
}

#[test]
fn what_is_missing_is_said_with_what_was_meant() {
    let broker = Broker::new();
    let cli = Cli::of(&broker);
    cli.ctl(&["declare", "vhost", "payments"]);
    cli.ctl(&["declare", "permission", "guest", "--vhost", "payments"]);
    cli.ctl(&["declare", "queue", "pay.06", "--vhost", "payments"]);
    cli.ctl(&["declare", "queue", "orders"]);
    let elsewhere = "no such queue: pay.06 in vhost / (there is one in payments: --vhost payments)";
    for words in ["purge pay.06", "get pay.06", "delete queue pay.06", "show queue pay.06"] {
        let words: Vec<_> = ["ctl"].into_iter().chain(words.split(' ')).collect();
        cli.run(&words).failed(1, elsewhere);
    }
    cli.run(&["ctl", "purge", "oders"])
        .failed(1, "no such queue: oders in vhost /, did you mean \"orders\"?");
    cli.run(&["ctl", "show", "user", "gest"]).failed(1, "did you mean \"guest\"?");
    cli.run(&["ctl", "declare", "user", "x", "--tags", "adminstrator"])
        .failed(3, "--tags: unknown tag \"adminstrator\", did you mean \"administrator\"?");
    let made = cli.ctl(&["declare", "user", "x", "--tags", "monitoring"]).out;
    assert_eq!(made, "declared user x, which cannot log in without --new-password\n");
    let changed = cli.ctl(&["declare", "user", "x", "--new-password", "pw"]).out;
    assert_eq!(changed, "updated user x\n");
}

#[test]
fn what_cannot_be_had_again_is_deleted_only_if_agreed() {
    let broker = Broker::new();
    let cli = Cli::of(&broker);
    cli.ctl(&["declare", "vhost", "v"]);
    cli.ctl(&["declare", "permission", "guest", "--vhost", "v"]);
    for vhost in ["/", "v"] {
        cli.ctl(&["declare", "queue", "q", "--vhost", vhost]);
        cli.ctl(&["publish", "q", "x", "--vhost", vhost]);
    }
    cli.run(&["ctl", "delete", "queue", "q"]).failed(3, "Queue q holds 1 message. Delete it with them?");
    cli.run(&["ctl", "delete", "vhost", "v"]).failed(3, "--yes says yes");
    cli.run(&["ctl", "delete", "user", "guest"]).failed(3, "guest is the user of this command");
    cli.run(&["ctl", "delete", "queue", "q", "--if-empty"]).failed(1, "");
    assert_eq!(cli.ctl(&["delete", "queue", "q", "--yes"]).out, "deleted queue q: 1 message\n");
    cli.ctl(&["delete", "vhost", "v", "--yes"]);
    cli.ctl(&["declare", "queue", "empty"]);
    cli.ctl(&["delete", "queue", "empty"]);
    cli.ctl(&["delete", "user", "guest", "--yes"]);
    cli.run(&["ctl", "status"]).failed(3, "login failed");
}

#[test]
fn a_queue_is_shown_with_its_consumers_as_a_table() {
    let broker = Broker::new();
    let cli = Cli::of(&broker);
    let mut client = broker.client();
    client.declare("queue=q");
    client.ask("1 basic.qos prefetch_count=7", "1 basic.qos-ok");
    client.ask("1 basic.consume queue=q consumer_tag=mine", "1 basic.consume-ok");
    let shown = cli.ctl(&["show", "queue", "q"]).out;
    let below: Vec<_> = lines(&shown).into_iter().skip_while(|line| *line != ["consumer_details"]).collect();
    assert_eq!(below[1], ["consumer_tag", "channel", "user", "ack_required", "prefetch", "active"]);
    assert_eq!((below[2][0], &below[2][5..]), ("mine", &["guest", "yes", "7", "yes"][..]), "{shown}");
    assert!(cli.ctl(&["status"]).out.contains("iB, at least "));
}

#[test]
fn definitions_go_through_a_file() {
    let (one, two) = (Broker::new(), Broker::new());
    let (one, two) = (Cli::of(&one), Cli::of(&two));
    one.ctl(&["declare", "queue", "q"]);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("definitions.json");
    let file = file.to_str().expect("UTF-8");
    one.ctl(&["definitions", "export", file]);
    let dry = two.ctl(&["definitions", "import", file, "--dry-run"]).out;
    assert!(dry.contains("queues") && dry.contains("would be made"), "{dry}");
    assert_eq!(two.ctl(&["list", "queues", "--json"]).json(), json!([]));
    two.ctl(&["definitions", "import", file]);
    assert_eq!(two.ctl(&["list", "queues", "--json"]).json()[0]["name"], "q");
    let declared = two.ctl(&["definitions", "export", "--vhost", "/"]).json();
    assert_eq!(declared["queues"][0]["name"], "q");

    two.ctl(&["delete", "queue", "q"]);
    two.ctl(&["declare", "queue", "q", "--auto-delete"]);
    let refused = two.run(&["ctl", "definitions", "import", file]);
    refused.failed(1, "definitions: 1 refused");
    assert!(refused.out.contains("inequivalent arg"), "{}", refused.out);
    fs::write(file, "{").expect("write");
    two.run(&["ctl", "definitions", "import", file]).failed(3, "cannot read");
}

#[test]
fn exit_codes_tell_who_is_to_blame() {
    let broker = Broker::new();
    let cli = Cli::of(&broker);
    cli.run(&["ctl", "delete", "queue", "none"]).failed(1, "no such queue");
    cli.run(&["ctl", "show", "vhost", "none"]).failed(1, "no such vhost");
    cli.run(&["ctl", "declare", "queue", "q", "--arguments", "{"]).failed(3, "not JSON");
    cli.run(&["ctl", "list", "nonsense"]).failed(3, "possible values");
    cli.run(&["ctl", "list", "queues", "--name", "("]).failed(3, "--name");
    cli.login("guest", "wrong").run(&["ctl", "status"]).failed(3, "login failed");
    cli.login("nobody", "").run(&["ctl", "status", "--url", "amqp://x"]).failed(3, "must begin with http");
    cli.run(&["ctl", "status", "--url", "http://127.0.0.1:1"]).failed(3, "nobody listens there");
    cli.run(&["ctl", "status", "--url", "https://127.0.0.1:1", "--ca-file", "/nonexistent"])
        .failed(3, "--ca-file");
    cli.run(&["ctl", "status", "--url", "http://no-such-host.invalid:1"]).failed(3, "no such host");
    cli.run(&["ctl", "status", "--url", &format!("http://{}", broker.amqp)]).failed(3, "does not speak HTTP");
    cli.run(&["ctl", "status", "--url", &cli.url().replace("http:", "https:")])
        .failed(3, "does not speak TLS");
    let metrics = format!("http://{}", crate::management::listening(&broker, "metrics"));
    cli.run(&["ctl", "status", "--url", &metrics]).failed(3, "not as a management API does");
    cli.run(&["ctl", "declare", "permission", "guest", "--read", "("])
        .failed(1, "regular expression: unclosed group");
    cli.run(&["ctl", "declare", "policy", "p", "--pattern", "(", "--definition", "{\"max-length\":1}"])
        .failed(1, "Validation failed: pattern should be regular expression but is invalid: unclosed group");
    cli.ctl(&["declare", "user", "plain", "--tags", "management", "--new-password", "pw"]);
    cli.login("plain", "pw").run(&["ctl", "list", "users"]).failed(1, "Not administrator user");
}

#[test]
fn the_login_comes_from_flags_a_file_or_the_url() {
    let broker = Broker::new();
    let cli = Cli::of(&broker);
    cli.ctl(&["declare", "user", "me", "--tags", "monitoring", "--new-password", "p w"]);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("password");
    fs::write(&file, "p w\n").expect("write");
    let file = file.to_str().expect("UTF-8");
    let asked = |args: &[&str]| {
        let mut command = leveret();
        command.args(["ctl", "status"]).args(args);
        run(command)
    };
    let url = cli.url();
    asked(&["--url", url, "--user", "me", "--password", "p w"]).is(0);
    asked(&["--url", url, "--user", "me", "--password-file", file]).is(0);
    asked(&["--url", &url.replace("://", "://me:p%20w@")]).is(0);
    asked(&["--url", url]).is(0);
    asked(&["--url", url, "--user", "me"]).failed(3, "no terminal to ask at");
    asked(&["--url", url, "--user", "me", "--password-file", "/nonexistent"])
        .failed(3, "cannot read the password");
    let help = run({
        let mut command = leveret();
        command.args(["ctl", "--help"]).env("LEVERET_PASSWORD", "s3cret");
        command
    })
    .is(0);
    assert!(help.out.contains("Exit codes: 0 done") && !help.out.contains("s3cret"), "{}", help.out);
}
