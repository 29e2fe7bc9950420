//! The effective settings of a queue, each with its source.

use leveret_queues::DelayedRetry;
use serde_json::{Value, json};

use super::{Matched, OverflowName, PolicyDefinition, RetryTypeName};
use crate::queue_kind::QueueKind;

/// Source of a setting.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the names say all")]
pub enum Source {
    Argument,
    Policy,
    OperatorPolicy,
    Default,
}

/// A value and its source.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sourced<T> {
    /// The value in force.
    pub value: T,
    /// Where it comes from.
    pub source: Source,
}

/// Queue settings from arguments and policies. For numeric limits the lowest counts; otherwise arguments take
/// precedence over policies, and the operator's overflow over the user's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Effective {
    /// Time to live of messages, in milliseconds.
    pub message_ttl: Sourced<Option<u64>>,
    /// Idle time after which the queue is deleted, in milliseconds.
    pub expires: Sourced<Option<u64>>,
    /// Maximum ready messages.
    pub max_length: Sourced<Option<u64>>,
    /// Maximum bytes of ready messages' bodies.
    pub max_length_bytes: Sourced<Option<u64>>,
    /// Behaviour when either length limit is exceeded.
    pub overflow: Sourced<OverflowName>,
    /// Dead-letter exchange.
    pub dead_letter_exchange: Sourced<Option<String>>,
    /// Replaces the routing keys of dead letters.
    pub dead_letter_routing_key: Sourced<Option<String>>,
    /// Maximum failed deliveries; negative for no limit.
    pub delivery_limit: Sourced<Option<i64>>,
    /// Which returned messages wait before they are delivered again.
    pub delayed_retry_type: Sourced<RetryTypeName>,
    /// Their wait after the first failed delivery, in milliseconds.
    pub delayed_retry_min: Sourced<Option<u64>>,
    /// Their longest wait, in milliseconds.
    pub delayed_retry_max: Sourced<Option<u64>>,
    /// Acknowledgement timeout, in milliseconds.
    pub consumer_timeout: Sourced<Option<u64>>,
}

/// The values of one setting in the three sources, arguments first.
fn said<'a, T>(
    arguments: &'a PolicyDefinition,
    matched: &'a Matched,
    field: impl Fn(&'a PolicyDefinition) -> Option<T>,
) -> impl Iterator<Item = Sourced<T>> {
    let users = matched.users().and_then(&field).map(|value| Sourced { value, source: Source::Policy });
    let operators =
        matched.operators().and_then(&field).map(|value| Sourced { value, source: Source::OperatorPolicy });
    let argument = field(arguments).map(|value| Sourced { value, source: Source::Argument });
    argument.into_iter().chain(users).chain(operators)
}

fn or_none<T>(found: Option<Sourced<T>>) -> Sourced<Option<T>> {
    match found {
        Some(Sourced { value, source }) => Sourced { value: Some(value), source },
        None => Sourced { value: None, source: Source::Default },
    }
}

impl Effective {
    /// Computes the effective settings.
    pub fn of(arguments: &PolicyDefinition, kind: QueueKind, matched: &Matched) -> Self {
        let least = |field: fn(&PolicyDefinition) -> Option<u64>| {
            or_none(said(arguments, matched, field).min_by_key(|said| said.value))
        };
        let first =
            |field: fn(&PolicyDefinition) -> Option<String>| or_none(said(arguments, matched, field).next());
        // A negative limit means none: any other takes precedence.
        let delivery_limit = said(arguments, matched, |definition| definition.delivery_limit)
            .min_by_key(|said| u64::try_from(said.value).unwrap_or(u64::MAX));
        let overflow = match arguments.overflow {
            Some(value) => Some(Sourced { value, source: Source::Argument }),
            None => said(arguments, matched, |definition| definition.overflow).last(),
        };
        let retry_type = said(arguments, matched, |definition| definition.delayed_retry_type).next();
        let mut effective = Self {
            message_ttl: least(|definition| definition.message_ttl),
            expires: least(|definition| definition.expires),
            max_length: least(|definition| definition.max_length),
            max_length_bytes: least(|definition| definition.max_length_bytes),
            overflow: overflow.unwrap_or(Sourced { value: OverflowName::DropHead, source: Source::Default }),
            dead_letter_exchange: first(|definition| definition.dead_letter_exchange.clone()),
            dead_letter_routing_key: first(|definition| definition.dead_letter_routing_key.clone()),
            delivery_limit: or_none(delivery_limit),
            delayed_retry_type: retry_type
                .unwrap_or(Sourced { value: RetryTypeName::Disabled, source: Source::Default }),
            delayed_retry_min: least(|definition| definition.delayed_retry_min),
            delayed_retry_max: least(|definition| definition.delayed_retry_max),
            consumer_timeout: least(|definition| definition.consumer_timeout),
        };
        let by_kind = kind.traits().delivery_limit.map(i64::from);
        effective.delivery_limit.value = effective.delivery_limit.value.or(by_kind);
        effective
    }

