//! The shapes of answers: `RabbitMQ`'s (docs/http-api.md), and Leveret's own where `RabbitMQ` has none.

use super::node::NOT_COUNTED;
use super::rates::{
    BYTE_NAMES, CHANNEL_NAMES, CHURN_NAMES, EXCHANGE_NAMES, GLOBAL_NAMES, LENGTH_NAMES, MESSAGE_NAMES,
};
use super::shape::Kind::{Any, Flag, List, Map, Number, Of, OrNull, Text, Whole};
use super::shape::Part::{May, MayBeRated, Must, Rated};
use super::shape::{Kind, RATE, Shape};

const TEXTS: Kind = List(&Text);
const TABLE: Kind = Map(&Any);
const MAYBE_TEXT: Kind = OrNull(&Text);

/// Items of lists that are always empty.
pub(super) static NOTHING: Shape = Shape { name: "Nothing", parts: &[] };

pub(super) static OVERVIEW: Shape = Shape {
    name: "Overview",
    parts: &[
        Must(
            "management_version rates_mode product_version product_name rabbitmq_version cluster_name \
             erlang_version erlang_full_version crypto_lib_version release_series_support_status \
             default_queue_type node",
            Text,
        ),
        Must("sample_retention_policies", Map(&List(&Whole))),
        Must("exchange_types", List(&Of(&EXCHANGE_TYPE))),
        Must("cluster_tags node_tags", TABLE),
        Must("disable_stats enable_queue_totals is_op_policy_updating_enabled", Flag),
        Must("statistics_db_event_queue", Whole),
        Must("listeners", List(&Of(&LISTENER))),
        Must("contexts", List(&Of(&CONTEXT))),
        Must("message_stats", Of(&TOTAL_STATS)),
        Must("churn_rates", Of(&CHURN)),
        Must("queue_totals", Of(&QUEUE_TOTALS)),
        Must("object_totals", Of(&OBJECT_TOTALS)),
    ],
};

static EXCHANGE_TYPE: Shape =
    Shape { name: "ExchangeType", parts: &[Must("name description", Text), Must("enabled", Flag)] };

static LISTENER: Shape = Shape {
    name: "Listener",
    parts: &[
        Must("node protocol ip_address", Text),
        Must("port", Whole),
        Must("tls", Flag),
        Must("socket_opts", TABLE),
    ],
};

static CONTEXT: Shape = Shape { name: "HttpListener", parts: &[Must("node description path ip port", Text)] };

/// Empty for users who may not see all vhosts.
static TOTAL_STATS: Shape = Shape {
    name: "TotalStats",
    parts: &[
        MayBeRated(&MESSAGE_NAMES),
        MayBeRated(&GLOBAL_NAMES),
        May("disk_reads disk_writes", Whole),
        May("disk_reads_details disk_writes_details", Of(&RATE)),
    ],
};

static CHURN: Shape = Shape { name: "ChurnRates", parts: &[MayBeRated(&CHURN_NAMES)] };

static QUEUE_TOTALS: Shape = Shape { name: "QueueTotals", parts: &[MayBeRated(&LENGTH_NAMES)] };

static OBJECT_TOTALS: Shape =
    Shape { name: "ObjectTotals", parts: &[Must("channels connections consumers exchanges queues", Whole)] };

pub(super) static CLUSTER_NAME: Shape = Shape { name: "ClusterName", parts: &[Must("name", Text)] };

pub(super) static LOG: Shape =
    Shape { name: "Log", parts: &[Must("lines", List(&Of(&LOG_LINE))), Must("first latest", Whole)] };

static LOG_LINE: Shape = Shape {
    name: "LogLine",
    parts: &[Must("seq timestamp", Whole), Must("level target message", Text), Must("fields", Map(&Text))],
};

