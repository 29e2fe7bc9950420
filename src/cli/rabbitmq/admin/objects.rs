//! Objects that can be declared, deleted and so on: their arguments and API paths.

use serde_json::{Map, Value, json};

use super::super::fault::Fault;
use super::fault;
use crate::cli::client::path;

/// A kind of object, for one verb.
pub(super) struct Kind {
    pub(super) name: &'static str,
    /// Segments of its path; `{member}` is replaced from the arguments.
    place: &'static str,
    /// Required arguments; alternatives are separated by a bar.
    must: &'static [&'static str],
    /// Optional arguments, with the default sent; empty: none.
    may: &'static [(&'static str, &'static str)],
    /// Arguments in JSON.
    json: &'static [&'static str],
}

const NOT_USED: &[(&str, &str)] = &[];

const fn kind(
    name: &'static str,
    place: &'static str,
    must: &'static [&'static str],
    may: &'static [(&'static str, &'static str)],
    json: &'static [&'static str],
) -> Kind {
    Kind { name, place, must, may, json }
}

pub(super) static DECLARABLE: [Kind; 10] = [
    kind(
        "exchange",
        "exchanges/{vhost}/{name}",
        &["name", "type"],
        &[("auto_delete", "false"), ("durable", "true"), ("internal", "false"), ("arguments", "{}")],
        &["arguments"],
    ),
    kind(
        "queue",
        "queues/{vhost}/{name}",
        &["name"],
        &[
            ("auto_delete", "false"),
            ("durable", "true"),
            ("arguments", "{}"),
            ("node", ""),
            ("queue_type", ""),
        ],
        &["arguments"],
    ),
    kind(
        "binding",
        "bindings/{vhost}/e/{source}/{destination_char}/{destination}",
        &["source", "destination"],
        &[("destination_type", "queue"), ("routing_key", ""), ("arguments", "{}")],
        &["arguments"],
    ),
    kind("vhost", "vhosts/{name}", &["name"], &[("tracing", "")], &[]),
    kind(
        "user",
        "users/{name}",
        &["name", "password|password_hash", "tags"],
        &[("hashing_algorithm", "")],
        &[],
    ),
    kind(
        "permission",
        "permissions/{vhost}/{user}",
        &["vhost", "user", "configure", "write", "read"],
        NOT_USED,
        &[],
    ),
    kind(
        "parameter",
        "parameters/{component}/{vhost}/{name}",
        &["component", "name", "value"],
        NOT_USED,
        &["value"],
    ),
    kind(
        "policy",
        "policies/{vhost}/{name}",
        &["name", "pattern", "definition"],
        &[("priority", "0"), ("apply-to", "")],
        &["definition", "priority"],
    ),
    kind(
        "operator_policy",
        "operator-policies/{vhost}/{name}",
        &["name", "pattern", "definition"],
        &[("priority", "0"), ("apply-to", "")],
        &["definition", "priority"],
    ),
    kind("vhost_limit", "vhost-limits/{vhost}/{name}", &["vhost", "name", "value"], NOT_USED, &["value"]),
];

pub(super) static DELETABLE: [Kind; 10] = [
    kind("exchange", "exchanges/{vhost}/{name}", &["name"], NOT_USED, &[]),
    kind("queue", "queues/{vhost}/{name}", &["name"], NOT_USED, &[]),
    kind(
        "binding",
        "bindings/{vhost}/e/{source}/{destination_char}/{destination}/{properties_key}",
        &["source", "destination_type", "destination"],
        &[("properties_key", "~")],
        &[],
    ),
    kind("vhost", "vhosts/{name}", &["name"], NOT_USED, &[]),
    kind("user", "users/{name}", &["name"], NOT_USED, &[]),
    kind("permission", "permissions/{vhost}/{user}", &["vhost", "user"], NOT_USED, &[]),
    kind("parameter", "parameters/{component}/{vhost}/{name}", &["component", "name"], NOT_USED, &[]),
    kind("policy", "policies/{vhost}/{name}", &["name"], NOT_USED, &[]),
    kind("operator_policy", "operator-policies/{vhost}/{name}", &["name"], NOT_USED, &[]),
    kind("vhost_limit", "vhost-limits/{vhost}/{name}", &["vhost", "name"], NOT_USED, &[]),
];

pub(super) static CLOSABLE: [Kind; 1] = [kind("connection", "connections/{name}", &["name"], NOT_USED, &[])];

pub(super) static PURGABLE: [Kind; 1] =
    [kind("queue", "queues/{vhost}/{name}/contents", &["name"], NOT_USED, &[])];

pub(super) static PUBLISH: Kind = kind(
    "publish",
    "exchanges/{vhost}/{exchange}/publish",
    &["routing_key"],
    &[("payload", ""), ("properties", "{}"), ("exchange", "amq.default"), ("payload_encoding", "string")],
    &["properties"],
);

pub(super) static GET: Kind = kind(
    "get",
    "queues/{vhost}/{queue}/get",
    &["queue"],
    &[("count", "1"), ("ackmode", "ack_requeue_true"), ("payload_file", ""), ("encoding", "auto")],
    &[],
);

