//! From the protocol header to `connection.open-ok` (spec 2.2.4).

use std::sync::Arc;

use leveret_broker::identity::Identity;
use leveret_broker::limits::FRAME_MIN;
use leveret_broker::login::Origin;
use leveret_broker::login_limiter::Protocol;
use leveret_broker::names::UserName;
use leveret_broker::product::Product;
use leveret_broker::refusal::Refusal;
use leveret_broker::registry::given_name;
use leveret_broker::users::LoginRefused;

use super::connection::{ClientInfo, Connection, Phase};
use super::error::{AmqpError, MethodId, ReplyCode, refused};
use crate::log_connection;
use crate::wire::method::{AMQPClass, AMQPValue, FieldTable, connection, short_string};
use crate::wire::sasl::{self, SaslError};

/// A refused login is about no method, as on `RabbitMQ`.
const NO_METHOD: MethodId = MethodId(0, 0);
const START_OK: MethodId = MethodId(10, 11);
const TUNE_OK: MethodId = MethodId(10, 31);
const OPEN: MethodId = MethodId(10, 40);

/// Capabilities that clients check before they use an extension.
const CAPABILITIES: [&str; 9] = [
    "publisher_confirms",
    "exchange_exchange_bindings",
    "basic.nack",
    "consumer_cancel_notify",
    "connection.blocked",
    "consumer_priorities",
    "authentication_failure_close",
    "per_consumer_qos",
    "direct_reply_to",
];

fn server_properties(cluster: &str, product: &Product) -> FieldTable {
    let mut capabilities = FieldTable::default();
    for capability in CAPABILITIES {
        capabilities.insert(capability.into(), AMQPValue::Boolean(true));
    }
    let mut properties = FieldTable::default();
    let mut text = |name: &str, value: &str| {
        properties.insert(name.into(), AMQPValue::LongString(value.into()));
    };
    text("product", &product.name);
    text("version", &product.version);
    text("platform", concat!("Rust ", env!("CARGO_PKG_RUST_VERSION")));
    text("copyright", "The Leveret authors");
    text("information", "Licensed under the Apache License 2.0");
    text("cluster_name", cluster);
    properties.insert("capabilities".into(), AMQPValue::FieldTable(capabilities));
    properties
}

/// The client's name and password, if its mechanism carries them.
pub(super) fn credentials(answer: &connection::StartOk) -> Option<Result<sasl::Credentials<'_>, SaslError>> {
    let response = answer.response.as_bytes();
    match answer.mechanism.as_str() {
        "PLAIN" => Some(sasl::plain(response)),
        "AMQPLAIN" => Some(sasl::amqplain(response)),
        _ => None,
    }
}

/// Whether the client is py-amqp, the base of kombu and Celery.
fn is_py_amqp(client: &FieldTable) -> bool {
    let product = client.inner().get("product");
    matches!(product, Some(AMQPValue::LongString(name)) if name.as_bytes() == b"py-amqp")
}

/// Whether the client announces an extension.
pub(super) fn capability(client: &FieldTable, name: &str) -> bool {
    let Some(AMQPValue::FieldTable(capabilities)) = client.inner().get("capabilities") else {
        return false;
    };
    matches!(capabilities.inner().get(name), Some(AMQPValue::Boolean(true)))
}

impl Connection {
    /// The connection name given by the client.
    pub fn client_name(&self) -> Option<&str> {
        given_name(&self.client.properties)
    }

    /// The logged-in user.
    pub fn user_name(&self) -> Option<&str> {
        self.user().map(UserName::as_str)
    }

    /// The connection's vhost.
    pub fn vhost_name(&self) -> Option<&str> {
        self.vhost.as_ref().map(|vhost| vhost.name.as_str())
    }

    /// Answers the protocol header.
    pub(super) fn start(&mut self) {
        self.phase = Phase::StartOk;
        let mechanisms = match self.peer.certified_user() {
            Some(_) => "PLAIN AMQPLAIN EXTERNAL",
            None => "PLAIN AMQPLAIN",
        };
        self.send_connection(connection::AMQPMethod::Start(connection::Start {
            version_major: 0,
            version_minor: 9,
            server_properties: server_properties(&self.broker.cluster_name(), self.broker.product()),
            mechanisms: mechanisms.into(),
            locales: "en_US".into(),
        }));
    }

    pub(super) fn start_ok(&mut self, mut answer: connection::StartOk) {
        let mechanism = answer.mechanism.as_str().to_owned();
        self.py_amqp = is_py_amqp(&answer.client_properties);
        let notify_close = capability(&answer.client_properties, "authentication_failure_close");
        self.client = ClientInfo {
            properties: Arc::new(std::mem::take(&mut answer.client_properties)),
            mechanism: mechanism.clone(),
        };
        let certified = self.peer.certified_user().map(str::to_owned);
        let credentials = match (credentials(&answer), &certified) {
            (Some(credentials), _) => credentials,
            // The response may name an identity to act as; only the certificate's is accepted.
            (None, Some(user)) if mechanism == "EXTERNAL" => {
                let outcome = self.broker.login_certified(user, self.origin());
                self.logged_in(user, outcome, notify_close);
                return;
            }
            (None, _) => {
                let text = format!("unknown authentication mechanism '{mechanism}'");
                self.fail_aloud(&AmqpError::new(ReplyCode::CommandInvalid, START_OK, text));
                return;
            }
        };
        match credentials {
            Ok(credentials) => {
                let outcome = self.broker.login(credentials.user, credentials.password, self.origin());
                self.logged_in(credentials.user, outcome, notify_close);
            }
            Err(error) => {
                self.fail_aloud(&AmqpError::new(ReplyCode::SyntaxError, START_OK, error.to_string()));
            }
        }
    }

