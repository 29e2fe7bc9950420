//! Topology files: plan, apply, export, and declaration at startup, with real files and a real broker.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::json;
use tempfile::TempDir;

use super::{Cli, run};
use crate::harness::{Broker, serve};
use crate::management::{Http, listening};
use crate::wait;

/// A folder with one file.
pub(crate) struct File {
    folder: TempDir,
    path: PathBuf,
}

impl File {
    pub(crate) fn new(name: &str, text: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(name);
        fs::write(&path, text).expect("write");
        Self { folder, path }
    }

    pub(super) fn write(&self, text: &str) {
        fs::write(&self.path, text).expect("write");
    }

    pub(crate) fn as_str(&self) -> &str {
        self.path.to_str().expect("UTF-8")
    }
}

const SHOP: &str = "users:
  shop: {password: {env: SHOP_PASSWORD}, permissions: {shop: all}, limits: {max-channels: 10}}
vhosts:
  shop:
    description: Shop
    limits: {max-queues: 100}
    exchanges: {events: topic, later: {type: x-delayed-message, delayed-type: direct}, passing: {type: fanout, durable: false}}
    queues: {orders: quorum, mail: {message-ttl: 1h}, passing: {durable: false}}
    bindings:
      events -> orders: [order.*, paid]
      events -> exchange passing: '#'
      passing -> passing: ''
    topic_permissions: {shop: {events: {write: ^order, read: .*}}}
    policies: {short: {pattern: ^mail, apply-to: queues, definition: {max-length: 5}}}
    operator_policies: {bounded: {pattern: .*, apply-to: queues, definition: {max-length: 100000}}}
  safe:
    default_queue_type: quorum
    queues: {plain: , old: classic}
";

fn with_secret(cli: &Cli, args: &[&str]) -> super::Ended {
    let mut command = cli.command(args);
    command.env("SHOP_PASSWORD", "s3cret");
    run(command)
}

#[test]
fn a_plan_is_applied_and_then_nothing_differs() {
    let broker = Broker::new();
    let (cli, file) = (Cli::of(&broker), File::new("shop.yaml", SHOP));
    let plan = with_secret(&cli, &["plan", file.as_str()]).is(2);
    assert!(
        plan.out.contains("+ queue orders") && plan.out.contains("21 to create, 0 to change"),
        "{}",
        plan.out
    );
    assert!(!plan.out.contains("s3cret") && !plan.out.contains('\u{1b}'), "{}", plan.out);
    with_secret(&cli, &["apply", file.as_str()]).failed(3, "--yes says yes");
    assert_eq!(cli.ctl(&["list", "queues", "--json"]).json(), json!([]), "nothing was asked of the broker");
    let applied = with_secret(&cli, &["apply", "--yes", file.as_str()]).is(0);
    assert!(applied.out.ends_with("applied\n"), "{}", applied.out);
    let plan = with_secret(&cli, &["plan", file.as_str(), "--json", "--prune"]).is(0);
    assert_eq!(plan.json()["steps"], json!([]), "{}", plan.out);
    with_secret(&cli, &["apply", "--yes", file.as_str()]).is(0);
    let shop = cli.login("shop", "s3cret");
    assert_eq!(Http::of(&broker).get("/api/users/shop").json["limits"], json!({ "max-channels": 10 }));
    shop.run(&["ctl", "status"]).failed(1, "Not management user");
    let http = Http::of(&broker);
    assert_eq!(http.get("/api/queues/shop/orders").is(200).json["type"], "quorum");
    assert_eq!(http.get("/api/queues/shop/mail").json["arguments"]["x-message-ttl"], 3_600_000);
    assert_eq!(http.get("/api/vhosts/shop").json["description"], "Shop");
    assert_eq!(http.get("/api/queues/shop/mail").json["policy"], "short");
    assert_eq!(http.get("/api/queues/safe/plain").json["type"], "quorum");
    assert_eq!(http.get("/api/queues/safe/old").json["type"], "classic");
    file.write(&SHOP.replace("max-length: 5}", "max-length: 6}").replace("bounded:", "tight:"));
    let plan = with_secret(&cli, &["plan", "--prune", file.as_str()]).is(2);
    assert!(
        plan.out.contains("~ policy short") && plan.out.contains("- operator policy bounded"),
        "{}",
        plan.out
    );
    with_secret(&cli, &["apply", "--yes", "--prune", file.as_str()]).is(0);
    with_secret(&cli, &["plan", "--prune", file.as_str()]).is(0);
}

