//! The table of commands.

use super::fault::{Fault, USAGE};
use super::job::Job;
use super::usage::Usage;
use super::{
    Tool, checks, eval, limits, lists, node, objects, permissions, plugins, policies, status, users, vhosts,
};

/// A command.
pub(super) struct Command {
    pub(super) usage: Usage,
    pub(super) act: fn(&Job) -> Result<(), Fault>,
}

const fn letter(tool: Tool) -> char {
    match tool {
        Tool::Ctl => 'c',
        Tool::Diagnostics => 'd',
        Tool::Plugins => 'p',
        Tool::Queues => 'q',
        Tool::Upgrade => 'u',
        Tool::Admin => 'a',
    }
}

const fn own(
    tools: &'static str,
    name: &'static str,
    after: &'static str,
    words: (usize, usize),
    options: &'static [&'static str],
    act: fn(&Job) -> Result<(), Fault>,
) -> Command {
    Command { usage: Usage { name, tools, after, words, options }, act }
}

const fn of(
    tools: &'static str,
    name: &'static str,
    usage: &'static str,
    words: (usize, usize),
    act: fn(&Job) -> Result<(), Fault>,
) -> Command {
    own(tools, name, usage, words, &[], act)
}

const MANY: usize = usize::MAX;

static COMMANDS: &[Command] = &[
    // Users.
    of("c", "add_user", "<username> <password>", (1, 2), users::add),
    of("c", "delete_user", "<username>", (1, 1), users::delete),
    of("c", "change_password", "<username> <password>", (1, 2), users::change_password),
    of("c", "clear_password", "<username>", (1, 1), users::clear_password),
    of("c", "authenticate_user", "<username> <password>", (1, 2), users::authenticate),
    of("c", "set_user_tags", "<username> <tag> [...]", (1, MANY), users::set_tags),
    of("cd", "list_users", "[--no-table-headers] [--timeout <timeout>]", (0, 0), users::list),
    // Permissions.
    of(
        "c",
        "set_permissions",
        "[--vhost <vhost>] <username> <conf> <write> <read>",
        (4, 4),
        permissions::set,
    ),
    of("c", "clear_permissions", "[--vhost <vhost>] <username>", (1, 1), permissions::clear),
    of(
        "cd",
        "list_permissions",
        "[--vhost <vhost>] [--no-table-headers] [--timeout <timeout>]",
        (0, 0),
        permissions::list,
    ),
    of("cd", "list_user_permissions", "[--no-table-headers] <username>", (1, 1), permissions::of_user),
    of(
        "c",
        "set_topic_permissions",
        "[--vhost <vhost>] <username> <exchange> <write> <read>",
        (4, 4),
        permissions::set_topic,
    ),
    of(
        "c",
        "clear_topic_permissions",
        "[--vhost <vhost>] <username> [<exchange>]",
        (1, 2),
        permissions::clear_topic,
    ),
    of(
        "cd",
        "list_topic_permissions",
        "[--vhost <vhost>] [--no-table-headers]",
        (0, 0),
        permissions::list_topic,
    ),
    of(
        "cd",
        "list_user_topic_permissions",
        "[--no-table-headers] <username>",
        (1, 1),
        permissions::topic_of_user,
    ),
    // Vhosts.
    own(
        "c",
        "add_vhost",
        "<vhost> [--description <description> --tags \"<tag1>,<tag2>,<...>\" --default-queue-type <quorum|classic|stream>]",
        (1, 1),
        &["description", "tags", "default-queue-type"],
        vhosts::add,
    ),
    of("c", "delete_vhost", "<vhost>", (1, 1), vhosts::delete),
    of("c", "set_vhost_tags", "<vhost> <tag> [...]", (1, MANY), vhosts::set_tags),
    of(
        "cd",
        "list_vhosts",
        "[--no-table-headers] [<column> ...] [--timeout <timeout>]",
        (0, MANY),
        vhosts::list,
    ),
    of("c", "restart_vhost", "[--vhost <vhost>]", (0, 0), vhosts::restart),
    of("c", "trace_on", "[--vhost <vhost>]", (0, 0), vhosts::trace_on),
    of("c", "trace_off", "[--vhost <vhost>]", (0, 0), vhosts::trace_off),
    // Limits.
    of("c", "set_vhost_limits", "[--vhost <vhost>] <definition>", (1, 1), limits::set_of_vhost),
    of("c", "clear_vhost_limits", "[--vhost <vhost>]", (0, 0), limits::clear_of_vhost),
    own(
        "cd",
        "list_vhost_limits",
        "[--vhost <vhost>] [--global] [--no-table-headers]",
        (0, 0),
        &["global"],
        limits::of_vhosts,
    ),
    of("c", "set_user_limits", "<username> <definition>", (2, 2), limits::set_of_user),
    of("c", "clear_user_limits", "<username> (all | <limit type>)", (2, 2), limits::clear_of_user),
    own(
        "cd",
        "list_user_limits",
        "[--user <username>] [--global] [--no-table-headers]",
        (0, 0),
        &["user", "global"],
        limits::of_users,
    ),
    // Policies and parameters.
    own(
        "c",
        "set_policy",
        "[--vhost <vhost>] [--priority <priority>] [--apply-to <apply-to>] <name> <pattern> <definition>",
        (3, 3),
        &["priority", "apply-to"],
        policies::set,
    ),
    of("c", "clear_policy", "[--vhost <vhost>] <name>", (1, 1), policies::clear),
    of("cd", "list_policies", "[--vhost <vhost>] [--no-table-headers]", (0, 0), policies::list),
    own(
        "c",
        "set_operator_policy",
        "[--vhost <vhost>] [--priority <priority>] [--apply-to <apply-to>] <name> <pattern> <definition>",
        (3, 3),
        &["priority", "apply-to"],
        policies::set_of_operators,
    ),
    of("c", "clear_operator_policy", "[--vhost <vhost>] <name>", (1, 1), policies::clear_of_operators),
    of(
        "cd",
        "list_operator_policies",
        "[--vhost <vhost>] [--no-table-headers]",
        (0, 0),
        policies::list_of_operators,
    ),
    of(
        "c",
        "set_parameter",
        "[--vhost <vhost>] <component_name> <name> <value>",
        (3, 3),
        policies::set_parameter,
    ),
    of(
        "c",
        "clear_parameter",
        "[--vhost <vhost>] <component_name> <name>",
        (2, 2),
        policies::clear_parameter,
    ),
    of("cd", "list_parameters", "[--vhost <vhost>] [--no-table-headers]", (0, 0), policies::list_parameters),
    of("c", "set_global_parameter", "<name> <value>", (2, 2), policies::set_global),
    of("c", "clear_global_parameter", "<name>", (1, 1), policies::clear_global),
    of("cd", "list_global_parameters", "[--no-table-headers]", (0, 0), policies::list_global),
    // Lists.
    own(
        "cdq",
        "list_queues",
        "[--vhost <vhost>] [--online] [--offline] [--local] [--no-table-headers] [<column>, ...] [--timeout <timeout>]",
        (0, MANY),
        &["online", "offline", "local"],
        lists::queues,
    ),
    of(
        "cd",
        "list_exchanges",
        "[--vhost <vhost>] [--no-table-headers] [<column> ...] [--timeout <timeout>]",
        (0, MANY),
        lists::exchanges,
    ),
    of(
        "cd",
        "list_bindings",
        "[--vhost <vhost>] [--no-table-headers] [<column> ...] [--timeout <timeout>]",
        (0, MANY),
        lists::bindings,
    ),
    of(
        "cd",
        "list_connections",
        "[--no-table-headers] [<column> ...] [--timeout <timeout>]",
        (0, MANY),
        lists::connections,
    ),
    of("cd", "list_channels", "[--no-table-headers] [<column> ...]", (0, MANY), lists::channels),
    of(
        "cd",
        "list_consumers",
        "[--vhost <vhost>] [--no-table-headers] [<column> ...] [--timeout <timeout>]",
        (0, MANY),
        lists::consumers,
    ),
    of("cd", "list_unresponsive_queues", "[--no-table-headers]", (0, MANY), lists::unresponsive),
    // Actions on objects.
    own(
        "c",
        "delete_queue",
        "[--vhost <vhost>] <queue_name> [--if-empty|-e] [--if-unused|-u]",
        (1, 1),
        &["if-empty", "if-unused", "implicitly-enabled"],
        objects::delete_queue,
    ),
    of("c", "purge_queue", "[--vhost <vhost>] <queue>", (1, 1), objects::purge_queue),
    of("c", "close_connection", "<connection pid> <explanation>", (2, 2), objects::close_connection),
    own(
        "c",
        "close_all_connections",
        "[--vhost <vhost> --limit <limit>] [-n <node> --global] [--per-connection-delay <delay>] <explanation>",
        (1, 1),
        &["global", "limit", "per-connection-delay"],
        objects::close_all,
    ),
    own(
        "c",
        "close_all_user_connections",
        "<username> [--limit <limit>] [--per-connection-delay <delay>] <explanation>",
        (2, 2),
        &["limit", "per-connection-delay"],
        objects::close_of_user,
    ),
    own(
        "c",
        "export_definitions",
        "<file_path | \"-\"> [--format <json | erlang>] [--timeout <timeout>]",
        (1, 1),
        &["format"],
        objects::export,
    ),
    own(
        "c",
        "import_definitions",
        "<file_path | \"-\"> [--format <json | erlang>] [--skip-if-unchanged] [--timeout <timeout>]",
        (0, 1),
        &["format", "skip-if-unchanged"],
        objects::import,
    ),
    // The node.
    own("cd", "status", "[--unit <unit>] [--timeout <timeout>]", (0, 0), &["unit"], status::status),
    of("cd", "cluster_status", "[--timeout <timeout>]", (0, 0), status::cluster_status),
    of("cdpqu", "version", "[--timeout <timeout>]", (0, 0), node::version),
    of("cdqu", "ping", "", (0, 0), checks::ping),
    of("c", "await_startup", "", (0, 0), node::await_startup),
    of("c", "await_online_nodes", "<count> [--timeout <timeout>]", (1, 1), node::await_online_nodes),
    own("cd", "wait", "[<pidfile>] [--pid|-P <pid>]", (0, 1), &["pid", "P"], node::await_startup),
    of("c", "set_cluster_name", "<name>", (1, 1), node::set_cluster_name),
    own("c", "stop", "[--idempotent] [<pidfile>]", (0, 1), &["idempotent"], node::stop),
    own("c", "shutdown", "[--wait]", (0, 0), &["wait", "no-wait"], node::stop),
    of("c", "start_app", "", (0, 0), node::nothing),
    of("c", "force_gc", "", (0, 0), node::nothing),
    of("c", "eval", "<expression>", (0, MANY), eval::eval),
    of("cd", "node_health_check", "", (0, 0), checks::node_health_check),
    of(
        "cd",
        "list_feature_flags",
        "[--no-table-headers] [<column> ...]",
        (0, MANY),
        node::list_feature_flags,
    ),
    of("c", "enable_feature_flag", "<all | feature_flag>", (1, 1), node::enable_feature_flag),
    of("c", "rotate_logs", "", (0, 0), node::rotate_logs),
    // Checks.
    of("d", "check_running", "", (0, 0), checks::running),
    of("d", "is_running", "", (0, 0), checks::is_running),
    of("d", "is_booting", "", (0, 0), checks::is_booting),
    of("d", "check_alarms", "", (0, 0), checks::alarms_anywhere),
    of("d", "check_local_alarms", "", (0, 0), checks::local_alarms),
    of("d", "alarms", "", (0, 0), checks::list_alarms),
    own(
        "d",
        "check_port_connectivity",
        "[--address <address>]",
        (0, 0),
        &["address"],
        checks::port_connectivity,
    ),
    of("d", "check_port_listener", "<port>", (1, 1), checks::port_listener),
    of("d", "check_protocol_listener", "<protocol>", (1, 1), checks::protocol_listener),
    of("d", "check_virtual_hosts", "", (0, 0), checks::virtual_hosts),
    own(
        "d",
        "check_certificate_expiration",
        "--within <period> --unit <unit>",
        (0, 0),
        &["within", "unit"],
        checks::certificates,
    ),
    of("dq", "check_if_node_is_quorum_critical", "", (0, 0), checks::alone),
    of("dq", "check_if_node_is_mirror_sync_critical", "", (0, 0), checks::alone),
    of("d", "listeners", "", (0, 0), checks::listeners),
    of("d", "server_version", "", (0, 0), node::server_version),
    own("d", "memory_breakdown", "[--unit <unit>]", (0, 0), &["unit"], status::memory),
    // Plugins.
    own(
        "p",
        "list",
        "[pattern] [--verbose] [--minimal] [--enabled] [--implicitly-enabled]",
        (0, 1),
        &["enabled", "implicitly-enabled", "minimal", "verbose"],
        plugins::list,
    ),
    own(
        "p",
        "enable",
        "<plugin1> [ <plugin2>] | --all [--offline] [--online]",
        (0, MANY),
        &["offline", "online", "all"],
        plugins::enable,
    ),
    own(
        "p",
        "disable",
        "<plugin1> [ <plugin2>] | --all [--offline] [--online]",
        (0, MANY),
        &["offline", "online", "all"],
        plugins::disable,
    ),
    own(
        "p",
        "set",
        "[<plugin1> [ <plugin2>]] [--offline] [--online]",
        (0, MANY),
        &["offline", "online"],
        plugins::set,
    ),
    own(
        "p",
        "is_enabled",
        "<plugin1> [ <plugin2>] [--offline] [--online]",
        (1, MANY),
        &["offline", "online"],
        plugins::is_enabled,
    ),
    // No-ops in a cluster of one.
    of(
        "q",
        "rebalance",
        "<type> [--vhost-pattern <pattern>] [--queue-pattern <pattern>]",
        (1, 1),
        node::nothing,
    ),
    of("u", "await_online_quorum_plus_one", "", (0, 0), checks::alone),
    of("u", "await_online_synchronized_mirror", "", (0, 0), checks::alone),
    of("u", "post_upgrade", "", (0, 0), node::nothing),
];

