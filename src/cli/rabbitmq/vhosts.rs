//! Virtual hosts.

use serde_json::{Map, Value, json};

use super::fault::{DATA, Fault};
use super::job::{Job, member};

pub(super) fn add(job: &Job) -> Result<(), Fault> {
    let name = job.word(1);
    job.say(&format!("Adding vhost \"{name}\" ..."))?;
    let mut body = Map::new();
    for (option, member) in
        [("description", "description"), ("tags", "tags"), ("default-queue-type", "default_queue_type")]
    {
        body.extend(job.line.option(option).map(|value| (member.to_owned(), json!(value))));
    }
    job.change("PUT", ["vhosts", name], &Value::Object(body)).map(|_| ())
}

pub(super) fn delete(job: &Job) -> Result<(), Fault> {
    let name = job.word(1);
    job.say(&format!("Deleting vhost \"{name}\" ..."))?;
    if job.change("DELETE", ["vhosts", name], &Value::Null)? { Ok(()) } else { Err(Fault::no_vhost(name)) }
}

pub(super) fn set_tags(job: &Job) -> Result<(), Fault> {
    let (name, tags) = (job.word(1), job.words_from(2));
    job.say(&format!("Setting tags for virtual host \"{name}\" to [{}] ...", tags.join(", ")))?;
    if job.find(["vhosts", name])?.is_none() {
        return Err(Fault::new(DATA, format!("Virtual host \"{name}\" does not exist")));
    }
    job.change("PUT", ["vhosts", name], &json!({ "tags": tags })).map(|_| ())
}

const COLUMNS: [&str; 6] = ["name", "description", "tags", "default_queue_type", "tracing", "cluster_state"];

pub(super) fn list(job: &Job) -> Result<(), Fault> {
    let columns = job.columns(&COLUMNS, &["name"])?;
    job.say("Listing vhosts ...")?;
    let rows: Vec<_> = job
        .list(["vhosts"])?
        .iter()
        .map(|vhost| columns.iter().map(|column| member(vhost, column)).collect())
        .collect();
    job.table(&columns, &rows, None)
}

pub(super) fn restart(job: &Job) -> Result<(), Fault> {
    job.say(&format!("Trying to restart vhost '{}' on node '{}' ...", job.vhost(), job.node()?))?;
    job.known_vhost(job.vhost())?;
    job.tell(&format!("Vhost '{}' is already running on node '{}'", job.vhost(), job.node()?))
}

fn trace(job: &Job, on: bool) -> Result<(), Fault> {
    let (doing, done) = if on { ("Starting", "enabled") } else { ("Stopping", "disabled") };
    let vhost = job.vhost();
    job.say(&format!("{doing} tracing for vhost \"{vhost}\" ..."))?;
    job.known_vhost(vhost)?;
    job.change("PUT", ["vhosts", vhost], &json!({ "tracing": on }))?;
    job.tell(&format!("Trace {done} for vhost {vhost}"))
}

pub(super) fn trace_on(job: &Job) -> Result<(), Fault> {
    trace(job, true)
}

pub(super) fn trace_off(job: &Job) -> Result<(), Fault> {
    trace(job, false)
}
