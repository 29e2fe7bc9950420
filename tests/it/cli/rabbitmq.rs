//! The binary under the names of `RabbitMQ`'s tools, using the socket in the data folder.

use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::Ended;
use crate::harness::Broker;
use crate::management::Http;

/// The tools, with a broker.
pub(crate) struct Tools {
    names: TempDir,
    pub(crate) broker: Broker,
}

impl Tools {
    pub(crate) fn of(broker: Broker) -> Self {
        let names = TempDir::new().expect("a folder");
        for name in [
            "rabbitmqctl",
            "rabbitmq-diagnostics",
            "rabbitmq-plugins",
            "rabbitmq-queues",
            "rabbitmq-upgrade",
            "rabbitmqadmin",
        ] {
            symlink(env!("CARGO_BIN_EXE_leveret"), names.path().join(name)).expect("a link");
        }
        Self { names, broker }
    }

    fn command(&self, line: &str) -> Command {
        let mut words = line.split(' ');
        let mut command = Command::new(self.names.path().join(words.next().expect("a tool")));
        command.args(words).env_clear().env("LEVERET_DATA_DIR", self.broker.data()).stdin(Stdio::null());
        command
    }

    fn run(&self, line: &str) -> Ended {
        Ended::of(&self.command(line).output().expect("it runs"))
    }

    /// Fails unless it exits with code 0; returns the output.
    #[track_caller]
    pub(crate) fn done(&self, line: &str) -> String {
        let ended = self.run(line);
        assert_eq!(ended.code, 0, "{line}: {}{}", ended.out, ended.err);
        ended.out
    }

    /// Fails unless it exits with this code and these words on stderr.
    #[track_caller]
    fn fails(&self, line: &str, code: i32, words: &str) {
        let ended = self.run(line);
        assert_eq!(ended.code, code, "{line}: {}{}", ended.out, ended.err);
        assert!(ended.err.contains(words), "{line}: {words:?} should be in {:?}", ended.err);
    }
}

