//! lapin.

use futures_lite::StreamExt;
use lapin::message::Delivery;
use lapin::options::*;
use lapin::types::{AMQPValue, FieldTable};
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, ErrorKind, ExchangeKind,
};
use leveret_clients::{big, name, run, soon, url};

async fn connect() -> Connection {
    Connection::connect(&format!("{}/%2f", url()), ConnectionProperties::default()).await.expect("connect")
}

async fn channel() -> Channel {
    connect().await.create_channel().await.expect("channel")
}

fn table(entries: &[(&str, AMQPValue)]) -> FieldTable {
    let mut table = FieldTable::default();
    for (key, value) in entries {
        table.insert((*key).into(), value.clone());
    }
    table
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

async fn queue(channel: &Channel, arguments: FieldTable) -> String {
    let options = QueueDeclareOptions { exclusive: true, ..Default::default() };
    channel.queue_declare(name().into(), options, arguments).await.expect("declare").name().to_string()
}

async fn count(channel: &Channel, queue: &str) -> u32 {
    let options = QueueDeclareOptions { passive: true, ..Default::default() };
    channel.queue_declare(queue.into(), options, FieldTable::default()).await.expect("look").message_count()
}

async fn publish(
    channel: &Channel,
    exchange: &str,
    key: &str,
    body: &[u8],
    properties: BasicProperties,
) -> Confirmation {
    let sent =
        channel.basic_publish(exchange.into(), key.into(), BasicPublishOptions::default(), body, properties);
    soon(sent.await.expect("publish")).await.expect("confirm")
}

async fn take(channel: &Channel, queue: &str) -> Delivery {
    soon(async {
        loop {
            let got = channel.basic_get(queue.into(), BasicGetOptions::default()).await.expect("get");
            if let Some(message) = got {
                return message.delivery;
            }
        }
    })
    .await
}

fn code<T>(result: lapin::Result<T>) -> u16 {
    match result.err().expect("a refusal").kind() {
        ErrorKind::ProtocolError(error) => error.get_id(),
        other => panic!("not a refusal: {other:?}"),
    }
}

async fn wrong_credentials() {
    let wrong = format!("{}/%2f", url().replace("guest:guest@", "guest:wrong@"));
    assert_eq!(code(Connection::connect(&wrong, ConnectionProperties::default()).await), 403);
}

async fn declare() {
    let channel = channel().await;
    let (queue, exchange) =
        (queue(&channel, table(&[("x-max-length", AMQPValue::LongInt(10))])).await, name());
    let options = ExchangeDeclareOptions { auto_delete: true, ..Default::default() };
    let kind = ExchangeKind::Topic;
    channel
        .exchange_declare(exchange.as_str().into(), kind, options, FieldTable::default())
        .await
        .expect("exchange");
    let (q, x) = (queue.as_str().into(), exchange.as_str().into());
    channel
        .queue_bind(q, x, "a.#".into(), QueueBindOptions::default(), FieldTable::default())
        .await
        .expect("bind");
    publish(&channel, &exchange, "a.b", b"hello", BasicProperties::default()).await;
    assert_eq!(take(&channel, &queue).await.data, b"hello");
}

async fn confirms() {
    let channel = channel().await;
    channel.confirm_select(ConfirmSelectOptions::default()).await.expect("select");
    let queue = queue(&channel, FieldTable::default()).await;
    let mut waiting = Vec::new();
    for _ in 0..1000 {
        let properties = BasicProperties::default().with_delivery_mode(2);
        let (x, key) = ("".into(), queue.as_str().into());
        let sent = channel.basic_publish(x, key, BasicPublishOptions::default(), b"x", properties);
        waiting.push(sent.await.expect("publish"));
    }
    for confirm in waiting {
        assert!(soon(confirm).await.expect("confirm").is_ack());
    }
    assert_eq!(count(&channel, &queue).await, 1000);
}

async fn mandatory() {
    let channel = channel().await;
    channel.confirm_select(ConfirmSelectOptions::default()).await.expect("select");
    let options = BasicPublishOptions { mandatory: true, ..Default::default() };
    let sent = channel.basic_publish("".into(), name().into(), options, b"back", BasicProperties::default());
    match soon(sent.await.expect("publish")).await.expect("confirm") {
        Confirmation::Ack(Some(back)) => {
            assert_eq!((back.reply_code, &*back.delivery.data), (312, &b"back"[..]))
        }
        other => panic!("{other:?}"),
    }
}

async fn prefetch() {
    let channel = channel().await;
    let queue = queue(&channel, FieldTable::default()).await;
    for n in 0..10 {
        publish(&channel, "", &queue, n.to_string().as_bytes(), BasicProperties::default()).await;
    }
    channel.basic_qos(3, BasicQosOptions::default()).await.expect("qos");
    let (q, options) = (queue.as_str().into(), BasicConsumeOptions::default());
    let mut consumer =
        channel.basic_consume(q, "".into(), options, FieldTable::default()).await.expect("consume");
    let mut third = None;
    for _ in 0..3 {
        third = Some(soon(consumer.next()).await.expect("a delivery").expect("no error"));
    }
    assert_eq!(count(&channel, &queue).await, 7);
    third.expect("three").ack(BasicAckOptions { multiple: true }).await.expect("ack");
    for n in 3..10 {
        let message = soon(consumer.next()).await.expect("a delivery").expect("no error");
        assert_eq!(message.data, n.to_string().as_bytes());
        message.ack(BasicAckOptions::default()).await.expect("ack");
    }
}

async fn requeue() {
    let channel = channel().await;
    let queue = queue(&channel, FieldTable::default()).await;
    publish(&channel, "", &queue, b"x", BasicProperties::default()).await;
    let options = BasicNackOptions { requeue: true, ..Default::default() };
    take(&channel, &queue).await.nack(options).await.expect("nack");
    assert!(take(&channel, &queue).await.redelivered);
}

async fn dead_letter() {
    let channel = channel().await;
    let dead = queue(&channel, FieldTable::default()).await;
    let arguments =
        table(&[("x-dead-letter-exchange", text("")), ("x-dead-letter-routing-key", text(&dead))]);
    let queue = queue(&channel, arguments).await;
    publish(&channel, "", &queue, b"x", BasicProperties::default()).await;
    take(&channel, &queue).await.reject(BasicRejectOptions { requeue: false }).await.expect("reject");
    let message = take(&channel, &dead).await;
    let headers = message.properties.headers().clone().expect("headers");
    let deaths = headers.inner().get("x-death").and_then(AMQPValue::as_array).expect("x-death").clone();
    let death = deaths.as_slice()[0].as_field_table().expect("a table").inner().clone();
    assert_eq!(death.get("count"), Some(&AMQPValue::LongLongInt(1)));
    assert_eq!(death.get("reason"), Some(&text("rejected")));
    assert_eq!(death.get("queue"), Some(&text(&queue)));
}

async fn delayed() {
    let channel = channel().await;
    let (queue, exchange) = (queue(&channel, FieldTable::default()).await, name());
    let options = ExchangeDeclareOptions { auto_delete: true, ..Default::default() };
    let kind = ExchangeKind::Custom("x-delayed-message".into());
    let arguments = table(&[("x-delayed-type", text("direct"))]);
    channel.exchange_declare(exchange.as_str().into(), kind, options, arguments).await.expect("exchange");
    let (q, x) = (queue.as_str().into(), exchange.as_str().into());
    channel
        .queue_bind(q, x, "k".into(), QueueBindOptions::default(), FieldTable::default())
        .await
        .expect("bind");
    let start = std::time::Instant::now();
    let headers = table(&[("x-delay", AMQPValue::LongInt(500))]);
    publish(&channel, &exchange, "k", b"x", BasicProperties::default().with_headers(headers)).await;
    take(&channel, &queue).await;
    assert!(start.elapsed().as_millis() >= 490);
}

async fn reply_to() {
    let connection = connect().await;
    let channel = connection.create_channel().await.expect("channel");
    let queue = queue(&channel, FieldTable::default()).await;
    let (q, options) =
        ("amq.rabbitmq.reply-to".into(), BasicConsumeOptions { no_ack: true, ..Default::default() });
    let mut answers =
        channel.basic_consume(q, "".into(), options, FieldTable::default()).await.expect("consume");
    let properties = BasicProperties::default().with_reply_to("amq.rabbitmq.reply-to".into());
    publish(&channel, "", &queue, b"question", properties).await;
    let server = connection.create_channel().await.expect("channel");
    let question = take(&server, &queue).await;
    let reply_to = question.properties.reply_to().clone().expect("reply_to");
    publish(&server, "", reply_to.as_str(), b"answer", BasicProperties::default()).await;
    assert_eq!(soon(answers.next()).await.expect("an answer").expect("no error").data, b"answer");
}

async fn big_body() {
    let channel = channel().await;
    channel.confirm_select(ConfirmSelectOptions::default()).await.expect("select");
    let queue = queue(&channel, FieldTable::default()).await;
    assert!(publish(&channel, "", &queue, &big(), BasicProperties::default()).await.is_ack());
    assert!(take(&channel, &queue).await.data == big());
}

async fn server_close() {
    let connection = connect().await;
    let channel = connection.create_channel().await.expect("channel");
    let options = QueueDeclareOptions { passive: true, ..Default::default() };
    assert_eq!(code(channel.queue_declare(name().into(), options, FieldTable::default()).await), 404);
    queue(&connection.create_channel().await.expect("channel"), FieldTable::default()).await;
}

fn main() {
    run(&[
        ("wrong-credentials", || Box::pin(wrong_credentials())),
        ("declare", || Box::pin(declare())),
        ("confirms", || Box::pin(confirms())),
        ("mandatory", || Box::pin(mandatory())),
        ("prefetch", || Box::pin(prefetch())),
        ("requeue", || Box::pin(requeue())),
        ("dead-letter", || Box::pin(dead_letter())),
        ("delayed", || Box::pin(delayed())),
        ("reply-to", || Box::pin(reply_to())),
        ("big-body", || Box::pin(big_body())),
        ("server-close", || Box::pin(server_close())),
    ]);
}
