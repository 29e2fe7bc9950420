import com.rabbitmq.client.ConnectionFactory;
import com.rabbitmq.client.MessageProperties;

/** Publishes and consumes one message with RabbitMQ's Java client. */
public class Hello {
    public static void main(String[] args) throws Exception {
        var url = System.getenv().getOrDefault("AMQP_URL", "amqp://guest:guest@127.0.0.1:5672");
        var factory = new ConnectionFactory();
        factory.setUri(url);
        try (var connection = factory.newConnection(); var channel = connection.createChannel()) {
            channel.confirmSelect();
            channel.queueDeclare("hello-java", true, false, false, null);
            var body = "Hello, Leveret!".getBytes();
            channel.basicPublish("", "hello-java", MessageProperties.PERSISTENT_TEXT_PLAIN, body);
            channel.waitForConfirmsOrDie(10_000);
            var message = channel.basicGet("hello-java", false);
            System.out.println(new String(message.getBody()));
            channel.basicAck(message.getEnvelope().getDeliveryTag(), false);
        }
    }
}