pub(super) static NODE: Shape = Shape {
    name: "Node",
    parts: &[
        Must("name type os_pid rates_mode db_dir mem_calculation_strategy", Text),
        Must("running being_drained mem_alarm disk_free_alarm", Flag),
        Must(
            "uptime run_queue processors fd_used fd_total sockets_used sockets_total proc_used proc_total \
             mem_used mem_limit disk_free disk_free_limit net_ticktime io_read_count io_read_bytes \
             io_write_count io_write_bytes io_sync_count",
            Whole,
        ),
        Must("io_sync_avg_time", Number),
        Rated(&CHURN_NAMES),
        Must("enabled_plugins log_files config_files", TEXTS),
        Must("applications", List(&Of(&APPLICATION))),
        Must("exchange_types auth_mechanisms", List(&Of(&EXCHANGE_TYPE))),
        Must("contexts", List(&Of(&CONTEXT))),
        Must("partitions cluster_links", List(&Any)),
        Must("ra_open_file_metrics", TABLE),
    ],
};

static APPLICATION: Shape = Shape { name: "Application", parts: &[Must("name description version", Text)] };

pub(super) static MEMORY: Shape = Shape { name: "Memory", parts: &[Must("memory", Of(&MEMORY_USE))] };

static MEMORY_USE: Shape = Shape {
    name: "MemoryUse",
    parts: &[
        Must("strategy", Text),
        Must("binary other_system", Whole),
        Must("total", Of(&MEMORY_TOTAL)),
        Must(NOT_COUNTED, Whole),
    ],
};

static MEMORY_TOTAL: Shape = Shape { name: "MemoryTotal", parts: &[Must("erlang rss allocated", Whole)] };

pub(super) static VHOST: Shape = Shape {
    name: "VirtualHost",
    parts: &[
        Must("name description default_queue_type", Text),
        Must("tags", TEXTS),
        Must("metadata", Of(&VHOST_METADATA)),
        Must("protected_from_deletion tracing", Flag),
        Must("cluster_state", Map(&Text)),
        Must("message_stats", Of(&MESSAGE_STATS)),
        Rated(&LENGTH_NAMES),
        Rated(&BYTE_NAMES),
    ],
};

static VHOST_METADATA: Shape = Shape {
    name: "VirtualHostMetadata",
    parts: &[Must("description", Text), Must("tags", TEXTS), May("default_queue_type", MAYBE_TEXT)],
};

pub(super) static ROUTED: Shape = Shape { name: "Routed", parts: &[Must("routed", Flag)] };

pub(super) static MESSAGE: Shape = Shape {
    name: "Message",
    parts: &[
        Must("payload_bytes message_count", Whole),
        Must("redelivered", Flag),
        Must("exchange routing_key payload payload_encoding", Text),
        Must("properties", TABLE),
        May("retry_due delivery_count", Whole),
    ],
};

pub(super) static RELEASED: Shape = Shape { name: "Released", parts: &[Must("released", Whole)] };

pub(super) static REDRIVEN: Shape = Shape {
    name: "Redriven",
    parts: &[Must("moved stayed messages_ready", Whole), Must("done", Flag), Must("reason", MAYBE_TEXT)],
};

pub(super) static DELAYED_PAGE: Shape = Shape {
    name: "DelayedMessages",
    parts: &[Must("total", Whole), Must("items", List(&Of(&DELAYED))), Must("next", MAYBE_TEXT)],
};

/// The body is shown only for a single message.
pub(super) static DELAYED: Shape = Shape {
    name: "DelayedMessage",
    parts: &[
        Must("id routing_key", Text),
        Must("due payload_bytes", Whole),
        Must("properties", TABLE),
        Must("persistent", Flag),
        May("payload payload_encoding", Text),
    ],
};

pub(super) static EXCHANGE: Shape = Shape {
    name: "Exchange",
    parts: &[
        Must("name vhost type", Text),
        Must("durable auto_delete internal", Flag),
        Must("arguments effective_policy_definition", TABLE),
        Must("policy operator_policy", MAYBE_TEXT),
        Must("message_stats", Of(&EXCHANGE_STATS)),
        May("messages_delayed", Whole),
        May("incoming outgoing", List(&Any)),
    ],
};