    /// The origin of this connection's logins.
    pub(super) fn origin(&self) -> Origin {
        Origin { address: self.peer.address.ip(), protocol: Protocol::Amqp }
    }

    fn logged_in(&mut self, name: &str, outcome: Result<Identity, LoginRefused>, notify_close: bool) {
        match outcome {
            Ok(identity) => {
                self.identity = Some(identity);
                self.tune();
            }
            Err(why) => {
                // Refusals for too many failures are frequent, and the failures were logged.
                if why == LoginRefused::TooManyFailures {
                    log_connection!(debug, self, login = %name, "login refused: {why}");
                } else {
                    log_connection!(warn, self, login = %name, "login refused: {why}");
                }
                if notify_close {
                    let mechanism = &self.client.mechanism;
                    let text = format!(
                        "Login was refused using authentication mechanism {mechanism}. For details see the broker logfile."
                    );
                    let error = AmqpError::new(ReplyCode::AccessRefused, NO_METHOD, text);
                    self.close_for(&error.on_connection());
                } else {
                    self.phase = Phase::Closed;
                }
            }
        }
    }

    fn tune(&mut self) {
        self.phase = Phase::TuneOk;
        let limits = &self.limits;
        let tune = connection::Tune {
            channel_max: limits.channel_max,
            frame_max: limits.frame_max,
            heartbeat: limits.heartbeat_s,
        };
        self.send_connection(connection::AMQPMethod::Tune(tune));
    }

    pub(super) fn tune_ok(&mut self, answer: &connection::TuneOk) {
        let (frame_max, channel_max) = (self.limits.frame_max, self.limits.channel_max);
        let checks = [
            ("frame_max", answer.frame_max, frame_max, FRAME_MIN),
            ("channel_max", u32::from(answer.channel_max), u32::from(channel_max), 1),
        ];
        for (name, value, ours, least) in checks {
            // Zero requests no limit, which exceeds ours.
            let (wrong, text) = if value == 0 || value > ours {
                (
                    true,
                    format!("negotiated {name} = {value} is higher than the maximum allowed value ({ours})"),
                )
            } else {
                (
                    value < least,
                    format!("negotiated {name} = {value} is lower than the minimum allowed value ({least})"),
                )
            };
            if wrong {
                self.fail_aloud(&AmqpError::new(ReplyCode::NotAllowed, TUNE_OK, text));
                return;
            }
        }
        self.negotiated.frame_max = answer.frame_max;
        self.negotiated.channel_max = answer.channel_max;
        self.negotiated.heartbeat_s = answer.heartbeat;
        self.outbox
            .negotiated(answer.frame_max, capability(&self.client.properties, "consumer_cancel_notify"));
        self.phase = Phase::Open;
    }

    pub(super) fn open(&mut self, vhost: &str) {
        if let Err(refusal) = self.enter_vhost(vhost) {
            self.fail(&refused(&refusal, OPEN));
            return;
        }
        self.phase = Phase::Running;
        if let Some(vhost) = self.vhost.clone() {
            self.register(&vhost);
        }
        self.send_connection(connection::AMQPMethod::OpenOk(connection::OpenOk {}));
        log_connection!(info, self, "connection opened");
    }

    fn enter_vhost(&mut self, name: &str) -> Result<(), Refusal> {
        let Some(identity) = &self.identity else { return Err(Refusal::NoVhost(name.to_owned())) };
        let vhost = self.broker.vhost(name).ok_or_else(|| Refusal::NoVhost(name.to_owned()))?;
        let rights = identity
            .rights(&self.broker.users, &vhost.name)
            .ok_or_else(|| Refusal::VhostDenied { vhost: name.to_owned(), user: identity.user.clone() })?;
        self.quota_use = Some(self.broker.admit(&vhost, &identity.user, self.id)?);
        self.vhost = Some(Arc::clone(&vhost));
        self.rights = Some(rights);
        Ok(())
    }

    pub(super) fn send_connection(&mut self, method: connection::AMQPMethod) {
        self.send(0, &AMQPClass::Connection(method));
    }
}

/// `connection.close` for an error.
pub(super) fn close_of(error: &AmqpError) -> AMQPClass {
    AMQPClass::Connection(connection::AMQPMethod::Close(connection::Close {
        reply_code: error.code.number(),
        reply_text: short_string(&error.reply_text()),
        class_id: error.method.0,
        method_id: error.method.1,
    }))
}
