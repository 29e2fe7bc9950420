//! `leveret plan`, `apply` and `export`: compares a file with a broker.
//!
//! Files and their secrets are read here; the broker compares and changes. For a broker that cannot compare
//! (`RabbitMQ`), the comparison happens here, using its definitions.

mod show;

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;

use clap::Args;
use leveret_broker::password;
use leveret_topology::{Action, Id, Kind, Options, OwnSecrets, Plan, Step, Topology, World};
use serde_json::{Map, Value, json};

use super::client::{Client, DIFFERS, DONE, FAILED, Failure, Remote};
use super::{counted, private};

/// Which file, and how far to go.
#[derive(Clone, Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command")]
struct Wanted {
    /// The topology: a .yaml, .toml or .json file, or a folder of them; RabbitMQ's definitions.json, too.
    file: PathBuf,
    /// Delete what is in the file's vhosts and not in the file.
    #[arg(long)]
    prune: bool,
    /// Delete vhosts that are not in the file, too.
    #[arg(long)]
    prune_vhosts: bool,
    /// Delete even queues that hold messages and things in use.
    #[arg(long)]
    force: bool,
    /// Change queues and exchanges in ways that AMQP cannot: in place, with their messages, consumers and bindings.
    #[arg(long)]
    migrate: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

/// What to compare.
#[derive(Clone, Debug, Args)]
pub struct PlanArgs {
    #[command(flatten)]
    wanted: Wanted,
}

/// What to apply.
#[derive(Clone, Debug, Args)]
pub struct ApplyArgs {
    /// Do not ask.
    #[arg(long)]
    yes: bool,
    /// Apply the rest, although something is in conflict or guarded.
    #[arg(long)]
    skip_conflicts: bool,
    #[command(flatten)]
    wanted: Wanted,
}

/// What to export.
#[derive(Clone, Debug, Args)]
pub struct ExportArgs {
    /// The file to write; standard output without one.
    file: Option<PathBuf>,
    /// Another management API to read from, RabbitMQ's as well; instead of --url.
    #[arg(long, value_name = "URL")]
    from: Option<String>,
    /// Only this vhost.
    #[arg(long, value_name = "NAME")]
    vhost: Option<String>,
    /// What clients made for themselves, too: what is not durable, deletes itself or expires.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    remote: Remote,
}

impl Wanted {
    fn options(&self) -> Options {
        Options {
            prune: self.prune,
            prune_vhosts: self.prune_vhosts,
            force: self.force,
            migrate: self.migrate,
        }
    }

    fn read(&self) -> Result<Topology, Failure> {
        leveret_topology::read(&self.file, &OwnSecrets).map_err(|error| Failure::Usage(error.to_string()))
    }

    fn wish(&self, topology: &Topology) -> Map<String, Value> {
        let mut wish = Map::new();
        wish.insert("topology".to_owned(), leveret_topology::to_definitions(topology));
        for (name, flag) in [
            ("prune", self.prune),
            ("prune_vhosts", self.prune_vhosts),
            ("force", self.force),
            ("migrate", self.migrate),
        ] {
            wish.insert(name.to_owned(), json!(flag));
        }
        wish
    }
}

/// A broker that only provides its definitions.
struct Told;

impl World for Told {
    fn password_is(&self, _: &str, live: &Map<String, Value>, given: &str) -> bool {
        let text = |name: &str| live.get(name).and_then(Value::as_str);
        let stored = password::imported(text("password_hash").unwrap_or_default(), text("hashing_algorithm"));
        stored.is_ok_and(|stored| password::verify(given.as_bytes(), &stored))
    }

    fn in_use(&self, _: &Id) -> Option<String> {
        None
    }