static EXCHANGE_STATS: Shape = Shape { name: "ExchangeStats", parts: &[Rated(&EXCHANGE_NAMES)] };

/// With `disable_stats` only the first members; consumers are shown only for a single queue.
pub(super) static QUEUE: Shape = Shape {
    name: "Queue",
    parts: &[
        Must("name vhost type node state", Text),
        Must("durable auto_delete exclusive", Flag),
        Must("arguments", TABLE),
        May("leader idle_since", Text),
        May("members online", TEXTS),
        MayBeRated(&LENGTH_NAMES),
        May("message_stats", Of(&MESSAGE_STATS)),
        May(
            "consumers messages_delayed_retry messages_persistent messages_ram messages_ready_ram messages_unacknowledged_ram \
             messages_paged_out message_bytes message_bytes_ready message_bytes_unacknowledged \
             message_bytes_delayed_retry message_bytes_persistent message_bytes_ram message_bytes_paged_out consumer_utilisation \
             consumer_capacity memory",
            Whole,
        ),
        May("head_message_timestamp", OrNull(&Whole)),
        May("policy operator_policy exclusive_consumer_tag single_active_consumer_tag", MAYBE_TEXT),
        May("effective_policy_definition", TABLE),
        May("consumer_details", List(&Of(&CONSUMER))),
        May("incoming deliveries", List(&Any)),
        May("owner_pid_details", Of(&PEER)),
    ],
};

static MESSAGE_STATS: Shape = Shape { name: "MessageStats", parts: &[Rated(&MESSAGE_NAMES)] };

static PEER: Shape = Shape { name: "Peer", parts: &[Must("name peer_host", Text), Must("peer_port", Whole)] };

pub(super) static BINDING: Shape = Shape {
    name: "Binding",
    parts: &[
        Must("source vhost destination destination_type routing_key properties_key", Text),
        Must("arguments", TABLE),
    ],
};

pub(super) static CONNECTION: Shape = Shape {
    name: "Connection",
    parts: &[
        Must(
            "name node type protocol user user_who_performed_action vhost host peer_host state \
             auth_mechanism",
            Text,
        ),
        Must(
            "user_provided_name ssl_protocol ssl_key_exchange ssl_cipher ssl_hash peer_cert_subject \
             peer_cert_issuer peer_cert_validity",
            MAYBE_TEXT,
        ),
        Must(
            "port peer_port connected_at channels channel_max frame_max timeout recv_oct recv_cnt send_oct \
             send_cnt send_pend",
            Whole,
        ),
        Must("ssl", Flag),
        Must("client_properties", TABLE),
        Must("recv_oct_details send_oct_details", Of(&RATE)),
    ],
};

pub(super) static CHANNEL: Shape = Shape {
    name: "Channel",
    parts: &[
        Must(
            "number consumer_count prefetch_count global_prefetch_count messages_unacknowledged \
             messages_unconfirmed messages_uncommitted acks_uncommitted",
            Whole,
        ),
        Must("name node user user_who_performed_action vhost state", Text),
        Must("connection_details", Of(&PEER)),
        Must("confirm transactional", Flag),
        Must("message_stats", Of(&CHANNEL_STATS)),
        May("idle_since", Text),
        May("consumer_details", List(&Of(&CONSUMER))),
        May("publishes deliveries", List(&Any)),
    ],
};

static CHANNEL_STATS: Shape = Shape { name: "ChannelStats", parts: &[Rated(&CHANNEL_NAMES)] };

pub(super) static CONSUMER: Shape = Shape {
    name: "Consumer",
    parts: &[
        Must("consumer_tag activity_status", Text),
        Must("queue", Of(&QUEUE_NAME)),
        Must("channel_details", Of(&CHANNEL_OF)),
        Must("active ack_required exclusive", Flag),
        Must("prefetch_count consumer_timeout messages_unacknowledged", Whole),
        Must("arguments", TABLE),
    ],
};

static QUEUE_NAME: Shape = Shape { name: "QueueName", parts: &[Must("name vhost", Text)] };

