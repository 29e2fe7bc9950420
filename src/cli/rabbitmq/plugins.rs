//! `rabbitmq-plugins`: the plugins that exist are built in. Enabled names are recorded in the data folder, so that
//! repeated calls see them; the features work either way.

use std::path::PathBuf;

use serde_json::json;

use super::fault::{Fault, SOFTWARE, UNAVAILABLE};
use super::job::Job;
use super::reach;
use crate::cli::private;

/// `RabbitMQ`'s plugins whose features are built in, and whether other plugins enable them implicitly.
const BUILT_IN: [(&str, bool); 10] = [
    ("rabbitmq_auth_backend_oauth2", false),
    ("rabbitmq_auth_mechanism_ssl", false),
    ("rabbitmq_consistent_hash_exchange", false),
    ("rabbitmq_delayed_message_exchange", false),
    ("rabbitmq_management", false),
    ("rabbitmq_management_agent", true),
    ("rabbitmq_message_deduplication", false),
    ("rabbitmq_prometheus", false),
    ("rabbitmq_recent_history_exchange", false),
    ("rabbitmq_web_dispatch", true),
];

/// The file in the data folder: one name per line.
const FILE: &str = "enabled-plugins";

/// Enabled by default.
const USUAL: &str = "rabbitmq_management";

fn file() -> Option<PathBuf> {
    reach::data_dirs().into_iter().find(|folder| folder.is_dir()).map(|folder| folder.join(FILE))
}

fn enabled() -> Vec<String> {
    let text = file().and_then(|file| std::fs::read_to_string(file).ok());
    let text = text.unwrap_or_else(|| USUAL.to_owned());
    text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

fn remember(names: &[String]) -> Result<(), Fault> {
    let missing = || {
        Fault::new(
            UNAVAILABLE,
            "no data folder to remember plugins in: set LEVERET_DATA_DIR or LEVERET_CONFIG",
        )
    };
    let file = file().ok_or_else(missing)?;
    let failed = |error: std::io::Error| Fault::new(SOFTWARE, format!("{}: {error}", file.display()));
    private::write(&file, (names.join("\n") + "\n").as_bytes()).map_err(failed)
}

fn node(job: &Job) -> Result<(String, String), Fault> {
    let says_where = job.line.has("online") || job.line.option("node").is_some();
    let is_down = || !says_where && job.get(["overview"]).is_err_and(|fault| fault.is_unavailable());
    if job.line.has("offline") || is_down() {
        return Ok(("the node".to_owned(), env!("CARGO_PKG_VERSION").to_owned()));
    }
    let overview = job.get(["overview"])?;
    let text = |name: &str| overview[name].as_str().unwrap_or_default().to_owned();
    Ok((text("node"), text("product_version")))
}

pub(super) fn list(job: &Job) -> Result<(), Fault> {
    let (node, version) = node(job)?;
    let pattern = if job.word(1).is_empty() { ".*" } else { job.word(1) };
    let wanted =
        regex::Regex::new(pattern).map_err(|error| job.misused(&format!("the pattern is wrong: {error}")))?;
    let (explicit, implicit) = (job.line.has("enabled"), job.line.has("implicitly-enabled"));
    let said = enabled();
    let mut shown = BUILT_IN.iter().filter(|(name, brought)| {
        let on = said.iter().any(|said| said == name);
        let chosen = if explicit { on } else { !implicit || on || *brought };
        chosen && wanted.is_match(name)
    });
    let mark = |name: &str, brought: bool| match said.iter().any(|said| said == name) {
        true => 'E',
        false if brought => 'e',
        false => ' ',
    };
    job.say(&format!("Listing plugins with pattern \"{pattern}\" ..."))?;
    if job.line.has("minimal") {
        return shown.try_for_each(|(name, _)| job.tell(name));
    }
    let shown: Vec<_> = shown.collect();
    if job.line.option("formatter") == Some("json") {
        let plugins: Vec<_> = shown
            .iter()
            .map(|(name, brought)| {
                let state = match mark(name, *brought) {
                    'E' => "enabled",
                    'e' => "implicit",
                    _ => "not_enabled",
                };
                json!({ "name": name, "enabled": state, "running": true, "version": version, "running_version": version })
            })
            .collect();
        return job.tell(&json!({ "format": "normal", "status": "running", "plugins": plugins }).to_string());
    }
    job.say(" Configured: E = explicitly enabled; e = implicitly enabled")?;
    job.say(&format!(" | Status: * = running on {node}"))?;
    job.say(" |/")?;
    let width = shown.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, brought) in shown {
        job.tell(&format!("[{}*] {name:width$} {version}", mark(name, *brought)))?;
    }
    Ok(())
}

