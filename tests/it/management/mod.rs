//! The management API as tools use it: raw HTTP against a real broker process.

mod access;
mod accounts;
mod as_rabbitmq;
mod compression;
mod connections;
mod crowds;
mod declare;
mod definitions;
mod delayed;
mod every_route;
mod explain;
mod hosts;
mod limits;
mod lint;
mod lists;
mod live;
mod messages;
mod metrics;
mod policies;
mod redrive;
mod reference;
mod schemas;
mod sessions;
mod shapes;
mod slow_clients;
mod stats;
mod tools;

use std::net::SocketAddr;

use serde_json::Value;
use ureq::http::{Request, Response};

use crate::harness::Broker;

/// An HTTP answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) json: Value,
    pub(crate) text: String,
    headers: Vec<(String, String)>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Header names.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.headers.iter().map(|(name, _)| name.as_str())
    }

    /// Fails unless it is a refusal of this form.
    #[track_caller]
    pub(crate) fn refused(&self, status: u16, error: &str, words: &str) {
        assert_eq!(self.status, status, "{}", self.text);
        assert_eq!(self.json["error"], error, "{}", self.text);
        let reason = self.json.get("missing").unwrap_or(&self.json["reason"]);
        let reason = reason.as_str().expect("a reason");
        assert!(reason.contains(words), "{words:?} should be in {reason:?}");
    }

    /// Fails unless it has this status.
    #[track_caller]
    pub(crate) fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }
}

/// A client of the API of one broker, logged in as someone.
#[derive(Clone)]
pub(crate) struct Http {
    agent: ureq::Agent,
    address: SocketAddr,
    login: Option<String>,
}

/// A listener's address, from the broker's log.
pub(crate) fn listening(broker: &Broker, what: &str) -> SocketAddr {
    let log = broker.log();
    let rest = log.split(&format!("{what} listening on ")).nth(1).expect("a line of the log");
    rest.split_whitespace().next().and_then(|address| address.parse().ok()).expect("an address")
}

impl Http {
    /// Logged in as guest.
    pub(crate) fn of(broker: &Broker) -> Self {
        Self::at(listening(broker, "http")).login("guest", "guest")
    }

    pub(crate) fn at(address: SocketAddr) -> Self {
        let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
        Self { agent, address, login: None }
    }

    pub(crate) fn login(&self, name: &str, password: &str) -> Self {
        use base64::Engine;
        let encoded = base64::engine::general_purpose::STANDARD.encode(format!("{name}:{password}"));
        Self { login: Some(format!("Basic {encoded}")), ..self.clone() }
    }

    pub(crate) fn nobody(&self) -> Self {
        Self { login: None, ..self.clone() }
    }

    pub(crate) fn call(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut request = Request::builder().method(method).uri(format!("http://{}{path}", self.address));
        if let Some(login) = &self.login {
            request = request.header("authorization", login);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = if matches!(method, "PUT" | "POST") {
            self.agent.run(request.body(body.to_owned()).expect("a request"))
        } else {
            self.agent.run(request.body(()).expect("a request"))
        };
        read(answer.expect("an answer"))
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.call("GET", path, &[], "")
    }

    pub(crate) fn delete(&self, path: &str) -> Answer {
        self.call("DELETE", path, &[], "")
    }

    pub(crate) fn put(&self, path: &str, body: &Value) -> Answer {
        self.call("PUT", path, &[("content-type", "application/json")], &body.to_string())
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        self.call("POST", path, &[("content-type", "application/json")], &body.to_string())
    }

    /// Creates a user with these tags, the password `pw`, and all permissions in `/`; logs in as that user.
    pub(crate) fn user(&self, name: &str, tags: &str) -> Self {
        let user = serde_json::json!({ "password": "pw", "tags": tags });
        self.put(&format!("/api/users/{name}"), &user).is(201);
        let all = serde_json::json!({ "configure": ".*", "write": ".*", "read": ".*" });
        self.put(&format!("/api/permissions/%2F/{name}"), &all).is(201);
        self.login(name, "pw")
    }
}

fn read(answer: Response<ureq::Body>) -> Answer {
    let status = answer.status().as_u16();
    let headers = answer.headers().iter();
    let headers =
        headers.map(|(name, value)| (name.to_string(), value.to_str().expect("text").to_owned())).collect();
    let text = answer.into_body().with_config().limit(1 << 30).read_to_string().expect("the answer's body");
    Answer { status, json: serde_json::from_str(&text).unwrap_or_default(), text, headers }
}
