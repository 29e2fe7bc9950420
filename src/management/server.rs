//! HTTP connections: their number, their timeouts, and the headers of every answer.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::http::HeaderValue;
use axum::http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use leveret_broker::Broker;
use leveret_broker::held::Overdrawn;
use leveret_broker::login::Origin;
use leveret_broker::login_limiter::Protocol;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tower_service::Service;

use super::error::Refused;
use super::hosts::{self, Hosts};
use super::paths;
use super::visitors::{Answering, Visitor, Visitors};
use super::weighed::{Received, Sent};
use super::write_timeout::Patient;
use crate::net::descriptors;
use crate::net::proxied::{self, Proxies};
use crate::net::tasks::{Here, Tasks};
use crate::net::tls::Tls;

/// Maximum size of a request head, in bytes.
pub(super) const HEAD_BYTES_MAX: usize = 64 * 1024;

/// Pause after a failed accept, usually caused by a lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why HTTP cannot be served.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} ({key}): {source}")]
pub struct ListenError {
    /// The configuration key of the address.
    pub(super) key: &'static str,
    pub(super) address: SocketAddr,
    pub(super) source: io::Error,
}

/// The origin of a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct From {
    pub(super) address: SocketAddr,
    /// Over TLS.
    pub(super) encrypted: bool,
    /// The request is for a host name not known to be ours.
    pub(super) led_here: bool,
}

impl From {
    /// For logins. A page that brought a local browser here under another name is a third party's.
    pub(super) fn origin(self) -> Origin {
        let elsewhere = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let here = self.address.ip().to_canonical().is_loopback();
        let address = if self.led_here && here { elsewhere } else { self.address.ip() };
        Origin { address, protocol: Protocol::Http }
    }
}

/// Marks requests from the Unix socket for local command-line tools.
#[derive(Clone, Copy, Debug)]
pub(super) struct FromThisMachine;

/// Serving options.
#[derive(Clone)]
pub(super) struct Serving {
    pub(super) broker: Arc<Broker>,
    pub(super) tasks: Arc<Tasks>,
    /// If set, only TLS is served.
    pub(super) tls: Option<Arc<Tls>>,
    /// Trusted proxies.
    pub(super) proxies: Proxies,
    /// The server's own names.
    pub(super) hosts: Hosts,
    /// Paths answered even when there is no room for other requests.
    pub(super) always: fn(&str) -> bool,
    /// Time limit for a handshake, for a request head, for idling between two requests, and for a stalled read of an
    /// answer.
    pub(super) timeout: Duration,
}

/// Serves until the process ends.
pub(super) fn start(listener: TcpListener, router: Router, serving: Serving) {
    let tasks = Arc::clone(&serving.tasks);
    tasks.spawn("accepting HTTP connections", accept(listener, router, Arc::new(serving)));
}

