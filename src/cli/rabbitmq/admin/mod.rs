//! `rabbitmqadmin` as of `RabbitMQ` 3: `rabbitmqadmin declare queue name=x`, over HTTP, as guest by default.
//!
//! Absent: its configuration file, client certificates, and the script for a shell's completions.

mod configured;
mod objects;
mod options;
mod tables;

use std::io::Write;

use serde_json::{Map, Value};

use super::fault::Fault;
use crate::cli::client::{Client, Failure, path, quoted};
use crate::cli::private;
use crate::management::COMPATIBLE_WITH;
use objects::{CLOSABLE, DECLARABLE, DELETABLE, Kind, PURGABLE};
use options::Options;

/// Exit code of every failure: this tool has no other.
const FAILED: u8 = 1;

fn fault(text: impl Into<String>) -> Fault {
    Fault::plain(FAILED, text)
}

fn told(failure: Failure) -> Fault {
    match failure {
        Failure::Unreachable(why) => fault(format!("*** Could not connect: {why}")),
        Failure::Login { url } => fault(format!("*** Access refused: {url}")),
        Failure::Refused { status: 401, reason, .. } => fault(format!("*** Access refused: {reason}")),
        Failure::Refused { status: 404, reason, .. } => fault(format!("*** Not found: {reason}")),
        other => fault(format!("*** {other}")),
    }
}

/// One call.
struct Call {
    options: Options,
    client: Client,
}

/// Runs the command.
pub(super) fn run(arguments: &[String]) -> Result<(), Fault> {
    let (options, words) = options::read(arguments)?;
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut out = std::io::stdout().lock();
    match words.as_slice() {
        _ if options.is("version") => {
            return Ok(writeln!(out, "rabbitmqadmin {COMPATIBLE_WITH}")?);
        }
        _ if options.is("help") => return Ok(writeln!(out, "{}", options::help())?),
        [] | ["help"] => return Err(fault(options::help())),
        ["help", ..] => return Ok(writeln!(out, "{}", options::subcommands())?),
        _ => {}
    }
    drop(out);
    let client = options.remote().client_within(Some(options.timeout)).map_err(told)?;
    let call = Call { options, client };
    match words.as_slice() {
        ["list" | "show", what, columns @ ..] => call.list(what, columns),
        ["declare", what, given @ ..] => call.declare(objects::of(&DECLARABLE, what)?, given),
        ["delete", what, given @ ..] => call.delete(objects::of(&DELETABLE, what)?, given, "deleted"),
        ["close", what, given @ ..] => call.delete(objects::of(&CLOSABLE, what)?, given, "closed"),
        ["purge", what, given @ ..] => call.delete(objects::of(&PURGABLE, what)?, given, "purged"),
        ["publish", given @ ..] => call.publish(given),
        ["get", given @ ..] => call.get(given),
        ["export", file] => call.export(file),
        ["import", file] => call.import(file),
        ["list" | "show" | "declare" | "delete" | "close" | "purge" | "export" | "import"] => {
            Err(fault(format!("*** {} what? See rabbitmqadmin help subcommands", words[0])))
        }
        _ => Err(fault(format!("*** Action '{}' not understood", words[0]))),
    }
}

impl Call {
    /// Reports an action, unless quiet.
    fn say(&self, text: &str) -> Result<(), Fault> {
        if self.options.is("quiet") {
            return Ok(());
        }
        Ok(writeln!(std::io::stdout().lock(), "{text}")?)
    }

    fn vhost(&self) -> &str {
        self.options.vhost.as_deref().or(self.options.declare_vhost.as_deref()).unwrap_or("/")
    }

