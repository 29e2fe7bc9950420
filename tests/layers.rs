//! Layers depend downwards only, and modules form no cycles: the map's arrows, checked against manifests and code.
//!
//! What a crate may use is what its manifest names. Inside crates the check is based on the text: `crate::` and
//! `super::` paths, without comments, strings and `#[cfg(test)]` modules. Existing cycles are listed in [`CIRCLES`];
//! the list may only shrink.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Crates of the workspace by folder, and those that each may depend on.
const CRATES: [(&str, &str, &[&str]); 10] = [
    ("exchanges", "exchanges", &[]),
    ("crates/message", "message", &[]),
    ("crates/platform", "platform", &[]),
    ("crates/topology", "topology", &[]),
    ("queues", "queues", &["message"]),
    ("crates/store", "store", &["message"]),
    ("crates/broker", "broker", &["exchanges", "message", "queues", "store"]),
    ("crates/amqp091", "amqp091", &["broker", "message", "queues", "store"]),
    ("crates/perf", "perf", &["amqp091", "message", "platform"]),
    (
        ".",
        "",
        &["amqp091", "broker", "exchanges", "message", "perf", "platform", "queues", "store", "topology"],
    ),
];

/// What only some crates may depend on: tasks and sockets are for the root package (the load generator watches for
/// Ctrl-C), sled and checksums for the store, locks for none of the pure ones.
const RESERVED: [(&str, &[&str]); 8] = [
    ("axum", &[""]),
    ("hyper", &[""]),
    ("tokio", &["", "perf"]),
    ("tokio-rustls", &[""]),
    ("crc32c", &["store"]),
    ("sled", &["store"]),
    ("parking_lot", &["", "amqp091", "broker", "perf", "store"]),
    ("tracing", &["", "amqp091", "broker", "store"]),
];

/// Permitted dependencies between modules of a crate that are layers themselves. A layer may use itself freely.
const LAYERS: [(&str, &str, &[&str]); 6] = [
    ("", "recent_log", &[]),
    ("", "net", &[]),
    ("", "management", &["net", "recent_log"]),
    ("", "cli", &["management", "net", "recent_log"]),
    ("amqp091", "wire", &[]),
    ("amqp091", "session", &["wire"]),
];

/// Crates and packages that a layer must not name, beyond what its crate may use.
const FORBIDDEN: [(&str, &str, &[&str]); 2] = [
    ("", "net", &["axum"]),
    ("amqp091", "wire", &["leveret_broker", "leveret_queues", "leveret_store", "parking_lot", "tracing"]),
];

/// Modules that can reach each other, by the module or crate that holds them.
const CIRCLES: [(&str, &[&str]); 2] = [
    ("broker", &["consumer", "deadlines", "queue_handle", "shared_credit", "turn"]),
    ("store::log", &["commit", "core", "keeper", "read", "reappend_settles"]),
];

/// A reference: the referring module, and the referenced path below `crate`.
struct Reference {
    from: Vec<String>,
    to: Vec<String>,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// (module path, text) of every file of all crates, without tests; the first part of a path is the crate.
fn modules() -> Vec<(Vec<String>, String)> {
    CRATES.iter().flat_map(|(folder, name, _)| modules_of(&root().join(folder).join("src"), name)).collect()
}

fn modules_of(source: &Path, name: &str) -> Vec<(Vec<String>, String)> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = vec![source.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let stem = path.file_stem().expect("a name").to_string_lossy().into_owned();
            if path.is_dir() {
                if stem != "tests" {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|e| e == "rs")
                && !["tests", "main"].contains(&stem.as_str())
                && !stem.ends_with("_test")
            {
                let below = path.strip_prefix(source).expect("below src");
                let parents = below.parent().expect("a parent").iter();
                let mut module = vec![name.to_owned()];
                module.extend(parents.map(|part| part.to_string_lossy().into_owned()));
                if stem != "mod" && stem != "lib" {
                    module.push(stem);
                }
                found.push((module, code(&fs::read_to_string(&path).expect("UTF-8"))));
            }
        }
    }
    found
}