#[test]
fn what_is_exported_says_all_and_differs_in_nothing() {
    let (one, two) = (Broker::new(), Broker::new());
    let (one, two) = (Cli::of(&one), Cli::of(&two));
    let file = File::new("shop.yaml", SHOP);
    with_secret(&one, &["apply", "--yes", file.as_str()]).is(0);
    let out = file.folder.path().join("out.yaml");
    let out = out.to_str().expect("UTF-8");
    one.run(&["export", "--all", out]).is(0);
    one.run(&["plan", out, "--prune", "--prune-vhosts"]).is(0);
    // Another broker accepts all of it, including users with their passwords.
    two.run(&["apply", "--yes", out]).is(0);
    two.run(&["plan", out, "--prune", "--prune-vhosts"]).is(0);
    two.login("shop", "s3cret").run(&["ctl", "status"]).failed(1, "Not management user");
    let from = two.run(&["export", "--all", "--from", one.url()]).is(0);
    assert_eq!(from.out, fs::read_to_string(out).expect("read"));
    // Without --all, transient objects are omitted, with their bindings.
    let lasting = one.run(&["export", "--vhost", "shop"]).is(0).out;
    assert!(!lasting.contains("passing") && lasting.contains("orders: quorum"), "{lasting}");
    one.run(&["export", "--vhost", "none"]).failed(1, "no vhost 'none'");
}

#[test]
fn a_conflict_keeps_everything_as_it_is_until_it_is_skipped() {
    let broker = Broker::new();
    let cli = Cli::of(&broker);
    cli.ctl(&["declare", "queue", "q", "--arguments", "{\"x-max-length\":5}"]);
    let file = File::new("t.yaml", "queues:\n  new:\n  q: {max-length: 6}\n");
    let plan = cli.run(&["plan", file.as_str()]).is(2);
    assert!(
        plan.out.contains("* queue q") && plan.out.contains("arguments.x-max-length: 5 -> 6"),
        "{}",
        plan.out
    );
    assert!(plan.out.contains(&format!("({}:3)", file.as_str())), "{}", plan.out);
    cli.run(&["apply", "--yes", file.as_str()]).failed(1, "nothing was changed: 1 conflicts");
    assert_eq!(cli.ctl(&["list", "queues", "--json"]).json().as_array().map(Vec::len), Some(1));
    cli.run(&["apply", "--yes", "--skip-conflicts", file.as_str()]).is(1);
    assert_eq!(cli.ctl(&["list", "queues", "--json"]).json().as_array().map(Vec::len), Some(2));
    // If the broker refuses one object, everything is refused.
    file.write("queues:\n  another:\nexchanges:\n  bad: x-no-such-type\n");
    cli.run(&["apply", "--yes", file.as_str()]).failed(1, "x-no-such-type");
    cli.run(&["ctl", "show", "queue", "another"]).failed(1, "no such queue");
}

#[test]
fn pruning_deletes_what_nobody_needs_and_asks_for_force_before_the_rest() {
    let broker = Broker::new();
    let cli = Cli::of(&broker);
    let all = File::new(
        "all.yaml",
        "exchanges: {x: fanout, y: topic}\nqueues: {full: , empty: , kept: }\nbindings: {x -> kept: a, y -> empty: b}\n",
    );
    cli.run(&["apply", "--yes", all.as_str()]).is(0);
    cli.ctl(&["publish", "full", "message"]);
    let mut client = broker.client();
    client.declare("queue=mine auto_delete");
    let some = File::new("some.yaml", "exchanges: {x: fanout}\nqueues: {kept: }\n");
    cli.run(&["plan", some.as_str()]).is(0);
    let plan = cli.run(&["plan", "--prune", some.as_str()]).is(2);
    assert!(plan.out.contains("- queue full") && plan.out.contains("1 messages"), "{}", plan.out);
    assert!(!plan.out.contains("mine") && !plan.out.contains("guest"), "{}", plan.out);
    cli.run(&["apply", "--yes", "--prune", some.as_str()])
        .failed(1, "nothing was changed: 1 conflicts, migrations or guarded");
    assert!(cli.ctl(&["list", "queues"]).out.contains("empty"));
    cli.run(&["apply", "--yes", "--prune", "--force", some.as_str()]).is(0);
    let names = cli.ctl(&["list", "queues", "--columns", "name"]).out;
    assert_eq!(names.lines().map(str::trim).collect::<Vec<_>>(), ["name", "kept", "mine"]);
    let bindings = cli.ctl(&["list", "bindings", "--columns", "source"]).out;
    assert!(!bindings.contains('x') && !bindings.contains('y'), "{bindings}");
    cli.run(&["plan", "--prune", some.as_str()]).is(0);
}