    /// How returned messages wait; `None`: they do not, or no minimum is set.
    pub fn delayed_retry(&self) -> Option<DelayedRetry> {
        Some(DelayedRetry {
            which: self.delayed_retry_type.value.which()?,
            min_ms: self.delayed_retry_min.value?,
            max_ms: self.delayed_retry_max.value.unwrap_or(u64::MAX),
        })
    }

    /// Each setting with its value in JSON and its source.
    pub fn settings(&self) -> Vec<(&'static str, Value, Source)> {
        fn row<T: serde::Serialize>(name: &'static str, said: &Sourced<T>) -> (&'static str, Value, Source) {
            (name, json!(said.value), said.source)
        }
        vec![
            row("message-ttl", &self.message_ttl),
            row("expires", &self.expires),
            row("max-length", &self.max_length),
            row("max-length-bytes", &self.max_length_bytes),
            row("overflow", &self.overflow),
            row("dead-letter-exchange", &self.dead_letter_exchange),
            row("dead-letter-routing-key", &self.dead_letter_routing_key),
            row("delivery-limit", &self.delivery_limit),
            row("delayed-retry-type", &self.delayed_retry_type),
            row("delayed-retry-min", &self.delayed_retry_min),
            row("delayed-retry-max", &self.delayed_retry_max),
            row("consumer-timeout", &self.consumer_timeout),
        ]
    }
}

