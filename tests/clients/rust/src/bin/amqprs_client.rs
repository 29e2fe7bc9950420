//! amqprs.

use amqprs::callbacks::ChannelCallback;
use amqprs::channel::{
    BasicAckArguments, BasicConsumeArguments, BasicGetArguments, BasicNackArguments, BasicPublishArguments,
    BasicQosArguments, BasicRejectArguments, Channel, ConfirmSelectArguments, ConsumerMessage,
    ExchangeDeclareArguments, QueueBindArguments, QueueDeclareArguments,
};
use amqprs::connection::{Connection, OpenConnectionArguments};
use amqprs::error::Error;
use amqprs::{Ack, BasicProperties, Cancel, CloseChannel, FieldTable, FieldValue, Nack, Return};
use async_trait::async_trait;
use leveret_clients::{big, name, run, soon, url};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// What a channel is told outside of deliveries.
enum Event {
    Closed(u16),
    Ack(u64, bool),
    Returned(u16, Vec<u8>),
}

struct Events(UnboundedSender<Event>);

#[async_trait]
impl ChannelCallback for Events {
    async fn close(&mut self, _: &Channel, close: CloseChannel) -> Result<(), Error> {
        self.0.send(Event::Closed(close.reply_code())).ok();
        Ok(())
    }

    async fn cancel(&mut self, _: &Channel, _: Cancel) -> Result<(), Error> {
        Ok(())
    }

    async fn flow(&mut self, _: &Channel, active: bool) -> Result<bool, Error> {
        Ok(active)
    }

    async fn publish_ack(&mut self, _: &Channel, ack: Ack) {
        self.0.send(Event::Ack(ack.delivery_tag(), ack.mutiple())).ok();
    }

    async fn publish_nack(&mut self, _: &Channel, _: Nack) {}

    async fn publish_return(&mut self, _: &Channel, back: Return, _: BasicProperties, content: Vec<u8>) {
        self.0.send(Event::Returned(back.reply_code(), content)).ok();
    }
}

async fn connect(password: &str) -> Result<Connection, Error> {
    let url = url();
    let (host, port) =
        url.rsplit_once('@').and_then(|(_, place)| place.split_once(':')).expect("host and port");
    Connection::open(&OpenConnectionArguments::new(host, port.parse().expect("a port"), "guest", password))
        .await
}

async fn open(connection: &Connection) -> (Channel, UnboundedReceiver<Event>) {
    let channel = connection.open_channel(None).await.expect("channel");
    let (sender, events) = unbounded_channel();
    channel.register_callback(Events(sender)).await.expect("callback");
    (channel, events)
}

fn table(entries: Vec<(&str, FieldValue)>) -> FieldTable {
    let mut table = FieldTable::new();
    for (key, value) in entries {
        table.insert(key.try_into().expect("a short key"), value);
    }
    table
}

async fn queue(channel: &Channel, arguments: FieldTable) -> String {
    let options = QueueDeclareArguments::new(&name()).exclusive(true).arguments(arguments).finish();
    channel.queue_declare(options).await.expect("declare").expect("an answer").0
}

async fn count(channel: &Channel, queue: &str) -> u32 {
    let options = QueueDeclareArguments::new(queue).passive(true).finish();
    channel.queue_declare(options).await.expect("look").expect("an answer").1
}

async fn publish(channel: &Channel, exchange: &str, key: &str, body: &[u8], properties: BasicProperties) {
    let place = BasicPublishArguments::new(exchange, key);
    channel.basic_publish(properties, body.to_vec(), place).await.expect("publish");
}

async fn take(channel: &Channel, queue: &str) -> (u64, bool, BasicProperties, Vec<u8>) {
    soon(async {
        loop {
            let got = channel.basic_get(BasicGetArguments::new(queue)).await.expect("get");
            if let Some((ok, properties, body)) = got {
                return (ok.delivery_tag(), ok.redelivered(), properties, body);
            }
        }
    })
    .await
}

