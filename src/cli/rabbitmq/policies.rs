//! Policies and runtime parameters.

use serde_json::{Value, json};

use super::fault::{Fault, UNAVAILABLE};
use super::job::{Job, member, parsed};

/// The API path and the name of a kind of policy.
struct Kind {
    place: &'static str,
    setting: &'static str,
    listing: &'static str,
    clearing: &'static str,
}

const USERS: Kind = Kind { place: "policies", setting: "policy", listing: "policies", clearing: "policy" };
const OPERATORS: Kind = Kind {
    place: "operator-policies",
    setting: "operator policy override",
    listing: "operator policy overrides",
    clearing: "operator policy",
};

fn missing() -> Fault {
    Fault::new(UNAVAILABLE, "Parameter does not exist")
}

fn set_policy(job: &Job, kind: &Kind) -> Result<(), Fault> {
    let (name, pattern, text, vhost) = (job.word(1), job.word(2), job.word(3), job.vhost());
    let priority = job.line.option("priority").unwrap_or("0");
    let number: i64 = priority
        .parse()
        .map_err(|_| job.misused(&format!("Invalid options for this command:\n--priority : {priority}")))?;
    job.say(&format!(
        "Setting {} \"{name}\" for pattern \"{pattern}\" to \"{text}\" with priority \"{priority}\" for vhost \"{vhost}\" ...",
        kind.setting
    ))?;
    let definition = parsed(text)?;
    job.known_vhost(vhost)?;
    let to = job.line.option("apply-to").unwrap_or("all");
    let body = json!({ "pattern": pattern, "definition": definition, "priority": number, "apply-to": to });
    job.change("PUT", [kind.place, vhost, name], &body).map(|_| ())
}

fn clear_policy(job: &Job, kind: &Kind) -> Result<(), Fault> {
    let (name, vhost) = (job.word(1), job.vhost());
    job.say(&format!("Clearing {} \"{name}\" on vhost \"{vhost}\" ...", kind.clearing))?;
    if job.change("DELETE", [kind.place, vhost, name], &Value::Null)? { Ok(()) } else { Err(missing()) }
}

const COLUMNS: [&str; 6] = ["vhost", "name", "pattern", "apply-to", "definition", "priority"];

fn list_policies(job: &Job, kind: &Kind) -> Result<(), Fault> {
    let vhost = job.vhost();
    job.say(&format!("Listing {} for vhost \"{vhost}\" ...", kind.listing))?;
    let found = job.find([kind.place, vhost])?.ok_or_else(|| Fault::no_vhost(vhost))?;
    let cell = |row: &Value, column: &str| match column {
        "definition" => Value::from(member(row, column).to_string()),
        _ => member(row, column),
    };
    let rows: Vec<_> = found
        .as_array()
        .into_iter()
        .flatten()
        .map(|row| COLUMNS.iter().map(|column| cell(row, column)).collect())
        .collect();
    job.table(&COLUMNS, &rows, Some(""))
}

pub(super) fn set(job: &Job) -> Result<(), Fault> {
    set_policy(job, &USERS)
}

pub(super) fn clear(job: &Job) -> Result<(), Fault> {
    clear_policy(job, &USERS)
}

pub(super) fn list(job: &Job) -> Result<(), Fault> {
    list_policies(job, &USERS)
}

pub(super) fn set_of_operators(job: &Job) -> Result<(), Fault> {
    set_policy(job, &OPERATORS)
}

pub(super) fn clear_of_operators(job: &Job) -> Result<(), Fault> {
    clear_policy(job, &OPERATORS)
}

pub(super) fn list_of_operators(job: &Job) -> Result<(), Fault> {
    list_policies(job, &OPERATORS)
}

pub(super) fn set_parameter(job: &Job) -> Result<(), Fault> {
    let (component, name, text, vhost) = (job.word(1), job.word(2), job.word(3), job.vhost());
    job.say(&format!(
        "Setting runtime parameter \"{name}\" for component \"{component}\" to \"{text}\" in vhost \"{vhost}\" ..."
    ))?;
    let value = parsed(text)?;
    job.known_vhost(vhost)?;
    job.change("PUT", ["parameters", component, vhost, name], &json!({ "value": value })).map(|_| ())
}

pub(super) fn clear_parameter(job: &Job) -> Result<(), Fault> {
    let (component, name, vhost) = (job.word(1), job.word(2), job.vhost());
    job.say(&format!(
        "Clearing runtime parameter \"{name}\" for component \"{component}\" on vhost \"{vhost}\" ..."
    ))?;
    let cleared = job.change("DELETE", ["parameters", component, vhost, name], &Value::Null)?;
    if cleared { Ok(()) } else { Err(missing()) }
}

pub(super) fn list_parameters(job: &Job) -> Result<(), Fault> {
    let vhost = job.vhost();
    job.say(&format!("Listing runtime parameters for vhost \"{vhost}\" ..."))?;
    job.known_vhost(vhost)?;
    let all = job.list(["parameters"])?;
    let rows: Vec<_> = all
        .iter()
        .filter(|row| {
            row["vhost"] == vhost && row["component"] != "policy" && row["component"] != "operator_policy"
        })
        .map(|row| {
            vec![member(row, "component"), member(row, "name"), member(row, "value").to_string().into()]
        })
        .collect();
    job.table(&["component", "name", "value"], &rows, Some(""))
}

pub(super) fn set_global(job: &Job) -> Result<(), Fault> {
    let (name, text) = (job.word(1), job.word(2));
    job.say(&format!("Setting global runtime parameter \"{name}\" to \"{text}\" ..."))?;
    let value = parsed(text)?;
    job.change("PUT", ["global-parameters", name], &json!({ "value": value })).map(|_| ())
}

pub(super) fn clear_global(job: &Job) -> Result<(), Fault> {
    let name = job.word(1);
    job.say(&format!("Clearing global runtime parameter \"{name}\" ..."))?;
    if job.change("DELETE", ["global-parameters", name], &Value::Null)? { Ok(()) } else { Err(missing()) }
}

pub(super) fn list_global(job: &Job) -> Result<(), Fault> {
    job.say("Listing global runtime parameters ...")?;
    let rows: Vec<_> = job
        .list(["global-parameters"])?
        .iter()
        .map(|row| vec![member(row, "name"), member(row, "value").to_string().into()])
        .collect();
    job.table(&["name", "value"], &rows, Some(""))
}