impl Matched {
    /// Both policies combined: the lowest of numbers, the operator's overflow.
    pub fn definition(&self) -> PolicyDefinition {
        let none = PolicyDefinition::default();
        let users = self.users().unwrap_or(&none);
        let merged = Effective::of(&none, QueueKind::Classic, self);
        PolicyDefinition {
            message_ttl: merged.message_ttl.value,
            expires: merged.expires.value,
            max_length: merged.max_length.value,
            max_length_bytes: merged.max_length_bytes.value,
            overflow: (merged.overflow.source != Source::Default).then_some(merged.overflow.value),
            delivery_limit: merged.delivery_limit.value,
            ..users.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use leveret_queues::RetryType;

    use super::super::{ApplyTo, Policy, PolicyRecord};
    use super::*;

    fn policy(definition: PolicyDefinition) -> Arc<Policy> {
        let record = PolicyRecord { pattern: String::new(), apply_to: ApplyTo::All, priority: 0, definition };
        Arc::new(Policy::new("p", record).expect("a pattern"))
    }

    fn length(max_length: Option<u64>) -> PolicyDefinition {
        PolicyDefinition { max_length, ..PolicyDefinition::default() }
    }

    #[test]
    fn the_lowest_number_counts_and_of_equals_the_argument() {
        for (argument, user, operator, value, source) in [
            (None, None, None, None, Source::Default),
            (Some(5), None, None, Some(5), Source::Argument),
            (Some(5), Some(5), Some(5), Some(5), Source::Argument),
            (Some(5), Some(4), Some(6), Some(4), Source::Policy),
            (None, Some(4), Some(4), Some(4), Source::Policy),
            (Some(5), Some(4), Some(3), Some(3), Source::OperatorPolicy),
            (None, None, Some(0), Some(0), Source::OperatorPolicy),
        ] {
            let matched =
                Matched { policy: Some(policy(length(user))), operator: Some(policy(length(operator))) };
            let effective = Effective::of(&length(argument), QueueKind::Classic, &matched);
            assert_eq!(effective.max_length, Sourced { value, source }, "{argument:?} {user:?} {operator:?}");
        }
    }

    #[test]
    fn an_argument_s_overflow_counts_before_an_operator_s_before_a_user_s() {
        let of = |overflow| PolicyDefinition { overflow, ..PolicyDefinition::default() };
        let (head, reject, dlx) =
            (OverflowName::DropHead, OverflowName::RejectPublish, OverflowName::RejectPublishDlx);
        for (argument, user, operator, value, source) in [
            (None, None, None, head, Source::Default),
            (Some(head), Some(reject), Some(dlx), head, Source::Argument),
            (None, Some(reject), Some(dlx), dlx, Source::OperatorPolicy),
            (None, Some(reject), None, reject, Source::Policy),
        ] {
            let matched = Matched { policy: Some(policy(of(user))), operator: Some(policy(of(operator))) };
            let effective = Effective::of(&of(argument), QueueKind::Classic, &matched);
            assert_eq!(effective.overflow, Sourced { value, source });
        }
    }

    #[test]
    fn a_delivery_limit_counts_before_none_and_quorum_queues_have_one() {
        let of = |delivery_limit| PolicyDefinition { delivery_limit, ..PolicyDefinition::default() };
        for (argument, user, kind, value, source) in [
            (None, None, QueueKind::Classic, None, Source::Default),
            (None, None, QueueKind::Quorum, Some(20), Source::Default),
            (Some(-1), None, QueueKind::Quorum, Some(-1), Source::Argument),
            (Some(-1), Some(5), QueueKind::Quorum, Some(5), Source::Policy),
            (Some(3), Some(-1), QueueKind::Quorum, Some(3), Source::Argument),
            (None, Some(-1), QueueKind::Quorum, Some(-1), Source::Policy),
        ] {
            let matched = Matched { policy: Some(policy(of(user))), operator: None };
            let effective = Effective::of(&of(argument), kind, &matched);
            assert_eq!(effective.delivery_limit, Sourced { value, source }, "{argument:?} {user:?}");
        }
    }

    #[test]
    fn retries_wait_as_the_first_type_says_with_the_lowest_bounds() {
        let of = |delayed_retry_type, delayed_retry_min, delayed_retry_max| PolicyDefinition {
            delayed_retry_type,
            delayed_retry_min,
            delayed_retry_max,
            ..PolicyDefinition::default()
        };
        let (all, failed) = (Some(RetryTypeName::All), Some(RetryTypeName::Failed));
        let retry = |which, min_ms, max_ms| Some(DelayedRetry { which, min_ms, max_ms });
        for (argument, user, want) in [
            (of(None, Some(5), None), of(None, None, None), None),
            (of(all, None, None), of(None, None, None), None),
            (of(all, None, None), of(None, Some(5), None), retry(RetryType::All, 5, u64::MAX)),
            (of(all, Some(5), Some(9)), of(failed, Some(4), Some(10)), retry(RetryType::All, 4, 9)),
            (of(Some(RetryTypeName::Disabled), Some(5), None), of(failed, Some(4), None), None),
            (of(None, None, None), of(failed, Some(4), None), retry(RetryType::Failed, 4, u64::MAX)),
        ] {
            let matched = Matched { policy: Some(policy(user)), operator: None };
            let effective = Effective::of(&argument, QueueKind::Classic, &matched);
            assert_eq!(effective.delayed_retry(), want, "{argument:?}");
        }
    }

    #[test]
    fn arguments_come_before_policies_where_nothing_is_lower() {
        let of = |exchange: Option<&str>, key: Option<&str>| PolicyDefinition {
            dead_letter_exchange: exchange.map(str::to_owned),
            dead_letter_routing_key: key.map(str::to_owned),
            ..PolicyDefinition::default()
        };
        let matched = Matched { policy: Some(policy(of(Some("p"), Some("k")))), operator: None };
        let effective = Effective::of(&of(Some("a"), None), QueueKind::Classic, &matched);
        assert_eq!(effective.dead_letter_exchange.value.as_deref(), Some("a"));
        assert_eq!(effective.dead_letter_routing_key.value.as_deref(), Some("k"));
        assert_eq!(matched.definition(), of(Some("p"), Some("k")));
    }
}
