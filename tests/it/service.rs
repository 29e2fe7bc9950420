//! The binary as a service: systemd notifications, health, its first user, and packaging.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Output};

use serde_json::Value;

use crate::harness::{Broker, serve};
use crate::management::{Http, listening};
use crate::wait;

fn leveret(args: &[&str]) -> Output {
    crate::cli::leveret().args(args).output().expect("the broker's binary")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn systemd_is_told_when_it_is_ready_alive_and_stopping() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket.set_read_timeout(Some(wait::LIMIT)).expect("a timeout");
    let told = || {
        let mut buffer = [0; 64];
        let count = socket.recv(&mut buffer).expect("a word in time");
        text(&buffer[..count])
    };
    let mut command = serve(&folder.path().join("data"));
    command.args(["--amqp-listen", "127.0.0.1:0"]).env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "100000");
    let mut broker = command.spawn().expect("the broker's binary");
    assert_eq!(told(), "READY=1");
    assert_eq!(told(), "WATCHDOG=1");
    assert_eq!(told(), "WATCHDOG=1");
    let pid = i32::try_from(broker.id()).ok().and_then(rustix::process::Pid::from_raw).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("signal");
    wait::until("it says that it stops", || told() == "STOPPING=1");
    assert!(broker.wait().expect("wait").success());
}

#[test]
fn the_journal_is_told_the_rank_of_a_line_and_not_the_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = fs::File::create(folder.path().join("log")).expect("a log");
    let stat = rustix::fs::fstat(&log).expect("its number");
    let mut command = serve(&folder.path().join("data"));
    command.args(["--amqp-listen", "127.0.0.1:0"]).env("LEVERET_HARTBEAT", "5").stderr(log);
    command.env("JOURNAL_STREAM", format!("{}:{}", stat.st_dev, stat.st_ino));
    let mut broker = command.spawn().expect("the broker's binary");
    let said = || fs::read_to_string(folder.path().join("log")).expect("a log");
    wait::until("it serves", || said().contains("amqp listening on"));
    drop((broker.kill(), broker.wait()));
    for (rank, words) in [("<4> WARN ", "LEVERET_HARTBEAT"), ("<6> INFO ", "amqp listening on")] {
        assert!(said().lines().any(|line| line.starts_with(rank) && line.contains(words)), "{}", said());
    }
}

#[test]
fn healthcheck_says_by_its_exit_code_whether_the_broker_is_in_service() {
    let mut broker = Broker::new();
    let http = listening(&broker, "http").to_string();
    let check = || leveret(&["healthcheck", "--http-listen", &http]);
    let output = check();
    assert!(output.status.success(), "{}", text(&output.stderr));
    broker.stop();
    let output = check();
    assert!(!output.status.success());
    assert!(text(&output.stderr).contains("does not answer"), "{}", text(&output.stderr));
}

#[test]
fn a_first_start_makes_the_user_that_was_asked_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let password = folder.path().join("password");
    fs::write(&password, "s3cret-first\n").expect("a file");
    let file = password.to_str().expect("UTF-8");
    let options = ["--log-level", "trace", "--admin-user", "me", "--admin-password-file", file];
    let broker = Broker::with(&options);
    let http = Http::of(&broker);
    http.get("/api/whoami").is(401);
    let me = http.login("me", "s3cret-first").get("/api/whoami").is(200);
    assert_eq!((&me.json["name"], &me.json["tags"]), (&"me".into(), &serde_json::json!(["administrator"])));
    assert!(!broker.log().contains("s3cret-first"));
    let shown = leveret(&["config", "show", "--admin-password", "s3cret-flag"]);
    let shown = text(&shown.stdout);
    assert!(shown.contains("admin_password = \"(secret)\"") && !shown.contains("s3cret"), "{shown}");
    let refused = leveret(&["check-config", "--admin-user", "me"]);
    assert!(text(&refused.stderr).contains("admin_password"));
}

