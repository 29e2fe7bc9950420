//! A real broker process for a test: its own data folder, free ports, its log in a file.
//!
//! Port discovery: with port 0 the broker logs the actual port (`amqp listening on 127.0.0.1:PORT`).
//! `LEVERET_TEST_URL=amqp://host:port` points the conformance tests at another broker instead.

use std::fs::{self, File};
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::raw::Client;
use crate::wait;

/// A broker process. Dropping it kills it.
pub(crate) struct Broker {
    child: Child,
    folder: Arc<TempDir>,
    options: Vec<String>,
    log: PathBuf,
    /// Its AMQP address.
    pub(crate) amqp: SocketAddr,
}

impl Broker {
    /// A broker with an empty data folder.
    pub(crate) fn new() -> Self {
        Self::with(&[])
    }

    /// A broker with further options; `--amqp-listen` and `--http-listen` replace the default addresses.
    pub(crate) fn with(options: &[&str]) -> Self {
        let folder = Arc::new(TempDir::new().expect("a folder"));
        let options = options.iter().map(ToString::to_string).collect();
        Self::launch(folder, options, None)
    }

    /// A broker with a limit on open file descriptors.
    pub(crate) fn with_descriptors(max: u32) -> Self {
        let folder = Arc::new(TempDir::new().expect("a folder"));
        Self::launch(folder, vec![format!("{DESCRIPTORS}{max}")], None)
    }

    /// A broker on a data folder filled by `prepare` before the start.
    pub(crate) fn prepared(prepare: impl FnOnce(&Path)) -> Self {
        let folder = Arc::new(TempDir::new().expect("a folder"));
        prepare(&folder.path().join("data"));
        Self::launch(folder, Vec::new(), None)
    }

    /// A broker whose data is in `data` of a shared folder.
    pub(crate) fn inside(folder: Arc<TempDir>, options: &[&str]) -> Self {
        Self::launch(folder, options.iter().map(ToString::to_string).collect(), None)
    }

    fn launch(folder: Arc<TempDir>, options: Vec<String>, port: Option<SocketAddr>) -> Self {
        let starts = fs::read_dir(folder.path()).expect("the folder").count();
        let log = folder.path().join(format!("log.{starts}"));
        let mut command = serve_metrics(&folder.path().join("data"));
        if !options.iter().any(|o| o == "--http-listen") {
            command.args(HTTP);
        }
        if !options.iter().any(|o| o == "--amqp-listen") || port.is_some() {
            let port = port.map_or_else(|| "127.0.0.1:0".to_owned(), |p| p.to_string());
            command.args(["--amqp-listen", &port]);
        }
        command.args(options.iter().filter(|option| !option.starts_with(DESCRIPTORS)));
        if let Some(max) = options.iter().find_map(|option| option.strip_prefix(DESCRIPTORS)) {
            command = limited(&command, max);
        }
        command.stderr(File::create(&log).expect("log file"));
        let mut child = command.spawn().expect("the broker's binary");
        let amqp = listen_address(&mut child, &log, "amqp");
        Self { child, folder, options, log, amqp }
    }

    /// Kills it as a power cut would, as far as a process can, and waits for its exit.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("kill");
        self.child.wait().expect("wait");
    }

    /// Sends SIGTERM; returns the exit status.
    pub(crate) fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        let mut status = None;
        wait::until("the broker ends after SIGTERM", || {
            status = self.child.try_wait().expect("wait");
            status.is_some()
        });
        status.expect("waited for")
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a pid");
        kill_process(pid, signal).expect("signal");
    }

    /// Restarts it on the same folder and port; it must have exited.
    pub(crate) fn start_again(&mut self) {
        *self = Self::launch(self.folder.clone(), self.options.clone(), Some(self.amqp));
    }

    /// [`Self::start_again`], with other options.
    pub(crate) fn start_otherwise(&mut self, options: &[&str]) {
        self.options = options.iter().map(ToString::to_string).collect();
        self.start_again();
    }

    /// The log since this start.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).expect("log")
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its data folder.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Resident memory in bytes.
    pub(crate) fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("/proc");
        let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).expect("VmRSS");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
    }

    /// An open connection with channel 1; `$` expands to nothing.
    pub(crate) fn client(&self) -> Client {
        Client::open(self.amqp, "")
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // Both fail if it has already exited.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A shell option, not the broker's: maximum descriptors.
const DESCRIPTORS: &str = "ulimit -n ";

/// The same command with fewer file descriptors.
fn limited(command: &Command, max: &str) -> Command {
    let mut limited = Command::new("sh");
    let line = format!("{DESCRIPTORS}{max} && exec \"$0\" \"$@\"");
    limited.arg("-c").arg(line).arg(command.get_program()).args(command.get_args());
    limited.stdin(Stdio::null()).stdout(Stdio::null());
    limited
}

/// Default API address of the tests.
const HTTP: [&str; 2] = ["--http-listen", "127.0.0.1:0"];

/// The broker's command line for this folder, except the AMQP address.
pub(crate) fn serve(data: &Path) -> Command {
    let mut command = serve_metrics(data);
    command.args(HTTP);
    command
}

/// The same except the AMQP and API addresses.
fn serve_metrics(data: &Path) -> Command {
    let mut command = crate::cli::leveret();
    command
        .args(["serve", "--metrics-listen", "127.0.0.1:0"])
        .arg("--data-dir")
        .arg(data)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command
}

fn listen_address(child: &mut Child, log: &Path, what: &str) -> SocketAddr {
    let words = format!("{what} listening on ");
    let mut found = None;
    wait::until(&format!("the log says {words:?}"), || {
        let text = fs::read_to_string(log).expect("log");
        let ended = child.try_wait().expect("wait");
        assert!(ended.is_none(), "the broker ended at once ({ended:?}):\n{text}");
        found = text.split(&words).nth(1).and_then(|rest| {
            let end = rest.find(|c: char| c.is_whitespace() || "\",}\u{1b}".contains(c))?;
            rest[..end].parse().ok()
        });
        found.is_some()
    });
    found.expect("waited for")
}

/// The target of the conformance tests.
#[derive(Clone)]
pub(crate) enum Peer {
    Ours(Arc<Broker>),
    Other(SocketAddr),
}

impl Peer {
    /// The broker named by `LEVERET_TEST_URL`, or our own: one process shared by all concurrent tests.
    pub(crate) fn shared() -> Self {
        static SHARED: Mutex<Weak<Broker>> = Mutex::new(Weak::new());
        if let Some(addr) = other_broker() {
            return Self::Other(addr);
        }
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        let broker = shared.upgrade().unwrap_or_else(|| Arc::new(Broker::new()));
        *shared = Arc::downgrade(&broker);
        Self::Ours(broker)
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        match self {
            Self::Ours(broker) => broker.amqp,
            Self::Other(addr) => *addr,
        }
    }
}

/// The address in `LEVERET_TEST_URL`.
pub(crate) fn other_broker() -> Option<SocketAddr> {
    let url = std::env::var("LEVERET_TEST_URL").ok()?;
    let place = url.trim_start_matches("amqp://").trim_end_matches('/');
    let place = place.rsplit('@').next().expect("something");
    Some(place.to_socket_addrs().expect("host and port").next().expect("an address"))
}
