//! Layers depend downwards only, and modules of a layer form no cycles: the map's arrows, checked against the code.
//!
//! Based on the text: `crate::` and `super::` paths, without comments, strings and `#[cfg(test)]` modules.
//! Existing cycles are listed in [`CIRCLES`]; the list may only shrink.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Permitted dependencies. A layer may use itself freely; anything not listed is forbidden.
const ALLOWED: [(&str, &[&str]); 9] = [
    ("platform", &[]),
    ("wire", &[]),
    ("topology", &[]),
    ("recent_log", &[]),
    ("broker", &["wire"]),
    ("session", &["broker", "wire"]),
    ("net", &["session", "broker", "wire", "platform"]),
    ("management", &["net", "broker", "topology", "recent_log", "wire", "platform"]),
    ("cli", &["management", "net", "broker", "topology", "recent_log", "wire", "platform"]),
];

/// Crates that a layer must not name.
const FORBIDDEN: [(&str, &[&str]); 5] = [
    ("wire", &["tokio", "axum", "hyper", "leveret_queues"]),
    ("topology", &["tokio", "axum", "hyper", "leveret_queues", "leveret_exchanges"]),
    ("broker", &["tokio", "axum", "hyper"]),
    ("session", &["tokio", "axum", "hyper"]),
    ("net", &["axum"]),
];

/// Modules that can reach each other, by layer.
const CIRCLES: [(&str, &[&str]); 1] =
    [("broker", &["consumer", "deadlines", "queue_handle", "shared_credit", "turn"])];

/// A reference: the referring module, and the referenced path below `crate`.
struct Reference {
    from: Vec<String>,
    to: Vec<String>,
}

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// (module path, text) of every file, without tests.
fn modules() -> Vec<(Vec<String>, String)> {
    let mut found = Vec::new();
    let mut folders = vec![source()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let stem = path.file_stem().expect("a name").to_string_lossy().into_owned();
            if path.is_dir() {
                if stem != "tests" {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|e| e == "rs")
                && !["tests", "main", "lib"].contains(&stem.as_str())
            {
                let below = path.strip_prefix(source()).expect("below src");
                let mut module: Vec<_> = below
                    .parent()
                    .expect("a parent")
                    .iter()
                    .map(|part| part.to_string_lossy().into_owned())
                    .collect();
                if stem != "mod" {
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
                (base, rest) = (Vec::new(), rest + 7);
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

/// The entry of a layer in a table.
fn of<'a>(table: &[(&str, &'a [&'a str])], layer: &str) -> &'a [&'a str] {
    table.iter().find(|(name, _)| *name == layer).map_or(&[], |(_, list)| list)
}

#[test]
fn layers_point_down_only() {
    let wrong: BTreeSet<_> = references()
        .iter()
        .filter(|r| r.from[0] != r.to[0] && ALLOWED.iter().any(|(layer, _)| *layer == r.to[0]))
        .filter(|r| !of(&ALLOWED, &r.from[0]).contains(&r.to[0].as_str()))
        .map(|r| format!("{} uses {}", r.from.join("::"), r.to.join("::")))
        .collect();
    assert!(wrong.is_empty(), "these point up: {wrong:#?}");
}

#[test]
fn every_layer_is_in_the_table() {
    let layers: BTreeSet<_> = modules().into_iter().map(|(module, _)| module[0].clone()).collect();
    let listed = ALLOWED.iter().map(|(layer, _)| (*layer).to_owned()).collect();
    assert_eq!(layers, listed);
}

#[test]
fn a_layer_does_not_name_what_belongs_above_it() {
    let wrong: Vec<_> = modules()
        .iter()
        .flat_map(|(module, text)| {
            let names = of(&FORBIDDEN, &module[0]).iter();
            names
                .filter(|name| text.contains(&format!("{name}::")))
                .map(|name| format!("{}: {name}", module.join("::")))
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The direct submodules of `layer` that can reach themselves through others; a folder counts as one module.
fn circle(layer: &str, references: &[Reference]) -> Vec<String> {
    let inside = || {
        references
            .iter()
            .filter(|r| r.from[0] == layer && r.to[0] == layer && r.from.len() > 1 && r.to.len() > 1)
    };
    let modules: BTreeSet<_> = inside().map(|r| r.from[1].as_str()).collect();
    let mut uses: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for r in inside().filter(|r| r.from[1] != r.to[1] && modules.contains(r.to[1].as_str())) {
        uses.entry(&r.from[1]).or_default().insert(&r.to[1]);
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
    let found: Vec<_> = ALLOWED
        .map(|(layer, _)| (layer, circle(layer, &references)))
        .into_iter()
        .filter(|(_, circle)| !circle.is_empty())
        .collect();
    let listed: Vec<_> = CIRCLES
        .iter()
        .map(|(layer, modules)| (*layer, modules.iter().map(ToString::to_string).collect()))
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
