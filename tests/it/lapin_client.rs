//! The broker through lapin: application behaviour, one test per feature that applications rely on.

use std::fmt::Write as _;
use std::future::Future;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_lite::StreamExt;
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicGetOptions, BasicNackOptions,
    BasicPublishOptions, BasicQosOptions, BasicRecoverOptions, BasicRejectOptions, ConfirmSelectOptions,
    ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions, QueuePurgeOptions,
};
use lapin::types::FieldTable;
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, Consumer, ErrorKind,
    ExchangeKind,
};

use crate::harness::Peer;

/// Longer than any single step may take.
const PATIENCE: Duration = crate::wait::LIMIT;

/// Runs a test against the shared broker, with its URI and a name prefix.
pub(crate) fn with_broker<F: Future<Output = ()>>(test: impl FnOnce(String, String) -> F) {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let peer = Peer::shared();
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let prefix = format!("lapin{}.{number}.", std::process::id());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
    runtime.block_on(async {
        let uri = format!("amqp://guest:guest@{}/%2f", peer.addr());
        tokio::time::timeout(4 * PATIENCE, test(uri, prefix)).await.expect("the test ends in time");
    });
}

pub(crate) async fn connect(uri: &str) -> Connection {
    soon(Connection::connect(uri, ConnectionProperties::default())).await.expect("connect")
}

pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("an answer in time")
}

pub(crate) async fn declare(channel: &Channel, name: &str) -> String {
    let options = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
    let queue =
        soon(channel.queue_declare(name.into(), options, FieldTable::default())).await.expect("declare");
    queue.name().to_string()
}

pub(crate) async fn publish(channel: &Channel, exchange: &str, key: &str, body: &[u8]) {
    let sent = channel.basic_publish(
        exchange.into(),
        key.into(),
        BasicPublishOptions::default(),
        body,
        BasicProperties::default(),
    );
    drop(soon(sent).await.expect("publish"));
}

pub(crate) async fn consume(channel: &Channel, queue: &str, tag: &str) -> Consumer {
    let options = BasicConsumeOptions::default();
    soon(channel.basic_consume(queue.into(), tag.into(), options, FieldTable::default()))
        .await
        .expect("consume")
}

pub(crate) async fn next(consumer: &mut Consumer) -> Delivery {
    soon(consumer.next()).await.expect("a delivery").expect("no error")
}

pub(crate) async fn get(channel: &Channel, queue: &str) -> Option<Delivery> {
    let got = soon(channel.basic_get(queue.into(), BasicGetOptions::default())).await.expect("get");
    got.map(|m| m.delivery)
}

async fn ready(channel: &Channel, queue: &str) -> u32 {
    let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    soon(channel.queue_declare(queue.into(), passive, FieldTable::default()))
        .await
        .expect("passive")
        .message_count()
}

/// The reply code with which the broker closed a channel or connection.
fn code<T>(result: lapin::Result<T>) -> u16 {
    let error = result.err().expect("an error");
    match error.kind() {
        ErrorKind::ProtocolError(e) => e.get_id(),
        _ => panic!("not from the broker: {error}"),
    }
}

#[test]
fn wrong_password_is_refused_by_code() {
    with_broker(|uri, _| async move {
        let wrong = uri.replace("guest:guest", "guest:wrong");
        assert_eq!(code(soon(Connection::connect(&wrong, ConnectionProperties::default())).await), 403);
    });
}

#[test]
fn publish_and_consume_with_acks() {
    with_broker(|uri, prefix| async move {
        let connection = connect(&uri).await;
        let channel = connection.create_channel().await.expect("channel");
        let queue = declare(&channel, &format!("{prefix}q")).await;
        for n in 0..100 {
            publish(&channel, "", &queue, n.to_string().as_bytes()).await;
        }
        let mut consumer = consume(&channel, &queue, "").await;
        for n in 0..100 {
            let delivery = next(&mut consumer).await;
            assert_eq!(delivery.data, n.to_string().as_bytes());
            delivery.ack(BasicAckOptions::default()).await.expect("ack");
        }
        soon(connection.close(200, "bye".into())).await.expect("close");
    });
}

#[test]
fn exchanges_bind_and_route() {
    with_broker(|uri, prefix| async move {
        let channel = connect(&uri).await.create_channel().await.expect("channel");
        let exchange = format!("{prefix}x");
        let options = ExchangeDeclareOptions { auto_delete: true, ..ExchangeDeclareOptions::default() };
        channel
            .exchange_declare(exchange.as_str().into(), ExchangeKind::Topic, options, FieldTable::default())
            .await
            .expect("exchange");
        let queue = declare(&channel, &format!("{prefix}q")).await;
        channel
            .queue_bind(
                queue.as_str().into(),
                exchange.as_str().into(),
                "a.*".into(),
                QueueBindOptions::default(),
                FieldTable::default(),
            )
            .await
            .expect("bind");
        publish(&channel, &exchange, "b.a", b"no").await;
        publish(&channel, &exchange, "a.b", b"yes").await;
        assert_eq!(get(&channel, &queue).await.expect("a message").data, b"yes");
        assert!(get(&channel, &queue).await.is_none());
        channel
            .queue_unbind(
                queue.as_str().into(),
                exchange.as_str().into(),
                "a.*".into(),
                FieldTable::default(),
            )
            .await
            .expect("unbind");
    });
}

