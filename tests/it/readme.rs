//! The README and the documents: programs shown are those in the files, and commands that are marked run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::Broker;
use crate::management::listening;

/// The README, and all pages below docs/.
fn pages() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = [root.join("docs"), root.join("docs/clients")];
    let found = folders.iter().flat_map(|folder| fs::read_dir(folder).expect("a folder"));
    let pages = found.map(|entry| entry.expect("an entry").path());
    let pages = pages.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    let read = |path: PathBuf| (path.clone(), fs::read_to_string(path).expect("a page"));
    pages.chain([root.join("README.md")]).map(read).collect()
}

/// Marked blocks of a page: `<!-- MARK -->` before the block, and what is in it.
fn marked(page: &str) -> Vec<(String, String)> {
    let mut shown = Vec::new();
    for part in page.split("<!-- ").skip(1) {
        let (mark, rest) = part.split_once(" -->\n```").expect("a block behind the mark");
        let (_language, code) = rest.split_once('\n').expect("a block");
        let (code, _) = code.split_once("```").expect("the block's end");
        shown.push((mark.to_owned(), code.to_owned()));
    }
    shown
}

#[test]
fn programs_in_the_pages_are_those_in_the_files() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut count = 0;
    for (page, text) in pages() {
        for (mark, code) in marked(&text).into_iter().filter(|(mark, _)| mark != "run") {
            let file = fs::read_to_string(root.join(&mark)).expect(&mark);
            assert_eq!(code, file, "{mark} in {}", page.display());
            count += 1;
        }
    }
    assert!(count >= 11, "{count} programs are shown");
}

#[test]
fn commands_in_the_pages_work() {
    let binary = Path::new(env!("CARGO_BIN_EXE_leveret"));
    let folder = binary.parent().expect("a folder").display();
    let path = format!("{folder}:{}", std::env::var("PATH").expect("a path"));
    let mut count = 0;
    for (page, text) in pages() {
        let commands: Vec<_> = marked(&text).into_iter().filter(|(mark, _)| mark == "run").collect();
        if commands.is_empty() {
            continue;
        }
        let broker = Broker::new();
        let place = tempfile::tempdir().expect("a folder");
        let http = listening(&broker, "http").to_string();
        let metrics = listening(&broker, "metrics").to_string();
        for (_, block) in commands {
            let block = block.replace("127.0.0.1:15672", &http).replace("127.0.0.1:15692", &metrics);
            let run = Command::new("sh")
                .args(["-euc", &block])
                .current_dir(place.path())
                .env("PATH", &path)
                .env("LEVERET_HTTP_LISTEN", &http)
                .output()
                .expect("a shell");
            let (out, err) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
            assert!(run.status.success(), "{}:\n{block}\n{out}\n{err}", page.display());
            count += 1;
        }
    }
    assert!(count >= 7, "{count} blocks are run");
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
