//! A tool's command line: options anywhere, and words.

use std::collections::BTreeMap;

use super::Tool;
use super::fault::{Fault, USAGE};
use super::usage::Usage;

/// Options with a value, common to all commands, with their short forms.
const VALUES: [(&str, &str); 7] = [
    ("node", "n"),
    ("vhost", "p"),
    ("timeout", "t"),
    ("formatter", ""),
    ("printer", ""),
    ("erlang-cookie", ""),
    ("script-name", ""),
];

/// Options without a value.
const FLAGS: [(&str, &str); 9] = [
    ("quiet", "q"),
    ("silent", "s"),
    ("longnames", "l"),
    ("help", "?"),
    ("no-table-headers", ""),
    ("table-headers", ""),
    ("dry-run", ""),
    ("print-stacktrace", ""),
    ("version", ""),
];

/// Options with a value, of single commands.
const OWN_VALUES: [&str; 13] = [
    "priority",
    "apply-to",
    "description",
    "tags",
    "default-queue-type",
    "user",
    "within",
    "unit",
    "limit",
    "per-connection-delay",
    "pid",
    "format",
    "address",
];

/// Short forms of options of single commands.
const OWN_SHORT: [(&str, &str); 6] = [
    ("E", "enabled"),
    ("e", "implicitly-enabled"),
    ("m", "minimal"),
    ("v", "verbose"),
    ("u", "if-unused"),
    ("f", "format"),
];

/// A parsed command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Line {
    /// As given.
    given: Vec<String>,
    /// Arguments that are not options, the command first.
    pub(super) words: Vec<String>,
    options: BTreeMap<String, String>,
}

impl Line {
    /// Parses a line. Errors are reported once the command is known.
    pub(super) fn read(arguments: &[String]) -> Self {
        let mut line = Self { given: arguments.to_vec(), ..Self::default() };
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            if argument == "--" {
                line.words.extend(rest.cloned());
                break;
            }
            let Some((name, value)) = option(argument) else {
                line.words.push(argument.clone());
                continue;
            };
            let takes = VALUES.iter().any(|(known, _)| *known == name) || OWN_VALUES.contains(&name.as_str());
            let value = match value {
                Some(value) => value,
                None if takes => rest.next().cloned().unwrap_or_default(),
                None => String::new(),
            };
            line.options.insert(name, value);
        }
        line
    }

    /// The line, if the command accepts its options and number of words.
    pub(super) fn checked(self, tool: Tool, usage: &Usage) -> Result<Self, Fault> {
        let known = |name: &str| {
            VALUES.iter().chain(&FLAGS).any(|(known, _)| *known == name) || usage.options.contains(&name)
        };
        let unknown: Vec<_> = self.options.iter().filter(|(name, _)| !known(name)).collect();
        let words = self.words.len().saturating_sub(1);
        let (least, most) = usage.words;
        let wrong = if !unknown.is_empty() {
            let lines: Vec<_> = unknown.iter().map(|(name, value)| format!("--{name} : {value}")).collect();
            format!("Invalid options for this command:\n{}", lines.join("\n"))
        } else if words < least {
            "not enough arguments.".to_owned()
        } else if words > most {
            "too many arguments.".to_owned()
        } else {
            return Ok(self);
        };
        Err(self.refused(tool, usage, &wrong))
    }

    /// A usage error, in the tool's wording.
    pub(super) fn refused(&self, tool: Tool, usage: &Usage, why: &str) -> Fault {
        let given = self.given.join(" ");
        let usage = usage.line(tool);
        let bold = "\u{1b}[1mUsage\u{1b}[0m";
        Fault::plain(
            USAGE,
            format!("Error (argument validation): {why}\nArguments given:\n\t{given}\n\n{bold}\n\n{usage}"),
        )
    }

    /// Whether an option is given.
    pub(super) fn has(&self, name: &str) -> bool {
        self.options.contains_key(name)
    }

    /// An option's value.
    pub(super) fn option(&self, name: &str) -> Option<&str> {
        self.options.get(name).map(String::as_str)
    }
}

/// An option's name, and its value if attached.
fn option(argument: &str) -> Option<(String, Option<String>)> {
    if let Some(long) = argument.strip_prefix("--") {
        let (name, value) = match long.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (long, None),
        };
        return Some((name.replace('_', "-"), value));
    }
    let short = argument.strip_prefix('-').filter(|short| short.chars().count() == 1)?;
    let long = VALUES.iter().chain(&FLAGS).find(|(_, known)| *known == short).map(|(long, _)| *long);
    let long = long.or_else(|| OWN_SHORT.iter().find(|(known, _)| *known == short).map(|(_, long)| *long));
    // An unknown letter is reported as it is.
    Some((long.unwrap_or(short).to_owned(), None))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Line {
        Line::read(&text.split(' ').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn options_stand_anywhere_and_words_stay_in_order() {
        let line = read("-q -n rabbit@h set_policy -p v name ^a {\"b\":1} --priority 5 --apply-to=queues");
        assert_eq!(line.words, ["set_policy", "name", "^a", "{\"b\":1}"]);
        for (name, value) in
            [("node", "rabbit@h"), ("vhost", "v"), ("priority", "5"), ("apply-to", "queues"), ("quiet", "")]
        {
            assert_eq!(line.option(name), Some(value), "{name}");
        }
        assert!(!line.has("silent"));
        // Underscores, negative numbers, and words after two dashes.
        assert_eq!(read("a --if_unused -5x -- -q").words, ["a", "-5x", "-q"]);
        assert!(read("a --if_unused").has("if-unused"));
    }
}
