//! With lapin, as an application sees it.

use lapin::options::{
    BasicAckOptions, BasicNackOptions, BasicRecoverOptions, BasicRejectOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection};

use super::HOUR_MS;
use crate::harness::Broker;
use crate::lapin_client::{connect, consume, declare, get, next, publish, soon, with_broker};
use crate::management::Http;

fn text(text: &str) -> AMQPValue {
    AMQPValue::LongString(text.into())
}

fn number(number: u64) -> AMQPValue {
    AMQPValue::LongLongInt(i64::try_from(number).expect("small"))
}

async fn declare_with(channel: &Channel, name: &str, arguments: &[(&str, AMQPValue)]) {
    let mut table = FieldTable::default();
    for (name, value) in arguments {
        table.insert((*name).into(), value.clone());
    }
    let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    soon(channel.queue_declare(name.into(), options, table)).await.expect("declare");
}

fn header(delivery: &lapin::message::Delivery, name: &str) -> Option<i64> {
    match delivery.properties.headers().as_ref()?.inner().get(name)? {
        AMQPValue::LongLongInt(number) => Some(*number),
        other => panic!("{name} is {other:?}"),
    }
}

#[test]
fn a_failing_message_comes_back_behind_the_others_and_dies_at_the_limit() {
    for kind in ["classic", "quorum"] {
        with_broker(|uri, prefix| async move {
            let connection = connect(&uri).await;
            let channel = connection.create_channel().await.expect("channel");
            let dead = declare(&channel, &format!("{prefix}dead")).await;
            let queue = format!("{prefix}{kind}");
            let arguments = [
                ("x-queue-type", text(kind)),
                ("x-delivery-limit", number(2)),
                ("x-delayed-retry-type", text("failed")),
                ("x-delayed-retry-min", number(20)),
                ("x-delayed-retry-max", number(50)),
                ("x-dead-letter-exchange", text("")),
                ("x-dead-letter-routing-key", text(&dead)),
            ];
            declare_with(&channel, &queue, &arguments).await;
            for body in ["bad", "good", "good"] {
                publish(&channel, "", &queue, body.as_bytes()).await;
            }
            let mut consumer = consume(&channel, &queue, "").await;
            let (mut failures, mut good) = (0, 0);
            while failures < 3 || good < 2 {
                let delivery = next(&mut consumer).await;
                if delivery.data == b"good" {
                    good += 1;
                    delivery.ack(BasicAckOptions::default()).await.expect("ack");
                    continue;
                }
                let counted = (failures > 0).then_some(failures);
                assert_eq!(header(&delivery, "x-delivery-count"), counted);
                let acquired = counted.filter(|_| kind == "quorum");
                assert_eq!(header(&delivery, "x-acquired-count"), acquired, "{kind}");
                failures += 1;
                delivery.reject(BasicRejectOptions { requeue: true }).await.expect("reject");
            }
            let mut letters = consume(&channel, &dead, "").await;
            let letter = next(&mut letters).await;
            let headers = letter.properties.headers().clone().expect("headers");
            let reason = headers.inner().get("x-first-death-reason").cloned();
            assert_eq!((letter.data.as_slice(), reason), (&b"bad"[..], Some(text("delivery_limit"))));
            soon(channel.queue_delete(queue.as_str().into(), lapin::options::QueueDeleteOptions::default()))
                .await
                .expect("delete");
        });
    }
}

/// The ways to give a message back.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Reject,
    Nack,
    Close,
    Recover,
}

/// Takes a message and gives it back; returns whether it is ready again at once.
async fn returns_at_once(connection: &Connection, http: &Http, way: Way) -> bool {
    let channel = connection.create_channel().await.expect("channel");
    publish(&channel, "", "q", b"x").await;
    let delivery = loop {
        if let Some(delivery) = get(&channel, "q").await {
            break delivery;
        }
    };
    match way {
        Way::Reject => delivery.reject(BasicRejectOptions { requeue: true }).await.map(drop).expect("reject"),
        Way::Nack => {
            let options = BasicNackOptions { requeue: true, ..BasicNackOptions::default() };
            delivery.nack(options).await.map(drop).expect("nack");
        }
        Way::Recover => channel.basic_recover(BasicRecoverOptions { requeue: true }).await.expect("recover"),
        Way::Close => soon(channel.close(200, "done".into())).await.expect("close"),
    }
    let mut lengths = [0, 0];
    crate::wait::until("it is back", || {
        let shown = http.get("/api/queues/%2F/q").is(200).json;
        lengths =
            ["messages_ready", "messages_delayed_retry"].map(|name| shown[name].as_u64().expect("length"));
        lengths.iter().sum::<u64>() == 1
    });
    http.delete("/api/queues/%2F/q/contents").is(204);
    lengths[0] == 1
}

#[test]
fn each_type_delays_what_it_covers() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
    for (kind, retry_type, delayed) in [
        ("classic", "disabled", &[][..]),
        ("classic", "failed", &[Way::Reject, Way::Nack, Way::Close][..]),
        ("quorum", "failed", &[Way::Reject, Way::Nack, Way::Close][..]),
        ("classic", "returned", &[Way::Nack, Way::Recover][..]),
        ("quorum", "returned", &[Way::Nack, Way::Recover][..]),
        ("quorum", "all", &[Way::Reject, Way::Nack, Way::Close, Way::Recover][..]),
    ] {
        runtime.block_on(async {
            let connection = connect(&format!("amqp://guest:guest@{}/%2f", broker.amqp)).await;
            let channel = connection.create_channel().await.expect("channel");
            let arguments = [
                ("x-queue-type", text(kind)),
                ("x-delayed-retry-type", text(retry_type)),
                ("x-delayed-retry-min", number(HOUR_MS)),
            ];
            declare_with(&channel, "q", &arguments).await;
            for way in [Way::Reject, Way::Nack, Way::Close, Way::Recover] {
                let at_once = returns_at_once(&connection, &http, way).await;
                assert_eq!(at_once, !delayed.contains(&way), "{kind} {retry_type} {way:?}");
            }
            soon(channel.queue_delete("q".into(), lapin::options::QueueDeleteOptions::default()))
                .await
                .expect("delete");
        });
    }
}
