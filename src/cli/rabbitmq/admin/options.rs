//! Options and help.

use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

use super::super::fault::Fault;
use super::{configured, fault, objects};
use crate::cli::client::Remote;

/// Options with a value: long, short, description.
const VALUES: [(&str, &str, &str); 14] = [
    ("host", "H", "connect to this host [localhost]"),
    ("port", "P", "connect to this port [15672; 15671 with --ssl]"),
    ("path-prefix", "", "what stands before /api"),
    ("vhost", "V", "the virtual host [all for list, / for declare]"),
    ("username", "u", "log in as [guest]"),
    ("password", "p", "with this password [guest]"),
    ("base-uri", "U", "the API's place, instead of host, port and prefix"),
    ("ssl-ca-cert-file", "", "certificates (PEM) to trust"),
    ("request-timeout", "t", "seconds that an answer may take [120]"),
    ("format", "f", "raw_json, pretty_json, tsv, long, table, kvp or bash [table]"),
    ("sort", "S", "list in the order of this column"),
    ("depth", "d", "how deep members of members become columns [1]"),
    ("config", "c", "the configuration file [~/.rabbitmqadmin.conf]"),
    ("node", "N", "the section of the configuration file [default]"),
];

/// Options without a value.
const FLAGS: [(&str, &str, &str); 5] = [
    ("ssl", "s", "connect over TLS"),
    ("quiet", "q", "say nothing but results"),
    ("sort-reverse", "R", "the other way round"),
    ("version", "", "the version"),
    ("help", "h", "this"),
];

/// Options before the subcommand.
pub(super) struct Options {
    pub(super) host: String,
    port: Option<String>,
    prefix: String,
    pub(super) vhost: Option<String>,
    /// The vhost for declaring and deleting, if none is given.
    pub(super) declare_vhost: Option<String>,
    user: String,
    password: String,
    uri: Option<String>,
    ca_file: Option<PathBuf>,
    pub(super) timeout: Duration,
    pub(super) format: String,
    pub(super) sort: Option<String>,
    pub(super) depth: usize,
    /// Options without a value.
    flags: Vec<&'static str>,
}

impl Options {
    /// Whether an option without a value is set.
    pub(super) fn is(&self, name: &str) -> bool {
        self.flags.contains(&name)
    }

    /// The broker and login.
    pub(super) fn remote(&self) -> Remote {
        let (scheme, port) = if self.is("ssl") { ("https", "15671") } else { ("http", "15672") };
        let port = self.port.as_deref().unwrap_or(port);
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        let usual = || format!("{scheme}://{host}:{port}{}", self.prefix);
        let url = self.uri.clone().unwrap_or_else(usual);
        Remote::of(url, self.user.clone(), self.password.clone().into(), self.ca_file.clone())
    }
}

fn all() -> impl Iterator<Item = (&'static str, &'static str, bool)> {
    let values = VALUES.iter().map(|(long, short, _)| (*long, *short, true));
    values.chain(FLAGS.iter().map(|(long, short, _)| (*long, *short, false)))
}

/// An option by its long name, and whether it takes a value.
pub(super) fn known(name: &str) -> Option<(&'static str, bool)> {
    all().find(|(long, ..)| *long == name).map(|(long, _, takes)| (long, takes))
}

/// An option as written: `-u`, `--username`, or an unambiguous prefix.
fn found(name: &str) -> Option<(&'static str, bool)> {
    let Some(name) = name.strip_prefix("--") else {
        let letter = name.strip_prefix('-').filter(|letter| !letter.is_empty())?;
        return all().find(|(_, short, _)| *short == letter).map(|(long, _, takes)| (long, takes));
    };
    let mut begin_so = all().filter(|(long, ..)| !name.is_empty() && long.starts_with(name));
    let only = begin_so.next().filter(|_| begin_so.next().is_none());
    known(name).or_else(|| only.map(|(long, _, takes)| (long, takes)))
}

/// An option's name and attached value: `--port=1`, `-P1`.
fn parted(argument: &str) -> (&str, Option<&str>) {
    if argument.starts_with("--") {
        return argument.split_once('=').map_or((argument, None), |(name, value)| (name, Some(value)));
    }
    let letter = argument.char_indices().nth(2).map_or(argument.len(), |(at, _)| at);
    let (name, value) = argument.split_at(letter);
    (name, (!value.is_empty()).then_some(value))
}