/// Empty while the connection closes.
static CHANNEL_OF: Shape = Shape {
    name: "ChannelOfConsumer",
    parts: &[May("number peer_port", Whole), May("name connection_name node peer_host user", Text)],
};

pub(super) static WHO: Shape = Shape { name: "Who", parts: &[Must("name", Text), Must("tags", TEXTS)] };

pub(super) static ATTEMPTS: Shape = Shape {
    name: "LoginAttempts",
    parts: &[
        Must("protocol", Text),
        Must("auth_attempts auth_attempts_failed auth_attempts_succeeded", Whole),
        May("remote_address username", Text),
    ],
};

pub(super) static LOST_QUEUE: Shape = Shape {
    name: "LostQueue",
    parts: &[Must("id messages message_bytes", Whole), May("last_known", Of(&LAST_KNOWN))],
};

static LAST_KNOWN: Shape =
    Shape { name: "LastKnown", parts: &[Must("kind vhost name", Text), Must("arguments", TABLE)] };

pub(super) static LOST_DEFINITION: Shape =
    Shape { name: "LostDefinition", parts: &[Must("definition reason", Text)] };

pub(super) static HASH: Shape = Shape { name: "PasswordHash", parts: &[Must("ok", Text)] };

pub(super) static USER: Shape = Shape {
    name: "User",
    parts: &[
        Must("name password_hash hashing_algorithm", Text),
        May("leveret_password_hash", Text),
        Must("tags", TEXTS),
        Must("limits", Map(&Whole)),
    ],
};

pub(super) static PERMISSION: Shape =
    Shape { name: "Permission", parts: &[Must("user vhost configure write read", Text)] };

pub(super) static TOPIC_PERMISSION: Shape =
    Shape { name: "TopicPermission", parts: &[Must("user vhost exchange write read", Text)] };

pub(super) static VHOST_LIMITS: Shape =
    Shape { name: "VirtualHostLimits", parts: &[Must("vhost", Text), Must("value", Map(&Whole))] };

pub(super) static USER_LIMITS: Shape =
    Shape { name: "UserLimits", parts: &[Must("user", Text), Must("value", Map(&Whole))] };

pub(super) static PARAMETER: Shape =
    Shape { name: "Parameter", parts: &[Must("vhost component name", Text), Must("value", Any)] };

pub(super) static GLOBAL_PARAMETER: Shape =
    Shape { name: "GlobalParameter", parts: &[Must("name", Text), Must("value", Any)] };

pub(super) static POLICY: Shape = Shape {
    name: "Policy",
    parts: &[Must("vhost name pattern apply-to", Text), Must("definition", TABLE), Must("priority", Whole)],
};

pub(super) static EFFECTIVE: Shape = Shape {
    name: "Effective",
    parts: &[
        Must("name vhost", Text),
        Must("policy operator_policy", MAYBE_TEXT),
        Must("settings", List(&Of(&SETTING))),
    ],
};

static SETTING: Shape = Shape {
    name: "Setting",
    parts: &[Must("setting source", Text), Must("value", Any), May("policy", Text)],
};

pub(super) static DEFINITIONS: Shape = Shape {
    name: "AllDefinitions",
    parts: &[
        Must(
            "rabbit_version rabbitmq_version product_name product_version rabbitmq_definition_format \
             original_cluster_name explanation",
            Text,
        ),
        Must("users", List(&Of(&USER))),
        Must("permissions", List(&Of(&PERMISSION))),
        Must("topic_permissions", List(&Of(&TOPIC_PERMISSION))),
        Must("global_parameters", List(&Of(&GLOBAL_PARAMETER))),
        Must("vhosts", List(&Of(&DEFINED_VHOST))),
        Must("parameters", List(&Of(&PARAMETER))),
        Must("policies", List(&Of(&POLICY))),
        Must("queues", List(&Of(&DEFINED_QUEUE))),
        Must("exchanges", List(&Of(&DEFINED_EXCHANGE))),
        Must("bindings", List(&Of(&DEFINED_BINDING))),
    ],
};

