//! The README's programs: what it shows is what stands in the files, and the files run.

use std::path::Path;
use std::process::Command;

use crate::harness::Broker;

/// Code blocks that show a whole file: `<!-- PATH -->` before the block.
fn shown_files() -> Vec<(String, String)> {
    let readme = include_str!("../../README.md");
    let mut shown = Vec::new();
    for part in readme.split("<!-- ").skip(1) {
        let (path, rest) = part.split_once(" -->\n```").expect("a block behind the path");
        let (_language, code) = rest.split_once('\n').expect("a block");
        let (code, _) = code.split_once("```").expect("the block's end");
        shown.push((path.to_owned(), code.to_owned()));
    }
    shown
}

#[test]
fn code_in_the_readme_is_the_code_in_the_files() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let shown = shown_files();
    assert_eq!(shown.len(), 3, "publish and consume with pika, both with lapin");
    for (path, code) in shown {
        let file = std::fs::read_to_string(root.join(&path)).expect(&path);
        assert_eq!(code, file, "{path}");
    }
}

#[test]
fn the_lapin_example_publishes_and_consumes() {
    let broker = Broker::new();
    let run = Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--locked", "--example", "lapin"])
        .env("AMQP_URL", format!("amqp://guest:guest@{}", broker.amqp))
        .output()
        .expect("cargo");
    let (out, err) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert_eq!(out, "Hello, Leveret!\n", "{err}");
    assert!(run.status.success(), "{err}");
}
