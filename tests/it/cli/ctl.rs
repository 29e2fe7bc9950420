//! `leveret ctl`: each command's effect, its output for scripts, and its exit codes.

use std::fs;

use serde_json::json;

use super::{Cli, leveret, run};
use crate::harness::Broker;

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
    cli.ctl(&["purge", "q"]);
    assert_eq!(cli.ctl(&["get", "q", "--json"]).json(), json!([]));
    cli.run(&["ctl", "publish", "nowhere", "x"]).failed(1, "no queue took the message");
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
    cli.run(&["ctl", "close", "connection", "none"]).failed(1, "no such connection");
    cli.ctl(&["close", "user", "guest"]);
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
    refused.failed(1, "1 definitions were not taken");
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
