//! The API for local command-line tools (`rabbitmqctl` and the like): a Unix socket in the data folder, without a
//! password.
//!
//! Invariants: the socket file belongs to the broker's system user and has mode 0600; the kernel reports the peer's
//! credentials, which must be that user's or root's; every request on this socket has administrator rights, and no
//! other path grants them without a login.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tower_service::Service;

use super::paths;
use super::server::{From, FromThisMachine, HEAD_BYTES_MAX};
use super::write_timeout::Patient;
use crate::net::tasks::Tasks;

/// Socket name in the data folder.
const FILE: &str = "leveret.sock";

/// Maximum concurrent connections; further ones wait to be accepted.
const CONNECTIONS_MAX: usize = 64;

/// Pause after a failed accept, usually caused by a lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The socket's path for a data folder.
pub fn socket_of(data_dir: &Path) -> PathBuf {
    data_dir.join(FILE)
}

/// Serves until the process ends. Failure to create the socket (path too long, unsupported file system) is only
/// logged: everything else works without it.
pub(super) fn start(data_dir: &Path, router: Router, timeout: Duration, tasks: &Arc<Tasks>) {
    let path = socket_of(data_dir);
    match bind(&path) {
        Ok(listener) => {
            tasks.spawn("accepting local commands", accept(listener, router, timeout, Arc::clone(tasks)));
        }
        Err(error) => {
            tracing::warn!("no socket for local commands at {}: {error}", path.display());
        }
    }
}

/// The data folder is exclusive to this broker, so an existing file is left over from an earlier run. The mode is set
/// before `listen`, and the final name after the mode.
fn bind(path: &Path) -> io::Result<UnixListener> {
    let beside = path.with_extension("new");
    for file in [&beside, path] {
        match std::fs::remove_file(file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    let listener = UnixListener::bind(&beside)?;
    std::fs::set_permissions(&beside, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(beside, path)?;
    Ok(listener)
}

async fn accept(listener: UnixListener, router: Router, timeout: Duration, tasks: Arc<Tasks>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((socket, _)) => {
                let (router, tasks, here) = (router.clone(), Arc::clone(&tasks), tasks.here());
                tokio::spawn(async move {
                    let _here = (permit, here);
                    tokio::select! {
                        () = serve(socket, router, timeout) => {}
                        () = tasks.stopping() => {}
                    }
                });
            }
            Err(error) => {
                tracing::warn!("local commands: accepting a connection: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve(socket: UnixStream, router: Router, timeout: Duration) {
    let ours = rustix::process::geteuid().as_raw();
    match socket.peer_cred().map(|peer| peer.uid()) {
        Ok(uid) if may(uid, ours) => {}
        Ok(uid) => return tracing::warn!("local commands: user {uid} is neither {ours} nor root"),
        Err(error) => return tracing::warn!("local commands: who connects is not told: {error}"),
    }
    // Handlers that need a peer address get the loopback address.
    let from =
        From { address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), encrypted: false, led_here: false };
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(from);
        request.extensions_mut().insert(FromThisMachine);
        paths::without_last_slash(request.uri_mut());
        router.clone().call(request.map(Body::new))
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(timeout)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(Patient::new(socket, timeout)), service)
        .await;
    if let Err(error) = served {
        tracing::debug!("local commands: {error}");
    }
}

const fn may(uid: u32, ours: u32) -> bool {
    uid == ours || uid == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_broker_s_user_and_root_may() {
        for (uid, ours, want) in [(5, 5, true), (0, 5, true), (6, 5, false), (5, 0, false), (0, 0, true)] {
            assert_eq!(may(uid, ours), want, "{uid} {ours}");
        }
    }

    #[tokio::test]
    async fn the_socket_is_for_its_owner_and_replaces_what_was_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = socket_of(folder.path());
        for _ in 0..2 {
            let listener = bind(&path).unwrap();
            let mode = std::fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
            drop(listener);
        }
        let long = folder.path().join("x".repeat(200));
        assert!(bind(&long).is_err());
    }
}