fn tag(message: &ConsumerMessage) -> u64 {
    message.deliver.as_ref().expect("deliver").delivery_tag()
}

async fn wrong_credentials() {
    assert!(connect("wrong").await.is_err());
}

async fn declare() {
    let connection = connect("guest").await.expect("connect");
    let (channel, _events) = open(&connection).await;
    let (queue, exchange) = (queue(&channel, table(vec![("x-max-length", FieldValue::I(10))])).await, name());
    let options = ExchangeDeclareArguments::new(&exchange, "topic").auto_delete(true).finish();
    channel.exchange_declare(options).await.expect("exchange");
    channel.queue_bind(QueueBindArguments::new(&queue, &exchange, "a.#")).await.expect("bind");
    publish(&channel, &exchange, "a.b", b"hello", BasicProperties::default()).await;
    assert_eq!(take(&channel, &queue).await.3, b"hello");
}

async fn confirms() {
    let connection = connect("guest").await.expect("connect");
    let (channel, mut events) = open(&connection).await;
    channel.confirm_select(ConfirmSelectArguments::default()).await.expect("select");
    let queue = queue(&channel, FieldTable::new()).await;
    for _ in 0..1000 {
        let properties = BasicProperties::default().with_delivery_mode(2).finish();
        publish(&channel, "", &queue, b"x", properties).await;
    }
    let mut open = vec![true; 1001];
    open[0] = false;
    while open.contains(&true) {
        if let Event::Ack(tag, multiple) = soon(events.recv()).await.expect("an event") {
            let tag = usize::try_from(tag).expect("small");
            let first = if multiple { 1 } else { tag };
            open[first..=tag].fill(false);
        }
    }
    assert_eq!(count(&channel, &queue).await, 1000);
}

async fn mandatory() {
    let connection = connect("guest").await.expect("connect");
    let (channel, mut events) = open(&connection).await;
    let place = BasicPublishArguments::new("", &name()).mandatory(true).finish();
    channel.basic_publish(BasicProperties::default(), b"back".to_vec(), place).await.expect("publish");
    match soon(events.recv()).await.expect("an event") {
        Event::Returned(code, body) => assert_eq!((code, &*body), (312, &b"back"[..])),
        Event::Closed(code) => panic!("closed: {code}"),
        Event::Ack(..) => panic!("an ack without confirms"),
    }
}

async fn prefetch() {
    let connection = connect("guest").await.expect("connect");
    let (channel, _events) = open(&connection).await;
    let queue = queue(&channel, FieldTable::new()).await;
    for n in 0..10 {
        publish(&channel, "", &queue, n.to_string().as_bytes(), BasicProperties::default()).await;
    }
    channel.basic_qos(BasicQosArguments::new(0, 3, false)).await.expect("qos");
    let (_, mut messages) =
        channel.basic_consume_rx(BasicConsumeArguments::new(&queue, "c")).await.expect("consume");
    let mut last = 0;
    for _ in 0..3 {
        last = tag(&soon(messages.recv()).await.expect("a delivery"));
    }
    assert_eq!(count(&channel, &queue).await, 7);
    channel.basic_ack(BasicAckArguments::new(last, true)).await.expect("ack");
    for n in 3..10 {
        let message = soon(messages.recv()).await.expect("a delivery");
        assert_eq!(message.content.as_deref(), Some(n.to_string().as_bytes()));
        channel.basic_ack(BasicAckArguments::new(tag(&message), false)).await.expect("ack");
    }
}

async fn requeue() {
    let connection = connect("guest").await.expect("connect");
    let (channel, _events) = open(&connection).await;
    let queue = queue(&channel, FieldTable::new()).await;
    publish(&channel, "", &queue, b"x", BasicProperties::default()).await;
    let tag = take(&channel, &queue).await.0;
    channel.basic_nack(BasicNackArguments::new(tag, false, true)).await.expect("nack");
    assert!(take(&channel, &queue).await.1);
}

