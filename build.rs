//! Tells the binary what it was built from: commit, target and features, for `leveret --version`.
//!
//! Outside a repository (a source package, an image's build) `LEVERET_COMMIT` says the commit, or nobody does.
//! Builds for development do not ask: each commit would build everything anew.

use std::process::Command;

fn main() {
    let release = variable("PROFILE") == "release";
    let commit = Some(variable("LEVERET_COMMIT")).filter(|commit| !commit.is_empty());
    let commit = commit.or_else(|| release.then(repository).flatten());
    let commit = commit.unwrap_or_else(|| if release { "unknown" } else { "development" }.to_owned());
    let mut features: Vec<_> = std::env::vars()
        .filter_map(|(name, _)| Some(name.strip_prefix("CARGO_FEATURE_")?.to_lowercase().replace('_', "-")))
        .filter(|feature| feature != "default")
        .collect();
    features.sort();
    let features = if features.is_empty() { "none".to_owned() } else { features.join(", ") };
    println!("cargo::rustc-env=BUILT_COMMIT={}", commit.get(..12).unwrap_or(&commit));
    println!("cargo::rustc-env=BUILT_FEATURES={features}");
    println!("cargo::rustc-env=BUILT_TARGET={}", variable("TARGET"));
    println!("cargo::rerun-if-env-changed=LEVERET_COMMIT");
    println!("cargo::rerun-if-changed=build.rs");
    if release {
        for name in ["HEAD", "index"] {
            if let Some(path) = git(&["rev-parse", "--git-path", name]) {
                println!("cargo::rerun-if-changed={path}");
            }
        }
    }
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

/// The commit, if this folder is a repository of its own: not that of whoever has it vendored.
fn repository() -> Option<String> {
    let top = git(&["rev-parse", "--show-prefix"])?;
    if top.is_empty() { git(&["rev-parse", "HEAD"]) } else { None }
}

fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
