//! Publishes one persistent message with amqprs, then consumes and acknowledges it.

use amqprs::BasicProperties;
use amqprs::channel::{
    BasicAckArguments, BasicConsumeArguments, BasicPublishArguments, ConfirmSelectArguments,
    QueueDeclareArguments,
};
use amqprs::connection::{Connection, OpenConnectionArguments};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::var("AMQP_URL").unwrap_or_else(|_| "amqp://guest:guest@127.0.0.1:5672".to_owned());
    let place = OpenConnectionArguments::try_from(url.as_str())?;
    let connection = Connection::open(&place).await?;
    let channel = connection.open_channel(None).await?;
    channel.queue_declare(QueueDeclareArguments::durable_client_named("hello-amqprs")).await?;

    channel.confirm_select(ConfirmSelectArguments::default()).await?;
    let persistent = BasicProperties::default().with_delivery_mode(2).finish();
    let to = BasicPublishArguments::new("", "hello-amqprs");
    channel.basic_publish(persistent, b"Hello, Leveret!".to_vec(), to).await?;

    let consume = BasicConsumeArguments::new("hello-amqprs", "hello");
    let (_tag, mut messages) = channel.basic_consume_rx(consume).await?;
    if let Some(message) = messages.recv().await {
        println!("{}", String::from_utf8(message.content.unwrap_or_default())?);
        let tag = message.deliver.map(|deliver| deliver.delivery_tag()).unwrap_or_default();
        channel.basic_ack(BasicAckArguments::new(tag, false)).await?;
    }
    channel.close().await?;
    connection.close().await?;
    Ok(())
}
