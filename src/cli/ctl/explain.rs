//! `leveret ctl explain`: what the broker would do with a message.

use std::io::{self, Write};

use clap::Args;
use serde_json::{Map, Value, json};

use super::declare::InVhost;
use super::object;
use super::table::shown;
use crate::cli::client::{Client, Failure, path};

/// The message.
#[derive(Clone, Debug, Args)]
pub(super) struct ExplainArgs {
    /// The exchange; `amq.default` or an empty name for the default exchange.
    exchange: String,
    /// The routing key.
    #[arg(default_value = "")]
    key: String,
    /// A header, as `name=value`. A number, true or false is one; quote it to have a text: `--header 'n="1"'`.
    #[arg(long = "header", value_name = "NAME=VALUE", value_parser = header)]
    headers: Vec<(String, Value)>,
    /// Other properties, as a JSON object: `{"priority": 5}`.
    #[arg(long, value_name = "JSON", value_parser = object, default_value = "{}")]
    properties: Map<String, Value>,
    /// Size of the body, for limits in bytes.
    #[arg(long, value_name = "BYTES", default_value_t = 0)]
    payload_bytes: u64,
    /// Whose permissions are checked, instead of those of --user.
    #[arg(long, value_name = "NAME")]
    publisher: Option<String>,
    #[command(flatten)]
    place: InVhost,
}

/// `name=value`; the value is JSON if it is a number, a truth value or a quoted text, else a text.
fn header(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("a header is wanted as in name=value")?;
    let scalar = |value: &Value| value.is_number() || value.is_boolean() || value.is_string();
    let value = serde_json::from_str(value).ok().filter(scalar).unwrap_or_else(|| value.into());
    Ok((name.to_owned(), value))
}

/// Asks and shows.
pub(super) fn run(
    client: &Client,
    args: &ExplainArgs,
    json: bool,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let mut properties = args.properties.clone();
    if !args.headers.is_empty() {
        let mut headers = match properties.remove("headers") {
            None => Map::new(),
            Some(Value::Object(headers)) => headers,
            Some(other) => {
                return Err(Failure::Usage(format!("--properties: headers is not an object: {other}")));
            }
        };
        headers.extend(args.headers.iter().cloned());
        properties.insert("headers".to_owned(), Value::Object(headers));
    }
    let question = json!({
        "exchange": args.exchange,
        "routing_key": args.key,
        "properties": properties,
        "payload_bytes": args.payload_bytes,
        "user": args.publisher,
    });
    let explained = client.post(&path(["explain", args.place.vhost.as_str()]), &question)?;
    if json {
        return super::print_json(out, &explained);
    }
    Ok(write(out, &explained)?)
}

fn items<'a>(of: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    of.get(name).and_then(Value::as_array).into_iter().flatten()
}

fn text(of: &Value, name: &str) -> String {
    of.get(name).map(shown).unwrap_or_default()
}

fn number(of: &Value, name: &str) -> u64 {
    of.get(name).and_then(Value::as_u64).unwrap_or_default()
}

fn is(of: &Value, name: &str) -> bool {
    of.get(name).and_then(Value::as_bool).unwrap_or_default()
}

fn write(out: &mut impl Write, explained: &Value) -> io::Result<()> {
    for hop in items(explained, "hops") {
        write_hop(out, hop)?;
    }
    let hops = number(explained, "hop_count").saturating_sub(items(explained, "hops").count() as u64);
    if hops > 0 {
        writeln!(out, "{hops} more exchanges")?;
    }
    for queue in items(explained, "queues") {
        let later = if is(queue, "after_delay") { ", after the delay" } else { "" };
        writeln!(out, "queue {}{later}", text(queue, "name"))?;
        for effect in items(queue, "effects") {
            writeln!(out, "    {}", shown(effect))?;
        }
    }
    let queues = number(explained, "queue_count").saturating_sub(items(explained, "queues").count() as u64);
    if queues > 0 {
        writeln!(out, "{queues} more queues")?;
    }
    writeln!(out, "{}", text(explained, "summary"))
}

