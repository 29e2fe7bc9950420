//! `leveret healthcheck`: checks whether a broker on this machine is in service. For images without curl.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use super::config::{self, ServeArgs};

/// Timeout of each step.
const PATIENCE: Duration = Duration::from_secs(3);

/// Bytes of the response that are read, at most.
const ANSWER_BYTES_MAX: u64 = 16 * 1024;

const PATH: &str = "/api/health/checks/is-in-service";

/// Why the broker is not in service.
#[derive(Debug, thiserror::Error)]
enum NotInService {
    #[error("{0} does not answer: {1}")]
    Silent(SocketAddr, io::Error),
    #[error("not in service: {0}")]
    Ill(String),
}

/// Checks the broker that would run with this configuration.
pub fn run(args: &ServeArgs) -> Result<(), Box<dyn std::error::Error>> {
    let address = reachable(config::load(args)?.config.http_listen);
    let answer = ask(address).map_err(|error| NotInService::Silent(address, error))?;
    let status = answer.split(' ').nth(1);
    if status == Some("200") {
        return Ok(());
    }
    let body = answer.split_once("\r\n\r\n").map_or(answer.as_str(), |(_, body)| body);
    Err(NotInService::Ill(body.trim().to_owned()).into())
}

/// The address to connect to for a listening address.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

fn ask(address: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    write!(stream, "GET {PATH} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_for_all_interfaces_is_asked_on_this_machine() {
        for (listen, ask) in
            [("0.0.0.0:1", "127.0.0.1:1"), ("[::]:2", "[::1]:2"), ("10.0.0.1:3", "10.0.0.1:3")]
        {
            assert_eq!(reachable(listen.parse().unwrap()), ask.parse().unwrap());
        }
    }
}
