//! Tests of merging settings.

use clap::{Args, Command, FromArgMatches};

use super::*;

/// Settings from a file's text and flags; errors omit the folder's name.
fn with(text: &str, flags: &[&str]) -> Result<Loaded, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("leveret.toml");
    std::fs::write(&path, text).unwrap();
    let mut args = arguments(flags);
    args.config = Some(path);
    load(&args).map_err(|error| error.to_string().replace(&format!("{}/", folder.path().display()), ""))
}

fn arguments(flags: &[&str]) -> ServeArgs {
    let command = ServeArgs::augment_args(Command::new("leveret"));
    let matches = command.get_matches_from([&["leveret"], flags].concat());
    ServeArgs::from_arg_matches(&matches).unwrap()
}

#[test]
fn flags_win_over_the_file_and_the_file_over_defaults() {
    let loaded = with("\nheartbeat = 5\nchannel_max = 9", &["--heartbeat", "7"]).unwrap();
    assert_eq!((loaded.config.heartbeat, loaded.config.channel_max), (7, 9));
    let origin = |name| loaded.keys().find(|(key, _)| key.name == name).unwrap().1.to_string();
    assert_eq!(origin("heartbeat"), "--heartbeat");
    assert!(origin("channel_max").ends_with("leveret.toml:3"), "{}", origin("channel_max"));
    assert_eq!(origin("amqp_listen"), "default");
}

#[test]
fn everything_that_is_wrong_is_told_with_its_place() {
    let text = "heartbeat = 5\nhartbeat = 5\n  frame_max = 100\nlog_level = \"loud\"\n\
                data_dir = 7\nmessage_bytes_max = \"1XB\"\n[tsl]\nx = 1\n";
    let error = with(text, &["--channel-max", "0", "--http-listen=here"]).unwrap_err();
    let wanted = [
        "leveret.toml:2:1: unknown key \"hartbeat\"; did you mean \"heartbeat\"?",
        "leveret.toml:3:15: frame_max: 100 is not between 4096 and 131072",
        "leveret.toml:4:13: log_level: \"loud\" is no level; they are error, warn, info, debug, trace, off",
        "leveret.toml:5:12: data_dir: expected a string, found the integer 7",
        "leveret.toml:6:21: message_bytes_max: expected bytes like 1048576, 512KiB or 256MiB, found \"1XB\"",
        "leveret.toml:7:2: unknown table \"tsl\"; did you mean \"tls\"?",
        "--http-listen: \"here\" is not an address and port like 127.0.0.1:5672",
        "--channel-max: 0 is not between 1 and 65535",
    ];
    for (line, wanted) in error.lines().zip(wanted) {
        assert!(line.starts_with(wanted), "{line}\n{wanted}");
    }
    assert_eq!(error.lines().count(), wanted.len(), "{error}");
}

#[test]
fn a_file_that_is_no_toml_is_told_without_quoting_it() {
    let error = with("heartbeat = 5\ndata_dir = \"hidden\n", &[]).unwrap_err();
    assert!(error.starts_with("leveret.toml:2:"), "{error}");
    assert!(!error.contains("hidden"), "{error}");
}

#[test]
fn a_file_that_is_not_there_is_an_error() {
    let args = ServeArgs { config: Some(PathBuf::from("/nonexistent.toml")), ..ServeArgs::default() };
    let error = load(&args).unwrap_err().to_string();
    assert!(error.starts_with("cannot read /nonexistent.toml: "), "{error}");
}

#[test]
fn sizes_take_units_and_memory_takes_percentages() {
    let config = with("message_bytes_max = \"1MiB\"\nmemory_bytes_max = \"10%\"", &[]).unwrap().config;
    assert_eq!(config.limits().message_bytes_max, 1 << 20);
    let all = Config { memory_bytes_max: setting::MemorySize::Percent(100), ..Config::default() };
    let (tenth, all) = (config.limits().memory_bytes_max, all.limits().memory_bytes_max);
    assert_eq!(tenth, all / 100 * 10);
}

#[test]
fn names_are_the_same_everywhere_and_tables_come_last() {
    let command = ServeArgs::augment_args(Command::new("leveret"));
    command.clone().debug_assert();
    let first_table = KEYS.iter().position(|key| key.table.is_some()).unwrap_or(KEYS.len());
    for (index, key) in KEYS.iter().enumerate() {
        assert_eq!(index >= first_table, key.table.is_some(), "{}: tables come last", key.name);
        assert!(key.table.is_none_or(|table| key.name.starts_with(&format!("{table}_"))), "{}", key.name);
        let argument = command.get_arguments().find(|argument| argument.get_id() == key.name).unwrap();
        assert_eq!(argument.get_long().unwrap(), key.name.replace('_', "-"));
        assert_eq!(argument.get_env().unwrap().to_str().unwrap(), key.variable());
        assert!(key.doc.trim_end().ends_with('.'), "{}: a sentence", key.name);
    }
}

#[test]
fn defaults_keep_to_their_ranges_and_can_be_read() {
    for key in KEYS {
        let Some(value) = (key.get)(&Config::default()) else { continue };
        let mut config = Config::default();
        let document = format!("value = {value}");
        let table = toml::de::DeTable::parse(&document).unwrap();
        let read = table.get_ref().get("value").unwrap();
        assert_eq!((key.set_toml)(&mut config, read.get_ref()), Ok(()), "{}", key.name);
        assert!(key.is_same(&config, &Config::default()), "{}", key.name);
    }
}

#[test]
fn each_complaint_about_a_value_has_its_line() {
    for (line, column, told) in [
        ("connections_max = -1", 19, "connections_max: expected a whole number of at least 0, found -1"),
        ("heartbeat = 70000", 13, "heartbeat: the number is above 65535"),
        ("heartbeat = 1.5", 13, "heartbeat: expected a whole number, found a float"),
        ("memory_bytes_max = \"0%\"", 20, "memory_bytes_max: expected a percentage from 1% to 100%"),
        (
            "message_bytes_max = true",
            21,
            "message_bytes_max: expected bytes like 1048576 or \"256MiB\", found true",
        ),
        ("data_dir = \"\"", 12, "data_dir: the path is empty"),
        ("log_format = \"xml\"", 14, "log_format: expected text or json, found \"xml\""),
        ("proxy_protocol_trusted = 5", 26, "proxy_protocol_trusted: expected an array, found the integer 5"),
        (
            "proxy_protocol_trusted = [\"here\"]",
            26,
            "proxy_protocol_trusted: \"here\" is neither an address nor",
        ),
        ("admin_password = \"\"", 18, "admin_password: it is empty"),
        ("admin_password = 12345", 18, "admin_password: expected a string"),
        (
            "tls.client_certificates = \"all\"",
            27,
            "tls.client_certificates: expected none, optional or required",
        ),
        ("tls.login_from = \"name\"", 18, "tls.login_from: expected one of distinguished_name"),
        ("oauth.jwks_url = \"https://a:b@c\"", 18, "oauth.jwks_url: a URL without user and password"),
    ] {
        let error = with(&format!("\n{line}\n"), &[]).unwrap_err();
        let wanted = format!("leveret.toml:2:{column}: {told}");
        assert!(error.starts_with(&wanted), "{error}\n{wanted}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}
