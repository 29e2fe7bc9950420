//! Actions on queues, connections and definitions.

use std::io::Read;
use std::path::Path;

use serde_json::{Value, json};

use super::fault::{DATA, Fault, UNAVAILABLE, USAGE};
use super::job::{Job, parsed};
use crate::cli::client::{path, quoted};
use crate::cli::private;

pub(super) fn delete_queue(job: &Job) -> Result<(), Fault> {
    let (name, vhost) = (job.word(1), job.vhost());
    let if_empty = job.line.has("if-empty") || job.line.has("implicitly-enabled");
    let if_unused = job.line.has("if-unused");
    let conditions: Vec<_> = [(if_empty, "if queue is empty "), (if_unused, "if queue is unused ")]
        .iter()
        .filter_map(|(is, words)| is.then_some(*words))
        .collect();
    job.say(&format!("Deleting queue '{name}' on vhost '{vhost}' {}...", conditions.join("and ")))?;
    let missing = || Fault::new(USAGE, "Queue not found");
    let queue = job.find(["queues", vhost, name])?.ok_or_else(missing)?;
    let place = format!("{}?if-empty={if_empty}&if-unused={if_unused}", path(["queues", vhost, name]));
    match job.change_at("DELETE", &place, &Value::Null) {
        Ok(true) => {}
        Ok(false) => return Err(missing()),
        Err(refused) if refused.text.ends_with("not empty") => {
            return Err(Fault::new(USAGE, "Queue is not empty"));
        }
        Err(refused) if refused.text.ends_with("in use") => return Err(Fault::new(USAGE, "Queue is in use")),
        Err(other) => return Err(other),
    }
    job.tell(&format!("Queue was successfully deleted with {} ready messages", queue["messages_ready"]))
}

pub(super) fn purge_queue(job: &Job) -> Result<(), Fault> {
    let (name, vhost) = (job.word(1), job.vhost());
    job.say(&format!("Purging queue '{name}' in vhost '{vhost}' ..."))?;
    let purged = job.change("DELETE", ["queues", vhost, name, "contents"], &Value::Null)?;
    if purged { Ok(()) } else { Err(Fault::new(UNAVAILABLE, "not_found")) }
}

/// Closes a connection; the reason is sent in a header.
fn close(job: &Job, name: &str, reason: &str) -> Result<bool, Fault> {
    let reason: String = reason.chars().filter(|c| !c.is_control()).collect();
    let answer =
        job.broker()?.call_with("DELETE", &path(["connections", name]), None, &[("X-Reason", &reason)]);
    match answer {
        Ok(_) => Ok(true),
        Err(failure) if failure.is_not_found() => Ok(false),
        Err(failure) => Err(failure.into()),
    }
}

pub(super) fn close_connection(job: &Job) -> Result<(), Fault> {
    let (name, reason) = (job.word(1), job.word(2));
    job.say(&format!("Closing connection {name}, reason: {reason}..."))?;
    if close(job, name, reason)? {
        return Ok(());
    }
    Err(Fault::new(
        UNAVAILABLE,
        format!("no connection {name}: connections are named as `list_connections pid` shows them"),
    ))
}

fn close_many(job: &Job, list: &[Value], reason: &str) -> Result<(), Fault> {
    let limit = job.line.option("limit").and_then(|limit| limit.parse().ok()).filter(|limit| *limit > 0);
    let mut closed = 0;
    for name in list.iter().filter_map(|row| row["name"].as_str()).take(limit.unwrap_or(usize::MAX)) {
        closed += u32::from(close(job, name, reason)?);
    }
    job.tell(&format!("Closed {closed} connections"))
}

pub(super) fn close_all(job: &Job) -> Result<(), Fault> {
    let (reason, vhost) = (job.word(1), job.vhost());
    if job.line.has("global") {
        job.say(&format!("Closing all connections to node {}, reason: {reason}...", job.node()?))?;
        return close_many(job, &job.list(["connections"])?, reason);
    }
    job.say(&format!("Closing all connections in vhost {vhost}, reason: {reason}..."))?;
    let found = job.find(["vhosts", vhost, "connections"])?.unwrap_or_else(|| json!([]));
    close_many(job, found.as_array().map_or(&[], Vec::as_slice), reason)
}

pub(super) fn close_of_user(job: &Job) -> Result<(), Fault> {
    let (user, reason) = (job.word(1), job.word(2));
    job.say(&format!("Closing connections of user {user}, reason: {reason}..."))?;
    for name in job.list(["connections", "username", user])?.iter().filter_map(|row| row["name"].as_str()) {
        close(job, name, reason)?;
    }
    Ok(())
}

/// An invalid path, reported before anything is done.
fn bad_place(job: &Job, why: &str) -> Fault {
    Fault { code: DATA, ..job.misused(&format!("Bad argument: {why}")) }
}

fn only_json(job: &Job) -> Result<(), Fault> {
    match job.line.option("format") {
        None | Some("json") => Ok(()),
        Some(format) => Err(Fault::new(USAGE, format!("definitions are JSON here, not {format}"))),
    }
}

pub(super) fn export(job: &Job) -> Result<(), Fault> {
    only_json(job)?;
    let place = job.word(1);
    let folder = Path::new(place).parent().filter(|folder| *folder != Path::new(""));
    if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
        return Err(bad_place(job, &format!("Directory {} does not exist", folder.display())));
    }
    let definitions = job.get(["definitions"])?;
    if place == "-" {
        return job.write(&definitions.to_string());
    }
    job.say(&format!("Exporting definitions in JSON to a file at \"{place}\" ..."))?;
    let failed = |error: std::io::Error| Fault::new(USAGE, format!("{place}: {error}"));
    private::write(std::path::Path::new(place), definitions.to_string().as_bytes()).map_err(failed)
}

pub(super) fn import(job: &Job) -> Result<(), Fault> {
    only_json(job)?;
    let place = job.word(1);
    let mut text = String::new();
    if place.is_empty() || place == "-" {
        job.say("Importing definitions in JSON from standard input ...")?;
        std::io::stdin().read_to_string(&mut text)?;
    } else {
        if !Path::new(place).exists() {
            return Err(bad_place(job, &format!("File {place} does not exist")));
        }
        job.say(&format!("Importing definitions in JSON from a file at \"{place}\" ..."))?;
        let failed = |error: std::io::Error| Fault::new(USAGE, format!("{place}: {error}"));
        text = std::fs::read_to_string(place).map_err(failed)?;
    }
    job.change_at("POST", &format!("/api/{}", quoted("definitions")), &parsed(&text)?)?;
    job.say("Successfully started definition import. This process is asynchronous and can take some time.\n")
}
