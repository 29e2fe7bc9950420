//! The columns of lists, from the shapes of their rows: for commands, which check what they are asked for.

use super::schemas;
use super::shape::Shape;

/// The columns of one list.
#[derive(Clone, Copy)]
pub struct Columns(&'static Shape);

impl Columns {
    /// Those of the list at `/api/LIST`; `None` if it is none of ours.
    pub fn of(list: &str) -> Option<Self> {
        Some(Self(match list {
            "queues" => &schemas::QUEUE,
            "exchanges" => &schemas::EXCHANGE,
            "bindings" => &schemas::BINDING,
            "connections" => &schemas::CONNECTION,
            "channels" => &schemas::CHANNEL,
            "consumers" => &schemas::CONSUMER,
            "vhosts" => &schemas::VHOST,
            "users" => &schemas::USER,
            "permissions" => &schemas::PERMISSION,
            "topic-permissions" => &schemas::TOPIC_PERMISSION,
            "policies" | "operator-policies" => &schemas::POLICY,
            "parameters" => &schemas::PARAMETER,
            "global-parameters" => &schemas::GLOBAL_PARAMETER,
            _ => return None,
        }))
    }

    /// Whether rows may have it; nested members are joined by dots.
    pub fn has(self, path: &str) -> bool {
        self.0.has(path)
    }

    /// Names that are not nested.
    pub fn names(self) -> Vec<&'static str> {
        self.0.members().into_iter().map(|(name, _)| name).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_columns_are_known_as_far_as_their_shape_is() {
        let queues = Columns::of("queues").unwrap();
        for (path, known) in [
            ("name", true),
            ("messages_ready_details.rate", true),
            ("message_stats.publish", true),
            ("message_stats.publish_details.rate", true),
            ("arguments.x-anything", true),
            ("message_stats.bogus", false),
            ("name.bogus", false),
            ("bogus", false),
            ("", false),
        ] {
            assert_eq!(queues.has(path), known, "{path}");
        }
        assert!(queues.names().contains(&"consumers"));
        assert!(Columns::of("nonsense").is_none());
    }
}
