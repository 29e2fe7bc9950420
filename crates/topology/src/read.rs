//! Topology files: one, or all in a folder, as one topology. Errors are reported with file and line, as many as can
//! be found in one pass.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::definitions;
use super::format::{
    ExchangeMap, File, Named, Permission, Policy, QueueMap, Secret, SecretMap, TopicPermission, User,
    UserMap, VhostMap,
};
use super::model::{Binding, Id, Kind, Object, Place, Topology, members, queue_body};
use super::node::{Content, Node, Wrong};
use super::spanned::{At, from_node};
use super::{toml, yaml};

/// Maximum file size, in bytes.
const FILE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// The vhost of objects that name none.
const DEFAULT_VHOST: &str = "/";

const NO_NAME: &str = "a name is needed";

/// Errors in topology files; at least one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct ReadError(pub Vec<String>);

impl ReadError {
    fn one(why: String) -> Self {
        Self(vec![why])
    }
}

/// Where secrets are looked up.
pub trait Secrets {
    /// An environment variable.
    fn variable(&self, name: &str) -> Result<String, String>;

    /// The first line of a file; relative paths are relative to the topology file's folder.
    fn file(&self, path: &Path) -> Result<String, String>;
}

/// The secrets of this process.
#[derive(Clone, Copy, Debug)]
pub struct OwnSecrets;

impl Secrets for OwnSecrets {
    fn variable(&self, name: &str) -> Result<String, String> {
        match std::env::var(name) {
            Ok(value) if !value.is_empty() => Ok(value),
            Ok(_) => Err(format!("the environment variable {name} is empty")),
            Err(_) => Err(format!("the environment variable {name} is not set")),
        }
    }

    fn file(&self, path: &Path) -> Result<String, String> {
        let text = std::fs::read_to_string(path);
        let text = text.map_err(|error| format!("cannot read the secret in {}: {error}", path.display()))?;
        match text.lines().next() {
            Some(line) if !line.is_empty() => Ok(line.to_owned()),
            _ => Err(format!("the secret in {} is empty", path.display())),
        }
    }
}

/// Reads a file, or all `.yaml`, `.yml`, `.toml` and `.json` files of a folder and its subfolders.
pub fn read(path: &Path, secrets: &dyn Secrets) -> Result<Topology, ReadError> {
    let files = if path.is_dir() { files_in(path)? } else { vec![path.to_owned()] };
    if files.is_empty() {
        let why = format!("{}: no .yaml, .yml, .toml or .json file in this folder", path.display());
        return Err(ReadError::one(why));
    }
    let mut building = Building { topology: Topology::default(), complaints: Vec::new(), secrets };
    for file in files {
        building.file(&file);
    }
    if building.complaints.is_empty() { Ok(building.topology) } else { Err(ReadError(building.complaints)) }
}

fn files_in(folder: &Path) -> Result<Vec<PathBuf>, ReadError> {
    let failed = |path: &Path, error: std::io::Error| {
        ReadError::one(format!("{}: cannot be read: {error}", path.display()))
    };
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).map_err(|error| failed(&folder, error))? {
            let entry = entry.map_err(|error| failed(&folder, error))?;
            let (path, hidden) = (entry.path(), entry.file_name().to_string_lossy().starts_with('.'));
            // A symbolic link to a folder could form a cycle.
            if hidden {
                continue;
            }
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(path);
            } else if language(&path).is_some() {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

enum Language {
    Yaml,
    Toml,
}

fn language(path: &Path) -> Option<Language> {
    match path.extension()?.to_str()? {
        // JSON is a subset of YAML.
        "yaml" | "yml" | "json" => Some(Language::Yaml),
        "toml" => Some(Language::Toml),
        _ => None,
    }
}

struct Building<'a> {
    topology: Topology,
    complaints: Vec<String>,
    secrets: &'a dyn Secrets,
}

/// The file being read.
struct Source {
    file: Arc<str>,
    folder: PathBuf,
}

impl Source {
    fn at(&self, line: usize) -> Place {
        Place { file: Arc::clone(&self.file), line }
    }
}

