//! The README and the documents: programs shown equal those in the files, and every block is run or says why not.

use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal};
use tempfile::TempDir;

use crate::cli::without_ours;
use crate::harness::Broker;
use crate::management::listening;

/// The README, and all pages in docs/.
fn pages() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = [root.join("docs"), root.join("docs/clients")];
    let found = folders.iter().flat_map(|folder| fs::read_dir(folder).expect("a folder"));
    let pages = found.map(|entry| entry.expect("an entry").path());
    let pages = pages.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    let read = |path: PathBuf| (path.clone(), fs::read_to_string(path).expect("a page"));
    pages.chain([root.join("README.md")]).map(read).collect()
}

/// A code block and its mark: the file that it equals, or one of
/// - `run`: run by a shell, against the page's own broker on the default ports;
/// - `serve`: starts a broker that serves until the page's end, on the ports that later blocks refer to;
/// - `configuration`: accepted by `leveret check-config`;
/// - `not run: REASON`.
struct Block {
    mark: String,
    code: String,
}

impl Block {
    fn is_a_file(&self) -> bool {
        self.mark.contains('/') && !self.mark.contains(' ')
    }
}

/// The blocks of a page. Fails on a block without a mark, and on an indented one.
#[track_caller]
fn blocks(page: &Path, text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let (mut before, mut last) = ("", "");
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(language) = line.strip_prefix("```") {
            let mark = last.strip_prefix("<!-- ").and_then(|rest| rest.strip_suffix(" -->"));
            let mark = mark.unwrap_or_else(|| panic!("{}: a block without a mark", page.display()));
            assert!(!language.is_empty(), "{}: {mark}: of which language?", page.display());
            let code = lines.by_ref().take_while(|line| *line != "```").map(|line| format!("{line}\n"));
            blocks.push(Block { mark: mark.to_owned(), code: code.collect() });
        }
        let indented = line.starts_with("    ") && before.is_empty() && last.is_empty();
        assert!(!indented, "{}: code that is only indented: {line}", page.display());
        (before, last) = (last, line);
        if last.is_empty() {
            before = "";
        }
    }
    blocks
}

#[test]
fn programs_in_the_pages_are_those_in_the_files() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut count = 0;
    for (page, text) in pages() {
        for Block { mark, code } in blocks(&page, &text).into_iter().filter(Block::is_a_file) {
            let file = fs::read_to_string(root.join(&mark)).expect(&mark);
            assert_eq!(code, file, "{mark} in {}", page.display());
            count += 1;
        }
    }
    assert!(count >= 11, "{count} programs are shown");
}

/// Runs the commands of one page.
struct Shell {
    broker: Broker,
    place: TempDir,
    /// Texts of the page, and their replacements in the test.
    meant: Vec<(String, String)>,
    serving: Vec<Child>,
}

impl Shell {
    fn new() -> Self {
        let (broker, place) = (Broker::new(), tempfile::tempdir().expect("a folder"));
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        fs::copy(root.join("config/topology.yaml"), place.path().join("topology.yaml")).expect("copied");
        fs::write(place.path().join("boss"), "a password").expect("written");
        let mut meant: Vec<_> = [("127.0.0.1:15672", "http"), ("127.0.0.1:15692", "metrics")]
            .map(|(said, what)| (said.to_owned(), listening(&broker, what).to_string()))
            .into();
        for said in ["/run/secrets", "/etc/leveret"] {
            meant.push((said.to_owned(), place.path().display().to_string()));
        }
        Self { broker, place, meant, serving: Vec::new() }
    }

    fn command(&self, code: &str) -> Command {
        let code = self.meant.iter().fold(code.to_owned(), |code, (said, meant)| code.replace(said, meant));
        let folder = Path::new(env!("CARGO_BIN_EXE_leveret")).parent().expect("a folder").display();
        let mut command = Command::new("sh");
        without_ours(&mut command);
        command
            .args(["-euc", &code])
            .current_dir(self.place.path())
            .env("PATH", format!("{folder}:{}", std::env::var("PATH").expect("a path")))
            .env("LEVERET_URL", format!("http://{}", listening(&self.broker, "http")))
            .env("LEVERET_HTTP_LISTEN", listening(&self.broker, "http").to_string())
            .stdin(Stdio::null());
        command
    }

    /// Fails unless all commands succeed.
    #[track_caller]
    fn run(&self, code: &str) {
        let run = self.command(code).output().expect("a shell");
        let (out, err) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
        assert!(run.status.success(), "{code}\n{out}\n{err}");
    }

    /// Starts a server, on its own ports.
    #[track_caller]
    fn serve(&mut self, code: &str) {
        for port in ["5671", "15671"] {
            if code.contains(&format!("0.0.0.0:{port}")) {
                let free =
                    TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port");
                self.meant.push((format!("0.0.0.0:{port}"), free.to_string()));
                self.meant.push((format!("localhost:{port}"), format!("localhost:{}", free.port())));
            }
        }
        self.meant.push(("0.0.0.0:5672".to_owned(), "127.0.0.1:0".to_owned()));
        let log = self.place.path().join(format!("log.{}", self.serving.len()));
        let mut command = self.command(code);
        for listen in ["AMQP", "HTTP", "METRICS"] {
            command.env(format!("LEVERET_{listen}_LISTEN"), "127.0.0.1:0");
        }
        command.env("LEVERET_DATA_DIR", self.place.path().join(format!("data.{}", self.serving.len())));
        let child =
            command.process_group(0).stderr(File::create(&log).expect("a log")).spawn().expect("a shell");
        self.serving.push(child);
        crate::wait::until(&format!("{code} serves"), || {
            fs::read_to_string(&log).expect("a log").contains("amqp listening on")
        });
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        for child in &mut self.serving {
            let group = Pid::from_child(child);
            let _ = rustix::process::kill_process_group(group, Signal::TERM);
            let _ = child.wait();
        }
    }
}

#[test]
fn commands_in_the_pages_work() {
    let mut count = 0;
    for (page, text) in pages() {
        let blocks = blocks(&page, &text);
        if blocks.iter().all(|block| block.is_a_file() || block.mark.starts_with("not run: ")) {
            continue;
        }
        let mut shell = Shell::new();
        for Block { mark, code } in blocks {
            match mark.as_str() {
                "run" => shell.run(&code),
                "serve" => shell.serve(&code),
                "configuration" => {
                    let code = shell.meant.iter().fold(code, |code, (said, meant)| code.replace(said, meant));
                    fs::write(shell.place.path().join("some.toml"), code).expect("written");
                    shell.run("leveret check-config --config some.toml");
                }
                // Programs are checked by the test above and the clients' tests.
                mark if mark.starts_with("not run: ") || mark.contains('/') => continue,
                mark => panic!("{}: no such mark: {mark}", page.display()),
            }
            count += 1;
        }
    }
    assert!(count >= 20, "{count} blocks are run");
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
