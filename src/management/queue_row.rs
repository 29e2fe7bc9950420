//! A queue as shown in answers. Serialised directly from its counters, which are read on demand: a list may have many
//! thousands of queues, of which a page shows few.

use std::sync::Arc;

use leveret_broker::queue_handle::{Peek, QueueHandle};
use leveret_broker::queue_kind::QueueKind;
use leveret_message::Millis;
use leveret_message::properties::Properties;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;

use super::Api;
use super::answer::{Item, Query, value_of};
use super::error::Result as Answered;
use super::policies::name_of;
use super::rates::Snapshot;
use super::tables::Table;

/// How much of a queue is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Detail {
    /// The declaration (`disable_stats`).
    Declared,
    /// The declaration and lengths (`enable_queue_totals`).
    Lengths,
    /// Everything.
    All,
}

/// Data shared by the rows of one answer.
pub(super) struct Rows<'a> {
    pub(super) api: &'a Api,
    pub(super) snapshot: Snapshot,
    pub(super) detail: Detail,
    /// May request samples of the past.
    pub(super) query: &'a Query,
}

/// One queue.
pub(super) struct QueueRow<'a> {
    pub(super) rows: &'a Rows<'a>,
    pub(super) queue: Arc<QueueHandle>,
}

impl Item for QueueRow<'_> {
    fn name(&self) -> &str {
        self.queue.name.as_str()
    }

    fn sort_key(&self, path: &str) -> Option<Value> {
        if self.rows.detail != Detail::All {
            return None;
        }
        if let Some(rate) = self.rows.snapshot.rate_at(self.queue.id, path) {
            return Some(rate.into());
        }
        let counts = self.queue.counts();
        Some(match path {
            "messages" => counts.total().into(),
            "messages_ready" => counts.ready.into(),
            "messages_unacknowledged" => counts.unacked.into(),
            "messages_delayed_retry" => counts.retrying.into(),
            "consumers" => counts.consumers.into(),
            "message_bytes" => counts.total_bytes().into(),
            "memory" => counts.resident_bytes.into(),
            "vhost" => self.queue.vhost.as_str().into(),
            "state" => state(&self.queue).into(),
            _ => return None,
        })
    }

    fn with_past(&self) -> Answered<Value> {
        let mut shown = value_of(self)?;
        if let Some(shown) = shown.as_object_mut().filter(|_| self.rows.detail == Detail::All) {
            let Rows { api, query, .. } = self.rows;
            api.rates.write_queue(query, self.queue.id, &self.queue.view(), shown);
        }
        Ok(shown)
    }
}

/// `running`, or `unreadable` while the next message cannot be read from disk.
fn state(queue: &QueueHandle) -> &'static str {
    if queue.read_problem().is_some() { "unreadable" } else { "running" }
}

/// The queue's declared type.
pub(super) fn kind(queue: &QueueHandle) -> QueueKind {
    QueueKind::of(&queue.arguments())
}

impl QueueRow<'_> {
    /// The timestamp property of the oldest ready message, in seconds; `None` if it has none or is on disk only.
    fn head_timestamp(&self) -> Option<u64> {
        if self.queue.counts().ready == 0 {
            return None;
        }
        let (looks, _) = self.queue.peek(self.rows.api.broker.now(), 0, 1).ok()?;
        let Some(Peek::Here(seen)) = looks.first() else { return None };
        Properties::parse(seen.message.properties()).ok()?.timestamp()
    }
}