/// The names given; each may be a comma-separated list.
fn asked(job: &Job) -> Result<Vec<String>, Fault> {
    if job.line.has("all") {
        return Ok(BUILT_IN.iter().map(|(name, _)| (*name).to_owned()).collect());
    }
    let names: Vec<_> = job
        .words_from(1)
        .iter()
        .flat_map(|word| word.split(','))
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .collect();
    if names.is_empty() && job.name() != "set" {
        Err(job.misused("not enough arguments."))
    } else {
        Ok(names)
    }
}

fn known(names: &[String]) -> Result<(), Fault> {
    let unknown: Vec<_> = names
        .iter()
        .filter(|name| !BUILT_IN.iter().any(|(known, _)| known == name))
        .map(|name| format!(":{name}"))
        .collect();
    if unknown.is_empty() {
        return Ok(());
    }
    let text = format!(
        "{{:plugins_not_found, [{}]}}\nLeveret has no plugins, and nothing that does the same.",
        unknown.join(", ")
    );
    Err(Fault::new(SOFTWARE, text))
}

fn settle(job: &Job, node: &str, before: &[String], mut after: Vec<String>) -> Result<(), Fault> {
    after.sort_unstable();
    after.dedup();
    job.say("The following plugins have been configured:")?;
    for name in &after {
        job.say(&format!("  {name}"))?;
    }
    job.say(&format!("Applying plugin configuration to {node}..."))?;
    if after == before {
        return job.say("Plugin configuration unchanged.");
    }
    remember(&after)?;
    job.say("What was chosen is remembered; what Leveret has built in works either way.")
}

pub(super) fn enable(job: &Job) -> Result<(), Fault> {
    let (names, (node, _)) = (asked(job)?, node(job)?);
    job.say(&format!("Enabling plugins on node {node}:\n{}", names.join("\n")))?;
    known(&names)?;
    let before = enabled();
    let after = before.iter().cloned().chain(names).collect();
    settle(job, &node, &before, after)
}

pub(super) fn disable(job: &Job) -> Result<(), Fault> {
    let (names, (node, _)) = (asked(job)?, node(job)?);
    job.say(&format!("Disabling plugins on node {node}:\n{}", names.join("\n")))?;
    let before = enabled();
    let after = before.iter().filter(|name| !names.contains(name)).cloned().collect();
    settle(job, &node, &before, after)
}

pub(super) fn set(job: &Job) -> Result<(), Fault> {
    let (names, (node, _)) = (asked(job)?, node(job)?);
    job.say(&format!("Enabling plugins on node {node}:\n{}", names.join("\n")))?;
    known(&names)?;
    settle(job, &node, &enabled(), names)
}

pub(super) fn is_enabled(job: &Job) -> Result<(), Fault> {
    let (names, (node, _)) = (asked(job)?, node(job)?);
    let (plugin, is) = if names.len() == 1 { ("plugin", "is") } else { ("plugins", "are") };
    job.say(&format!("Asking node {node} if {plugin} {} {is} enabled...", names.join(", ")))?;
    let mut on = enabled();
    on.extend(BUILT_IN.iter().filter(|(_, brought)| *brought).map(|(name, _)| (*name).to_owned()));
    on.sort_unstable();
    let off: Vec<_> = names.iter().filter(|name| !on.contains(name)).cloned().collect();
    if off.is_empty() {
        let plugin = if names.len() == 1 { "Plugin" } else { "Plugins" };
        return job.tell(&format!("{plugin} {} {is} enabled on node {node}", names.join(", ")));
    }
    let (plugin, is) = if off.len() == 1 { ("Plugin", "is") } else { ("Plugins", "are") };
    let text = format!(
        "{plugin} {} {is} not enabled on node {node}. Enabled plugins and dependencies: {}",
        off.join(", "),
        on.join(", ")
    );
    Err(Fault::new(UNAVAILABLE, text))
}
