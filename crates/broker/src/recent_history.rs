//! The latest messages of an `x-recent-history` exchange, kept for later bindings.
//!
//! Invariant: bounded in number by the exchange's argument and in bytes by [`HISTORY_BYTES_MAX`].
//! Absent: disk; a restart forgets them, as in `LavinMQ` but not in `RabbitMQ`.

use std::collections::VecDeque;

use leveret_message::table::ValueRef;
use leveret_message::{Message, MessageMeta};

use super::attributes::headers;
use super::copies;
use super::limits::HISTORY_BYTES_MAX;

/// The latest messages of one exchange, oldest first.
#[derive(Debug)]
pub(super) struct RecentHistory {
    length: usize,
    messages: VecDeque<Message>,
    bytes: usize,
}

impl RecentHistory {
    pub(super) fn new(length: u64) -> Self {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        Self { length, messages: VecDeque::new(), bytes: 0 }
    }

    /// Remembers a message, unless it opts out.
    pub(super) fn remember(&mut self, message: &Message) {
        let no_store = headers(message).and_then(|table| table.get("x-recent-history-no-store"));
        if no_store.and_then(ValueRef::as_bool) == Some(true) {
            return;
        }
        let without_bcc = copies::keys(message).ok().flatten().and_then(|copies| copies.without_bcc);
        let message = without_bcc.unwrap_or_else(|| message.clone());
        self.bytes += message.memory();
        self.messages.push_back(message);
        while self.messages.len() > self.length || self.bytes > HISTORY_BYTES_MAX {
            let Some(oldest) = self.messages.pop_front() else { break };
            self.bytes -= oldest.memory();
        }
    }

    /// Copies of the messages, as if published anew.
    pub(super) fn recall(&self) -> Vec<Message> {
        let meta = |message: &Message| MessageMeta { redelivered: false, ..message.meta() };
        let anew = |message: &Message| message.with_properties(message.properties(), meta(message));
        self.messages.iter().map(anew).collect()
    }
}

#[cfg(test)]
mod tests {
    use leveret_message::{MessageMeta, Short};

    use super::*;

    #[test]
    fn the_oldest_go_when_there_are_too_many_or_they_are_too_large() {
        let message =
            |body: &[u8]| Message::new(Short::literal("x"), Short::EMPTY, b"", body, MessageMeta::default());
        let mut history = RecentHistory::new(2);
        for body in [b"a", b"b", b"c"] {
            history.remember(&message(body));
        }
        let bodies: Vec<_> = history.recall().iter().map(|message| message.body().to_vec()).collect();
        assert_eq!(bodies, [b"b", b"c"]);
        history.remember(&message(&vec![0; HISTORY_BYTES_MAX]));
        assert!(history.recall().is_empty());
    }
}