    fn caller(&self) -> Option<&str> {
        None
    }
}

/// The plan, and its id on a broker that makes plans.
fn planned(
    client: &Client,
    wanted: &Wanted,
    topology: &mut Topology,
) -> Result<(Plan, Option<String>), Failure> {
    let wish = Value::Object(wanted.wish(topology));
    let shown = match client.post("/api/topology/plan", &wish) {
        Ok(shown) => shown,
        Err(Failure::Refused { status: 404 | 405, .. }) => {
            let live = definitions(client)?;
            leveret_topology::settle_types(topology, &live);
            return Ok((leveret_topology::difference(topology, &live, wanted.options(), &Told), None));
        }
        Err(failure) => return Err(failure),
    };
    let digest = shown.get("digest").and_then(Value::as_str).map(str::to_owned);
    match Plan::from_json(&shown) {
        Some(plan) => Ok((plan, digest)),
        None => {
            Err(Failure::Failed("the broker's plan is not understood; is it of another version?".to_owned()))
        }
    }
}

fn definitions(client: &Client) -> Result<Topology, Failure> {
    let definitions = client.get("/api/definitions")?;
    leveret_topology::from_definitions(&definitions)
        .map_err(|complaints| Failure::Failed(complaints.join("; ")))
}

/// Shows the differences.
pub fn plan(args: &PlanArgs) -> Result<u8, Failure> {
    let wanted = &args.wanted;
    let mut topology = wanted.read()?;
    let client = wanted.remote.client()?;
    let (plan, _) = planned(&client, wanted, &mut topology)?;
    let mut out = io::stdout().lock();
    show::plan(&mut out, &plan, &topology, wanted.json)?;
    Ok(if plan.steps.is_empty() { DONE } else { DIFFERS })
}

/// Applies the file to the broker, after confirmation.
pub fn apply(args: &ApplyArgs) -> Result<u8, Failure> {
    let mut wanted = args.wanted.clone();
    let mut topology = wanted.read()?;
    let client = wanted.remote.client()?;
    let (mut plan, mut digest) = planned(&client, &wanted, &mut topology)?;
    let mut out = io::stdout().lock();
    let migrations = blocked(&plan).filter(|step| step.action == Action::Migrate).count();
    if digest.is_some() && migrations > 0 && !args.yes && !wanted.json && io::stdin().is_terminal() {
        show::plan(&mut out, &plan, &topology, false)?;
        let question = format!("{migrations} cannot be changed over AMQP. Change them in place?");
        if agreed(&mut out, &question)? {
            wanted.migrate = true;
            (plan, digest) = planned(&client, &wanted, &mut topology)?;
        }
    }
    let Some(digest) = digest else {
        let why =
            "this broker cannot apply a topology (is it RabbitMQ?); `leveret ctl definitions import` may do";
        return Err(Failure::Failed(why.to_owned()));
    };
    let held_up = blocked(&plan).count();
    let stuck = held_up > 0 && !args.skip_conflicts;
    if !wanted.json || stuck {
        show::plan(&mut out, &plan, &topology, wanted.json)?;
    }
    if plan.steps.is_empty() {
        if wanted.json {
            show::plan(&mut out, &plan, &topology, true)?;
        }
        return Ok(DONE);
    }
    if stuck {
        let why = format!(
            "nothing was changed: {held_up} conflicts, migrations or guarded deletions (see --migrate, --force, \
             --skip-conflicts)"
        );
        return Err(Failure::Failed(why));
    }
    if held_up == plan.steps.len() {
        return Ok(FAILED);
    }
    if !args.yes && !agreed(&mut out, "Apply?")? {
        return Err(Failure::Failed("nothing was changed".to_owned()));
    }
    let mut wish = wanted.wish(&topology);
    wish.insert("digest".to_owned(), json!(digest));
    wish.insert("skip_conflicts".to_owned(), json!(args.skip_conflicts));
    client.post("/api/topology/apply", &Value::Object(wish)).map_err(|failure| placed(failure, &topology))?;
    if wanted.json {
        show::plan(&mut out, &plan, &topology, true)?;
    } else {
        writeln!(out, "applied")?;
    }
    Ok(if held_up > 0 { FAILED } else { DONE })
}

fn blocked(plan: &Plan) -> impl Iterator<Item = &Step> {
    plan.steps.iter().filter(|step| step.is_blocked())
}

/// Adds the location in the file to a refusal.
fn placed(failure: Failure, topology: &Topology) -> Failure {
    match failure {
        Failure::Refused { status, reason, json } => {
            let object = json.get("object").and_then(Value::as_str);
            let place = object.and_then(|object| topology.place_of(object));
            let reason = place.map_or(reason.clone(), |place| format!("{place}: {reason}"));
            Failure::Refused { status, reason, json }
        }
        other => other,
    }
}

/// Asks a question at the terminal.
pub(super) fn agreed(out: &mut impl Write, question: &str) -> Result<bool, Failure> {
    if !io::stdin().is_terminal() {
        let why = format!("{question} There is no terminal to ask at; --yes says yes");
        return Err(Failure::Usage(why));
    }
    write!(out, "{question} [y/N] ")?;
    out.flush()?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(["y", "yes"].contains(&answer.trim().to_lowercase().as_str()))
}

/// Writes a broker's definitions as a topology file.
pub fn export(args: &ExportArgs) -> Result<u8, Failure> {
    let remote = args.from.as_ref().map_or_else(|| args.remote.clone(), |url| args.remote.at(url));
    let mut topology = definitions(&remote.client()?)?;
    if let Some(vhost) = &args.vhost {
        if !topology.has(&Id::vhost(vhost)) {
            return Err(Failure::Failed(format!("no vhost '{vhost}'")));
        }
        topology.objects.retain(|id, _| id.vhost == *vhost);
        topology.governs = leveret_topology::Governs::default();
    }
    if !args.all {
        without_temporary(&mut topology);
    }
    let text = leveret_topology::write(&topology);
    match &args.file {
        None => io::stdout().lock().write_all(text.as_bytes())?,
        Some(file) => {
            private::write(file, text.as_bytes())
                .map_err(|error| Failure::Failed(format!("cannot write {}: {error}", file.display())))?;
            let objects = counted(topology.objects.len() as u64, "object");
            writeln!(io::stdout(), "exported {objects} to {}", file.display())?;
        }
    }
    Ok(DONE)
}

fn without_temporary(topology: &mut Topology) {
    let temporary: std::collections::BTreeSet<Id> = topology
        .objects
        .iter()
        .filter(|(id, object)| leveret_topology::is_temporary(id, &object.body))
        .map(|(id, _)| id.clone())
        .collect();
    topology.objects.retain(|id, _| {
        let end_goes = id.as_binding().is_some_and(|binding| {
            let kind = if binding.to_exchange { Kind::Exchange } else { Kind::Queue };
            let ends = [(Kind::Exchange, &binding.source), (kind, &binding.destination)];
            ends.iter().any(|(kind, name)| temporary.contains(&Id::new(*kind, &id.vhost, name)))
        });
        !temporary.contains(id) && !end_goes
    });
}

/// The marker of a step.
fn mark(action: Action) -> char {
    match action {
        Action::Create => '+',
        Action::Change => '~',
        Action::Migrate => '*',
        Action::Delete => '-',
        Action::Conflict => '!',
    }
}