impl Building<'_> {
    fn complain(&mut self, source: &Source, line: usize, why: &str) {
        self.complaints.push(match line {
            0 => format!("{}: {why}", source.file),
            line => format!("{}:{line}: {why}", source.file),
        });
    }

    fn file(&mut self, path: &Path) {
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        let source = Source { file: path.display().to_string().into(), folder };
        if let Err(wrong) = self.contents(&source, path) {
            self.complain(&source, wrong.line, &wrong.to_string());
        }
    }

    fn contents(&mut self, source: &Source, path: &Path) -> Result<(), Wrong> {
        let unreadable = |why: String| Wrong::at(0, format!("cannot be read: {why}"));
        let Some(language) = language(path) else {
            return Err(Wrong::at(0, "a topology is written in .yaml, .yml, .toml or .json"));
        };
        let bytes = std::fs::metadata(path).map_err(|error| unreadable(error.to_string()))?.len();
        if bytes > FILE_BYTES_MAX {
            return Err(unreadable(format!("larger than {FILE_BYTES_MAX} bytes")));
        }
        let text = std::fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))?;
        let node = match language {
            Language::Yaml => yaml::read(&text)?,
            Language::Toml => toml::read(&text)?,
        };
        if let Some(object) = as_definitions(&node)? {
            return self.definitions(source, &object);
        }
        if node.content != Content::Null {
            let file: File = from_node(&node)?;
            self.add_file(source, file);
        }
        Ok(())
    }

    fn definitions(&mut self, source: &Source, object: &Value) -> Result<(), Wrong> {
        let read = definitions::read(object);
        let read = read.map_err(|complaints| Wrong::at(0, complaints.join("; ")))?;
        let governs = read.governs;
        for (id, Object { body, .. }) in read.objects {
            self.add(source, 0, id, body);
        }
        let all = &mut self.topology.governs;
        all.users |= governs.users;
        all.permissions |= governs.permissions;
        all.global_parameters |= governs.global_parameters;
        Ok(())
    }

    fn add(&mut self, source: &Source, line: usize, id: Id, body: Map<String, Value>) {
        let place = Some(source.at(line));
        let name = id.to_string();
        if let Some(why) = unnameable(&id) {
            self.complain(source, line, &format!("{name}: {why}"));
            return;
        }
        // A vhost may be spread over files if its own properties agree.
        if id.kind == Kind::Vhost {
            let known =
                self.topology.objects.entry(id).or_insert_with(|| Object { place, ..Object::default() });
            let differs = |(field, value): &(&String, &Value)| {
                known.body.get(field.as_str()).is_some_and(|known| known != *value)
            };
            let twice = body.iter().find(differs).map(|(field, _)| field.clone());
            known.body.extend(body);
            if let Some(field) = twice {
                self.complain(source, line, &format!("{name}: another {field} than in other files"));
            }
            return;
        }
        if let Err(first) = self.topology.add(id, Object { body, place }) {
            let first = first.map(|place| format!(", first in {place}")).unwrap_or_default();
            self.complain(source, line, &format!("{name} stands here twice{first}"));
        }
    }

    fn add_file(&mut self, source: &Source, file: File) {
        let governs = &mut self.topology.governs;
        governs.users |= file.users.is_some();
        governs.global_parameters |= file.global_parameters.is_some();
        for (name, user) in file.users.into_iter().flatten() {
            self.add_user(source, &name, user);
        }
        for (name, At { line, value }) in file.global_parameters.into_iter().flatten() {
            self.add(source, line, Id::new(Kind::GlobalParameter, "", &name), members([("value", value)]));
        }
        for (name, At { line, value }) in file.vhosts {
            self.add_vhost(source, line, &name, value.0);
        }
        let own = VhostMap {
            limits: file.limits,
            permissions: file.permissions,
            topic_permissions: file.topic_permissions,
            exchanges: file.exchanges,
            queues: file.queues,
            bindings: file.bindings,
            policies: file.policies,
            operator_policies: file.operator_policies,
            parameters: file.parameters,
            ..VhostMap::default()
        };
        if own.has_something() || file.vhost.is_some() {
            let (line, name) = file.vhost.map_or((0, DEFAULT_VHOST.to_owned()), |at| (at.line, at.value));
            self.add_vhost(source, line, &name, own);
        }
    }

    fn add_user(&mut self, source: &Source, name: &str, At { line, value: User(user) }: At<User>) {
        let UserMap { password, password_hash, hashing_algorithm, tags, limits, permissions } = user;
        let mut body = members([("tags", json!(tags.unwrap_or_default().0))]);
        match (password, password_hash) {
            (Some(at), Some(_)) => {
                self.complain(source, at.line, "either password or password_hash, not both");
            }
            (Some(At { line, value: Secret(secret) }), None) => match self.secret(source, &secret) {
                Ok(password) => {
                    body.insert("password".to_owned(), json!(password));
                }
                Err(why) => self.complain(source, line, &format!("users.{name}.password: {why}")),
            },
            (None, Some(hash)) => {
                body.insert("password_hash".to_owned(), json!(hash));
                let algorithm =
                    hashing_algorithm.unwrap_or_else(|| "rabbit_password_hashing_sha256".to_owned());
                body.insert("hashing_algorithm".to_owned(), json!(algorithm));
            }
            (None, None) => {}
        }
        self.add(source, line, Id::new(Kind::User, "", name), body);
        self.add_limits(source, Id::new(Kind::UserLimits, "", name), limits);
        self.topology.governs.permissions |= permissions.is_some();
        for (vhost, At { line, value }) in permissions.into_iter().flatten() {
            self.add_permission(source, line, &vhost, name, value);
        }
    }

    fn secret(&self, source: &Source, secret: &SecretMap) -> Result<String, String> {
        match (&secret.env, &secret.file) {
            (Some(name), None) => self.secrets.variable(name),
            (None, Some(path)) => self.secrets.file(&source.folder.join(path)),
            _ => Err("say {env: NAME} or {file: PATH}".to_owned()),
        }
    }

    fn add_limits(&mut self, source: &Source, id: Id, limits: Option<At<BTreeMap<String, i64>>>) {
        let Some(At { line, value }) = limits else { return };
        let known: &[&str] = if id.kind == Kind::UserLimits {
            &["max-connections", "max-channels"]
        } else {
            &["max-connections", "max-queues"]
        };
        for name in value.keys().filter(|name| !known.contains(&name.as_str())) {
            let why = format!("limits: unknown limit {name:?}{}", super::spanned::meant(name, known));
            self.complain(source, line, &why);
        }
        let body = value.into_iter().map(|(name, value)| (name, json!(value))).collect();
        self.add(source, line, id, body);
    }

    fn add_permission(&mut self, source: &Source, line: usize, vhost: &str, user: &str, value: Permission) {
        let patterns = value.0;
        let body = members([
            ("configure", json!(patterns.configure)),
            ("write", json!(patterns.write)),
            ("read", json!(patterns.read)),
        ]);
        self.add(source, line, Id::new(Kind::Permission, vhost, user), body);
    }

    fn add_vhost(&mut self, source: &Source, line: usize, name: &str, vhost: VhostMap) {
        let mut body = Map::new();
        body.extend(vhost.description.map(|text| ("description".to_owned(), json!(text))));
        body.extend(vhost.tags.map(|tags| ("tags".to_owned(), json!(tags.0))));
        body.extend(vhost.default_queue_type.map(|kind| ("default_queue_type".to_owned(), json!(kind))));
        self.add(source, line, Id::vhost(name), body);
        self.add_limits(source, Id::new(Kind::VhostLimits, name, name), vhost.limits);
        let governs = vhost.permissions.is_some() || vhost.topic_permissions.is_some();
        self.topology.governs.permissions |= governs;
        for (user, At { line, value }) in vhost.permissions.into_iter().flatten() {
            self.add_permission(source, line, name, &user, value);
        }
        for (user, exchanges) in vhost.topic_permissions.into_iter().flatten() {
            self.add_topic_permissions(source, name, &user, exchanges);
        }
        for (exchange, At { line, value }) in vhost.exchanges {
            self.add_exchange(source, line, name, &exchange, value.0);
        }
        for (queue, At { line, value }) in vhost.queues {
            self.add_queue(source, line, name, &queue, &value.0);
        }
        for At { line, value } in vhost.bindings.0 {
            self.add_binding(source, line, name, &value);
        }
        for (kind, policies) in
            [(Kind::Policy, vhost.policies), (Kind::OperatorPolicy, vhost.operator_policies)]
        {
            for (policy, At { line, value }) in policies {
                self.add(source, line, Id::new(kind, name, &policy), policy_body(value));
            }
        }
        for (component, parameters) in vhost.parameters {
            for (parameter, At { line, value }) in parameters {
                let id = Id::pair(Kind::Parameter, name, &component, &parameter);
                self.add(source, line, id, members([("value", value)]));
            }
        }
    }

    fn add_topic_permissions(
        &mut self,
        source: &Source,
        vhost: &str,
        user: &str,
        exchanges: Named<TopicPermission>,
    ) {
        for (exchange, At { line, value }) in exchanges {
            let id = Id::pair(Kind::TopicPermission, vhost, user, &exchange);
            self.add(source, line, id, members([("write", json!(value.write)), ("read", json!(value.read))]));
        }
    }

    fn add_exchange(&mut self, source: &Source, line: usize, vhost: &str, name: &str, exchange: ExchangeMap) {
        if let Some(why) = reserved(name) {
            self.complain(source, line, &format!("exchanges.{name}: {why}"));
            return;
        }
        let arguments = exchange.all_arguments().unwrap_or_else(|why| {
            self.complain(source, line, &format!("exchanges.{name}: {why}"));
            Map::new()
        });
        let body = definitions::exchange_body(
            &exchange.kind,
            exchange.durable,
            exchange.auto_delete,
            exchange.internal,
            arguments,
        );
        self.add(source, line, Id::new(Kind::Exchange, vhost, name), body);
        for At { line, value } in exchange.bindings.0 {
            let binding = Binding { source: name.to_owned(), ..value };
            self.add_binding(source, line, vhost, &binding);
        }
    }

    fn add_queue(&mut self, source: &Source, line: usize, vhost: &str, name: &str, queue: &QueueMap) {
        if let Some(why) = reserved(name) {
            self.complain(source, line, &format!("queues.{name}: {why}"));
            return;
        }
        let arguments = queue.all_arguments().unwrap_or_else(|why| {
            self.complain(source, line, &format!("queues.{name}: {why}"));
            Map::new()
        });
        let body = queue_body(queue.durable, queue.auto_delete, arguments);
        self.add(source, line, Id::new(Kind::Queue, vhost, name), body);
    }

    fn add_binding(&mut self, source: &Source, line: usize, vhost: &str, binding: &Binding) {
        self.add(source, line, Id::binding(vhost, binding), Map::new());
    }
}

