//! `leveret ctl lint`: what is likely a mistake.

use std::io::{self, Write};

use clap::Args;
use serde_json::Value;

use super::table::shown;
use crate::cli::client::{Client, Failure, path};

/// What to examine.
#[derive(Clone, Debug, Args)]
pub(super) struct LintArgs {
    /// Only this vhost.
    #[arg(long, value_name = "NAME")]
    vhost: Option<String>,
}

/// Shows findings; a warning or an error among them is a failure.
pub(super) fn run(client: &Client, args: &LintArgs, json: bool, out: &mut impl Write) -> Result<(), Failure> {
    let report = client.get(&path(["lint"].into_iter().chain(args.vhost.as_deref())))?;
    if json {
        super::print_json(out, &report)?;
    } else {
        write(out, &report)?;
    }
    let count = |severity: &str| {
        report.pointer(&format!("/counts/{severity}")).and_then(Value::as_u64).unwrap_or_default()
    };
    match (count("error"), count("warning")) {
        (0, 0) => Ok(()),
        (errors, warnings) => Err(Failure::Failed(format!("errors: {errors}, warnings: {warnings}"))),
    }
}

fn write(out: &mut impl Write, report: &Value) -> io::Result<()> {
    let items = |of: &Value, name: &str| of.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let text = |of: &Value, name: &str| of.get(name).map(shown).unwrap_or_default();
    let findings = items(report, "findings");
    for finding in &findings {
        writeln!(
            out,
            "{}: {} ({}, {} found)",
            text(finding, "severity"),
            text(finding, "title"),
            text(finding, "rule"),
            text(finding, "count")
        )?;
        let objects = items(finding, "objects");
        for object in &objects {
            let vhost = text(object, "vhost");
            let vhost = if vhost.is_empty() { vhost } else { format!(" in vhost {vhost}") };
            let (kind, name) = (text(object, "kind").replace('_', " "), text(object, "name"));
            writeln!(out, "    {kind} {name}{vhost}: {}", text(object, "why"))?;
        }
        let count = finding.get("count").and_then(Value::as_u64).unwrap_or_default();
        let more = count.saturating_sub(objects.len() as u64);
        if more > 0 {
            writeln!(out, "    and {more} more")?;
        }
        writeln!(out, "    {}", text(finding, "advice"))?;
    }
    if findings.is_empty() {
        writeln!(out, "no findings")?;
    }
    Ok(())
}
