//! One invocation of a command: its line, its broker, and its output.

use std::cell::{Cell, OnceCell};
use std::io::Write;

use serde_json::{Value, json};

use super::Tool;
use super::fault::{Fault, UNAVAILABLE, USAGE};
use super::format::{self, Format};
use super::line::Line;
use super::reach;
use super::usage::Usage;
use crate::cli::client::{Client, Failure, path};

/// One invocation of a command.
pub(super) struct Job {
    pub(super) tool: Tool,
    pub(super) line: Line,
    /// How the command is called; `None` for an option that acts as one.
    usage: Option<&'static Usage>,
    client: OnceCell<Client>,
    /// Whether anything but banners was written.
    told: Cell<bool>,
}

impl Job {
    pub(super) fn new(tool: Tool, line: Line, usage: Option<&'static Usage>) -> Self {
        Self { tool, line, usage, client: OnceCell::new(), told: Cell::new(false) }
    }

    /// The same invocation anew, with a connection of its own.
    pub(super) fn afresh(&self) -> Self {
        Self::new(self.tool, self.line.clone(), self.usage)
    }

    /// The command's name.
    pub(super) fn name(&self) -> &str {
        self.word(0)
    }

    /// A word; the first is the command's name. Empty if missing.
    pub(super) fn word(&self, place: usize) -> &str {
        self.line.words.get(place).map_or("", String::as_str)
    }

    /// All words from `place` on.
    pub(super) fn words_from(&self, place: usize) -> &[String] {
        self.line.words.get(place..).unwrap_or_default()
    }

    /// The requested vhost.
    pub(super) fn vhost(&self) -> &str {
        self.line.option("vhost").unwrap_or("/")
    }

    /// The command's timeout in seconds, if given.
    pub(super) fn timeout(&self) -> Result<Option<u64>, Fault> {
        match self.line.option("timeout") {
            None | Some("infinity") => Ok(None),
            // Fractions of a second are ignored.
            Some(text) => match text.split('.').next().unwrap_or_default().parse::<u32>() {
                Ok(seconds) => Ok(Some(seconds.into())),
                Err(_) => Err(self.misused(&format!("timeout value '{text}' is not a number of seconds"))),
            },
        }
    }

    pub(super) fn format(&self) -> Result<Format, Fault> {
        match self.line.option("formatter") {
            None => Ok(Format::Plain),
            Some(name) => Format::named(name).ok_or_else(|| {
                Fault::new(
                    USAGE,
                    format!("unknown formatter '{name}': json, table, csv, pretty_table or erlang"),
                )
            }),
        }
    }

    /// Announces an action, unless quiet or in machine-readable output.
    pub(super) fn say(&self, text: &str) -> Result<(), Fault> {
        let machine = matches!(self.format()?, Format::Json | Format::Csv);
        if self.line.has("quiet") || self.line.has("silent") || machine {
            return Ok(());
        }
        Ok(writeln!(std::io::stdout().lock(), "{text}")?)
    }

    /// Writes a line.
    pub(super) fn tell(&self, text: &str) -> Result<(), Fault> {
        self.write(&format!("{text}\n"))
    }

    /// Writes a text unchanged.
    pub(super) fn write(&self, text: &str) -> Result<(), Fault> {
        self.told.set(true);
        Ok(std::io::stdout().lock().write_all(text.as_bytes())?)
    }

    /// Ends a successful command: machine-readable output reports success if it is otherwise empty.
    pub(super) fn finish(&self) -> Result<(), Fault> {
        if self.told.get() || self.format()? != Format::Json {
            return Ok(());
        }
        // The command may have stopped the node.
        self.tell(&json!({ "node": self.node().unwrap_or_default(), "result": "ok" }).to_string())
    }

    /// Writes a list. `empty`: written instead of a list without rows, if given.
    pub(super) fn table(
        &self,
        columns: &[&str],
        rows: &[Vec<Value>],
        empty: Option<&str>,
    ) -> Result<(), Fault> {
        let headers = !self.line.has("silent") && !self.line.has("no-table-headers");
        let text = match (self.format()?, rows.is_empty(), empty) {
            (Format::Plain | Format::Table, true, Some(empty)) => format!("{empty}\n"),
            (format, ..) => format::table(format, headers, columns, rows),
        };
        self.write(&text)
    }