static DEFINED_VHOST: Shape = Shape {
    name: "DefinedVirtualHost",
    parts: &[
        Must("name description", Text),
        Must("tags", TEXTS),
        Must("default_queue_type", MAYBE_TEXT),
        Must("metadata", Of(&VHOST_METADATA)),
        Must("limits", Map(&Whole)),
        Must("tracing", Flag),
    ],
};

/// The vhost is omitted where all objects belong to one; likewise below.
static DEFINED_QUEUE: Shape = Shape {
    name: "DefinedQueue",
    parts: &[
        Must("name", Text),
        May("vhost", Text),
        Must("durable auto_delete", Flag),
        Must("arguments", TABLE),
    ],
};

static DEFINED_EXCHANGE: Shape = Shape {
    name: "DefinedExchange",
    parts: &[
        Must("name type", Text),
        May("vhost", Text),
        Must("durable auto_delete internal", Flag),
        Must("arguments", TABLE),
    ],
};

static DEFINED_BINDING: Shape = Shape {
    name: "DefinedBinding",
    parts: &[
        Must("source destination destination_type routing_key", Text),
        May("vhost", Text),
        Must("arguments", TABLE),
    ],
};

pub(super) static VHOST_DEFINITIONS: Shape = Shape {
    name: "VirtualHostDefinitions",
    parts: &[
        Must(
            "rabbit_version rabbitmq_version product_name product_version rabbitmq_definition_format \
             original_cluster_name original_vhost_name explanation description",
            Text,
        ),
        Must("metadata", Of(&VHOST_METADATA)),
        Must("default_queue_type", MAYBE_TEXT),
        Must("limits", Map(&Whole)),
        Must("parameters", List(&Of(&PARAMETER_IN_VHOST))),
        Must("policies", List(&Of(&POLICY_IN_VHOST))),
        Must("queues", List(&Of(&DEFINED_QUEUE))),
        Must("exchanges", List(&Of(&DEFINED_EXCHANGE))),
        Must("bindings", List(&Of(&DEFINED_BINDING))),
    ],
};

static PARAMETER_IN_VHOST: Shape =
    Shape { name: "ParameterInVirtualHost", parts: &[Must("component name", Text), Must("value", Any)] };

static POLICY_IN_VHOST: Shape = Shape {
    name: "PolicyInVirtualHost",
    parts: &[Must("name pattern apply-to", Text), Must("definition", TABLE), Must("priority", Whole)],
};

pub(super) static DRY_RUN: Shape = Shape {
    name: "DryRun",
    parts: &[Must("dry_run", Flag), Must("create conflicts", List(&TABLE)), Must("unchanged", Whole)],
};

pub(super) static PLAN: Shape = Shape {
    name: "Plan",
    parts: &[
        Must("steps", List(&Of(&STEP))),
        Must("create change migrate delete conflict unchanged", Whole),
        Must("digest", Text),
    ],
};

static STEP: Shape = Shape {
    name: "Step",
    parts: &[
        Must("action kind vhost name", Text),
        Must("parts", TEXTS),
        Must("fields", List(&Of(&STEP_FIELD))),
        Must("why", MAYBE_TEXT),
        May("place", MAYBE_TEXT),
    ],
};

static STEP_FIELD: Shape = Shape { name: "StepField", parts: &[Must("name", Text), Must("from to", Any)] };

pub(super) static DRIFT: Shape = Shape {
    name: "Drift",
    parts: &[
        Must("declared", Flag),
        Must("drift", Whole),
        Must("steps", List(&Of(&STEP))),
        May("file", Text),
        May("unchanged", Whole),
    ],
};

/// The other members depend on the check; all but `status` are given only by checks that look for something.
pub(super) static HEALTH: Shape = Shape {
    name: "HealthCheck",
    parts: &[
        Must("status", Text),
        May("reason protocol", Text),
        May("port connections limit", Whole),
        May("missing", Any),
        May("ports", List(&Whole)),
        May("protocols", TEXTS),
        May("alarms expired", List(&TABLE)),
    ],
};
