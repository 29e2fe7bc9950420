// Code to copy for empty pages. Names are put in as JSON strings, which Python and Rust read alike.

const url = () => `amqp://USER:PASSWORD@${location.hostname}:5672/%2f`;

/** @param {string} exchange @param {string} key @returns {Record<string, string>} */
export const publishSnippet = (exchange, key) => ({
  'Python (pika)': `import pika

connection = pika.BlockingConnection(pika.URLParameters("${url()}"))
channel = connection.channel()
${exchange ? '' : `channel.queue_declare(${JSON.stringify(key)}, durable=True)\n`}channel.confirm_delivery()
channel.basic_publish(${JSON.stringify(exchange)}, ${JSON.stringify(key)}, b"hello",
    pika.BasicProperties(delivery_mode=2), mandatory=True)
connection.close()`,
  'Rust (lapin)': `let connection = lapin::Connection::connect("${url()}", Default::default()).await?;
let channel = connection.create_channel().await?;
${exchange ? '' : `let options = lapin::options::QueueDeclareOptions { durable: true, ..Default::default() };
channel.queue_declare(${JSON.stringify(key)}.into(), options, Default::default()).await?;\n`}channel.confirm_select(Default::default()).await?;
channel.basic_publish(${JSON.stringify(exchange)}.into(), ${JSON.stringify(key)}.into(), Default::default(), b"hello",
    lapin::BasicProperties::default().with_delivery_mode(2)).await?.await?;`,
});

/** @param {string} queue @returns {Record<string, string>} */
export const consumeSnippet = (queue) => ({
  'Python (pika)': `import pika

connection = pika.BlockingConnection(pika.URLParameters("${url()}"))
channel = connection.channel()
channel.basic_qos(prefetch_count=100)
for method, properties, body in channel.consume(${JSON.stringify(queue)}):
    print(body)
    channel.basic_ack(method.delivery_tag)`,
  'Rust (lapin)': `let connection = lapin::Connection::connect("${url()}", Default::default()).await?;
let channel = connection.create_channel().await?;
channel.basic_qos(100, Default::default()).await?;
let mut messages = channel.basic_consume(${JSON.stringify(queue)}.into(), "".into(), Default::default(), Default::default()).await?;
while let Some(delivery) = futures::StreamExt::next(&mut messages).await {
    let delivery = delivery?;
    println!("{:?}", delivery.data);
    delivery.ack(Default::default()).await?;
}`,
});