fn write_hop(out: &mut impl Write, hop: &Value) -> io::Result<()> {
    let from = text(hop, "from");
    let reached = match text(hop, "reached").as_str() {
        "binding" => format!("through a binding from '{from}'"),
        "alternate" => format!("as the alternate exchange of '{from}'"),
        "release" => "after the delay".to_owned(),
        _ => "published to".to_owned(),
    };
    let (matched, missed) = (number(hop, "matched_count"), number(hop, "unmatched_count"));
    let unexamined = number(hop, "unexamined_count");
    writeln!(
        out,
        "exchange '{}' ({}), {reached}: {matched} of {} bindings match",
        text(hop, "exchange"),
        text(hop, "type"),
        matched + missed + unexamined
    )?;
    if let Some(until) = hop.get("held_until").filter(|until| until.is_string()) {
        writeln!(out, "    holds the message until {}", shown(until))?;
    }
    write_traits(out, hop)?;
    for one in items(hop, "matched") {
        let words =
            items(one, "words").map(|word| format!("{}={}", text(word, "pattern"), text(word, "key")));
        let words = words.collect::<Vec<_>>().join(" ");
        let words = if words.is_empty() { words } else { format!("  [{words}]") };
        writeln!(out, "    + {}{words}", binding(one))?;
    }
    for one in items(hop, "unmatched") {
        writeln!(out, "    - {}: {}", binding(one), text(one, "why"))?;
    }
    let listed = (items(hop, "matched").count() + items(hop, "unmatched").count()) as u64;
    let more = (matched + missed).saturating_sub(listed);
    // The default exchange's bindings are its queues.
    if more > 0 && !text(hop, "exchange").is_empty() {
        writeln!(out, "    {more} more bindings")?;
    }
    if unexamined > 0 {
        writeln!(out, "    {unexamined} bindings were not examined")?;
    }
    if let Some(alternate) = hop.get("alternate").filter(|alternate| alternate.is_object()) {
        let words = match (is(alternate, "exists"), is(alternate, "used")) {
            (false, _) => "does not exist",
            (true, false) => "is not used",
            (true, true) => "receives the message",
        };
        writeln!(out, "    alternate exchange '{}' {words}", text(alternate, "exchange"))?;
    }
    Ok(())
}

/// What the exchange does besides routing, and its policies.
fn write_traits(out: &mut impl Write, hop: &Value) -> io::Result<()> {
    for (name, words) in [
        ("internal", "is internal: clients may not publish to it"),
        ("picks_one", "picks one of its bindings"),
        ("remembers", "keeps the message for later bindings"),
    ] {
        if is(hop, name) {
            writeln!(out, "    {words}")?;
        }
    }
    if let Some(found) = hop.get("deduplication").filter(|found| found.is_object()) {
        let words = match (is(found, "present"), is(found, "duplicate")) {
            (false, _) => "is absent: not checked",
            (true, false) => "was not seen before",
            (true, true) => "was seen before: dropped",
        };
        writeln!(out, "    deduplication: the id in header '{}' {words}", text(found, "header"))?;
    }
    for (name, words) in [("policy", "policy"), ("operator_policy", "operator policy")] {
        let policy = text(hop, name);
        if !policy.is_empty() {
            writeln!(out, "    {words} {policy}")?;
        }
    }
    Ok(())
}

fn binding(of: &Value) -> String {
    let binding = of.get("binding").cloned().unwrap_or_default();
    let arguments = text(&binding, "arguments");
    let arguments = if arguments.is_empty() { arguments } else { format!(" arguments {arguments}") };
    format!(
        "{} {} key '{}'{arguments}",
        text(&binding, "destination_type"),
        text(&binding, "destination"),
        text(&binding, "routing_key")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_numbers_truth_values_or_texts() {
        for (given, name, value) in [
            ("a=1", "a", json!(1)),
            ("a=1.5", "a", json!(1.5)),
            ("a=true", "a", json!(true)),
            ("a=\"1\"", "a", json!("1")),
            ("a=b=c", "a", json!("b=c")),
            ("a=", "a", json!("")),
            ("a=[1]", "a", json!("[1]")),
        ] {
            assert_eq!(header(given), Ok((name.to_owned(), value)), "{given}");
        }
        assert!(header("a").is_err());
    }
}