#[test]
fn the_version_says_what_the_binary_was_built_from() {
    let version = text(&leveret(&["--version"]).stdout);
    for part in
        [concat!("leveret ", env!("CARGO_PKG_VERSION"), "\n"), "\ncommit: ", "\ntarget: ", "\nfeatures: "]
    {
        assert!(version.contains(part), "{part:?} in {version:?}");
    }
    let short = text(&leveret(&["-V"]).stdout);
    assert_eq!(short, concat!("leveret ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn completions_and_man_pages_know_the_commands() {
    for (shell, words) in
        [("bash", "_leveret()"), ("zsh", "#compdef leveret"), ("fish", "complete -c leveret")]
    {
        let script = text(&leveret(&["completions", shell]).stdout);
        assert!(script.contains(words) && script.contains("check-config"), "{shell}");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let script = folder.path().join("leveret.bash");
    fs::write(&script, leveret(&["completions", "bash"]).stdout).expect("written");
    let parsed = Command::new("bash").arg("-n").arg(&script).output().expect("bash");
    assert!(parsed.status.success() && parsed.stderr.is_empty(), "{}", text(&parsed.stderr));
    let path = folder.path().to_str().expect("UTF-8");
    assert!(leveret(&["man", path]).status.success());
    for (page, words) in [("leveret.1", "check\\-config"), ("leveret-serve.1", "data\\-dir")] {
        let page = fs::read_to_string(folder.path().join(page)).expect(page);
        assert!(page.starts_with(".ie") && page.contains(words), "{page}");
    }
}

/// Metric names in an expression: words with our prefixes.
fn metrics_in(expression: &str) -> impl Iterator<Item = &str> {
    let words = expression.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words.filter(|word| word.starts_with("rabbitmq_") || word.starts_with("leveret_"))
}

#[test]
fn every_metric_of_the_grafana_dashboard_is_there() {
    let broker = Broker::new();
    let scraped = Http::at(listening(&broker, "metrics")).get("/metrics").is(200).text;
    let dashboard: Value =
        serde_json::from_str(include_str!("../../packaging/grafana/leveret.json")).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let mut names: Vec<_> =
        targets.flat_map(|target| metrics_in(target["expr"].as_str().expect("an expression"))).collect();
    names.sort_unstable();
    names.dedup();
    assert!(names.len() > 20, "{names:?}");
    for name in names {
        let there = scraped
            .lines()
            .any(|line| line.starts_with(&format!("{name} ")) || line.starts_with(&format!("{name}{{")));
        assert!(there, "{name} is not a metric");
    }
}

#[test]
fn packaged_configuration_is_right() {
    let folder = tempfile::tempdir().expect("a folder");
    let manifests = include_str!("../../packaging/kubernetes/leveret.yaml");
    let (_, rest) = manifests.split_once("leveret.toml: |\n").expect("the file in the manifest");
    let lines = rest.lines().take_while(|line| line.starts_with("    ")).map(str::trim);
    let kubernetes = lines.collect::<Vec<_>>().join("\n");
    for (name, text) in
        [("k8s", kubernetes.as_str()), ("deb", include_str!("../../packaging/debian/leveret.toml"))]
    {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("a file");
        let output = leveret(&["check-config", "--config", path.to_str().expect("UTF-8")]);
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn variables_that_packages_set_are_settings() {
    let all = text(&leveret(&["serve", "--help"]).stdout);
    for file in [
        include_str!("../../packaging/docker/Dockerfile"),
        include_str!("../../packaging/kubernetes/leveret.yaml"),
    ] {
        let words = file.split(|c: char| !(c.is_ascii_uppercase() || c == '_'));
        let variables = words.filter(|word| word.starts_with("LEVERET_"));
        for name in variables.filter(|name| !["LEVERET_COMMIT", "LEVERET_PORT"].contains(name)) {
            assert!(all.contains(&format!("[env: {name}]")), "{name}");
        }
    }
}
