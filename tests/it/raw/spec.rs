//! The methods of AMQP 0-9-1 as text, so that tests can name any method and field.
//!
//! Deliberately independent of the broker's codec: a shared mistake would go unnoticed.
//! Field types: `o` octet, `w` short, `d` long, `q` longlong, `b` bit, `s` shortstr, `l` longstr, `t` table.

use std::sync::LazyLock;

/// A method: its ids, and its fields in wire order.
#[derive(Debug)]
pub(crate) struct MethodSpec {
    pub(crate) name: &'static str,
    pub(crate) class: u16,
    pub(crate) id: u16,
    pub(crate) fields: Vec<(&'static str, u8)>,
}

impl MethodSpec {
    /// Whether a content header and a body follow.
    pub(crate) fn has_content(&self) -> bool {
        matches!((self.class, self.id), (60, 40 | 50 | 60 | 71))
    }
}

/// The method with this name, such as `queue.declare-ok`.
#[track_caller]
pub(crate) fn by_name(name: &str) -> &'static MethodSpec {
    METHODS.iter().find(|m| m.name == name).unwrap_or_else(|| panic!("no method is called {name}"))
}

/// The method with these ids, if the protocol defines it.
pub(crate) fn by_number(class: u16, id: u16) -> Option<&'static MethodSpec> {
    METHODS.iter().find(|m| m.class == class && m.id == id)
}

/// The basic properties, in the order of their flags from bit 15 down.
pub(crate) const PROPERTIES: [(&str, u8); 14] = [
    ("content_type", b's'),
    ("content_encoding", b's'),
    ("headers", b't'),
    ("delivery_mode", b'o'),
    ("priority", b'o'),
    ("correlation_id", b's'),
    ("reply_to", b's'),
    ("expiration", b's'),
    ("message_id", b's'),
    ("timestamp", b'q'),
    ("type", b's'),
    ("user_id", b's'),
    ("app_id", b's'),
    ("cluster_id", b's'),
];

static METHODS: LazyLock<Vec<MethodSpec>> = LazyLock::new(|| TEXT.lines().map(parse).collect());

fn parse(line: &'static str) -> MethodSpec {
    let mut words = line.split_whitespace();
    let (class, id) = words.next().and_then(|n| n.split_once('.')).expect("number");
    let name = words.next().expect("name");
    let fields =
        words.map(|w| w.split_once(':').map(|(n, t)| (n, t.as_bytes()[0])).expect("field")).collect();
    MethodSpec { name, class: class.parse().expect("class"), id: id.parse().expect("id"), fields }
}

const TEXT: &str = "\
10.10 connection.start version_major:o version_minor:o server_properties:t mechanisms:l locales:l
10.11 connection.start-ok client_properties:t mechanism:s response:l locale:s
10.20 connection.secure challenge:l
10.21 connection.secure-ok response:l
10.30 connection.tune channel_max:w frame_max:d heartbeat:w
10.31 connection.tune-ok channel_max:w frame_max:d heartbeat:w
10.40 connection.open virtual_host:s reserved_1:s reserved_2:b
10.41 connection.open-ok reserved_1:s
10.50 connection.close reply_code:w reply_text:s class_id:w method_id:w
10.51 connection.close-ok
10.60 connection.blocked reason:s
10.61 connection.unblocked
10.70 connection.update-secret new_secret:l reason:s
10.71 connection.update-secret-ok
20.10 channel.open reserved_1:s
20.11 channel.open-ok reserved_1:l
20.20 channel.flow active:b
20.21 channel.flow-ok active:b
20.40 channel.close reply_code:w reply_text:s class_id:w method_id:w
20.41 channel.close-ok
30.10 access.request realm:s exclusive:b passive:b active:b write:b read:b
30.11 access.request-ok ticket:w
40.10 exchange.declare ticket:w exchange:s type:s passive:b durable:b auto_delete:b internal:b nowait:b arguments:t
40.11 exchange.declare-ok
40.20 exchange.delete ticket:w exchange:s if_unused:b nowait:b
40.21 exchange.delete-ok
40.30 exchange.bind ticket:w destination:s source:s routing_key:s nowait:b arguments:t
40.31 exchange.bind-ok
40.40 exchange.unbind ticket:w destination:s source:s routing_key:s nowait:b arguments:t
40.51 exchange.unbind-ok
50.10 queue.declare ticket:w queue:s passive:b durable:b exclusive:b auto_delete:b nowait:b arguments:t
50.11 queue.declare-ok queue:s message_count:d consumer_count:d
50.20 queue.bind ticket:w queue:s exchange:s routing_key:s nowait:b arguments:t
50.21 queue.bind-ok
50.30 queue.purge ticket:w queue:s nowait:b
50.31 queue.purge-ok message_count:d
50.40 queue.delete ticket:w queue:s if_unused:b if_empty:b nowait:b
50.41 queue.delete-ok message_count:d
50.50 queue.unbind ticket:w queue:s exchange:s routing_key:s arguments:t
50.51 queue.unbind-ok
60.10 basic.qos prefetch_size:d prefetch_count:w global:b
60.11 basic.qos-ok
60.20 basic.consume ticket:w queue:s consumer_tag:s no_local:b no_ack:b exclusive:b nowait:b arguments:t
60.21 basic.consume-ok consumer_tag:s
60.30 basic.cancel consumer_tag:s nowait:b
60.31 basic.cancel-ok consumer_tag:s
60.40 basic.publish ticket:w exchange:s routing_key:s mandatory:b immediate:b
60.50 basic.return reply_code:w reply_text:s exchange:s routing_key:s
60.60 basic.deliver consumer_tag:s delivery_tag:q redelivered:b exchange:s routing_key:s
60.70 basic.get ticket:w queue:s no_ack:b
60.71 basic.get-ok delivery_tag:q redelivered:b exchange:s routing_key:s message_count:d
60.72 basic.get-empty reserved_1:s
60.80 basic.ack delivery_tag:q multiple:b
60.90 basic.reject delivery_tag:q requeue:b
60.100 basic.recover-async requeue:b
60.110 basic.recover requeue:b
60.111 basic.recover-ok
60.120 basic.nack delivery_tag:q multiple:b requeue:b
85.10 confirm.select nowait:b
85.11 confirm.select-ok
90.10 tx.select
90.11 tx.select-ok
90.20 tx.commit
90.21 tx.commit-ok
90.30 tx.rollback
90.31 tx.rollback-ok";
