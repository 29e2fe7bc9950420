//! What a name that is not there may have meant.

use leveret_topology::nearest;
use percent_encoding::percent_decode_str;
use serde_json::Value;

use crate::cli::client::{Client, Failure};

/// Lists whose objects are named by vhost and name.
const IN_VHOSTS: [&str; 4] = ["queues", "exchanges", "policies", "operator-policies"];

/// The failure, with a hint if `place` names something that is not there: another vhost that has it, or the nearest
/// name. Costs a list of names.
pub(super) fn explained(client: &Client, place: &str, failure: Failure) -> Failure {
    let Failure::Refused { status: 404, reason, json } = failure else { return failure };
    let segments: Vec<String> = place
        .split('?')
        .next()
        .unwrap_or_default()
        .trim_start_matches("/api/")
        .split('/')
        .map(|segment| percent_decode_str(segment).decode_utf8_lossy().into_owned())
        .collect();
    let hint = match &segments[..] {
        [list, vhost, name, ..] if IN_VHOSTS.contains(&list.as_str()) => {
            in_vhosts(&names(client, list), vhost, name)
        }
        [list, name] => near(name, names(client, list).iter().map(|(_, name)| name.as_str())),
        _ => None,
    };
    let hint = hint.unwrap_or_default();
    Failure::Refused { status: 404, reason: format!("{reason}{hint}"), json }
}

/// Vhosts and names of a list; empty if it cannot be had.
fn names(client: &Client, list: &str) -> Vec<(String, String)> {
    let rows = client.list(&format!("/api/{list}?columns=name,vhost&disable_stats=true")).unwrap_or_default();
    let text = |row: &Value, name: &str| row.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    rows.iter().map(|row| (text(row, "vhost"), text(row, "name"))).collect()
}

fn in_vhosts(all: &[(String, String)], vhost: &str, name: &str) -> Option<String> {
    let elsewhere = all.iter().find(|(_, other)| other == name).map(|(vhost, _)| vhost);
    if let Some(elsewhere) = elsewhere {
        return Some(format!(" (there is one in {elsewhere}: --vhost {elsewhere})"));
    }
    near(name, all.iter().filter(|(place, _)| place == vhost).map(|(_, name)| name.as_str()))
}

fn near<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(name, known).map(|near| format!(", did you mean {near:?}?"))
}

/// The name of the one connection whose client calls itself `name`; `failure` if there is none.
pub(super) fn connection(client: &Client, name: &str, failure: Failure) -> Result<String, Failure> {
    let rows = client.list("/api/connections?columns=name,user_provided_name")?;
    let text = |row: &Value, member: &str| row.get(member).and_then(Value::as_str).map(str::to_owned);
    let own = |row: &&Value| text(row, "user_provided_name").as_deref() == Some(name);
    let found: Vec<String> = rows.iter().filter(own).filter_map(|row| text(row, "name")).collect();
    match (&found[..], failure) {
        ([one], _) => Ok(one.clone()),
        ([], Failure::Refused { status, reason, json }) => {
            let names: Vec<String> = rows
                .iter()
                .flat_map(|row| [text(row, "user_provided_name"), text(row, "name")])
                .flatten()
                .collect();
            let hint = near(name, names.iter().map(String::as_str)).unwrap_or_default();
            Err(Failure::Refused { status, reason: format!("{reason}{hint}"), json })
        }
        ([], failure) => Err(failure),
        (several, _) => Err(Failure::Failed(format!(
            "{} connections are called {name}; name one of: {}",
            several.len(),
            several.join(", ")
        ))),
    }
}

/// Why no connection of a user could be closed.
pub(super) fn connections_of(client: &Client, user: &str) -> Failure {
    let users = names(client, "users");
    if users.is_empty() || users.iter().any(|(_, name)| name == user) {
        return Failure::Failed(format!("closed 0 connections: {user} has none"));
    }
    let hint = near(user, users.iter().map(|(_, name)| name.as_str())).unwrap_or_default();
    Failure::Failed(format!("closed 0 connections: no such user: {user}{hint}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_vhost_s_queue_goes_before_a_similar_name() {
        let all = [("payments", "pay.06"), ("/", "pay.07"), ("/", "other")];
        let all = all.map(|(vhost, name)| (vhost.to_owned(), name.to_owned()));
        for (vhost, name, hint) in [
            ("/", "pay.06", Some(" (there is one in payments: --vhost payments)")),
            ("/", "pay.08", Some(", did you mean \"pay.07\"?")),
            ("/", "nothing.like.it", None),
            ("payments", "othr", None),
        ] {
            assert_eq!(in_vhosts(&all, vhost, name).as_deref(), hint, "{vhost} {name}");
        }
    }
}