#[test]
fn a_plan_that_is_not_true_any_more_is_not_applied() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    let topology = json!({ "vhosts": [{ "name": "/" }], "queues": [{ "vhost": "/", "name": "q" }] });
    let plan = http.post("/api/topology/plan", &json!({ "topology": topology })).is(200).json;
    assert_eq!((&plan["create"], &plan["steps"][0]["kind"]), (&json!(1), &json!("queue")));
    http.put("/api/queues/%2F/q", &json!({})).is(201);
    let agreed = json!({ "topology": topology, "digest": plan["digest"] });
    http.post("/api/topology/apply", &agreed).refused(409, "conflict", "the broker has changed");
    http.post("/api/topology/plan", &json!({})).refused(400, "bad_request", "topology");
    http.post("/api/topology/plan", &json!({ "topology": { "queues": [{}] } })).refused(
        400,
        "bad_request",
        "a queue",
    );
    let other = http.user("other", "monitoring");
    for path in ["plan", "apply"] {
        let answer = other.post(&format!("/api/topology/{path}"), &json!({ "topology": {} }));
        answer.refused(401, "not_authorised", "Not administrator user");
    }
    other.get("/api/topology/drift").refused(401, "not_authorised", "Not administrator user");
}

#[test]
fn the_declared_topology_is_there_before_the_first_client_and_what_changes_by_hand_is_seen() {
    let file = File::new("t.yaml", "queues: {q: , r: }\nexchanges: {x: topic}\nbindings: {x -> q: a}\n");
    let mut broker = Broker::with(&["--topology", file.as_str()]);
    let mut client = broker.client();
    client.confirms();
    client.publish_confirmed("exchange=x routing_key=a", "delivery_mode=2", "m");
    assert_eq!(client.counts("q"), (1, 0));
    let http = Http::of(&broker);
    let drift = http.get("/api/topology/drift").is(200).json;
    assert_eq!((&drift["declared"], &drift["drift"]), (&json!(true), &json!(0)));
    let metrics = || Http::at(listening(&broker, "metrics")).get("/metrics").text;
    assert!(metrics().contains("leveret_topology_drift 0"));
    http.delete("/api/queues/%2F/r").is(204);
    let drift = http.get("/api/topology/drift").json;
    assert_eq!((&drift["drift"], &drift["steps"][0]["name"]), (&json!(1), &json!("r")));
    assert_eq!(drift["steps"][0]["place"], format!("{}:1", file.as_str()));
    assert!(metrics().contains("leveret_topology_drift 1"));

    // A reload restores it, by the file's current contents; a broken file changes nothing.
    file.write("queues: {q: , r: , s: }\nexchanges: {x: topic}\nbindings: {x -> q: a}\n");
    broker.signal(rustix::process::Signal::HUP);
    wait::until("the reload makes the queues", || http.get("/api/queues/%2F/s").status == 200);
    http.get("/api/queues/%2F/r").is(200);
    file.write("queues: {q: , r: , s: , t: \n");
    broker.signal(rustix::process::Signal::HUP);
    wait::until("the log names the line", || broker.log().contains("t.yaml:1: not YAML"));
    http.get("/api/queues/%2F/t").is(404);

    // Drift that cannot be fixed in place is reported, and does not prevent the start.
    file.write("queues: {q: {max-length: 5}, u: }\n");
    broker.kill();
    broker.start_again();
    assert!(broker.log().contains("t.yaml:1: queue q in vhost /: it is there already"), "{}", broker.log());
    let http = Http::of(&broker);
    http.get("/api/queues/%2F/u").is(200);
    assert_eq!(http.get("/api/queues/%2F/q").json["messages"], 1);
}

#[test]
fn what_only_the_broker_can_refuse_is_told_with_its_line() {
    let broker = Broker::new();
    let cli = Cli::of(&broker);
    for (text, words) in [
        ("queues:\n  a:\n  q: {type: foo}\n", "t.yaml:3: queue q in vhost /: invalid arg 'x-queue-type'"),
        (
            "exchanges:\n  x: {alternate-exchange: y, type: nonsense}\n",
            "t.yaml:2: exchange x in vhost /: unknown exchange type",
        ),
        (
            "queues:\n  q:\nbindings:\n  - {source: amq.headers, destination: q, arguments: {x-match: some}}\n",
            "t.yaml:4: binding amq.headers -> q",
        ),
        (
            "policies:\n  p:\n    pattern: (\n    definition: {max-length: 5}\n",
            "t.yaml:2: policy p in vhost /: ",
        ),
        (
            "permissions:\n  guest: {configure: '(', write: a, read: b}\n",
            "t.yaml:2: permission of guest in vhost /: ",
        ),
        ("queues:\n  q: {type: foo, durable: false}\n", "t.yaml:2: queue q in vhost /: "),
        (
            "users:\n  u:\n    tags: [\"a,b\"]\nvhosts:\n  v: {default_queue_type: foo}\n",
            "t.yaml:5: vhost v: ",
        ),
    ] {
        let file = File::new("t.yaml", text);
        let refused = cli.run(&["apply", "--yes", file.as_str()]);
        refused.failed(1, words);
    }
}