impl Serialize for QueueRow<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let Rows { api, snapshot, detail, .. } = self.rows;
        let (view, node) = (self.queue.view(), &*api.facts.node);
        let (spec, counts) = (self.queue.spec(), &view.counts);
        map.serialize_entry("name", &self.queue.name)?;
        map.serialize_entry("vhost", &self.queue.vhost)?;
        map.serialize_entry("type", kind(&self.queue).name())?;
        map.serialize_entry("durable", &spec.durable)?;
        map.serialize_entry("auto_delete", &spec.auto_delete)?;
        map.serialize_entry("exclusive", &spec.exclusive_owner.is_some())?;
        map.serialize_entry("arguments", &Table(&spec.arguments))?;
        map.serialize_entry("node", node)?;
        map.serialize_entry("state", state(&self.queue))?;
        if kind(&self.queue) == QueueKind::Quorum {
            map.serialize_entry("leader", node)?;
            map.serialize_entry("members", &[node])?;
            map.serialize_entry("online", &[node])?;
        }
        let matched = &view.matched;
        map.serialize_entry("policy", &name_of(matched.policy.as_deref()))?;
        map.serialize_entry("operator_policy", &name_of(matched.operator.as_deref()))?;
        map.serialize_entry("effective_policy_definition", &matched.definition())?;
        if *detail == Detail::Declared {
            return map.end();
        }
        if *detail == Detail::Lengths {
            map.serialize_entry("messages", &counts.total())?;
            map.serialize_entry("messages_ready", &counts.ready)?;
            map.serialize_entry("messages_unacknowledged", &counts.unacked)?;
            map.serialize_entry("messages_delayed_retry", &counts.retrying)?;
            return map.end();
        }
        let rates = snapshot.queue(self.queue.id, &view);
        rates.lengths.write(&mut map)?;
        map.serialize_entry("message_stats", &rates.messages)?;
        map.serialize_entry("consumers", &counts.consumers)?;
        map.serialize_entry("messages_delayed_retry", &counts.retrying)?;
        map.serialize_entry("messages_persistent", &counts.persistent)?;
        map.serialize_entry("messages_ram", &(counts.total() - counts.away))?;
        map.serialize_entry("messages_ready_ram", &(counts.ready - counts.away))?;
        map.serialize_entry("messages_unacknowledged_ram", &counts.unacked)?;
        map.serialize_entry("messages_paged_out", &counts.away)?;
        map.serialize_entry("message_bytes", &counts.total_bytes())?;
        map.serialize_entry("message_bytes_ready", &counts.ready_bytes)?;
        map.serialize_entry("message_bytes_unacknowledged", &counts.unacked_bytes)?;
        map.serialize_entry("message_bytes_delayed_retry", &counts.retrying_bytes)?;
        map.serialize_entry("message_bytes_persistent", &counts.persistent_bytes)?;
        map.serialize_entry("message_bytes_ram", &counts.resident_bytes)?;
        let away = counts.total_bytes().saturating_sub(counts.resident_bytes);
        map.serialize_entry("message_bytes_paged_out", &away)?;
        let keeps_up = u8::from(counts.consumers > 0 && counts.ready == 0);
        map.serialize_entry("consumer_utilisation", &keeps_up)?;
        map.serialize_entry("consumer_capacity", &keeps_up)?;
        map.serialize_entry("head_message_timestamp", &self.head_timestamp())?;
        map.serialize_entry("memory", &counts.resident_bytes)?;
        if let Some(since) = rates.still {
            map.serialize_entry("idle_since", &date(since))?;
        }
        map.end()
    }
}

/// An instant as `RabbitMQ` writes it: `2024-02-29T23:59:58.123+00:00`.
pub(super) fn date(at: Millis) -> String {
    let (days, of_day) = (at.0 / 86_400_000, at.0 % 86_400_000);
    // Civil from days (Howard Hinnant): eras of 400 years starting on 1 March.
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute) = (of_day / 3_600_000, of_day / 60_000 % 60);
    let (second, milli) = (of_day / 1_000 % 60, of_day % 1_000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}+00:00")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_right_around_leap_days_and_new_year() {
        for (at, want) in [
            (0, "1970-01-01T00:00:00.000+00:00"),
            (951_782_399_999, "2000-02-28T23:59:59.999+00:00"),
            (951_782_400_000, "2000-02-29T00:00:00.000+00:00"),
            (1_709_251_198_123, "2024-02-29T23:59:58.123+00:00"),
            (1_735_689_600_000, "2025-01-01T00:00:00.000+00:00"),
        ] {
            assert_eq!(date(Millis(at)), want);
        }
    }
}
