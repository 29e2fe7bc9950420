//! Machine-checkable house rules: the map is accurate, modules have a description, pure crates stay pure, and long
//! files give a reason.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Longer files have a line `//! Long: why` in their head.
const LINES_MAX: usize = 600;

/// Possible first components of a path in the map.
const TOP: [&str; 12] = [
    "src",
    "crates",
    "exchanges",
    "queues",
    "management-ui",
    "config",
    "tests",
    "fuzz",
    "benches",
    "docs",
    ".ci",
    "scripts",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All Rust files of the project, without build output and installed files.
fn rust_files() -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![root().to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            let skipped = ["target", "node_modules", "leveret-data", "corpus", "artifacts"];
            if path.is_dir() && !name.starts_with('.') && !skipped.contains(&name.as_str()) {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                files.push(path);
            }
        }
    }
    assert!(files.len() > 20, "the project's files are found");
    files
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).expect("below the root").display().to_string()
}

/// Paths in a text's `code spans`: below a known folder, or a bare source file name.
fn paths_in(text: &str) -> Vec<String> {
    let mut outside = text.split("```").step_by(2).flat_map(|part| part.split('`').skip(1).step_by(2));
    let mut paths = Vec::new();
    for span in &mut outside {
        let plain = span.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
        let first = span.split('/').next().expect("a part");
        let extension = Path::new(span).extension().and_then(|e| e.to_str());
        let bare = !span.contains('/') && matches!(extension, Some("rs" | "toml" | "md"));
        if plain && (bare || (span.contains('/') && TOP.contains(&first))) {
            paths.push(span.to_owned());
        }
    }
    paths
}

#[test]
fn every_path_that_the_map_names_is_there() {
    let map = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md is there");
    let paths = paths_in(&map);
    assert!(!paths.is_empty(), "the map names paths");
    let files = rust_files();
    let gone: Vec<_> = paths
        .iter()
        .filter(|path| {
            let somewhere = !path.contains('/') && files.iter().any(|f| f.ends_with(path.as_str()));
            !somewhere && !root().join(path).exists()
        })
        .collect();
    assert!(gone.is_empty(), "ARCHITECTURE.md names what is not there: {gone:?}");
}

#[test]
fn paths_are_told_from_other_code() {
    let text = "see `src/net/` and `limits.rs`, not `text/plain`, `a.b.c()` or `/api/queues`\n```\n`src/gone`\n```\n`tests/it`";
    assert_eq!(paths_in(text), ["src/net/", "limits.rs", "tests/it"]);
}

#[test]
fn every_module_says_what_it_is() {
    let silent: Vec<_> = rust_files()
        .iter()
        .filter(|path| {
            let text = fs::read_to_string(path).expect("UTF-8");
            let mut lines = text.lines().filter(|l| !l.starts_with("#![") && !l.trim().is_empty());
            !lines.next().is_some_and(|line| line.starts_with("//!"))
        })
        .map(|path| shown(path))
        .collect();
    assert!(silent.is_empty(), "no `//!` at the top of {silent:#?}");
}

/// Linux-only features, as they appear in code.
const LINUX_ONLY: [&str; 9] = [
    "\"/proc/",
    "\"/sys/",
    "os::linux",
    "target_os",
    "fallocate(",
    "clock_ticks_per_second",
    "epoll",
    "inotify",
    "prctl",
];

#[test]
fn what_is_linuxs_own_lies_in_one_module_of_a_crate() {
    let outside = rust_files().into_iter().filter(|path| {
        let path = shown(path);
        let source = ["src/", "crates/", "queues/src/", "exchanges/src/"]
            .iter()
            .any(|crate_| path.starts_with(crate_));
        source && !path.contains("/platform/")
    });
    let mut found = Vec::new();
    for path in outside {
        for (number, line) in fs::read_to_string(&path).expect("UTF-8").lines().enumerate() {
            let code = !line.trim_start().starts_with("//");
            if code && LINUX_ONLY.iter().any(|word| line.contains(word)) {
                found.push(format!("{}:{}: {}", shown(&path), number + 1, line.trim()));
            }
        }
    }
    assert!(found.is_empty(), "these belong into the crate's `platform`, beside a portable half: {found:#?}");
}

#[test]
fn long_files_say_why() {
    let long: Vec<_> = rust_files()
        .iter()
        .filter_map(|path| {
            let text = fs::read_to_string(path).expect("UTF-8");
            let lines = text.lines().count();
            (lines > LINES_MAX && !text.contains("\n//! Long: "))
                .then(|| format!("{}: {lines} lines", shown(path)))
        })
        .collect();
    assert!(long.is_empty(), "split these, or say `//! Long: why` at their top: {long:#?}");
}

#[test]
fn routing_and_queues_do_not_know_tokio() {
    for package in ["leveret-exchanges", "leveret-queues"] {
        let output = Command::new(env!("CARGO"))
            .args(["tree", "--package", package, "--edges", "normal", "--prefix", "none", "--locked"])
            .current_dir(root())
            .output()
            .expect("cargo tree");
        let tree = String::from_utf8(output.stdout).expect("UTF-8");
        assert!(
            output.status.success() && tree.starts_with(package),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let found =
            tree.lines().find(|line| line.split(' ').next().is_some_and(|name| name.starts_with("tokio")));
        assert!(found.is_none(), "{package} depends on {found:?}");
    }
}