    fn list(&self, what: &str, columns: &[&str]) -> Result<(), Fault> {
        let (place, in_vhosts, usual) = objects::listed(what)?;
        let mut at = match &self.options.vhost {
            Some(vhost) if in_vhosts => path([place, vhost]),
            _ => path([place]),
        };
        let mut query = Vec::new();
        if let Some(sort) = &self.options.sort {
            query.push(format!("sort={}", quoted(sort)));
            query.push(format!("sort_reverse={}", self.options.is("sort-reverse")));
        }
        let shown: Vec<&str> = if columns.is_empty() { usual.to_vec() } else { columns.to_vec() };
        if !shown.is_empty() {
            query.push(format!("columns={}", quoted(&shown.join(","))));
        }
        if !query.is_empty() {
            at = format!("{at}?{}", query.join("&"));
        }
        self.show(&self.client.get(&at).map_err(told)?, &shown)
    }

    /// Shows a response, with these columns if any.
    fn show(&self, value: &Value, columns: &[&str]) -> Result<(), Fault> {
        let depth = if columns.is_empty() { self.options.depth } else { usize::MAX };
        let text = tables::shown(&self.options.format, value, depth, columns, !self.options.is("quiet"))?;
        Ok(std::io::stdout().lock().write_all(text.as_bytes())?)
    }

    /// The `name=value` arguments, with defaults added.
    fn given(&self, kind: &Kind, given: &[&str]) -> Result<Map<String, Value>, Fault> {
        objects::given(kind, given, self.vhost())
    }

    fn declare(&self, kind: &Kind, given: &[&str]) -> Result<(), Fault> {
        let body = self.given(kind, given)?;
        let method = if kind.name == "binding" { "POST" } else { "PUT" };
        self.client.call(method, &kind.place(&body), Some(&Value::Object(body))).map_err(told)?;
        self.say(&format!("{} declared", kind.name))
    }

    fn delete(&self, kind: &Kind, given: &[&str], done: &str) -> Result<(), Fault> {
        let body = self.given(kind, given)?;
        self.client.delete(&kind.place(&body)).map_err(told)?;
        self.say(&format!("{} {done}", kind.name))
    }

    fn publish(&self, given: &[&str]) -> Result<(), Fault> {
        let mut body = self.given(&objects::PUBLISH, given)?;
        if !body.contains_key("payload") {
            let text = std::io::read_to_string(std::io::stdin())?;
            body.insert("payload".to_owned(), text.into());
        }
        let answer = self.client.post(&objects::PUBLISH.place(&body), &Value::Object(body)).map_err(told)?;
        let routed = answer["routed"] == true;
        self.say(if routed { "Message published" } else { "Message published but NOT routed" })
    }

    fn get(&self, given: &[&str]) -> Result<(), Fault> {
        let mut body = self.given(&objects::GET, given)?;
        let file = body.remove("payload_file").and_then(|file| file.as_str().map(str::to_owned));
        let messages = self.client.post(&objects::GET.place(&body), &Value::Object(body)).map_err(told)?;
        let Some(file) = file else { return self.show(&messages, &[]) };
        let payload = messages[0]["payload"].as_str().unwrap_or_default();
        std::fs::write(&file, payload).map_err(|error| fault(format!("*** {file}: {error}")))
    }

    fn definitions(&self) -> String {
        match &self.options.vhost {
            Some(vhost) => path(["definitions", vhost]),
            None => path(["definitions"]),
        }
    }

    fn export(&self, file: &str) -> Result<(), Fault> {
        let definitions = self.client.get(&self.definitions()).map_err(told)?;
        private::write(std::path::Path::new(file), definitions.to_string().as_bytes())
            .map_err(|error| fault(format!("*** {file}: {error}")))?;
        self.say(&format!("Exported definitions for {} to \"{file}\"", self.options.host))
    }

    fn import(&self, file: &str) -> Result<(), Fault> {
        let wrong = |why: &dyn std::fmt::Display| fault(format!("*** {file}: {why}"));
        let text = std::fs::read_to_string(file).map_err(|error| wrong(&error))?;
        let definitions: Value = serde_json::from_str(&text).map_err(|error| wrong(&error))?;
        self.client.post(&self.definitions(), &definitions).map_err(told)?;
        self.say(&format!("Uploaded definitions from \"{}\" to {file}.", self.options.host))
    }
}
