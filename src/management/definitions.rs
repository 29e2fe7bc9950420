//! The objects of definitions files.

use leveret_broker::arguments::FieldTable;
use leveret_broker::definitions::DestinationKind;
use leveret_broker::topic_permissions::TopicPermissionRecord;
use leveret_broker::users::PermissionRecord;
use leveret_broker::vhost::VhostRecord;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::body::{flag, maybe_flag, object, words, yes};
use super::error::Result;
use super::policies::PolicyBody;
use super::tables;
use super::vhosts::queue_type;

#[derive(Deserialize)]
pub(super) struct VhostBody {
    pub(super) name: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(default, deserialize_with = "words")]
    tags: Option<Vec<String>>,
    #[serde(default)]
    default_queue_type: Option<String>,
    #[serde(default, deserialize_with = "object")]
    metadata: Map<String, Value>,
    #[serde(default, deserialize_with = "maybe_flag")]
    tracing: Option<bool>,
}

impl VhostBody {
    /// The vhost's name, and `record` with the fields given here applied.
    pub(super) fn applied_to(self, mut record: VhostRecord) -> Result<(String, VhostRecord)> {
        let of_metadata = |name: &str| self.metadata.get(name).and_then(Value::as_str).map(str::to_owned);
        if let Some(description) = self.description.or_else(|| of_metadata("description")) {
            record.description = description;
        }
        let kind = self.default_queue_type.or_else(|| of_metadata("default_queue_type"));
        record.default_queue_type = queue_type(kind)?.or(record.default_queue_type);
        record.tags = self.tags.unwrap_or(record.tags);
        record.tracing = self.tracing.unwrap_or(record.tracing);
        Ok((self.name, record))
    }
}

#[derive(Deserialize)]
pub(super) struct PermissionBody {
    pub(super) user: String,
    pub(super) vhost: String,
    #[serde(flatten)]
    pub(super) record: PermissionRecord,
}

#[derive(Deserialize)]
pub(super) struct TopicPermissionBody {
    pub(super) user: String,
    pub(super) vhost: String,
    pub(super) exchange: String,
    #[serde(flatten)]
    pub(super) record: TopicPermissionRecord,
}

#[derive(Deserialize)]
pub(super) struct ParameterBody {
    pub(super) vhost: String,
    pub(super) component: String,
    pub(super) name: String,
    pub(super) value: Value,
}

#[derive(Deserialize)]
pub(super) struct NamedPolicyBody {
    pub(super) vhost: String,
    pub(super) name: String,
    #[serde(flatten)]
    pub(super) policy: PolicyBody,
}

#[derive(Deserialize)]
pub(super) struct GlobalParameterBody {
    pub(super) name: String,
    pub(super) value: Value,
}

#[derive(Deserialize)]
pub(super) struct ExchangeBody {
    pub(super) vhost: String,
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
    #[serde(default = "yes", deserialize_with = "flag")]
    pub(super) durable: bool,
    #[serde(default, deserialize_with = "flag")]
    pub(super) auto_delete: bool,
    #[serde(default, deserialize_with = "flag")]
    pub(super) internal: bool,
    #[serde(default, deserialize_with = "object")]
    pub(super) arguments: Map<String, Value>,
}

#[derive(Deserialize)]
pub(super) struct QueueBody {
    pub(super) vhost: String,
    pub(super) name: String,
    #[serde(rename = "type")]
    kind: Option<String>,
    #[serde(default = "yes", deserialize_with = "flag")]
    pub(super) durable: bool,
    #[serde(default, deserialize_with = "flag")]
    pub(super) auto_delete: bool,
    #[serde(default, deserialize_with = "object")]
    arguments: Map<String, Value>,
}

impl QueueBody {
    /// The arguments including the type, which newer files also give separately.
    pub(super) fn arguments(&self) -> Result<FieldTable> {
        let mut arguments = tables::table(&self.arguments)?;
        if let Some(kind) = self.kind.as_deref().filter(|kind| *kind != "classic")
            && !arguments.contains_key("x-queue-type")
        {
            let kind = leveret_broker::arguments::Value::LongString(kind.into());
            arguments.insert("x-queue-type".into(), kind);
        }
        Ok(arguments)
    }
}

#[derive(Deserialize)]
pub(super) struct BindingBody {
    pub(super) vhost: String,
    pub(super) source: String,
    pub(super) destination: String,
    pub(super) destination_type: DestinationKind,
    #[serde(default)]
    pub(super) routing_key: String,
    #[serde(default, deserialize_with = "object")]
    pub(super) arguments: Map<String, Value>,
}