async fn accept(listener: TcpListener, router: Router, serving: Arc<Serving>) {
    let visitors = Visitors::new(Arc::clone(serving.broker.held()));
    loop {
        match listener.accept().await {
            Ok((socket, address)) if descriptors::too_many(&socket) => {
                tracing::warn!(peer = %address, "http: connection refused: too few file descriptors are left");
            }
            Ok((socket, address)) => {
                let known = (!serving.proxies.trust(address)).then_some(address.ip());
                // Without room the connection is closed: before a request no answer can be sent.
                let Some(visitor) = visitors.comes(known) else { continue };
                let here = serving.tasks.here();
                let (visitors, serving) = (Arc::clone(&visitors), Arc::clone(&serving));
                let guest = PendingConnection { visitor, visitors, serving, _here: here };
                tokio::spawn(guest.serve(socket, address, router.clone()));
            }
            Err(error) => {
                tracing::warn!("http: accepting a connection: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// A connection counted until this is dropped.
struct PendingConnection {
    visitor: Arc<Visitor>,
    visitors: Arc<Visitors>,
    serving: Arc<Serving>,
    _here: Here,
}

impl Drop for PendingConnection {
    fn drop(&mut self) {
        self.visitors.left(&self.visitor);
    }
}

impl PendingConnection {
    async fn serve(self, socket: TcpStream, address: SocketAddr, router: Router) {
        tokio::select! {
            () = self.converse(socket, address, router) => {}
            () = self.serving.tasks.stopping() => {}
            () = self.visitor.ended() => tracing::debug!(peer = %address, "http: made room for others"),
        }
    }

    async fn converse(&self, mut socket: TcpStream, mut address: SocketAddr, router: Router) {
        let timeout = self.serving.timeout;
        if self.serving.proxies.trust(address) {
            match tokio::time::timeout(timeout, proxied::header(&mut socket)).await {
                Ok(Ok(Some((client, _)))) => address = client,
                Ok(Ok(None)) => {}
                Ok(Err(error)) => return tracing::warn!(peer = %address, "http: no PROXY header: {error}"),
                Err(_) => return tracing::warn!(peer = %address, "http: PROXY header took too long"),
            }
            if !self.visitors.introduced(&self.visitor, address.ip()) {
                return tracing::debug!(peer = %address, "http: too many connections");
            }
        }
        let Some(tls) = &self.serving.tls else {
            return self.speak(socket, address, router).await;
        };
        match tokio::time::timeout(timeout, tls.accept_https(socket)).await {
            Ok(Ok(stream)) => self.speak(stream, address, router).await,
            Ok(Err(error)) => tracing::debug!(peer = %address, "http: no TLS: {error}"),
            Err(_) => tracing::debug!(peer = %address, "http: TLS handshake took too long"),
        }
    }

    async fn speak<S>(&self, stream: S, address: SocketAddr, router: Router)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (visitor, serving) = (Arc::clone(&self.visitor), Arc::clone(&self.serving));
        let service = service_fn(move |request| {
            let (visitor, serving, router) = (Arc::clone(&visitor), Arc::clone(&serving), router.clone());
            async move { Ok::<_, Infallible>(answer(request, address, &visitor, &serving, router).await) }
        });
        let served = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.serving.timeout)
            .max_buf_size(HEAD_BYTES_MAX)
            .serve_connection(TokioIo::new(Patient::new(stream, self.serving.timeout)), service)
            .await;
        if let Err(error) = served {
            tracing::debug!(peer = %address, "http: {error}");
        }
    }
}

/// Answers a request; refuses it if it is for another host, or exceeds the connection or memory limits.
async fn answer(
    mut request: hyper::Request<Incoming>,
    address: SocketAddr,
    visitor: &Arc<Visitor>,
    serving: &Serving,
    mut router: Router,
) -> hyper::Response<Sent> {
    visitor.asks();
    let answering = Answering(Arc::clone(visitor));
    paths::without_last_slash(request.uri_mut());
    let led_here = hosts::host_of(&request).is_some_and(|host| !serving.hosts.has(host));
    if led_here && serving.hosts.is_strict() {
        return told(Refused::misdirected(), answering);
    }
    if visitor.is_reserved() && !(serving.always)(request.uri().path()) {
        let refused =
            Refused::unavailable("too many connections; only checks of health and logins are answered");
        return told(refused, answering);
    }
    let from = From { address, encrypted: serving.tls.is_some(), led_here };
    request.extensions_mut().insert(from);
    request.extensions_mut().insert(Arc::clone(visitor));
    let (mut parts, body) = request.into_parts();
    let (body, counted) = match Received::new(body, visitor) {
        Ok(received) => received,
        Err(overdrawn) => return told(Refused::unavailable(overdrawn.to_string()), answering),
    };
    parts.extensions.insert(counted.clone());
    let Ok(response) = router.call(Request::from_parts(parts, Body::new(body))).await;
    if counted.is_refused() {
        let limit = serving.broker.held().limit();
        return told(Refused::unavailable(Overdrawn { limit }.to_string()), answering);
    }
    drop(counted);
    let (parts, body) = response.into_parts();
    match Sent::new(body, answering) {
        Ok(body) => hyper::Response::from_parts(parts, body),
        Err((overdrawn, answering)) => told(Refused::unavailable(overdrawn.to_string()), answering),
    }
}

/// A refusal that closes the connection.
fn told(refused: Refused, answering: Answering) -> hyper::Response<Sent> {
    let mut response = refused.into_response();
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    protect(&mut response);
    response.map(|body| Sent::small(body, answering))
}

/// Bodies up to this size are read before a handler requests them.
const SMALL_BODY_BYTES: u64 = 64 * 1024;

/// Reads small bodies up front: an unread body, refused or ignored, would end the connection, possibly under the
/// client's next request.
pub(super) async fn read_ahead(request: Request, next: Next) -> Response {
    let small = request.body().size_hint().upper().is_some_and(|bytes| bytes <= SMALL_BODY_BYTES);
    if !small {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    match body.collect().await {
        Ok(body) => next.run(Request::from_parts(parts, Body::from(body.to_bytes()))).await,
        Err(error) => Refused::bad_request(format!("the body is cut: {error}")).into_response(),
    }
}

/// Headers that prevent browsers from doing anything with an answer except showing it to its own page.
pub(super) async fn secure(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    protect(&mut response);
    response
}

fn protect(response: &mut Response) {
    let headers = response.headers_mut();
    for (name, value) in
        [(X_CONTENT_TYPE_OPTIONS, "nosniff"), (X_FRAME_OPTIONS, "DENY"), (REFERRER_POLICY, "no-referrer")]
    {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // The dashboard's files say themselves how long they may be kept.
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-cache"));
    headers
        .entry(CONTENT_SECURITY_POLICY)
        .or_insert(HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"));
}
