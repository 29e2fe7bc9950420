//! Reports the service state to systemd (`sd_notify`): a datagram to the socket named by `NOTIFY_SOCKET`. Does
//! nothing if that is unset.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// The recipient of notifications.
#[derive(Clone, Debug, Default)]
pub struct Notify {
    to: Option<OsString>,
}

impl Notify {
    /// The recipient named by the environment.
    pub fn from_environment() -> Self {
        Self { to: std::env::var_os("NOTIFY_SOCKET").filter(|path| !path.is_empty()) }
    }

    /// All listeners are up.
    pub fn ready(&self) {
        self.tell("READY=1");
    }

    /// No more connections are accepted.
    pub fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    /// Sends watchdog keep-alives while polled, at half the configured interval.
    pub async fn keep_alive(self) {
        let pid = std::env::var("WATCHDOG_PID").ok();
        let interval = std::env::var("WATCHDOG_USEC").ok().and_then(|text| text.parse().ok());
        let ours = pid.is_none_or(|pid| pid == std::process::id().to_string());
        let Some(interval) =
            interval.map(Duration::from_micros).filter(|interval| ours && !interval.is_zero())
        else {
            return;
        };
        let mut ticks = tokio::time::interval(interval / 2);
        loop {
            ticks.tick().await;
            self.tell("WATCHDOG=1");
        }
    }

    fn tell(&self, state: &str) {
        let Some(to) = &self.to else { return };
        if let Err(error) = send(to.as_bytes(), state) {
            tracing::warn!("telling systemd {state}: {error}");
        }
    }
}

/// An address starting with `@` is in the abstract namespace.
fn send(to: &[u8], state: &str) -> io::Result<()> {
    let address = match to.strip_prefix(b"@") {
        Some(name) => leveret_platform::abstract_address(name)?,
        None => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(to))?,
    };
    let socket = UnixDatagram::unbound()?;
    // A full queue must not block the broker.
    socket.set_nonblocking(true)?;
    socket.send_to_addr(state.as_bytes(), &address)?;
    Ok(())
}
