//! Permissions and topic permissions.

use serde_json::{Value, json};

use super::fault::{Fault, NO_USER, UNAVAILABLE};
use super::job::{Job, member};
use crate::cli::client::{Failure, path};

/// Sets permissions; a failure names the missing vhost or user.
fn put(job: &Job, place: &str, user: &str, body: &Value) -> Result<(), Fault> {
    match job.broker()?.put(&path([place, job.vhost(), user]), body) {
        Ok(_) => Ok(()),
        Err(Failure::Refused { ref reason, .. })
            if reason.contains("not found")
                || reason.contains("no such")
                || reason.ends_with("_not_found") =>
        {
            if job.find(["vhosts", job.vhost()])?.is_none() {
                return Err(Fault::new(UNAVAILABLE, format!("Virtual host {} does not exist", job.vhost())));
            }
            Err(Fault::new(NO_USER, format!("User {user} does not exist")))
        }
        Err(other) => Err(other.into()),
    }
}

pub(super) fn set(job: &Job) -> Result<(), Fault> {
    let user = job.word(1);
    job.say(&format!("Setting permissions for user \"{user}\" in vhost \"{}\" ...", job.vhost()))?;
    let body = json!({ "configure": job.word(2), "write": job.word(3), "read": job.word(4) });
    put(job, "permissions", user, &body)
}

/// User and vhost must exist; permissions need not.
fn known(job: &Job, user: &str) -> Result<(), Fault> {
    if job.find(["vhosts", job.vhost()])?.is_none() {
        return Err(Fault::new(UNAVAILABLE, format!("Virtual host {} does not exist", job.vhost())));
    }
    if job.find(["users", user])?.is_none() {
        return Err(Fault::new(NO_USER, format!("User {user} does not exist")));
    }
    Ok(())
}

pub(super) fn clear(job: &Job) -> Result<(), Fault> {
    let user = job.word(1);
    job.say(&format!("Clearing permissions for user \"{user}\" in vhost \"{}\" ...", job.vhost()))?;
    known(job, user)?;
    job.change("DELETE", ["permissions", job.vhost(), user], &Value::Null).map(|_| ())
}

const IN_VHOST: [&str; 4] = ["user", "configure", "write", "read"];
const OF_USER: [&str; 4] = ["vhost", "configure", "write", "read"];
const TOPIC_IN_VHOST: [&str; 4] = ["user", "exchange", "write", "read"];
const TOPIC_OF_USER: [&str; 4] = ["vhost", "exchange", "write", "read"];

fn show(job: &Job, columns: &[&str], list: &[Value]) -> Result<(), Fault> {
    let rows: Vec<_> =
        list.iter().map(|row| columns.iter().map(|name| member(row, name)).collect()).collect();
    job.table(columns, &rows, None)
}

fn of_vhost(job: &Job, place: &str, columns: &[&str]) -> Result<(), Fault> {
    let found = job.find(["vhosts", job.vhost(), place])?.ok_or_else(|| Fault::no_vhost(job.vhost()))?;
    show(job, columns, found.as_array().map_or(&[], Vec::as_slice))
}

fn of_one_user(job: &Job, place: &str, columns: &[&str]) -> Result<(), Fault> {
    let user = job.word(1);
    let missing = || Fault::new(UNAVAILABLE, format!("{{:no_such_user, {user:?}}}"));
    let found = job.find(["users", user, place])?.ok_or_else(missing)?;
    show(job, columns, found.as_array().map_or(&[], Vec::as_slice))
}

pub(super) fn list(job: &Job) -> Result<(), Fault> {
    job.say(&format!("Listing permissions for vhost \"{}\" ...", job.vhost()))?;
    of_vhost(job, "permissions", &IN_VHOST)
}

pub(super) fn of_user(job: &Job) -> Result<(), Fault> {
    job.say(&format!("Listing permissions for user \"{}\" ...", job.word(1)))?;
    of_one_user(job, "permissions", &OF_USER)
}

pub(super) fn set_topic(job: &Job) -> Result<(), Fault> {
    let (user, exchange, vhost) = (job.word(1), job.word(2), job.vhost());
    job.say(&format!(
        "Setting topic permissions on \"{exchange}\" for user \"{user}\" in vhost \"{vhost}\" ..."
    ))?;
    let body = json!({ "exchange": exchange, "write": job.word(3), "read": job.word(4) });
    put(job, "topic-permissions", user, &body)
}

pub(super) fn clear_topic(job: &Job) -> Result<(), Fault> {
    let (user, exchange, vhost) = (job.word(1), job.word(2), job.vhost());
    let on = if exchange.is_empty() { String::new() } else { format!(" on \"{exchange}\"") };
    job.say(&format!("Clearing topic permissions{on} for user \"{user}\" in vhost \"{vhost}\" ..."))?;
    known(job, user)?;
    let place = ["topic-permissions", vhost, user];
    let one = (!exchange.is_empty()).then_some(exchange);
    job.change("DELETE", place.into_iter().chain(one), &Value::Null).map(|_| ())
}

pub(super) fn list_topic(job: &Job) -> Result<(), Fault> {
    job.say(&format!("Listing topic permissions for vhost \"{}\" ...", job.vhost()))?;
    of_vhost(job, "topic-permissions", &TOPIC_IN_VHOST)
}

pub(super) fn topic_of_user(job: &Job) -> Result<(), Fault> {
    job.say(&format!("Listing topic permissions for user \"{}\" ...", job.word(1)))?;
    of_one_user(job, "topic-permissions", &TOPIC_OF_USER)
}