/// Known commands without meaning here: name, tools, alternative.
static NOT_HERE: &[(&str, &str, &str)] = &[
    ("stop_app", "c", "a broker is one process: `rabbitmqctl stop`, or the service manager, ends it"),
    ("reset", "c", "stop the broker and empty its data folder"),
    ("force_reset", "c", "stop the broker and empty its data folder"),
    ("force_boot", "c", "a single node waits for nobody"),
    ("join_cluster", "c", "there are no clusters"),
    ("change_cluster_node_type", "c", "there are no clusters"),
    ("forget_cluster_node", "c", "there are no clusters"),
    ("rename_cluster_node", "c", "set `node_name` in the configuration"),
    ("update_cluster_nodes", "c", "there are no clusters"),
    ("sync_queue", "c", "queues have no mirrors"),
    ("cancel_sync_queue", "c", "queues have no mirrors"),
    ("environment", "cd", "`leveret config show` shows the configuration in force"),
    ("set_disk_free_limit", "c", "set `disk_free_bytes_min` in the configuration and reload it"),
    ("set_vm_memory_high_watermark", "c", "set `resident_bytes_max` in the configuration and reload it"),
    ("set_log_level", "c", "set `log_level` in the configuration and reload it"),
    ("suspend_listeners", "c", "listeners cannot be suspended"),
    ("resume_listeners", "c", "listeners cannot be suspended"),
    ("eval_file", "c", "there is no Erlang here"),
    ("exec", "c", "there is no Elixir here"),
    ("encode", "c", "secrets are kept in files: see `admin_password_file`"),
    ("decode", "c", "secrets are kept in files: see `admin_password_file`"),
    ("list_ciphers", "cd", "secrets are kept in files: see `admin_password_file`"),
    ("list_hashes", "cd", "secrets are kept in files: see `admin_password_file`"),
    ("hipe_compile", "c", "there is no Erlang here"),
    ("schema_info", "cd", "`leveret check-data` looks into what is stored"),
    ("autocomplete", "cdpqu", "`leveret completions` has them for the broker's own commands"),
    ("report", "cd", "use status, list_queues and so on, one by one"),
    ("list_node_auth_attempt_stats", "cd", "GET /api/auth/attempts/NODE tells"),
    ("erlang_version", "d", "there is no Erlang here"),
    ("observer", "d", "there is no Erlang here"),
    ("runtime_thread_stats", "d", "there is no Erlang here"),
    ("log_tail", "d", "the log is on standard error: `journalctl -u leveret`"),
    ("log_tail_stream", "d", "the log is on standard error: `journalctl -fu leveret`"),
    ("log_location", "d", "the log is on standard error"),
    ("os_env", "d", "`leveret config show` shows where each setting comes from"),
    ("tls_versions", "d", "TLS 1.2 and 1.3 with the suites of rustls"),
    ("certificates", "d", "`openssl s_client` shows what a listener presents"),
    ("command_line_arguments", "d", "there is no Erlang here"),
    ("erlang_cookie_hash", "d", "there is no Erlang here"),
    ("erlang_cookie_sources", "d", "there is no Erlang here"),
    ("remote_shell", "d", "there is no Erlang here"),
    ("maybe_stuck", "d", "the log tells of threads that stall"),
    ("consume_event_stream", "d", "the log tells what happens: `journalctl -fu leveret`"),
    ("consistent_hash_exchange_ring_state", "d", "keys are placed by weighted rendezvous, there is no ring"),
    ("enable_auth_attempt_source_tracking", "d", "GET /api/auth/attempts/NODE tells what is counted"),
    ("disable_auth_attempt_source_tracking", "d", "GET /api/auth/attempts/NODE tells what is counted"),
    ("reset_node_auth_attempt_metrics", "d", "GET /api/auth/attempts/NODE tells what is counted"),
    ("discover_peers", "d", "there are no clusters"),
    ("list_network_interfaces", "d", "`ip address` lists them"),
    ("resolve_hostname", "d", "`getent hosts` resolves names"),
    ("resolver_info", "d", "/etc/resolv.conf and /etc/hosts have it"),
    ("cipher_suites", "d", "TLS 1.2 and 1.3 with the suites of rustls"),
    ("directories", "p", "features are built in, there are no plugins' folders"),
    ("stream_status", "dq", "there are no streams"),
    ("quorum_status", "dq", "a quorum queue has this node alone"),
    ("add_member", "q", "there are no other nodes"),
    ("delete_member", "q", "there are no other nodes"),
    ("grow", "q", "there are no other nodes"),
    ("shrink", "q", "there are no other nodes"),
    ("peek", "q", "`leveret ctl peek` shows messages where they stand"),
    ("reclaim_quorum_memory", "dq", "memory is given back without being asked to"),
    ("drain", "u", "there is no maintenance mode: stop the broker, clients come back when it is started"),
    ("revive", "u", "there is no maintenance mode"),
];