#[test]
fn outputs_and_exit_codes_are_those_of_rabbitmq() {
    let tools = Tools::of(Broker::new());
    let http = Http::of(&tools.broker);
    let node = http.get("/api/overview").json["node"].as_str().expect("a name").to_owned();
    let recorded = include_str!("rabbitmq_3_10_8.txt").replace("{node}", &node);
    let mut lines = recorded.lines().filter(|line| !line.starts_with("# ")).peekable();
    let (mut same, mut wrong) = (0, Vec::new());
    while let Some(line) = lines.next() {
        if line == "% queue" {
            http.put("/api/permissions/v1/guest", &json!({ "configure": ".*", "write": ".*", "read": ".*" }))
                .is(201);
            http.put("/api/queues/v1/q1", &json!({ "durable": true, "arguments": { "x-max-length": 5 } }))
                .is(201);
            let binding = json!({ "routing_key": "k", "arguments": { "a": 1 } });
            http.post("/api/bindings/v1/e/amq.topic/q/q1", &binding).is(201);
            continue;
        }
        let (how, command) = line.split_at(2);
        let (mut out, mut err, mut code) = (String::new(), String::new(), None);
        for line in lines.by_ref() {
            if let Some(exit) = line.strip_prefix("! ") {
                code = exit.parse::<i32>().ok();
                break;
            }
            match line.strip_prefix("2> ") {
                Some(line) => err = err + line + "\n",
                None => out = out + line + "\n",
            }
        }
        let ended = tools.run(command);
        let as_written = how == "= " || (ended.out == out && ended.err.trim_end() == err.trim_end());
        if Some(ended.code) == code && as_written {
            same += 1;
        } else {
            wrong.push(format!(
                "{command}: {}\n{}{}\nnot {code:?}\n{out}{err}",
                ended.code, ended.out, ended.err
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(same > 150, "{same}");
}

#[test]
fn what_playbooks_read_is_there() {
    let tools = Tools::of(Broker::new());
    let status: Value =
        serde_json::from_str(&tools.done("rabbitmqctl -q status --formatter json")).expect("JSON");
    let version = status["rabbitmq_version"].as_str().expect("a version");
    assert_eq!(version.split('.').count(), 3, "{version}");
    assert_eq!((&status["is_under_maintenance"], &status["alarms"]), (&json!(false), &json!([])));
    assert!(tools.done("rabbitmqctl -q status").contains(&format!("RabbitMQ version: {version}\n")));
    let cluster: Value =
        serde_json::from_str(&tools.done("rabbitmqctl cluster_status --formatter json")).expect("JSON");
    assert_eq!(cluster["running_nodes"][0], status["node"]);
    // Every name of the node is accepted, and no other.
    let node = status["node"].as_str().expect("a name");
    for name in ["rabbit", "rabbit@localhost", node] {
        tools.done(&format!("rabbitmqctl -q -n {name} list_users"));
    }
    tools.fails(
        "rabbitmqctl -n rabbit@other.example list_users",
        69,
        "unable to perform an operation on node 'rabbit@other.example'",
    );
    // Limits are replaced as a whole.
    tools.done("rabbitmqctl -q add_user u pw");
    tools.done(r#"rabbitmqctl -q set_user_limits u {"max-connections":5}"#);
    tools.done(r#"rabbitmqctl -q set_user_limits u {"max-channels":7}"#);
    assert_eq!(
        tools.done("rabbitmqctl -q list_user_limits --user u"),
        "{\"max-channels\":7,\"max-connections\":5}\n"
    );
    tools.done(r#"rabbitmqctl -q set_vhost_limits {"max-connections":5,"max-queues":6}"#);
    tools.done(r#"rabbitmqctl -q set_vhost_limits {"max-connections":-1}"#);
    let limits = tools.done("rabbitmqctl -q list_vhost_limits");
    assert_eq!(serde_json::from_str::<Value>(&limits).expect("JSON"), json!({ "max-connections": -1 }));
    // Changing tags keeps the password.
    tools.done("rabbitmqctl -q set_user_tags u management");
    tools.done("rabbitmqctl -q authenticate_user u pw");
    tools.done("rabbitmqctl -q clear_password u");
    tools.fails("rabbitmqctl -q authenticate_user u pw", 65, "failed to authenticate user \"u\"");
}

#[test]
fn scripts_that_decide_by_a_version_are_told_the_one_of_rabbitmq() {
    let tools = Tools::of(Broker::new());
    let version = tools.done("rabbitmq-diagnostics -s server_version");
    for line in ["rabbitmqctl version", "rabbitmqctl --version", "rabbitmq-plugins --version"] {
        assert_eq!(tools.done(line), version, "{line}");
    }
    assert_eq!(tools.done("rabbitmqadmin --version"), format!("rabbitmqadmin {version}"));
}

/// Commands of the providers `rabbitmq_user` and `rabbitmq_cli`.
#[test]
fn puppet_s_module_learns_whether_a_password_is_right() {
    let tools = Tools::of(Broker::new());
    tools.done("rabbitmqctl add_user u pw");
    let asked = |password: &str| {
        let expression = format!(
            r#"rabbit_access_control:check_user_pass_login(list_to_binary("u"), list_to_binary("{password}"))."#
        );
        let mut command = tools.command("rabbitmqctl eval");
        let ended = Ended::of(&command.arg(expression).output().expect("it runs"));
        assert_eq!(ended.code, 0, "{}", ended.err);
        ended.out
    };
    assert!(asked("pw").starts_with("{ok,"), "{}", asked("pw"));
    assert!(asked("wrong").starts_with("{refused,"), "{}", asked("wrong"));
}

#[test]
fn plugins_are_remembered_and_work_either_way() {
    let tools = Tools::of(Broker::new());
    let listed = || tools.done("rabbitmq-plugins -q list -E -m");
    assert_eq!(listed(), "rabbitmq_management\n");
    tools.done("rabbitmq-plugins enable rabbitmq_prometheus,rabbitmq_management");
    assert_eq!(listed(), "rabbitmq_management\nrabbitmq_prometheus\n");
    tools.done("rabbitmq-plugins is_enabled rabbitmq_prometheus");
    tools.done("rabbitmq-plugins disable rabbitmq_prometheus");
    assert_eq!(listed(), "rabbitmq_management\n");
    tools.fails("rabbitmq-plugins enable rabbitmq_shovel", 70, "plugins_not_found");
    tools.fails("rabbitmq-plugins is_enabled rabbitmq_shovel", 69, "not enabled");
}

#[test]
fn health_checks_say_what_is_wrong_and_what_has_no_meaning_says_so() {
    let mut tools = Tools::of(Broker::new());
    let port = tools.broker.amqp.port();
    for well in [
        "rabbitmq-diagnostics -q ping",
        "rabbitmq-diagnostics -q check_running",
        "rabbitmq-diagnostics -q check_local_alarms",
        "rabbitmq-diagnostics -q check_port_connectivity",
        "rabbitmq-diagnostics -q check_virtual_hosts",
        "rabbitmqctl await_startup --timeout 5",
        "rabbitmqctl wait --timeout 5 /nowhere/pid",
        "rabbitmqctl start_app",
    ] {
        tools.done(well);
    }
    tools.done(&format!("rabbitmq-diagnostics -q check_port_listener {port}"));
    tools.fails("rabbitmq-diagnostics -q check_port_listener 1", 69, "No listener for port 1 is active");
    tools.fails("rabbitmqctl stop_app", 69, "not supported by Leveret");
    tools.fails("rabbitmqctl join_cluster rabbit@a", 69, "there are no clusters");
    tools.fails("rabbitmqctl nonsense", 64, "Command 'nonsense' not found");
    tools.fails("rabbitmqctl list_users --nonsense", 64, "Invalid options");
    for unknown_here in
        ["rabbitmqctl eval 1+1.", "rabbitmqctl list_hashes", "rabbitmq-diagnostics certificates"]
    {
        tools.fails(unknown_here, 69, "not supported by Leveret");
    }
    // Stopped by the tool, as by its service manager.
    tools.done("rabbitmqctl shutdown --timeout 30");
    tools.fails("rabbitmq-diagnostics -q ping", 69, "Target node is not running");
    tools.fails("rabbitmqctl await_startup --timeout 0", 75, "timed out");
    tools.broker.start_again();
    tools.done("rabbitmqctl await_startup --timeout 30");
}

#[test]
fn the_socket_is_not_for_others_and_what_comes_by_it_is_an_administrators() {
    use std::os::unix::fs::PermissionsExt;
    let tools = Tools::of(Broker::new());
    let socket = tools.broker.data().join("leveret.sock");
    let mode = std::fs::metadata(&socket).expect("a socket").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // A deleted user may not log in, and local tools can recreate it.
    tools.done("rabbitmqctl delete_user guest");
    assert_eq!(Http::of(&tools.broker).get("/api/overview").status, 401);
    tools.done("rabbitmqctl add_user guest guest");
    tools.done("rabbitmqctl set_user_tags guest administrator");
    tools.done("rabbitmqctl set_permissions -p / guest .* .* .*");
    // Nobody has permissions in a new vhost, as with RabbitMQ's tools.
    tools.done("rabbitmqctl add_vhost v");
    let http = Http::of(&tools.broker);
    assert_eq!(http.get("/api/vhosts/v/permissions").is(200).json, json!([]));
    http.put("/api/queues/%2F/q", &json!({})).is(201);
    tools.done("rabbitmqctl purge_queue q");
    tools.done("rabbitmqctl delete_queue q");
}

#[test]
fn another_broker_is_asked_over_http_when_the_environment_says_so() {
    let tools = Tools::of(Broker::new());
    let url = format!("http://{}", crate::management::listening(&tools.broker, "http"));
    let ask = |password: &str| {
        let mut command = tools.command("rabbitmqctl -q list_vhosts");
        command.env_remove("LEVERET_DATA_DIR").env("LEVERET_URL", &url).env("LEVERET_PASSWORD", password);
        Ended::of(&command.output().expect("it runs"))
    };
    let ended = ask("guest");
    assert_eq!((ended.code, ended.out.as_str()), (0, "name\n/\n"), "{}", ended.err);
    let ended = ask("s3cret-and-wrong");
    assert_eq!(ended.code, 77, "{}{}", ended.out, ended.err);
    assert!(!ended.err.contains("s3cret"), "{}", ended.err);
}

#[test]
fn rabbitmqadmin_declares_lists_and_moves_messages() {
    let tools = Tools::of(Broker::new());
    let port = crate::management::listening(&tools.broker, "http").port();
    let admin = |line: &str| tools.run(&format!("rabbitmqadmin -P {port} {line}"));
    for (line, code, words) in [
        ("declare queue name=x", 0, "queue declared"),
        // As written by Puppet's module.
        (
            "declare queue --vhost=/ --user=guest --password=guest name=x durable=true arguments={}",
            0,
            "queue declared",
        ),
        ("-c /nowhere/rabbitmqadmin.conf list queues", 1, "Could not read config file"),
        ("declare exchange name=e type=topic", 0, "exchange declared"),
        ("declare binding source=e destination=x routing_key=a.#", 0, "binding declared"),
        ("publish exchange=e routing_key=a.b payload=hello", 0, "Message published\n"),
        ("publish exchange=e routing_key=z payload=hello", 0, "NOT routed"),
        ("get queue=x", 0, "| hello"),
        ("list queues name messages", 0, "| x    | "),
        ("-f tsv list vhosts name", 0, "name\n/\n"),
        ("-f raw_json list queues name", 0, "[{\"name\":\"x\"}]"),
        ("purge queue name=x", 0, "queue purged"),
        (
            "delete binding source=e destination_type=queue destination=x properties_key=a.%23",
            0,
            "binding deleted",
        ),
        ("delete queue name=x", 0, "queue deleted"),
        ("delete queue name=x", 1, "*** Not found"),
        ("declare queue", 1, "mandatory argument 'name' required"),
        ("-p wrong list queues", 1, "*** Access refused"),
        ("nonsense", 1, "not understood"),
    ] {
        let ended = admin(line);
        assert_eq!(ended.code, code, "{line}: {}{}", ended.out, ended.err);
        assert!(format!("{}{}", ended.out, ended.err).contains(words), "{line}: {}{}", ended.out, ended.err);
    }
}