/// Separates options from words; options may appear anywhere.
pub(super) fn read(arguments: &[String]) -> Result<(Options, Vec<String>), Fault> {
    let (mut said, mut words) = (std::collections::BTreeMap::new(), Vec::new());
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        if !argument.starts_with('-') || argument == "-" {
            words.push(argument.clone());
            continue;
        }
        let (name, stuck) = parted(argument);
        let (long, takes) =
            found(name).ok_or_else(|| fault(format!("rabbitmqadmin: error: no such option: {name}")))?;
        let value = match (takes, stuck) {
            (false, None) => String::new(),
            (false, Some(_)) => {
                return Err(fault(format!("rabbitmqadmin: error: {name} option does not take a value")));
            }
            (true, Some(value)) => value.to_owned(),
            (true, None) => {
                let missing = || fault(format!("rabbitmqadmin: error: {name} option requires 1 argument"));
                rest.next().cloned().ok_or_else(missing)?
            }
        };
        said.insert(long, value);
    }
    configured::add(&mut said, known)?;
    let flags = FLAGS.iter().map(|(long, ..)| *long).filter(|long| said.contains_key(long)).collect();
    let mut text = |name: &str| said.remove(name);
    let number = |text: Option<String>, usual: u64| match text {
        None => Ok(usual),
        Some(text) => text.parse().map_err(|_| fault(format!("rabbitmqadmin: error: not a number: {text}"))),
    };
    let options = Options {
        host: text("host").unwrap_or_else(|| "localhost".to_owned()),
        port: text("port"),
        prefix: text("path-prefix").unwrap_or_default(),
        vhost: text("vhost"),
        declare_vhost: text("declare-vhost"),
        user: text("username").unwrap_or_else(|| "guest".to_owned()),
        password: text("password").unwrap_or_else(|| "guest".to_owned()),
        uri: text("base-uri"),
        ca_file: text("ssl-ca-cert-file").map(PathBuf::from),
        timeout: Duration::from_secs(number(text("request-timeout"), 120)?),
        format: text("format").unwrap_or_else(|| "table".to_owned()),
        sort: text("sort"),
        depth: usize::try_from(number(text("depth"), 1)?).unwrap_or(usize::MAX),
        flags,
    };
    Ok((options, words))
}

/// `--help`.
pub(super) fn help() -> String {
    let mut text = "Usage\n=====\n  rabbitmqadmin [options] subcommand\n\nOptions\n=======\n".to_owned();
    for (long, short, what) in VALUES.iter().chain(&FLAGS) {
        let name = if short.is_empty() { format!("--{long}") } else { format!("--{long}, -{short}") };
        let _ = writeln!(text, "{name:24}{what}");
    }
    text + "\nrabbitmqadmin help subcommands lists what can be done."
}

/// `help subcommands`.
pub(super) fn subcommands() -> String {
    let lines = |title: &str, lines: Vec<String>| format!("{title}\n  {}\n\n", lines.join("\n  "));
    let listed = objects::LISTED.iter().map(|(name, ..)| match *name {
        "overview" => "show overview [<column>...]".to_owned(),
        name => format!("list {name} [<column>...]"),
    });
    let mut text = lines("Display", listed.collect());
    for (verb, kinds) in [
        ("declare", &objects::DECLARABLE[..]),
        ("delete", &objects::DELETABLE),
        ("close", &objects::CLOSABLE),
        ("purge", &objects::PURGABLE),
    ] {
        text +=
            &lines(verb, kinds.iter().map(|kind| format!("{verb} {} {}", kind.name, kind.usage())).collect());
    }
    text += &lines("Definitions", vec!["export <file>".to_owned(), "import <file>".to_owned()]);
    let messages =
        vec![format!("publish {}", objects::PUBLISH.usage()), format!("get {}", objects::GET.usage())];
    text + lines("Messages", messages).trim_end()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_written_in_all_the_ways_that_rabbitmqadmin_takes() {
        for line in [
            "--username=u --password=p --vhost=v list queues",
            "--user=u --pass=p --vh v list queues",
            "-uu -pp -Vv list queues",
            "list -u u queues -p p -V v",
        ] {
            let given: Vec<String> = line.split(' ').map(str::to_owned).collect();
            let (options, words) = read(&given).unwrap_or_else(|fault| panic!("{line}: {}", fault.text));
            assert_eq!((options.user.as_str(), options.password.as_str()), ("u", "p"), "{line}");
            assert_eq!(
                (options.vhost.as_deref(), words.as_slice()),
                (Some("v"), &given_words()[..]),
                "{line}"
            );
        }
        for wrong in ["--p=1", "--nonsense", "-z", "-qx", "--quiet=1", "-u"] {
            assert!(read(&[wrong.to_owned()]).is_err(), "{wrong}");
        }
    }

    fn given_words() -> [String; 2] {
        ["list".to_owned(), "queues".to_owned()]
    }
}