/// The text without comments, strings and test-only code.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests {").next().expect("a part");
    let mut out = String::new();
    for line in text.lines() {
        let line = line.split("//").next().expect("a part");
        out.extend(line.split('"').step_by(2));
        out.push('\n');
    }
    out
}

/// All paths named by a use tree: `a::{b, c::d}` is `a::b` and `a::c::d`. `text` starts after a `::`.
fn tree(text: &str, before: &[String], out: &mut Vec<Vec<String>>) -> usize {
    let bytes = text.as_bytes();
    if bytes.first() == Some(&b'{') {
        let mut at = 1;
        while at < bytes.len() && bytes[at] != b'}' {
            if bytes[at].is_ascii_alphabetic() || bytes[at] == b'_' {
                at += tree(&text[at..], before, out);
                if let Some(other_name) = text[at..].strip_prefix(" as ") {
                    at += 4 + name_len(other_name);
                }
            } else {
                at += 1;
            }
        }
        return (at + 1).min(bytes.len());
    }
    let end = name_len(text);
    let mut path = before.to_vec();
    path.push(text[..end].to_owned());
    if text[end..].starts_with("::") {
        return end + 2 + tree(&text[end + 2..], &path, out);
    }
    out.push(path);
    end.max(1)
}

fn name_len(text: &str) -> usize {
    text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(text.len())
}

fn references() -> Vec<Reference> {
    let mut found = Vec::new();
    for (module, text) in modules() {
        let mut at = 0;
        while let Some(next) = ["crate::", "super::"].iter().filter_map(|w| text[at..].find(w)).min() {
            let start = at + next;
            let (mut base, mut rest) = (module.clone(), start);
            if text[rest..].starts_with("crate::") {
                (base, rest) = (vec![module[0].clone()], rest + 7);
            }
            while text[rest..].starts_with("super::") {
                base.pop();
                rest += 7;
            }
            let mut paths = Vec::new();
            at = rest + tree(&text[rest..], &base, &mut paths).max(1);
            let part_of_a_name = start > 0 && text.as_bytes()[start - 1].is_ascii_alphanumeric();
            if !part_of_a_name {
                found.extend(paths.into_iter().map(|to| Reference { from: module.clone(), to }));
            }
        }
    }
    assert!(found.len() > 500, "the code's references are found");
    found
}

/// The names of a manifest's dependencies. Those of tests are not among them.
fn dependencies(folder: &str) -> BTreeSet<String> {
    let path = root().join(folder).join("Cargo.toml");
    let manifest: toml::Table = fs::read_to_string(&path).expect("a manifest").parse().expect("valid TOML");
    let tables = [manifest.get("dependencies")].into_iter().flatten();
    let targets = manifest.get("target").and_then(toml::Value::as_table).into_iter().flatten();
    tables
        .chain(targets.filter_map(|(_, target)| target.get("dependencies")))
        .filter_map(toml::Value::as_table)
        .flat_map(|table| table.keys().cloned())
        .collect()
}

#[test]
fn every_crate_is_in_the_table() {
    let listed: BTreeSet<_> = CRATES.iter().map(|(folder, ..)| PathBuf::from(folder)).collect();
    let mut found = BTreeSet::from(["exchanges", "queues", "."].map(PathBuf::from));
    for entry in fs::read_dir(root().join("crates")).expect("crates") {
        found.insert(Path::new("crates").join(entry.expect("an entry").file_name()));
    }
    assert_eq!(found, listed);
}

#[test]
fn crates_depend_downwards_only() {
    for (folder, name, allowed) in CRATES {
        let used = dependencies(folder);
        assert!(!used.is_empty(), "{folder} has dependencies");
        let ours: BTreeSet<_> = used.iter().filter_map(|used| used.strip_prefix("leveret-")).collect();
        assert_eq!(ours, allowed.iter().copied().collect(), "what `{folder}` depends on");
        for (package, users) in RESERVED {
            assert!(!used.contains(package) || users.contains(&name), "`{folder}` uses {package}");
        }
    }
}