/// Listable objects: name, API path, whether it can be limited to a vhost, default columns.
pub(super) static LISTED: [(&str, &str, bool, &[&str]); 15] = [
    ("connections", "connections", false, &["name", "user", "channels"]),
    ("channels", "channels", false, &["name", "user"]),
    ("consumers", "consumers", true, &[]),
    ("exchanges", "exchanges", true, &["name", "type"]),
    ("queues", "queues", true, &["name", "messages"]),
    ("bindings", "bindings", true, &["source", "destination", "routing_key"]),
    ("users", "users", false, &[]),
    ("vhosts", "vhosts", false, &["name", "messages"]),
    ("permissions", "permissions", false, &[]),
    ("nodes", "nodes", false, &["name", "type", "mem_used"]),
    ("parameters", "parameters", false, &[]),
    ("policies", "policies", false, &[]),
    ("operator_policies", "operator-policies", false, &[]),
    ("vhost_limits", "vhost-limits", false, &[]),
    (
        "overview",
        "overview",
        false,
        &["rabbitmq_version", "cluster_name", "queue_totals.messages", "object_totals.queues"],
    ),
];

/// The API path of a list, whether its objects are in vhosts, and its default columns.
pub(super) fn listed(what: &str) -> Result<(&'static str, bool, &'static [&'static str]), Fault> {
    let found = LISTED.iter().find(|(name, ..)| *name == what);
    let found = found.map(|(_, place, in_vhosts, columns)| (*place, *in_vhosts, *columns));
    found.ok_or_else(|| fault(format!("*** Don't know how to list {what}")))
}

/// The kind with this name.
pub(super) fn of(kinds: &'static [Kind], name: &str) -> Result<&'static Kind, Fault> {
    kinds
        .iter()
        .find(|kind| kind.name == name)
        .ok_or_else(|| fault(format!("*** Object type '{name}' not understood")))
}

impl Kind {
    /// Its arguments, as shown by help.
    pub(super) fn usage(&self) -> String {
        let must = self.must.iter().map(|name| format!("{}=...", name.replace('|', "=... OR ")));
        let may: Vec<_> = self.may.iter().map(|(name, _)| format!("{name}=...")).collect();
        let may = (!may.is_empty()).then(|| format!("[{}]", may.join(" ")));
        must.chain(may).collect::<Vec<_>>().join(" ")
    }

    /// The path of an object.
    pub(super) fn place(&self, body: &Map<String, Value>) -> String {
        let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let segments: Vec<String> = self
            .place
            .split('/')
            .map(|segment| match segment.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
                None => segment.to_owned(),
                Some("destination_char") => text("destination_type").chars().take(1).collect(),
                // The default exchange's name is empty.
                Some(name @ ("source" | "exchange")) if text(name).is_empty() => "amq.default".to_owned(),
                Some(name) => text(name),
            })
            .collect();
        path(segments.iter().map(String::as_str))
    }

    fn knows(&self, name: &str) -> bool {
        let must = self.must.iter().flat_map(|names| names.split('|'));
        name == "vhost" || must.chain(self.may.iter().map(|(name, _)| *name)).any(|known| known == name)
    }

    fn value(&self, name: &str, text: &str) -> Result<Value, Fault> {
        if !self.json.contains(&name) {
            return Ok(text.into());
        }
        serde_json::from_str(text)
            .map_err(|error| fault(format!("*** Could not parse JSON of {name}:\n  {error}\n{text}")))
    }
}

/// `name=value` arguments as a request body, with defaults added.
pub(super) fn given(kind: &Kind, given: &[&str], vhost: &str) -> Result<Map<String, Value>, Fault> {
    let mut body = Map::new();
    for argument in given {
        let pair = argument
            .split_once('=')
            .ok_or_else(|| fault(format!("*** Argument '{argument}' not in the form name=value")))?;
        let (name, text) = pair;
        if !kind.knows(name) {
            return Err(fault(format!("*** Argument '{name}' not recognised")));
        }
        body.insert(name.to_owned(), kind.value(name, text)?);
    }
    for names in kind.must {
        if !names.split('|').any(|name| body.contains_key(name)) {
            return Err(fault(format!("*** mandatory argument '{}' required", names.replace('|', "' or '"))));
        }
    }
    for (name, usual) in kind.may {
        let unsaid = usual.is_empty() && *name != "routing_key";
        if !unsaid && !body.contains_key(*name) {
            body.insert((*name).to_owned(), kind.value(name, usual)?);
        }
    }
    if kind.place.contains("{vhost}") {
        body.entry("vhost").or_insert_with(|| vhost.into());
    }
    if let Some(queue_type) = body.remove("queue_type") {
        body.entry("arguments").or_insert_with(|| json!({}))["x-queue-type"] = queue_type;
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_completed_and_lead_to_a_place() {
        let queue = of(&DECLARABLE, "queue").unwrap();
        let body = given(queue, &["name=a b", "queue_type=quorum"], "v/1").unwrap();
        assert_eq!(queue.place(&body), "/api/queues/v%2F1/a%20b");
        assert_eq!(
            (&body["durable"], &body["arguments"]),
            (&json!("true"), &json!({ "x-queue-type": "quorum" }))
        );
        let binding = of(&DELETABLE, "binding").unwrap();
        let body = given(
            binding,
            &["source=x", "destination_type=queue", "destination=q", "properties_key=a%23"],
            "/",
        )
        .unwrap();
        assert_eq!(binding.place(&body), "/api/bindings/%2F/e/x/q/q/a%2523");
        for wrong in [&["durable=true"][..], &["name"], &["name=a", "nonsense=1"], &["name=a", "arguments={"]]
        {
            assert_eq!(given(queue, wrong, "/").unwrap_err().code, super::super::FAILED, "{wrong:?}");
        }
    }
}