/// A command of a tool.
pub(super) fn find(tool: Tool, name: &str) -> Option<&'static Command> {
    COMMANDS.iter().find(|command| command.usage.name == name && command.usage.tools.contains(letter(tool)))
}

fn unsupported(tool: Tool, name: &str) -> Option<&'static str> {
    let found = NOT_HERE.iter().find(|(known, tools, _)| *known == name && tools.contains(letter(tool)));
    found.map(|(.., instead)| *instead)
}

fn listed(tool: Tool) -> String {
    let mut names: Vec<_> = COMMANDS
        .iter()
        .filter(|command| command.usage.tools.contains(letter(tool)))
        .map(|command| command.usage.name)
        .collect();
    names.sort_unstable();
    names.join("\n   ")
}

fn all(tool: Tool) -> String {
    let (tool_name, names) = (tool.name(), listed(tool));
    format!(
        "\u{1b}[1mUsage\u{1b}[0m\n\n{tool_name} [--node <node>] [--timeout <timeout>] [--longnames] [--quiet] <command> [<command options>]\n\n\
         Available commands:\n\n   {names}\n\nUse '{tool_name} help <command>' to learn more about a specific command"
    )
}

/// Output for an unknown command.
pub(super) fn overview(tool: Tool, name: Option<&str>) -> Fault {
    match name {
        Some(name) => match unsupported(tool, name) {
            Some(instead) => Fault::unsupported(instead),
            None => Fault::plain(USAGE, format!("\nCommand '{name}' not found. \n\n{}", all(tool))),
        },
        None => Fault::plain(USAGE, all(tool)),
    }
}

