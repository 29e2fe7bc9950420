//! Files of the broker and its tools are readable by their user only: messages, names, password hashes.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::json;
use tempfile::TempDir;

use crate::cli::Cli;
use crate::cli::rabbitmq::Tools;
use crate::harness::Broker;
use crate::management::Http;
use crate::wait;

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).expect("it is there").permissions().mode() & 0o7777
}

/// All files of a folder, checked to be inaccessible to others.
#[track_caller]
fn is_private(folder: &Path, found: &mut Vec<PathBuf>) {
    assert_eq!(mode(folder), 0o700, "{}", folder.display());
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        // sled creates and deletes files.
        let Ok(meta) = fs::symlink_metadata(&path) else { continue };
        if meta.is_dir() {
            is_private(&path, found);
        } else {
            assert_eq!(meta.permissions().mode() & 0o7777, 0o600, "{}", path.display());
        }
        found.push(path);
    }
}

#[track_caller]
fn data_is_private(broker: &Broker, wanted: &[&str]) {
    let mut found = Vec::new();
    is_private(&broker.data(), &mut found);
    for name in wanted {
        let there =
            found.iter().any(|path| path.strip_prefix(broker.data()).is_ok_and(|at| at == Path::new(name)));
        assert!(there, "{name} in {found:?}");
    }
}

#[test]
fn all_that_a_broker_writes_is_for_its_user_alone() {
    let mut broker = Broker::prepared(|data| {
        // As created by an earlier version or a packager.
        fs::create_dir(data).expect("the folder");
        fs::write(data.join("FORMAT"), "1\n").expect("a file");
        fs::set_permissions(data, fs::Permissions::from_mode(0o755)).expect("wide");
        fs::set_permissions(data.join("FORMAT"), fs::Permissions::from_mode(0o644)).expect("wide");
    });
    let http = Http::of(&broker);
    http.put("/api/users/ann", &json!({ "password": "secret", "tags": "administrator" })).is(201);
    http.post("/api/login", &json!({ "username": "ann", "password": "secret" }));
    let mut c = broker.client();
    c.declare("queue=q durable");
    c.confirms();
    for n in 0..10 {
        c.publish_confirmed("routing_key=q", "delivery_mode=2", n.to_string());
    }
    c.ask("basic.get queue=q", "basic.get-ok");
    let data = broker.data();
    wait::until("a snapshot is written", || data.join("definitions.snapshot.json").exists());
    wait::until("room is kept", || data.join("reserve").exists());
    let wanted = [
        "FORMAT",
        "LOCK",
        "leveret.sock",
        "reserve",
        "definitions.snapshot.json",
        "definitions/db",
        "index/db",
        "log/synced",
        "log/served",
        "node-names",
    ];
    data_is_private(&broker, &wanted);

    // Files that are recreated.
    broker.kill();
    fs::write(data.join("index/db"), "nonsense").expect("a file");
    fs::remove_file(data.join("definitions.snapshot.json")).expect("a file");
    broker.start_again();
    wait::until("a snapshot is written", || data.join("definitions.snapshot.json").exists());
    data_is_private(&broker, &wanted);
    assert!(broker.stop().success());
    data_is_private(&broker, &wanted[4..8]);
}

#[test]
fn exports_are_for_their_owner_alone() {
    let broker = Broker::new();
    let folder = TempDir::new().expect("a folder");
    let file = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    let cli = Cli::of(&broker);
    cli.ctl(&["definitions", "export", &file("ctl")]);
    cli.run(&["export", "--all", &file("topology")]).is(0);
    let port = cli.url().rsplit(':').next().expect("a port").to_owned();
    let tools = Tools::of(broker);
    tools.done(&format!("rabbitmqctl export_definitions {}", file("rabbitmqctl")));
    tools.done(&format!("rabbitmqadmin -P {port} export {}", file("rabbitmqadmin")));
    tools.done("rabbitmq-plugins enable rabbitmq_management");
    for name in ["ctl", "topology", "rabbitmqctl", "rabbitmqadmin"] {
        assert_eq!(mode(Path::new(&file(name))), 0o600, "{name}");
    }
    is_private(&tools.broker.data(), &mut Vec::new());
}
