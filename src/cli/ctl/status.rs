//! `leveret ctl status`: a summary of the broker.

use std::io::Write;

use serde_json::{Value, json};

use super::table::{bytes, shown};
use crate::cli::client::{Client, Failure};

/// Shows the broker's identity, contents and problems.
pub(super) fn run(client: &Client, json: bool, out: &mut impl Write) -> Result<(), Failure> {
    let overview = client.get("/api/overview")?;
    // Node details require the monitoring tag; other users see the rest.
    let node = match client.list("/api/nodes") {
        Ok(nodes) => nodes.into_iter().next().unwrap_or_default(),
        Err(Failure::Refused { .. }) => Value::Null,
        Err(failure) => return Err(failure),
    };
    if json {
        return super::print_json(out, &json!({ "overview": overview, "node": node }));
    }
    let at = |path: &str| overview.pointer(path).map(shown).unwrap_or_default();
    let of_node = |name: &str| node.get(name).cloned().unwrap_or_default();
    let totals = ["connections", "channels", "queues", "exchanges", "consumers"];
    let totals = totals.map(|name| format!("{} {name}", at(&format!("/object_totals/{name}"))));
    let mut lines = vec![
        ("broker", format!("{} {}", at("/product_name"), at("/product_version"))),
        ("node", at("/node")),
        ("objects", totals.join(", ")),
        (
            "messages",
            format!(
                "{} ready, {} unacked",
                at("/queue_totals/messages_ready"),
                at("/queue_totals/messages_unacknowledged")
            ),
        ),
        (
            "rates",
            format!(
                "{}/s published, {}/s delivered",
                at("/message_stats/publish_details/rate"),
                at("/message_stats/deliver_get_details/rate")
            ),
        ),
    ];
    if node.is_object() {
        let size = |name: &str| of_node(name).as_u64().map(bytes).unwrap_or_default();
        lines.push(("memory", format!("{} of {}", size("mem_used"), size("mem_limit"))));
        lines.push(("disk free", format!("{}, at least {}", size("disk_free"), size("disk_free_limit"))));
        let alarms = [("mem_alarm", "memory"), ("disk_free_alarm", "disk")];
        let on: Vec<_> =
            alarms.iter().filter(|(name, _)| of_node(name) == json!(true)).map(|(_, what)| *what).collect();
        lines.push(("alarms", if on.is_empty() { "none".to_owned() } else { on.join(", ") }));
        if let Some(ms) = of_node("uptime").as_u64() {
            lines.push(("up for", duration(ms / 1000)));
        }
    }
    for listener in overview.get("listeners").and_then(Value::as_array).into_iter().flatten() {
        let part = |name: &str| listener.get(name).map(shown).unwrap_or_default();
        lines.push(("listens", format!("{} on {}:{}", part("protocol"), part("ip_address"), part("port"))));
    }
    for (name, value) in lines {
        writeln!(out, "{name:<10} {value}")?;
    }
    Ok(())
}

fn duration(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}