    /// A text, or an object in machine-readable output.
    pub(super) fn either(&self, text: &str, object: &Value) -> Result<(), Fault> {
        match self.format()? {
            Format::Json => self.tell(&object.to_string()),
            _ => self.tell(text),
        }
    }

    /// Wrong usage.
    pub(super) fn misused(&self, why: &str) -> Fault {
        match self.usage {
            Some(usage) => self.line.refused(self.tool, usage, why),
            None => Fault::new(USAGE, why),
        }
    }

    /// The broker. A node name, if given, must be this broker's.
    pub(super) fn broker(&self) -> Result<&Client, Fault> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let client = reach::broker(self.timeout()?)?;
        if let Some(node) = self.line.option("node").filter(|node| node.contains('@')) {
            match client.get(&path(["nodes", node])) {
                Ok(_) => {}
                Err(failure) if failure.is_not_found() => {
                    return Err(reach::no_node(node, "no node of this broker"));
                }
                Err(failure) => return Err(self.unreachable(failure)),
            }
        }
        Ok(self.client.get_or_init(|| client))
    }

    fn unreachable(&self, failure: Failure) -> Fault {
        match failure {
            Failure::Unreachable(why) => reach::no_node(self.line.option("node").unwrap_or("leveret"), &why),
            other => other.into(),
        }
    }

    /// GET from the API.
    pub(super) fn get<'a>(&self, place: impl IntoIterator<Item = &'a str>) -> Result<Value, Fault> {
        self.broker()?.get(&path(place)).map_err(|failure| self.unreachable(failure))
    }

    /// GET from the API; `None` if the object does not exist.
    pub(super) fn find<'a>(&self, place: impl IntoIterator<Item = &'a str>) -> Result<Option<Value>, Fault> {
        match self.broker()?.get(&path(place)) {
            Ok(value) => Ok(Some(value)),
            Err(failure) if failure.is_not_found() => Ok(None),
            Err(failure) => Err(self.unreachable(failure)),
        }
    }

    /// A list from the API.
    pub(super) fn list<'a>(&self, place: impl IntoIterator<Item = &'a str>) -> Result<Vec<Value>, Fault> {
        match self.get(place)? {
            Value::Array(list) => Ok(list),
            other => Err(Fault::new(UNAVAILABLE, format!("a list was expected, not {other}"))),
        }
    }

    /// Requests a change; `true`: done. `false`: the object does not exist.
    pub(super) fn change<'a>(
        &self,
        method: &str,
        place: impl IntoIterator<Item = &'a str>,
        body: &Value,
    ) -> Result<bool, Fault> {
        self.change_at(method, &path(place), body)
    }

    /// [`Self::change`] at a path with its query.
    pub(super) fn change_at(&self, method: &str, path: &str, body: &Value) -> Result<bool, Fault> {
        let body = (!body.is_null()).then_some(body);
        match self.broker()?.call(method, path, body) {
            Ok(_) => Ok(true),
            Err(failure) if failure.is_not_found() => Ok(false),
            Err(failure) => Err(self.unreachable(failure)),
        }
    }

    /// The node's name.
    pub(super) fn node(&self) -> Result<String, Fault> {
        Ok(self.get(["overview"])?["node"].as_str().unwrap_or_default().to_owned())
    }

    /// A vhost that must exist.
    pub(super) fn known_vhost(&self, name: &str) -> Result<Value, Fault> {
        self.find(["vhosts", name])?.ok_or_else(|| Fault::no_vhost(name))
    }

    /// A user that must exist.
    pub(super) fn known_user(&self, name: &str) -> Result<Value, Fault> {
        self.find(["users", name])?.ok_or_else(|| Fault::no_user(name))
    }
}

/// An argument in JSON.
pub(super) fn parsed(text: &str) -> Result<Value, Fault> {
    serde_json::from_str(text).map_err(|_| Fault::new(UNAVAILABLE, "JSON decoding error. Reason: badarg"))
}

/// A member of a response; null if missing.
pub(super) fn member(row: &Value, name: &str) -> Value {
    row.get(name).cloned().unwrap_or(json!(null))
}
