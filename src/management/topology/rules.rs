//! A topology's rules of a vhost, besides the declared objects, in the broker's form.

use leveret_broker::batch::Rule;
use leveret_broker::operator_limits::{LimitsOf, OperatorLimits};
use leveret_broker::policies::PolicyKind;
use leveret_topology::{Id, Kind};
use serde_json::{Map, Value};

use super::super::body;
use super::super::error::{Refused, Result};
use super::super::policies::PolicyBody;

/// The rule for an object.
pub(super) fn rule(id: &Id, body: &Map<String, Value>) -> Result<Rule> {
    let value = Value::Object(body.clone());
    let policy = |kind: PolicyKind, value: Value| -> Result<Rule> {
        let record = body::object_of::<PolicyBody>(value)?.record(kind)?;
        Ok(Rule::Policy(kind, id.part(0).to_owned(), record))
    };
    match id.kind {
        Kind::Policy => policy(PolicyKind::User, value),
        Kind::OperatorPolicy => policy(PolicyKind::Operator, value),
        Kind::VhostLimits => {
            let limits = OperatorLimits::new(LimitsOf::Vhost, body::object_of(value)?)?;
            Ok(Rule::Limits(limits))
        }
        Kind::Permission => Ok(Rule::Permission(id.part(0).to_owned(), body::object_of(value)?)),
        Kind::TopicPermission => {
            let (user, exchange) = (id.part(0).to_owned(), id.part(1).to_owned());
            Ok(Rule::TopicPermission(user, exchange, body::object_of(value)?))
        }
        // Known components have kinds of their own.
        _ => Err(Refused::bad_request(format!("component {} not found", id.part(0)))),
    }
}
