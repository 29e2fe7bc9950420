//! Connections through a proxy, and their real clients: PROXY headers, before AMQP and HTTP.

use std::io;
use std::net::SocketAddr;

use ipnet::IpNet;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use leveret_amqp091::wire::proxy_header::{Ends, Progress, parse};

/// The networks whose connections begin with a PROXY header.
#[derive(Clone, Debug, Default)]
pub struct Proxies(Vec<IpNet>);

impl Proxies {
    /// From a list of networks, possibly empty.
    pub fn new(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }

    /// Whether connections from this address must begin with a PROXY header.
    pub fn trust(&self, address: SocketAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address.ip().to_canonical()))
    }
}

/// Reads a PROXY header, and not a byte more: the client's address and the one that it connected to; `None`: the
/// proxy connects for itself.
///
/// # Errors
/// A truncated or malformed header.
pub async fn header(socket: &mut TcpStream) -> io::Result<Option<Ends>> {
    let mut bytes = Vec::new();
    loop {
        match parse(&bytes) {
            Ok(Progress::Done(ends)) => return Ok(ends),
            Ok(Progress::Needs(more)) => {
                let known = bytes.len();
                bytes.resize(known + more, 0);
                socket.read_exact(&mut bytes[known..]).await?;
            }
            Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
        }
    }
}
