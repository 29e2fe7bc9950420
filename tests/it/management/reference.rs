//! docs/http-api.md is the broker's own API description in readable form.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;

use super::Http;
use crate::harness::Broker;

const HEAD: &str = "# HTTP API

Made from `/api/openapi.json` (`UPDATE=1 cargo test --test it management::reference` writes it anew). Paths, bodies and fields are RabbitMQ's.
Names in paths are quoted one by one: the virtual host `/` is `%2F`. All but the paths marked *open* ask for a login (HTTP Basic) of a user
with the tag `management`, `policymaker`, `monitoring` or `administrator`. Errors are `{\"error\": \"...\", \"reason\": \"...\"}`.
Lists take `page`, `page_size`, `name`, `use_regex`, `sort`, `sort_reverse` and `columns`; single objects take `columns`.
";

/// In every list or object; described once at the top.
const COMMON: &[&str] = &["page", "page_size", "name", "use_regex", "sort", "sort_reverse", "columns"];

fn members(body: &Value) -> String {
    let schema = &body["content"]["application/json"]["schema"];
    let required: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let Some(properties) = schema["properties"].as_object() else { return "a JSON object".to_owned() };
    let shown: Vec<String> =
        properties
            .keys()
            .map(|name| {
                if required.contains(&name.as_str()) { format!("**`{name}`**") } else { format!("`{name}`") }
            })
            .collect();
    shown.join(", ")
}

/// The successful answer, by schema name.
fn answer(operation: &Value) -> Option<String> {
    let schema = &operation["responses"]["200"]["content"]["application/json"]["schema"];
    let name = |schema: &Value| Some(schema["$ref"].as_str()?.rsplit('/').next()?.to_owned());
    let linked = |name: String| format!("[{name}](#{})", name.to_lowercase());
    let shown = |name: String| (name != "Nothing").then(|| linked(name));
    let of_list = |schema: &Value| Some(format!("a list of {}", shown(name(&schema["items"])?)?));
    name(schema).and_then(shown).or_else(|| of_list(schema)).or_else(|| of_list(&schema["oneOf"][0]))
}

/// A member's kind in words.
fn kind(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|name| name.rsplit('/').next()) {
        return format!("[{name}](#{})", name.to_lowercase());
    }
    if let Some(choices) = schema["oneOf"].as_array() {
        return choices.iter().map(kind).collect::<Vec<_>>().join(" or ");
    }
    match schema["type"].as_str() {
        Some("string") => "text".to_owned(),
        Some("array") => format!("list of {}", kind(&schema["items"])),
        Some("object") => match kind(&schema["additionalProperties"]).as_str() {
            "anything" => "object".to_owned(),
            of => format!("object of {of}"),
        },
        Some(other) => other.to_owned(),
        None => "anything".to_owned(),
    }
}

/// A schema: members of one kind together, required ones in bold.
fn schema(name: &str, schema: &Value) -> String {
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    let mut kinds: Vec<(String, Vec<String>)> = Vec::new();
    for (member, of) in schema["properties"].as_object().into_iter().flatten() {
        let always = required.contains(&Value::from(member.as_str()));
        let shown = if always { format!("**`{member}`**") } else { format!("`{member}`") };
        let of = kind(of);
        match kinds.iter_mut().find(|(known, _)| *known == of) {
            Some((_, members)) => members.push(shown),
            None => kinds.push((of, vec![shown])),
        }
    }
    let members: Vec<String> =
        kinds.iter().map(|(kind, members)| format!("{}: {kind}", members.join(", "))).collect();
    format!("### {name}\n\n{}.\n", members.join("; "))
}

fn line(method: &str, path: &str, operation: &Value) -> String {
    let mut out =
        format!("- `{} {path}`: {}", method.to_uppercase(), operation["summary"].as_str().unwrap_or(""));
    if operation["security"].is_null() {
        out.push_str(" (*open*)");
    }
    out.push('.');
    if operation["requestBody"].is_object() {
        let _ = write!(out, " Body: {}.", members(&operation["requestBody"]));
    }
    if let Some(answer) = answer(operation) {
        let _ = write!(out, " Answers {answer}.");
    }
    for parameter in operation["parameters"].as_array().into_iter().flatten() {
        let name = parameter["name"].as_str().unwrap_or_default();
        if parameter["in"] == "query" && !COMMON.contains(&name) {
            let _ = write!(out, " `?{name}`: {}", parameter["description"].as_str().unwrap_or_default());
        }
    }
    out
}

#[test]
fn the_reference_is_what_the_broker_says() {
    let broker = Broker::new();
    let description = Http::of(&broker).get("/api/openapi.json").is(200).json;
    let mut groups: Vec<(String, Vec<String>)> = Vec::new();
    for (path, operations) in description["paths"].as_object().expect("paths") {
        for method in ["get", "put", "post", "delete"] {
            let operation = &operations[method];
            let Some(about) = operation["tags"][0].as_str() else { continue };
            let line = line(method, path, operation);
            match groups.iter_mut().find(|(known, _)| known == about) {
                Some((_, lines)) => lines.push(line),
                None => groups.push((about.to_owned(), vec![line])),
            }
        }
    }
    groups.sort();
    assert!(groups.len() > 5, "the description has groups");
    let mut text = HEAD.to_owned();
    for (about, lines) in groups {
        let _ = write!(text, "\n## {about}\n\n{}\n", lines.join("\n"));
    }
    text.push_str("\n## Answers\n\nWhat is in bold is always there, unless `columns` asks for others.\n");
    for (name, described) in description["components"]["schemas"].as_object().expect("schemas") {
        if described["properties"].is_object() {
            let _ = write!(text, "\n{}", schema(name, described));
        }
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/http-api.md");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &text).expect("docs/http-api.md is written");
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(there == text, "docs/http-api.md is old: UPDATE=1 cargo test --test it management::reference");
}
