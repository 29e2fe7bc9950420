//! How the broker is reached: at `LEVERET_URL`, with the login from the environment; else through the socket in
//! the data folder, without a login.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::fault::{Fault, TEMPORARY, UNAVAILABLE};
use crate::cli::client::{Client, Remote};
use crate::cli::config::{self, Config};
use crate::management::socket_of;

/// Configuration file of the packaged broker.
const PACKAGED: &str = "/etc/leveret/leveret.toml";

/// Data folder of the packaged broker, for users who may not read its configuration.
const PACKAGED_DATA: &str = "/var/lib/leveret";

/// A client of the broker on this machine, or at `LEVERET_URL`.
pub(super) fn broker(timeout_s: Option<u64>) -> Result<Client, Fault> {
    let timeout = timeout_s.map(Duration::from_secs);
    if std::env::var_os("LEVERET_URL").is_some() {
        return Ok(Remote::of_environment().map_err(Fault::from)?.client_within(timeout)?);
    }
    let folders = data_dirs();
    let sockets: Vec<_> = folders.iter().map(|folder| socket_of(folder)).collect();
    let found = sockets.iter().find(|socket| std::os::unix::net::UnixStream::connect(socket).is_ok());
    if let Some(socket) = found {
        return Ok(Client::over_socket(socket, timeout));
    }
    let tried: Vec<_> =
        sockets.iter().map(|socket| format!("attempted to contact: {}", why_not(socket))).collect();
    Err(no_node("leveret", &tried.join("\n")))
}

/// Data folders of brokers that may run here: the one from the environment or the configuration, then the default
/// ones.
pub(super) fn data_dirs() -> Vec<PathBuf> {
    let mut folders = Vec::new();
    if let Some(said) = std::env::var_os("LEVERET_DATA_DIR") {
        folders.push(PathBuf::from(said));
    } else {
        let file = std::env::var_os("LEVERET_CONFIG").map_or_else(|| PathBuf::from(PACKAGED), PathBuf::from);
        folders.extend(config::data_dir_in(&file));
        folders.push(PathBuf::from(PACKAGED_DATA));
        folders.push(Config::default().data_dir);
    }
    folders.dedup();
    folders
}

fn why_not(socket: &Path) -> String {
    match std::os::unix::net::UnixStream::connect(socket) {
        Ok(_) => socket.display().to_string(),
        Err(error) => format!("{}: {error}", socket.display()),
    }
}

/// The node is unreachable.
pub(super) fn no_node(node: &str, why: &str) -> Fault {
    let text = format!(
        "Error: unable to perform an operation on node '{node}'. Please see diagnostics information and suggestions below.\n\n\
         Most common reasons for this are:\n\n \
         * Target node is not running\n \
         * The command is run by another user than the broker's (or root), who may not open its socket\n \
         * The broker's data folder is elsewhere: set LEVERET_DATA_DIR or LEVERET_CONFIG\n \
         * The broker is on another machine: set LEVERET_URL, LEVERET_USER and LEVERET_PASSWORD\n\n\
         DIAGNOSTICS\n===========\n\n{why}"
    );
    Fault::plain(UNAVAILABLE, text)
}

/// A wait timed out.
pub(super) fn too_long(what: &str) -> Fault {
    Fault::new(TEMPORARY, format!("operation {what} on the node timed out. Timeout value used is over"))
}
