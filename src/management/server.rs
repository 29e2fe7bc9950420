//! HTTP connections: how many, how long they may take, and what every answer carries.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::http::HeaderValue;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower_service::Service;

use super::error::Refused;
use super::paths;
use super::patient::Patient;
use crate::broker::attempts::Protocol;
use crate::broker::login::Origin;
use crate::net::proxied::{self, Proxies};
use crate::net::tls::Tls;

/// HTTP connections at one time, per listener. Those beyond wait to be accepted.
const CONNECTIONS_MAX: usize = 512;

/// Bytes that the head of a request may have.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// How long to wait after a failed accept, which is mostly for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why HTTP cannot be served.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}")]
pub struct ListenError {
    pub(super) address: SocketAddr,
    pub(super) source: io::Error,
}

/// Where a request comes from.
#[derive(Clone, Copy, Debug)]
pub(super) struct From {
    pub(super) address: SocketAddr,
    /// Over TLS.
    pub(super) encrypted: bool,
}

impl From {
    /// For logins.
    pub(super) fn origin(self) -> Origin {
        Origin { address: self.address.ip(), protocol: Protocol::Http }
    }
}

/// How clients are served.
#[derive(Clone)]
pub(super) struct Serving {
    /// Over TLS only, when there is one.
    pub(super) tls: Option<Arc<Tls>>,
    /// Who connects for others.
    pub(super) proxies: Proxies,
    /// How long a client may take for a handshake or the head of a request, stay idle between two, and not read on
    /// an answer.
    pub(super) timeout: Duration,
}

/// Serves until the process ends.
pub(super) fn start(listener: TcpListener, router: Router, serving: Serving) {
    tokio::spawn(accept(listener, router, Arc::new(serving)));
}

async fn accept(listener: TcpListener, router: Router, serving: Arc<Serving>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((socket, address)) => {
                tokio::spawn(serve(socket, address, router.clone(), Arc::clone(&serving), permit));
            }
            Err(error) => {
                tracing::warn!("http: accepting a connection: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve(
    mut socket: TcpStream,
    mut address: SocketAddr,
    router: Router,
    serving: Arc<Serving>,
    _room: OwnedSemaphorePermit,
) {
    let timeout = serving.timeout;
    if serving.proxies.trust(address) {
        match tokio::time::timeout(timeout, proxied::header(&mut socket)).await {
            Ok(Ok(Some((client, _)))) => address = client,
            Ok(Ok(None)) => {}
            Ok(Err(error)) => return tracing::warn!(peer = %address, "http: no PROXY header: {error}"),
            Err(_) => return tracing::warn!(peer = %address, "http: PROXY header took too long"),
        }
    }
    let Some(tls) = &serving.tls else {
        return speak(socket, From { address, encrypted: false }, router, timeout).await;
    };
    match tokio::time::timeout(timeout, tls.accept_https(socket)).await {
        Ok(Ok(stream)) => speak(stream, From { address, encrypted: true }, router, timeout).await,
        Ok(Err(error)) => tracing::debug!(peer = %address, "http: no TLS: {error}"),
        Err(_) => tracing::debug!(peer = %address, "http: TLS handshake took too long"),
    }
}

async fn speak<S>(stream: S, from: From, router: Router, timeout: Duration)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(from);
        paths::without_last_slash(request.uri_mut());
        router.clone().call(request)
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(timeout)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(Patient::new(stream, timeout)), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(peer = %from.address, "http: {error}");
    }
}

/// Bytes of a body that is read before anybody asks for it.
const SMALL_BODY_BYTES: u64 = 64 * 1024;

/// Reads small bodies at once: one that is refused or not looked at would end the connection, maybe under
/// the client's next request.
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

/// Headers that keep browsers from doing anything with an answer but show it to its own page.
pub(super) async fn secure(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-cache"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers
        .entry(CONTENT_SECURITY_POLICY)
        .or_insert(HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"));
    response
}
