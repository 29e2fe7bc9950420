//! A plan as text: one line per difference, coloured on a terminal, and a total.

use std::io::{self, IsTerminal, Write};

use leveret_topology::{Action, Plan, Step, Topology};
use serde_json::{Value, json};

use super::mark;
use crate::cli::client::Failure;

/// Writes the plan.
pub(super) fn plan(
    out: &mut impl Write,
    plan: &Plan,
    topology: &Topology,
    json: bool,
) -> Result<(), Failure> {
    if json {
        return Ok(writeln!(out, "{:#}", in_json(plan, topology))?);
    }
    let colours = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let mut vhost = None;
    for step in &plan.steps {
        if vhost != Some(&step.id.vhost) {
            vhost = Some(&step.id.vhost);
            let title = if step.id.vhost.is_empty() {
                "broker".to_owned()
            } else {
                format!("vhost {}", step.id.vhost)
            };
            writeln!(out, "{}", printable(&title))?;
        }
        self::step(out, step, topology, colours)?;
    }
    let count = |action| plan.count(action);
    if plan.steps.is_empty() {
        writeln!(out, "No difference: {} objects are as the file says.", plan.unchanged)?;
    } else {
        writeln!(
            out,
            "\n{} to create, {} to change, {} to migrate, {} to delete, {} in conflict, {} unchanged",
            count(Action::Create),
            count(Action::Change),
            count(Action::Migrate),
            count(Action::Delete),
            count(Action::Conflict),
            plan.unchanged
        )?;
    }
    Ok(())
}

fn in_json(plan: &Plan, topology: &Topology) -> Value {
    let mut shown = plan.to_json();
    if let Some(steps) = shown.get_mut("steps").and_then(Value::as_array_mut) {
        for (step, shown) in plan.steps.iter().zip(steps) {
            let place = topology.objects.get(&step.id).and_then(|object| object.place.as_ref());
            shown["place"] = json!(place.map(ToString::to_string));
        }
    }
    shown
}

fn step(out: &mut impl Write, step: &Step, topology: &Topology, colours: bool) -> io::Result<()> {
    let colour = match step.action {
        Action::Create => "\u{1b}[32m",
        Action::Change => "\u{1b}[33m",
        Action::Migrate => "\u{1b}[36m",
        Action::Delete => "\u{1b}[31m",
        Action::Conflict => "\u{1b}[35m",
    };
    let (before, behind) = if colours { (colour, "\u{1b}[0m") } else { ("", "") };
    let name = format!("{} {}", step.id.kind.words(), step.id.name());
    writeln!(out, "  {before}{} {}{behind}", mark(step.action), printable(&name))?;
    for (name, from, to) in &step.fields {
        writeln!(out, "      {}", printable(&format!("{name}: {} -> {}", shown(from), shown(to))))?;
    }
    if let Some(why) = &step.why {
        let place = topology.objects.get(&step.id).and_then(|object| object.place.as_ref());
        let place = place.map(|place| format!(" ({place})")).unwrap_or_default();
        let why = if step.action == Action::Delete {
            format!("{why}; --force deletes it all the same")
        } else {
            why.clone()
        };
        writeln!(out, "      {}", printable(&format!("{why}{place}")))?;
    }
    Ok(())
}

fn shown(value: &Value) -> String {
    if value.is_null() { "(not set)".to_owned() } else { value.to_string() }
}

/// Names from others must not move the cursor.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
