//! Limits of vhosts and users.

use serde_json::{Map, Value, json};

use super::fault::{Fault, NO_USER, UNAVAILABLE};
use super::job::{Job, member, parsed};

fn limits(text: &str) -> Result<Map<String, Value>, Fault> {
    match parsed(text)? {
        Value::Object(limits) => Ok(limits),
        _ => Err(Fault::new(UNAVAILABLE, "Validation failed\n\nlimits should be an object\n")),
    }
}

/// Refuses an unknown user in the way the tools do for limits.
fn known(job: &Job, user: &str) -> Result<(), Fault> {
    match job.known_user(user) {
        Ok(_) => Ok(()),
        Err(fault) if fault.code == NO_USER => {
            Err(Fault::new(UNAVAILABLE, format!("{{:no_such_user, {user:?}}}")))
        }
        Err(other) => Err(other),
    }
}

/// The error in limits, without the broker's prefix.
fn bare(fault: Fault) -> Fault {
    match fault.text.strip_prefix("Error:\nValidation failed\n\n") {
        Some(why) => Fault::new(fault.code, why.trim_end()),
        None => fault,
    }
}

/// Sets limits one by one, then removes those not among them if `whole` is set.
fn set(job: &Job, place: &str, of: &str, limits: &Map<String, Value>, whole: bool) -> Result<(), Fault> {
    let before = job.list([place, of])?;
    for (name, value) in limits {
        job.change("PUT", [place, of, name], &json!({ "value": value }))?;
    }
    let before = before.first().map(|row| member(row, "value"));
    for (name, _) in before.as_ref().and_then(Value::as_object).into_iter().flatten() {
        if whole && !limits.contains_key(name) {
            job.change("DELETE", [place, of, name], &Value::Null)?;
        }
    }
    Ok(())
}

pub(super) fn set_of_vhost(job: &Job) -> Result<(), Fault> {
    let (vhost, text) = (job.vhost(), job.word(1));
    job.say(&format!("Setting vhost limits to \"{text}\" for vhost \"{vhost}\" ..."))?;
    let limits = limits(text)?;
    job.known_vhost(vhost)?;
    set(job, "vhost-limits", vhost, &limits, true)
}

pub(super) fn clear_of_vhost(job: &Job) -> Result<(), Fault> {
    let vhost = job.vhost();
    job.say(&format!("Clearing vhost \"{vhost}\" limits ..."))?;
    if job.known_vhost(vhost).is_err() {
        return Err(Fault::new(UNAVAILABLE, "Parameter does not exist"));
    }
    set(job, "vhost-limits", vhost, &Map::new(), true)
}

/// All limits, as rows of a name and JSON.
fn all(job: &Job, place: &str, name: &str) -> Result<(), Fault> {
    let rows: Vec<_> = job
        .list([place])?
        .iter()
        .map(|row| vec![member(row, name), Value::from(member(row, "value").to_string())])
        .collect();
    job.table(&[name, "limits"], &rows, None)
}

/// The limits of one object as JSON; `none`: shown if it has none.
fn one(job: &Job, place: &str, of: &str, none: &str) -> Result<(), Fault> {
    let rows = job.list([place, of])?;
    match rows.first().map(|row| member(row, "value")) {
        Some(value) => job.tell(&value.to_string()),
        None => job.tell(none),
    }
}

pub(super) fn of_vhosts(job: &Job) -> Result<(), Fault> {
    if job.line.has("global") {
        job.say("Listing limits for all vhosts ...")?;
        return all(job, "vhost-limits", "vhost");
    }
    job.say(&format!("Listing limits for vhost \"{}\" ...", job.vhost()))?;
    job.known_vhost(job.vhost())?;
    one(job, "vhost-limits", job.vhost(), "")
}

pub(super) fn set_of_user(job: &Job) -> Result<(), Fault> {
    let (user, text) = (job.word(1), job.word(2));
    job.say(&format!("Setting user limits to \"{text}\" for user \"{user}\" ..."))?;
    let limits = limits(text)?;
    known(job, user)?;
    set(job, "user-limits", user, &limits, false).map_err(bare)
}

pub(super) fn clear_of_user(job: &Job) -> Result<(), Fault> {
    let (user, limit) = (job.word(1), job.word(2));
    if limit == "all" {
        job.say(&format!("Clearing all limits for user \"{user}\" ..."))?;
        known(job, user)?;
        return set(job, "user-limits", user, &Map::new(), true);
    }
    job.say(&format!("Clearing \"{limit}\" limit for user \"{user}\" ..."))?;
    known(job, user)?;
    job.change("DELETE", ["user-limits", user, limit], &Value::Null).map(|_| ())
}

pub(super) fn of_users(job: &Job) -> Result<(), Fault> {
    let Some(user) = job.line.option("user") else {
        job.say("Listing limits for all users ...")?;
        return all(job, "user-limits", "user");
    };
    job.say(&format!("Listing limits for user \"{user}\" ..."))?;
    known(job, user)?;
    one(job, "user-limits", user, "{}")
}