fn policy_body(policy: Policy) -> Map<String, Value> {
    members([
        ("pattern", json!(policy.pattern)),
        ("apply-to", json!(policy.apply_to)),
        ("priority", json!(policy.priority)),
        ("definition", policy.definition.into()),
    ])
}

/// Names that cannot be declared.
fn reserved(name: &str) -> Option<&'static str> {
    match name {
        "" => Some(NO_NAME),
        name if name.starts_with("amq.") => Some("names that begin with amq. belong to the broker"),
        _ => None,
    }
}

/// Why an object cannot have this name.
fn unnameable(id: &Id) -> Option<&'static str> {
    let long = |name: &String| name.len() > 255;
    if let Some(binding) = id.as_binding() {
        let names = [&binding.source, &binding.destination, &binding.routing_key];
        return names.into_iter().any(long).then_some("names and keys have at most 255 bytes");
    }
    // Topic permissions may refer to the default exchange.
    if id.kind != Kind::TopicPermission && id.parts.iter().any(String::is_empty) {
        return Some(NO_NAME);
    }
    id.parts.iter().any(long).then_some("a name has at most 255 bytes")
}

impl VhostMap {
    fn has_something(&self) -> bool {
        self.limits.is_some()
            || self.permissions.is_some()
            || self.topic_permissions.is_some()
            || !self.exchanges.is_empty()
            || !self.queues.is_empty()
            || !self.bindings.0.is_empty()
            || !self.policies.is_empty()
            || !self.operator_policies.is_empty()
            || !self.parameters.is_empty()
    }
}

/// A `RabbitMQ` definitions file as JSON, if it is one.
fn as_definitions(node: &Node) -> Result<Option<Value>, Wrong> {
    let Content::Map(map) = &node.content else { return Ok(None) };
    let probe: Map<String, Value> = map
        .iter()
        .map(|(key, node)| {
            let value = if matches!(node.content, Content::List(_)) { json!([]) } else { Value::Null };
            (key.text.clone(), value)
        })
        .collect();
    if definitions::are_these(&probe) { from_node(node).map(Some) } else { Ok(None) }
}