#[test]
fn server_named_queues_and_purge_and_delete() {
    with_broker(|uri, _| async move {
        let channel = connect(&uri).await.create_channel().await.expect("channel");
        let queue = declare(&channel, "").await;
        assert!(queue.starts_with("amq.gen-"), "{queue}");
        for _ in 0..5 {
            publish(&channel, "", &queue, b"x").await;
        }
        let purged = channel.queue_purge(queue.as_str().into(), QueuePurgeOptions::default()).await;
        assert_eq!(purged.expect("purge"), 5);
        publish(&channel, "", &queue, b"x").await;
        let deleted = channel.queue_delete(queue.as_str().into(), QueueDeleteOptions::default()).await;
        assert_eq!(deleted.expect("delete"), 1);
    });
}

#[test]
fn publisher_confirms_a_thousand() {
    with_broker(|uri, prefix| async move {
        let channel = connect(&uri).await.create_channel().await.expect("channel");
        channel.confirm_select(ConfirmSelectOptions::default()).await.expect("select");
        let queue = declare(&channel, &format!("{prefix}q")).await;
        let mut waiting = Vec::new();
        for _ in 0..1000 {
            let sent = channel.basic_publish(
                "".into(),
                queue.as_str().into(),
                BasicPublishOptions::default(),
                b"x",
                BasicProperties::default().with_delivery_mode(2),
            );
            waiting.push(sent.await.expect("publish"));
        }
        for confirm in waiting {
            assert!(matches!(soon(confirm).await.expect("confirm"), Confirmation::Ack(None)));
        }
        assert_eq!(ready(&channel, &queue).await, 1000);
    });
}