#[test]
fn a_broken_file_stops_the_start_with_file_line_and_reason() {
    for (text, words) in [
        (
            "queues:\n  a: {max-lenght: 5}\n",
            "t.yaml:2: queues.a: unknown key \"max-lenght\", did you mean \"max-length\"?",
        ),
        (
            "users:\n  u:\n    password: {env: LEVERET_NO_SUCH}\n",
            "t.yaml:3: users.u.password: the environment variable",
        ),
        ("exchanges:\n  x: nonsense\n", "t.yaml:2: exchange x in vhost /: unknown exchange type 'nonsense'"),
    ] {
        let file = File::new("t.yaml", text);
        let mut command = serve(&file.folder.path().join("data"));
        command.args(["--amqp-listen", "127.0.0.1:0", "--topology", file.as_str()]);
        command.stderr(Stdio::piped());
        run(command).failed(1, words);
    }
}

#[test]
fn a_file_that_cannot_be_read_is_told_before_anything_is_asked() {
    let broker = Broker::new();
    let cli = Cli::of(&broker);
    let file = File::new("t.yaml", "queues:\n  a:\n  b: {x: 1}\n");
    cli.run(&["plan", file.as_str()]).failed(3, &format!("{}:3: queues.b: unknown key \"x\"", file.as_str()));
    cli.run(&["plan", "/nonexistent.yaml"]).failed(3, "cannot be read");
    cli.run(&["plan", file.as_str(), "--url", "http://127.0.0.1:1"]).failed(3, "unknown key");
    let empty = File::new("t.yaml", "");
    cli.run(&["plan", empty.as_str(), "--url", "http://127.0.0.1:1"]).failed(3, "nobody listens there");
}

/// Many objects: queues, and as many bindings to them.
fn large(queues: usize) -> String {
    let mut text = "exchanges: {x: topic}\nqueues:\n".to_owned();
    text.extend((1..=queues).map(|n| format!("  q{n}: {{max-length: {n}}}\n")));
    text.push_str("bindings:\n");
    text.extend((1..=queues).map(|n| format!("  x -> q{n}: key.{n}\n")));
    text
}

/// One rule of each kind, as in definitions: created with the queues, or not at all.
const RULES: &str = "users: {u: {tags: [management]}}
permissions: {u: all}
topic_permissions: {u: {x: {write: a, read: b}}}
policies: {p: {pattern: ^no, definition: {max-length: 5}}}
operator_policies: {o: {pattern: ^no, definition: {max-length: 6}}}
limits: {max-queues: 1000}
";

#[test]
fn an_apply_that_the_broker_does_not_survive_is_finished_by_the_next() {
    let file = File::new("t.yaml", &(large(400) + RULES));
    let mut broker = Broker::new();
    // At a different moment each time: before, during, and after the commit.
    for pause in 0..8_u32 {
        let cli = Cli::of(&broker);
        let mut command: Command = cli.command(&["apply", "--yes", file.as_str()]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the binary");
        let mut polls = 0;
        wait::until("it is time, or the apply has ended", || {
            polls += 1;
            polls > pause * 8 || child.try_wait().expect("wait").is_some()
        });
        broker.kill();
        drop(child.wait());
        broker.start_again();
        let definitions = Http::of(&broker).get("/api/definitions").is(200).json;
        let count = |kind: &str| {
            let list = definitions[kind].as_array().expect("a list");
            list.iter().filter(|object| object.get("user").is_none_or(|user| user == "u")).count()
        };
        let kinds = ["queues", "bindings", "permissions", "topic_permissions", "policies", "parameters"];
        let counts = kinds.map(count);
        assert!([[0; 6], [400, 400, 1, 1, 1, 2]].contains(&counts), "all or nothing, not {counts:?}");
        let cli = Cli::of(&broker);
        cli.run(&["apply", "--yes", file.as_str()]).is(0);
        cli.run(&["plan", "--prune", file.as_str()]).is(0);
        let none = File::new("none.yaml", "users: {}\npermissions: {}\nqueues: {}\n");
        cli.run(&["apply", "--yes", "--prune", none.as_str()]).is(0);
    }
}

#[test]
fn two_thousand_objects_are_one_commit() {
    let broker = Broker::new();
    let (cli, file) = (Cli::of(&broker), File::new("t.yaml", &large(1000)));
    let (_, took) = wait::time(|| cli.run(&["apply", "--yes", file.as_str()]).is(0));
    println!("2,001 objects took {took:?}");
    let plan = cli.run(&["plan", "--prune", "--json", file.as_str()]).is(0).json();
    assert_eq!(plan["unchanged"], 2002);
}