/// `help`.
pub(super) fn help(tool: Tool, name: Option<&str>) -> Result<(), Fault> {
    use std::io::Write;
    let text = match name
        .map(|name| find(tool, name).ok_or_else(|| overview(tool, Some(name))))
        .transpose()?
    {
        None => all(tool),
        Some(command) => {
            let line = command.usage.line(tool);
            format!(
                "\n\u{1b}[1mUsage\u{1b}[0m\n\n{line}\n\n\u{1b}[1mGeneral Options\u{1b}[0m\n\n\
                 -n, --node <node>: this node, by any of its names\n\
                 -p, --vhost <vhost>: the virtual host, if the command is about one\n\
                 -t, --timeout <n>: seconds that it may take\n\
                 -q, --quiet: nothing but the result; -s, --silent: no column names either\n\
                 --formatter <json | table | csv | pretty_table | erlang>\n\n\
                 LEVERET_DATA_DIR or LEVERET_CONFIG say where the broker of this machine is; LEVERET_URL, LEVERET_USER and\n\
                 LEVERET_PASSWORD another one."
            )
        }
    };
    Ok(writeln!(std::io::stdout().lock(), "{text}")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_known_once_or_said_to_have_no_meaning() {
        for tool in [Tool::Ctl, Tool::Diagnostics, Tool::Plugins, Tool::Queues, Tool::Upgrade] {
            let here = COMMANDS.iter().filter(|command| command.usage.tools.contains(letter(tool)));
            let names = here.map(|command| command.usage.name);
            let missing = NOT_HERE.iter().filter(|(_, tools, _)| tools.contains(letter(tool)));
            let mut all: Vec<_> = names.chain(missing.map(|(name, ..)| *name)).collect();
            all.sort_unstable();
            let count = all.len();
            all.dedup();
            assert_eq!(all.len(), count, "{tool:?}");
        }
        assert_eq!(overview(Tool::Ctl, Some("eval_file")).code, super::super::fault::UNAVAILABLE);
        assert_eq!(overview(Tool::Ctl, Some("nonsense")).code, USAGE);
        assert!(find(Tool::Plugins, "add_user").is_none());
    }
}
