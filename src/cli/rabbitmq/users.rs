//! Users.

use std::io::IsTerminal;

use serde_json::{Value, json};

use super::fault::{DATA, Fault, SOFTWARE};
use super::format::Format;
use super::job::{Job, member};
use crate::cli::client::{Failure, path};

/// The password after a name, or from standard input, as `RabbitMQ`'s tools take it. `code`: exit code if there is
/// none.
fn password(job: &Job, code: u8) -> Result<String, Fault> {
    if let Some(password) = job.words_from(2).first() {
        return Ok(password.clone());
    }
    job.say("Password: ")?;
    let mut line = String::new();
    if !std::io::stdin().is_terminal() {
        std::io::stdin().read_line(&mut line)?;
    }
    match line.trim_end_matches(['\r', '\n']) {
        "" => Err(Fault::new(code, "Password is not provided via argument or stdin")),
        password => Ok(password.to_owned()),
    }
}

pub(super) fn add(job: &Job) -> Result<(), Fault> {
    let name = job.word(1);
    job.say(&format!("Adding user \"{name}\" ..."))?;
    let password = password(job, DATA)?;
    if job.find(["users", name])?.is_some() {
        return Err(Fault::new(SOFTWARE, format!("User \"{name}\" already exists")));
    }
    // A blank password means none: nobody can log in with it.
    let body = match password.as_str() {
        "" => json!({ "password_hash": "", "tags": "" }),
        password => json!({ "password": password, "tags": "" }),
    };
    job.change("PUT", ["users", name], &body)?;
    let message = "Done. Don't forget to grant the user permissions to some virtual hosts! See 'rabbitmqctl help set_permissions' \
                   to learn more.";
    match job.format()? {
        Format::Json => {
            job.tell(&json!({ "message": message, "node": job.node()?, "status": "ok" }).to_string())
        }
        _ => job.say(message),
    }
}

pub(super) fn delete(job: &Job) -> Result<(), Fault> {
    let name = job.word(1);
    job.say(&format!("Deleting user \"{name}\" ..."))?;
    if job.change("DELETE", ["users", name], &Value::Null)? { Ok(()) } else { Err(Fault::no_user(name)) }
}

pub(super) fn change_password(job: &Job) -> Result<(), Fault> {
    let name = job.word(1);
    job.say(&format!("Changing password for user \"{name}\" ..."))?;
    let password = password(job, SOFTWARE)?;
    let tags = member(&job.known_user(name)?, "tags");
    job.change("PUT", ["users", name], &json!({ "password": password, "tags": tags })).map(|_| ())
}

pub(super) fn clear_password(job: &Job) -> Result<(), Fault> {
    let name = job.word(1);
    job.say(&format!("Clearing password for user \"{name}\" ..."))?;
    let tags = member(&job.known_user(name)?, "tags");
    job.change("PUT", ["users", name], &json!({ "password_hash": "", "tags": tags })).map(|_| ())
}

pub(super) fn set_tags(job: &Job) -> Result<(), Fault> {
    let (name, tags) = (job.word(1), job.words_from(2));
    job.say(&format!("Setting tags for user \"{name}\" to [{}] ...", tags.join(", ")))?;
    let user = job.known_user(name)?;
    let body = json!({
        "password_hash": user["password_hash"], "hashing_algorithm": user["hashing_algorithm"], "tags": tags,
    });
    job.change("PUT", ["users", name], &body).map(|_| ())
}

/// Opens a session as the user, which also verifies the password of a user without access to the API.
pub(super) fn may_log_in(job: &Job, name: &str, password: &str) -> Result<bool, Fault> {
    let login = json!({ "username": name, "password": password });
    match job.broker()?.call("POST", &path(["login"]), Some(&login)) {
        Ok(_) => Ok(true),
        Err(Failure::Refused { status: 401, ref reason, .. }) if reason == "Not management user" => Ok(true),
        Err(Failure::Refused { status: 401, .. } | Failure::Login { .. }) => Ok(false),
        Err(other) => Err(other.into()),
    }
}

pub(super) fn authenticate(job: &Job) -> Result<(), Fault> {
    let name = job.word(1);
    job.say(&format!("Authenticating user \"{name}\" ..."))?;
    let password = password(job, SOFTWARE)?;
    if may_log_in(job, name, &password)? {
        return super::checks::said(job, "Success");
    }
    let why = format!("Error: failed to authenticate user \"{name}\"\nuser '{name}' - invalid credentials");
    Err(Fault::new(DATA, why))
}

pub(super) fn list(job: &Job) -> Result<(), Fault> {
    job.say("Listing users ...")?;
    let rows: Vec<_> =
        job.list(["users"])?.iter().map(|user| vec![member(user, "name"), member(user, "tags")]).collect();
    job.table(&["user", "tags"], &rows, None)
}
