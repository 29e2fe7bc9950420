//! `list_queues` and similar: objects, with the columns of `RabbitMQ`'s tools.

use serde_json::{Value, json};

use super::fault::Fault;
use super::format::Arguments;
use super::job::{Job, member};

/// Source of a column in a response: the same name, another name, or a constant text.
#[derive(Clone, Copy)]
enum Origin {
    Same,
    Member(&'static str),
    Arguments,
    /// `AMQP 0-9-1`, shown by the tools as a tuple.
    Protocol,
    Always(&'static str),
}

use Origin::{Always, Member, Same};

type Column = (&'static str, Origin);

/// A kind of list.
struct Listing {
    columns: &'static [Column],
    usual: &'static [&'static str],
}

static QUEUES: Listing = Listing {
    columns: &[
        ("name", Same),
        ("durable", Same),
        ("auto_delete", Same),
        ("arguments", Origin::Arguments),
        ("policy", Same),
        ("operator_policy", Same),
        ("effective_policy_definition", Same),
        ("pid", Member("node")),
        ("owner_pid", Member("owner_pid_details.name")),
        ("exclusive", Same),
        ("exclusive_consumer_pid", Always("")),
        ("exclusive_consumer_tag", Same),
        ("single_active_consumer_pid", Always("")),
        ("single_active_consumer_tag", Same),
        ("messages_ready", Same),
        ("messages_unacknowledged", Same),
        ("messages", Same),
        ("messages_delayed_retry", Same),
        ("messages_ready_ram", Same),
        ("messages_unacknowledged_ram", Same),
        ("messages_ram", Same),
        ("messages_persistent", Same),
        ("message_bytes", Same),
        ("message_bytes_ready", Same),
        ("message_bytes_unacknowledged", Same),
        ("message_bytes_ram", Same),
        ("message_bytes_persistent", Same),
        ("head_message_timestamp", Same),
        ("disk_reads", Always("0")),
        ("disk_writes", Always("0")),
        ("consumers", Same),
        ("consumer_utilisation", Same),
        ("consumer_capacity", Same),
        ("memory", Same),
        ("slave_pids", Always("")),
        ("synchronised_slave_pids", Always("")),
        ("state", Same),
        ("type", Same),
        ("leader", Same),
        ("members", Same),
        ("online", Same),
    ],
    usual: &["name", "messages"],
};

static EXCHANGES: Listing = Listing {
    columns: &[
        ("name", Same),
        ("type", Same),
        ("durable", Same),
        ("auto_delete", Same),
        ("internal", Same),
        ("arguments", Origin::Arguments),
        ("policy", Same),
    ],
    usual: &["name", "type"],
};

static BINDINGS: Listing = Listing {
    columns: &[
        ("source_name", Member("source")),
        ("source_kind", Always("exchange")),
        ("destination_name", Member("destination")),
        ("destination_kind", Member("destination_type")),
        ("routing_key", Same),
        ("arguments", Origin::Arguments),
        ("vhost", Same),
    ],
    usual: &[
        "source_name",
        "source_kind",
        "destination_name",
        "destination_kind",
        "routing_key",
        "arguments",
    ],
};

static CONNECTIONS: Listing = Listing {
    columns: &[
        ("pid", Member("name")),
        ("name", Same),
        ("port", Same),
        ("host", Same),
        ("peer_port", Same),
        ("peer_host", Same),
        ("ssl", Same),
        ("ssl_protocol", Same),
        ("ssl_key_exchange", Same),
        ("ssl_cipher", Same),
        ("ssl_hash", Same),
        ("peer_cert_subject", Same),
        ("peer_cert_issuer", Same),
        ("peer_cert_validity", Same),
        ("state", Same),
        ("channels", Same),
        ("protocol", Origin::Protocol),
        ("auth_mechanism", Same),
        ("user", Same),
        ("vhost", Same),
        ("timeout", Same),
        ("frame_max", Same),
        ("channel_max", Same),
        ("client_properties", Origin::Arguments),
        ("recv_oct", Same),
        ("recv_cnt", Same),
        ("send_oct", Same),
        ("send_cnt", Same),
        ("send_pend", Same),
        ("connected_at", Same),
    ],
    usual: &["user", "peer_host", "peer_port", "state"],
};

static CHANNELS: Listing = Listing {
    columns: &[
        ("pid", Member("name")),
        ("connection", Member("connection_details.name")),
        ("name", Same),
        ("number", Same),
        ("user", Same),
        ("vhost", Same),
        ("transactional", Same),
        ("confirm", Same),
        ("consumer_count", Same),
        ("messages_unacknowledged", Same),
        ("messages_uncommitted", Same),
        ("acks_uncommitted", Same),
        ("messages_unconfirmed", Same),
        ("prefetch_count", Same),
        ("global_prefetch_count", Same),
        ("state", Same),
    ],
    usual: &["pid", "user", "consumer_count", "messages_unacknowledged"],
};

static CONSUMERS: Listing = Listing {
    columns: &[
        ("queue_name", Member("queue.name")),
        ("channel_pid", Member("channel_details.name")),
        ("consumer_tag", Same),
        ("ack_required", Same),
        ("prefetch_count", Same),
        ("active", Same),
        ("activity_status", Same),
        ("arguments", Origin::Arguments),
    ],
    usual: &[
        "queue_name",
        "channel_pid",
        "consumer_tag",
        "ack_required",
        "prefetch_count",
        "active",
        "arguments",
    ],
};

impl Job {
    /// The requested columns among those known; the default ones if none is.
    pub(super) fn columns<'a>(&'a self, known: &[&str], usual: &[&'a str]) -> Result<Vec<&'a str>, Fault> {
        let asked: Vec<&str> = self
            .words_from(1)
            .iter()
            .flat_map(|word| word.split([',', ' ']))
            .filter(|word| !word.is_empty())
            .collect();
        if asked.is_empty() {
            return Ok(usual.to_vec());
        }
        let wrong: Vec<_> = asked.iter().copied().filter(|name| !known.contains(name)).collect();
        if wrong.is_empty() {
            Ok(asked)
        } else {
            Err(self.misused(&format!("Info key(s) {} are not supported", wrong.join(","))))
        }
    }
}

fn value(row: &Value, column: Column) -> Value {
    let (name, from) = column;
    match from {
        Same => member(row, name),
        Member(path) => path.split('.').try_fold(row, |row, name| row.get(name)).cloned().unwrap_or_default(),
        Origin::Arguments => Arguments(&row[name]).typed(),
        Origin::Protocol => match row[name].as_str().and_then(|text| text.strip_prefix("AMQP ")) {
            Some(version) => format!("{{{}}}", version.replace('-', ",")).into(),
            None => member(row, name),
        },
        Always(text) => text.into(),
    }
}

fn show(job: &Job, listing: &Listing, said: &[String], place: &[&str]) -> Result<(), Fault> {
    let known: Vec<_> = listing.columns.iter().map(|(name, _)| *name).collect();
    let asked = job.columns(&known, listing.usual)?;
    for line in said {
        job.say(line)?;
    }
    // RabbitMQ shows an empty list for a missing vhost.
    let found = job.find(place.iter().copied())?.unwrap_or_else(|| json!([]));
    let columns: Vec<Column> = asked
        .iter()
        .filter_map(|name| listing.columns.iter().find(|(known, _)| known == name).copied())
        .collect();
    let rows: Vec<_> = found
        .as_array()
        .into_iter()
        .flatten()
        .map(|row| columns.iter().map(|column| value(row, *column)).collect())
        .collect();
    job.table(&asked, &rows, None)
}

fn patience(job: &Job) -> Result<String, Fault> {
    let seconds = job.timeout()?.unwrap_or(60);
    Ok(format!("Timeout: {seconds}.0 seconds ..."))
}

pub(super) fn queues(job: &Job) -> Result<(), Fault> {
    let said = [patience(job)?, format!("Listing queues for vhost {} ...", job.vhost())];
    if job.line.has("offline") {
        // All queues are on the broker's node.
        for line in said {
            job.say(&line)?;
        }
        return Ok(());
    }
    show(job, &QUEUES, &said, &["queues", job.vhost()])
}

pub(super) fn exchanges(job: &Job) -> Result<(), Fault> {
    let said = [format!("Listing exchanges for vhost {} ...", job.vhost())];
    show(job, &EXCHANGES, &said, &["exchanges", job.vhost()])
}

pub(super) fn bindings(job: &Job) -> Result<(), Fault> {
    let said = [format!("Listing bindings for vhost {}...", job.vhost())];
    show(job, &BINDINGS, &said, &["bindings", job.vhost()])
}

pub(super) fn connections(job: &Job) -> Result<(), Fault> {
    show(job, &CONNECTIONS, &["Listing connections ...".to_owned()], &["connections"])
}

pub(super) fn channels(job: &Job) -> Result<(), Fault> {
    show(job, &CHANNELS, &["Listing channels ...".to_owned()], &["channels"])
}

pub(super) fn consumers(job: &Job) -> Result<(), Fault> {
    let said = [format!("Listing consumers in vhost {} ...", job.vhost())];
    show(job, &CONSUMERS, &said, &["consumers", job.vhost()])
}

/// A queue responds as long as its broker does.
pub(super) fn unresponsive(job: &Job) -> Result<(), Fault> {
    job.say(&format!("Listing unresponsive queues for vhost {} ...", job.vhost()))?;
    job.list(["queues"]).map(|_| ())
}