async fn dead_letter() {
    let connection = connect("guest").await.expect("connect");
    let (channel, _events) = open(&connection).await;
    let dead = queue(&channel, FieldTable::new()).await;
    let to_dead =
        vec![("x-dead-letter-exchange", "".into()), ("x-dead-letter-routing-key", dead.as_str().into())];
    let queue = queue(&channel, table(to_dead)).await;
    publish(&channel, "", &queue, b"x", BasicProperties::default()).await;
    let tag = take(&channel, &queue).await.0;
    channel.basic_reject(BasicRejectArguments::new(tag, false)).await.expect("reject");
    let properties = take(&channel, &dead).await.2;
    let deaths =
        properties.headers().and_then(|h| h.get(&"x-death".try_into().expect("key"))).expect("x-death");
    let FieldValue::A(deaths) = deaths.clone() else { panic!("not an array: {deaths}") };
    let death: FieldTable = Vec::from(deaths).remove(0).try_into().expect("a table");
    let entry = |key: &str| death.get(&key.try_into().expect("key")).cloned();
    assert_eq!(entry("count"), Some(FieldValue::l(1)));
    assert_eq!(entry("reason"), Some("rejected".into()));
    assert_eq!(entry("queue"), Some(queue.as_str().into()));
}

async fn delayed() {
    let connection = connect("guest").await.expect("connect");
    let (channel, _events) = open(&connection).await;
    let (queue, exchange) = (queue(&channel, FieldTable::new()).await, name());
    let arguments = table(vec![("x-delayed-type", "direct".into())]);
    let options = ExchangeDeclareArguments::new(&exchange, "x-delayed-message")
        .auto_delete(true)
        .arguments(arguments)
        .finish();
    channel.exchange_declare(options).await.expect("exchange");
    channel.queue_bind(QueueBindArguments::new(&queue, &exchange, "k")).await.expect("bind");
    let start = std::time::Instant::now();
    let properties =
        BasicProperties::default().with_headers(table(vec![("x-delay", FieldValue::I(500))])).finish();
    publish(&channel, &exchange, "k", b"x", properties).await;
    take(&channel, &queue).await;
    assert!(start.elapsed().as_millis() >= 490);
}

async fn reply_to() {
    let connection = connect("guest").await.expect("connect");
    let (channel, _events) = open(&connection).await;
    let queue = queue(&channel, FieldTable::new()).await;
    let options = BasicConsumeArguments::new("amq.rabbitmq.reply-to", "r").manual_ack(false).finish();
    let (_, mut answers) = channel.basic_consume_rx(options).await.expect("consume");
    let properties = BasicProperties::default().with_reply_to("amq.rabbitmq.reply-to").finish();
    publish(&channel, "", &queue, b"question", properties).await;
    let (server, _events) = open(&connection).await;
    let reply_to = take(&server, &queue).await.2.reply_to().expect("reply_to").clone();
    publish(&server, "", &reply_to, b"answer", BasicProperties::default()).await;
    let answer = soon(answers.recv()).await.expect("an answer");
    assert_eq!(answer.content.as_deref(), Some(&b"answer"[..]));
}

async fn big_body() {
    let connection = connect("guest").await.expect("connect");
    let (channel, _events) = open(&connection).await;
    let queue = queue(&channel, FieldTable::new()).await;
    publish(&channel, "", &queue, &big(), BasicProperties::default()).await;
    assert!(take(&channel, &queue).await.3 == big());
}

async fn server_close() {
    let connection = connect("guest").await.expect("connect");
    let (channel, mut events) = open(&connection).await;
    let options = QueueDeclareArguments::new(&name()).passive(true).finish();
    assert!(channel.queue_declare(options).await.is_err());
    match soon(events.recv()).await.expect("an event") {
        Event::Closed(code) => assert_eq!(code, 404),
        _ => panic!("something else than a close"),
    }
    let (channel, _events) = open(&connection).await;
    queue(&channel, FieldTable::new()).await;
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
