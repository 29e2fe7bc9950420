//! A real broker's configuration: check, show, reload.

use std::fs;
use std::path::Path;
use std::process::Output;

use leveret::cli::config::KEYS;
use leveret::cli::config::table::{Change, Key};
use rustix::process::Signal;

use crate::harness::Broker;
use crate::wait;

fn leveret(args: &[&str], env: &[(&str, &str)]) -> Output {
    let mut command = crate::cli::leveret();
    command.args(args).envs(env.iter().copied()).output().expect("the broker's binary")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

fn file(folder: &Path, text: &str) -> String {
    let path = folder.join("leveret.toml");
    fs::write(&path, text).expect("a file");
    path.to_str().expect("UTF-8").to_owned()
}

#[test]
fn a_wrong_file_stops_the_start_and_the_check_with_line_and_column() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = file(folder.path(), "heartbeat = 5\nhartbeat = 6\nchannel_max = \"many\"\n");
    for command in ["check-config", "serve"] {
        let output = leveret(&[command, "--config", &config], &[]);
        assert!(!output.status.success());
        let error = text(&output.stderr);
        assert!(
            error.contains("leveret.toml:2:1: unknown key \"hartbeat\"; did you mean \"heartbeat\"?"),
            "{error}"
        );
        assert!(error.contains("leveret.toml:3:15: channel_max: expected a whole number"), "{error}");
    }
    let config = file(folder.path(), "heartbeat = 5\n");
    assert!(leveret(&["check-config", "--config", &config], &[]).status.success());
}

#[test]
fn a_misspelt_variable_is_a_warning_at_the_start_and_an_error_of_the_check() {
    let misspelt =
        [("LEVERET_HARTBEAT", "5"), ("LEVERET_SERVICE_HOST", "10.0.0.1"), ("LEVERET_URL", "http://h")];
    let check = leveret(&["check-config"], &misspelt);
    assert!(!check.status.success());
    assert_eq!(
        text(&check.stderr),
        "leveret: LEVERET_HARTBEAT: nothing is called so; did you mean LEVERET_HEARTBEAT?\n"
    );
    let folder = tempfile::tempdir().expect("a folder");
    let mut serve = crate::harness::serve(&folder.path().join("data"));
    let log = folder.path().join("log");
    serve.args(["--amqp-listen", "127.0.0.1:0"]).env("LEVERET_HARTBEAT", "5");
    let mut child = serve.stderr(fs::File::create(&log).expect("a log")).spawn().expect("the broker");
    let said = || fs::read_to_string(&log).expect("a log");
    wait::until("it serves", || said().contains("amqp listening on"));
    drop((child.kill(), child.wait()));
    assert!(said().contains("LEVERET_HARTBEAT: nothing is called so"), "{}", said());
}

#[test]
fn config_show_tells_where_each_value_comes_from() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = file(folder.path(), "# first\nheartbeat = 5\nchannel_max = 7\n");
    let args = ["config", "show", "--config", &config, "--frame-max", "8192"];
    let env = [("LEVERET_CHANNEL_MAX", "9"), ("LEVERET_UI_DIR", "")];
    let shown = text(&leveret(&args, &env).stdout);
    let line = |key: &str| shown.lines().find(|line| line.contains(key)).expect(key).to_owned();
    assert!(line("heartbeat").starts_with("heartbeat = 5 "), "{shown}");
    assert!(line("heartbeat").ends_with("leveret.toml:2"), "{shown}");
    assert!(line("channel_max").ends_with("# LEVERET_CHANNEL_MAX"), "{shown}");
    assert!(line("frame_max").ends_with("# --frame-max"), "{shown}");
    assert!(line("amqp_listen").ends_with("# default"), "{shown}");
    assert!(line("ui_dir").starts_with("# ui_dir is not set"), "{shown}");

    let json = leveret(&[&args[..], &["--json"]].concat(), &env);
    let keys: serde_json::Value = serde_json::from_slice(&json.stdout).expect("JSON");
    let row = keys.as_array().expect("rows").iter().find(|row| row["key"] == "heartbeat").expect("a row");
    assert_eq!((&row["value"], &row["origin"]["line"]), (&5.into(), &2.into()));
}

#[test]
fn sighup_changes_what_can_change_and_says_what_can_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = file(folder.path(), "log_level = \"info\"\n");
    let broker = Broker::with(&["--config", &config]);
    file(folder.path(), "log_level = \"debug\"\nhttp_listen = \"127.0.0.1:1\"\nlog_format = \"json\"\n");
    let reloaded = |times: usize| {
        broker.signal(Signal::HUP);
        wait::until("the reload", || broker.log().matches("reload: done").count() == times);
    };
    reloaded(1);
    let log = broker.log();
    assert!(log.contains("reload: log_level is \"debug\" now, was \"info\""), "{log}");
    assert!(log.contains("reload: log_format stays \"text\": \"json\""), "{log}");
    assert!(!log.contains("http_listen"), "the flag wins over the file: {log}");

    file(folder.path(), "log_level = \"loud\"\n");
    broker.signal(Signal::HUP);
    wait::until("the refusal", || broker.log().contains("nothing changes"));
    assert!(broker.log().contains("leveret.toml:1:13: log_level: \"loud\" is no level"));
    drop(broker.client());
}

/// A valid value of this key other than its default.
fn another(key: &Key) -> &'static str {
    match key.form {
        "ADDRESS:PORT" => "\"127.0.0.1:1\"",
        "PATH" => "\"/nonexistent\"",
        "BYTES" => "\"2MiB\"",
        "BYTES|PERCENT" => "\"39%\"",
        "NUMBER" => "5000",
        "LEVEL" => "\"debug\"",
        "FORMAT" => "\"json\"",
        "URL" => "\"https://issuer.example\"",
        "NETWORK" => "\"10.0.0.0/8\"",
        "WORD" => key
            .words
            .last()
            .map_or("", |word| if *word == "required" { "\"required\"" } else { "\"san_uri\"" }),
        "NAME@HOST" => "\"rabbit@another\"",
        "NAME VERSION" => "\"RabbitMQ 3.13.7\"",
        "TEXT" | "SECRET" => "\"x\"",
        other => panic!("a value for {other}"),
    }
}

#[test]
fn sighup_tells_of_each_key_whether_it_changed_or_needs_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = file(folder.path(), "");
    let broker = Broker::with(&["--config", &config]);
    // Set by flags, which take precedence.
    let given = ["data_dir", "amqp_listen", "http_listen", "metrics_listen"];
    let keys: Vec<_> = KEYS.iter().filter(|key| !given.contains(&key.name)).collect();
    // A few at a time: the log limits lines from one place.
    for (done, some) in keys.chunks(8).enumerate() {
        let line = |key: &&Key| format!("{} = {}\n", key.path(), another(key));
        file(folder.path(), &some.iter().map(line).collect::<String>());
        let before = broker.log().len();
        broker.signal(Signal::HUP);
        wait::until("the reload", || broker.log().matches("reload: done").count() == done + 1);
        let log = broker.log().split_off(before);
        for key in some {
            let path = key.path();
            let told = match key.change {
                Change::Live => format!("reload: {path} is {} now, was ", another(key)),
                Change::Restart => format!("reload: {path} stays "),
            };
            assert!(log.contains(&told), "{told:?} in {log}");
        }
    }
}
