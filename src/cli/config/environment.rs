//! Unrecognised environment variables with our prefix: most likely misspelt.

use clap::Command;

use super::file::most_alike;
use super::{Origin, Problem};

/// Prefix of our variables.
const PREFIX: &str = "LEVERET_";

/// Variables that no command recognises, each with a likely correction. Only names are examined: a value may be
/// secret.
pub fn unknown(command: &Command, given: impl Iterator<Item = String>) -> Vec<Problem> {
    let mut known = Vec::new();
    collect(command, &mut known);
    let mut unknown: Vec<String> = given
        .filter(|name| name.starts_with(PREFIX) && !known.contains(name) && !is_of_a_cluster(name))
        .collect();
    unknown.sort();
    let told = unknown.into_iter().map(|name| {
        let hint = most_alike(&name, known.iter().cloned());
        let hint = hint.map(|known| format!("; did you mean {known}?")).unwrap_or_default();
        Problem::Given { origin: Origin::Environment(name), why: format!("nothing is called so{hint}") }
    });
    told.collect()
}

/// The names in this process's environment.
pub fn names() -> impl Iterator<Item = String> {
    std::env::vars_os().filter_map(|(name, _)| name.into_string().ok())
}

fn collect(command: &Command, known: &mut Vec<String>) {
    let variables = command.get_arguments().filter_map(|argument| argument.get_env()?.to_str());
    known.extend(variables.map(str::to_owned));
    command.get_subcommands().for_each(|command| collect(command, known));
}

/// Kubernetes sets such variables in every container for a service called `leveret`.
fn is_of_a_cluster(name: &str) -> bool {
    let rest = name.strip_prefix(PREFIX).unwrap_or_default();
    let port = |rest: &str| rest == "PORT" || rest.starts_with("PORT_");
    port(rest) || rest == "SERVICE_HOST" || rest.strip_prefix("SERVICE_").is_some_and(port)
}

#[cfg(test)]
mod tests {
    use clap::{Arg, Command};

    use super::unknown;

    #[test]
    fn what_is_misspelt_is_told_with_what_may_have_been_meant() {
        let command = Command::new("leveret")
            .arg(Arg::new("data").env("LEVERET_DATA_DIR"))
            .subcommand(Command::new("ctl").arg(Arg::new("url").env("LEVERET_URL")));
        for (name, want) in [
            ("LEVERET_DATA_DIR", None),
            ("LEVERET_URL", None),
            ("LEVERET_SERVICE_HOST", None),
            ("LEVERET_SERVICE_PORT_AMQP", None),
            ("LEVERET_PORT_5672_TCP_ADDR", None),
            ("OTHER_DATA_DRI", None),
            (
                "LEVERET_DATA_DRI",
                Some("LEVERET_DATA_DRI: nothing is called so; did you mean LEVERET_DATA_DIR?"),
            ),
            ("LEVERET_XYZ", Some("LEVERET_XYZ: nothing is called so")),
        ] {
            let told = unknown(&command, std::iter::once(name.to_owned()));
            let told: Vec<String> = told.iter().map(ToString::to_string).collect();
            assert_eq!(told.first().map(String::as_str), want, "{name}");
        }
    }
}