#[test]
fn a_mandatory_message_comes_back_with_its_confirm() {
    with_broker(|uri, prefix| async move {
        let channel = connect(&uri).await.create_channel().await.expect("channel");
        channel.confirm_select(ConfirmSelectOptions::default()).await.expect("select");
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let key = format!("{prefix}none");
        let sent = channel.basic_publish(
            "".into(),
            key.as_str().into(),
            options,
            b"back",
            BasicProperties::default(),
        );
        match soon(sent.await.expect("publish")).await.expect("confirm") {
            Confirmation::Ack(Some(back)) => {
                assert_eq!((back.reply_code, back.delivery.data.as_slice()), (312, &b"back"[..]));
            }
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn nack_reject_and_recover_bring_messages_back_redelivered() {
    with_broker(|uri, prefix| async move {
        let channel = connect(&uri).await.create_channel().await.expect("channel");
        let queue = declare(&channel, &format!("{prefix}q")).await;
        publish(&channel, "", &queue, b"x").await;
        let first = get(&channel, &queue).await.expect("a message");
        assert!(!first.redelivered);
        first.nack(BasicNackOptions { requeue: true, ..BasicNackOptions::default() }).await.expect("nack");
        let second = get(&channel, &queue).await.expect("again");
        assert!(second.redelivered);
        second.reject(BasicRejectOptions { requeue: true }).await.expect("reject");
        assert!(get(&channel, &queue).await.expect("again").redelivered);
        soon(channel.basic_recover(BasicRecoverOptions { requeue: true })).await.expect("recover");
        let last = get(&channel, &queue).await.expect("again");
        last.reject(BasicRejectOptions { requeue: false }).await.expect("reject");
        assert!(get(&channel, &queue).await.is_none());
    });
}

#[test]
fn requeued_messages_keep_their_order() {
    with_broker(|uri, prefix| async move {
        let channel = connect(&uri).await.create_channel().await.expect("channel");
        let queue = declare(&channel, &format!("{prefix}q")).await;
        for body in [b"1", b"2", b"3"] {
            publish(&channel, "", &queue, body).await;
        }
        for _ in 0..3 {
            get(&channel, &queue).await.expect("a message");
        }
        soon(channel.basic_recover(BasicRecoverOptions { requeue: true })).await.expect("recover");
        let mut order = String::new();
        while let Some(message) = get(&channel, &queue).await {
            write!(order, "{}", String::from_utf8_lossy(&message.data)).expect("text");
        }
        assert_eq!(order, "123");
    });
}

#[test]
fn prefetch_per_consumer_holds_deliveries_back() {
    with_broker(|uri, prefix| async move {
        let channel = connect(&uri).await.create_channel().await.expect("channel");
        let queue = declare(&channel, &format!("{prefix}q")).await;
        for _ in 0..10 {
            publish(&channel, "", &queue, b"x").await;
        }
        channel.basic_qos(3, BasicQosOptions::default()).await.expect("qos");
        let mut consumer = consume(&channel, &queue, "a").await;
        let first = next(&mut consumer).await;
        next(&mut consumer).await;
        next(&mut consumer).await;
        assert_eq!(ready(&channel, &queue).await, 7);
        first.ack(BasicAckOptions::default()).await.expect("ack");
        next(&mut consumer).await;
        assert_eq!(ready(&channel, &queue).await, 6);
    });
}

#[test]
fn prefetch_of_the_channel_is_shared() {
    with_broker(|uri, prefix| async move {
        let channel = connect(&uri).await.create_channel().await.expect("channel");
        let queue = declare(&channel, &format!("{prefix}q")).await;
        for _ in 0..10 {
            publish(&channel, "", &queue, b"x").await;
        }
        channel.basic_qos(4, BasicQosOptions { global: true }).await.expect("qos");
        let _a = consume(&channel, &queue, "a").await;
        let _b = consume(&channel, &queue, "b").await;
        assert_eq!(ready(&channel, &queue).await, 6);
    });
}

#[test]
fn a_cancelled_consumer_ends_and_so_does_one_whose_queue_goes() {
    with_broker(|uri, prefix| async move {
        let connection = connect(&uri).await;
        let channel = connection.create_channel().await.expect("channel");
        let queue = declare(&channel, &format!("{prefix}q")).await;
        let mut consumer = consume(&channel, &queue, "a").await;
        channel.basic_cancel("a".into(), BasicCancelOptions::default()).await.expect("cancel");
        assert!(soon(consumer.next()).await.is_none());
        let mut consumer = consume(&channel, &queue, "b").await;
        let other = connection.create_channel().await.expect("channel");
        other.queue_delete(queue.as_str().into(), QueueDeleteOptions::default()).await.expect("delete");
        assert!(soon(consumer.next()).await.is_none());
    });
}

#[test]
fn an_exclusive_queue_is_locked_and_an_auto_delete_one_goes() {
    with_broker(|uri, prefix| async move {
        let owner = connect(&uri).await;
        let channel = owner.create_channel().await.expect("channel");
        let locked = declare(&channel, &format!("{prefix}locked")).await;
        let other = connect(&uri).await;
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let look = other.create_channel().await.expect("channel");
        assert_eq!(
            code(look.queue_declare(locked.as_str().into(), passive, FieldTable::default()).await),
            405
        );
        let name = format!("{prefix}auto");
        let options = QueueDeclareOptions { auto_delete: true, ..QueueDeclareOptions::default() };
        channel.queue_declare(name.as_str().into(), options, FieldTable::default()).await.expect("declare");
        let consumer = consume(&channel, &name, "a").await;
        channel.basic_cancel(consumer.tag(), BasicCancelOptions::default()).await.expect("cancel");
        assert_eq!(
            code(channel.queue_declare(name.as_str().into(), passive, FieldTable::default()).await),
            404
        );
    });
}

#[test]
fn a_body_of_20_mb_arrives_whole() {
    with_broker(|uri, prefix| async move {
        let channel = connect(&uri).await.create_channel().await.expect("channel");
        channel.confirm_select(ConfirmSelectOptions::default()).await.expect("select");
        let queue = declare(&channel, &format!("{prefix}q")).await;
        let body: Vec<u8> =
            (0..20_000_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
        let options = BasicPublishOptions::default();
        let sent = channel.basic_publish(
            "".into(),
            queue.as_str().into(),
            options,
            &body,
            BasicProperties::default(),
        );
        assert!(soon(sent.await.expect("publish")).await.expect("confirm").is_ack());
        assert!(get(&channel, &queue).await.expect("a message").data == body);
    });
}

#[test]
fn small_frames_and_heartbeats_are_negotiated() {
    with_broker(|uri, prefix| async move {
        let connection = connect(&format!("{uri}?frame_max=4096&heartbeat=2")).await;
        assert_eq!(connection.configuration().frame_max(), 4096);
        let channel = connection.create_channel().await.expect("channel");
        let queue = declare(&channel, &format!("{prefix}q")).await;
        publish(&channel, "", &queue, &vec![7; 50_000]).await;
        assert_eq!(get(&channel, &queue).await.expect("a message").data.len(), 50_000);
        // Only heartbeats keep this connection alive: the broker drops a silent peer after three intervals.
        tokio::time::sleep(Duration::from_secs(8)).await;
        assert!(connection.status().connected());
        assert_eq!(ready(&channel, &queue).await, 0);
    });
}

#[test]
fn a_refused_operation_closes_its_channel_only() {
    with_broker(|uri, prefix| async move {
        let connection = connect(&uri).await;
        let (bad, good) = (
            connection.create_channel().await.expect("channel"),
            connection.create_channel().await.expect("channel"),
        );
        let gone = format!("{prefix}gone");
        assert_eq!(code(bad.basic_get(gone.as_str().into(), BasicGetOptions::default()).await), 404);
        declare(&good, &format!("{prefix}q")).await;
    });
}