/// The entry of a layer: its crate, itself, and what it may use.
fn layer(of: &[String]) -> Option<&'static (&'static str, &'static str, &'static [&'static str])> {
    LAYERS.iter().find(|(krate, layer, _)| of.len() > 1 && *krate == of[0] && *layer == of[1])
}

#[test]
fn layers_point_down_only() {
    let wrong: BTreeSet<_> = references()
        .iter()
        .filter_map(|r| Some((r, layer(&r.from)?, layer(&r.to)?)))
        .filter(|(_, from, to)| from.1 != to.1 && !from.2.contains(&to.1))
        .map(|(r, ..)| format!("{} uses {}", r.from.join("::"), r.to.join("::")))
        .collect();
    assert!(wrong.is_empty(), "these point up: {wrong:#?}");
}

#[test]
fn every_layer_is_in_the_table() {
    let found: BTreeSet<_> = modules()
        .into_iter()
        .filter(|(module, _)| module.len() > 1 && LAYERS.iter().any(|(krate, ..)| *krate == module[0]))
        .map(|(module, _)| (module[0].clone(), module[1].clone()))
        .filter(|(krate, module)| krate.is_empty() || module != "log_connection")
        .collect();
    let listed = LAYERS.iter().map(|(krate, layer, _)| ((*krate).to_owned(), (*layer).to_owned())).collect();
    assert_eq!(found, listed);
}

#[test]
fn a_layer_does_not_name_what_belongs_above_it() {
    let wrong: Vec<_> = modules()
        .iter()
        .flat_map(|(module, text)| {
            FORBIDDEN
                .iter()
                .filter(|(krate, layer, _)| module.len() > 1 && module[0] == *krate && module[1] == *layer)
                .flat_map(|(.., names)| names.iter())
                .filter(|name| text.contains(&format!("{name}::")))
                .map(|name| format!("{}: {name}", module.join("::")))
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The direct submodules of `holder` that can reach themselves through others; a folder counts as one module.
fn circle(holder: &[String], references: &[Reference]) -> Vec<String> {
    let depth = holder.len();
    let inside = || {
        references.iter().filter(|r| {
            let within = |path: &[String]| path.len() > depth && path.starts_with(holder);
            within(&r.from) && within(&r.to)
        })
    };
    let modules: BTreeSet<_> = inside().map(|r| r.from[depth].as_str()).collect();
    let mut uses: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for r in inside().filter(|r| r.from[depth] != r.to[depth] && modules.contains(r.to[depth].as_str())) {
        uses.entry(&r.from[depth]).or_default().insert(&r.to[depth]);
    }
    let reaches = |from: &str| {
        let (mut seen, mut next) = (BTreeSet::new(), vec![from]);
        while let Some(module) = next.pop() {
            next.extend(uses.get(module).into_iter().flatten().filter(|to| seen.insert(**to)));
        }
        seen.contains(from)
    };
    modules.iter().filter(|module| reaches(module)).map(ToString::to_string).collect()
}

#[test]
fn circles_only_shrink() {
    let references = references();
    let holders: BTreeSet<_> =
        references.iter().flat_map(|r| (1..r.from.len()).map(|depth| r.from[..depth].to_vec())).collect();
    let found: Vec<_> = holders
        .into_iter()
        .map(|holder| (holder.join("::"), circle(&holder, &references)))
        .filter(|(_, circle)| !circle.is_empty())
        .collect();
    let listed: Vec<_> = CIRCLES
        .iter()
        .map(|(holder, modules)| ((*holder).to_owned(), modules.iter().map(ToString::to_string).collect()))
        .collect();
    assert_eq!(
        found, listed,
        "take what left a circle off the list; undo the import that brought a module into one"
    );
}

#[test]
fn use_trees_are_read() {
    let mut paths = Vec::new();
    tree("a::{b, c::{d as e, f}, g}::h;", &[], &mut paths);
    let names: Vec<_> = paths.iter().map(|path| path.join("::")).collect();
    assert_eq!(names, ["a::b", "a::c::d", "a::c::f", "a::g"]);
}
