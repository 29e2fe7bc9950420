// Publishes and consumes one message with amqplib.
const amqp = require("amqplib");

async function main() {
  const connection = await amqp.connect(process.env.AMQP_URL || "amqp://guest:guest@127.0.0.1:5672");
  const channel = await connection.createConfirmChannel();
  await channel.assertQueue("hello-amqplib", { durable: true });
  channel.sendToQueue("hello-amqplib", Buffer.from("Hello, Leveret!"), { persistent: true });
  await channel.waitForConfirms();
  await new Promise((done) =>
    channel.consume("hello-amqplib", (message) => {
      console.log(message.content.toString());
      channel.ack(message);
      done();
    }),
  );
  await channel.close();
  await connection.close();
}

main();
