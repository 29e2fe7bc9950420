import com.rabbitmq.client.AMQP;
import com.rabbitmq.client.AuthenticationFailureException;
import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.ConnectionFactory;
import com.rabbitmq.client.Delivery;
import com.rabbitmq.client.GetResponse;
import com.rabbitmq.client.RpcClient;
import com.rabbitmq.client.RpcClientParams;
import com.rabbitmq.client.RpcServer;
import com.rabbitmq.client.ShutdownSignalException;
import java.io.IOException;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

/** The RabbitMQ Java client: the scenarios named on the command line, one line each: `ok NAME`, or `FAIL NAME: why`. */
public final class Clients {
    private static final String URL = System.getenv("AMQP_URL");
    private static final String PREFIX = "java" + ProcessHandle.current().pid() + ".";
    private static int number;

    interface Scenario {
        void run(Connection connection, Channel channel) throws Exception;
    }

    private static String name() {
        return PREFIX + number++;
    }

    private static void check(boolean holds, Object... what) {
        if (!holds) {
            throw new AssertionError("not as expected: " + Arrays.toString(what));
        }
    }

    private static Connection connect(String url) throws Exception {
        ConnectionFactory factory = new ConnectionFactory();
        factory.setUri(url);
        factory.setAutomaticRecoveryEnabled(false);
        factory.setMaxInboundMessageBodySize(64 << 20);
        return factory.newConnection();
    }

    private static String queue(Channel channel, Map<String, Object> arguments) throws IOException {
        return channel.queueDeclare(name(), false, true, false, arguments).getQueue();
    }

    private static void publish(Channel channel, String exchange, String key, String body) throws IOException {
        channel.basicPublish(exchange, key, null, body.getBytes());
    }

    private static GetResponse take(Channel channel, String queue) throws IOException {
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(20);
        while (System.nanoTime() < end) {
            GetResponse message = channel.basicGet(queue, false);
            if (message != null) {
                return message;
            }
        }
        throw new AssertionError("no message");
    }

    private static <T> T soon(BlockingQueue<T> from) throws InterruptedException {
        T value = from.poll(20, TimeUnit.SECONDS);
        check(value != null, "nothing came");
        return value;
    }

    private static void wrongCredentials(Connection connection, Channel channel) throws Exception {
        try {
            connect(URL.replace("guest:guest@", "guest:wrong@"));
        } catch (AuthenticationFailureException refusal) {
            check(refusal.getMessage().contains("ACCESS_REFUSED"), refusal);
            return;
        }
        throw new AssertionError("it was not refused");
    }

    private static void declare(Connection connection, Channel channel) throws Exception {
        String queue = queue(channel, Map.of("x-max-length", 10));
        String exchange = name();
        channel.exchangeDeclare(exchange, "topic", false, true, null);
        channel.queueBind(queue, exchange, "a.#");
        publish(channel, exchange, "a.b", "hello");
        check(new String(take(channel, queue).getBody()).equals("hello"));
    }

    private static void confirms(Connection connection, Channel channel) throws Exception {
        channel.confirmSelect();
        String queue = queue(channel, null);
        AMQP.BasicProperties persistent = new AMQP.BasicProperties.Builder().deliveryMode(2).build();
        for (int n = 0; n < 1000; n++) {
            channel.basicPublish("", queue, persistent, "x".getBytes());
        }
        channel.waitForConfirmsOrDie(180_000);
        check(channel.messageCount(queue) == 1000);
    }

    private static void mandatory(Connection connection, Channel channel) throws Exception {
        BlockingQueue<String> back = new LinkedBlockingQueue<>();
        channel.addReturnListener(message -> back.add(message.getReplyCode() + new String(message.getBody())));
        channel.basicPublish("", name(), true, null, "back".getBytes());
        check(soon(back).equals("312back"));
    }

    private static void prefetch(Connection connection, Channel channel) throws Exception {
        String queue = queue(channel, null);
        for (int n = 0; n < 10; n++) {
            publish(channel, "", queue, String.valueOf(n));
        }
        channel.basicQos(3);
        BlockingQueue<Delivery> messages = new LinkedBlockingQueue<>();
        channel.basicConsume(queue, false, (tag, message) -> messages.add(message), tag -> { });
        soon(messages);
        soon(messages);
        Delivery third = soon(messages);
        check(channel.messageCount(queue) == 7);
        channel.basicAck(third.getEnvelope().getDeliveryTag(), true);
        for (int n = 3; n < 10; n++) {
            Delivery message = soon(messages);
            check(new String(message.getBody()).equals(String.valueOf(n)), n);
            channel.basicAck(message.getEnvelope().getDeliveryTag(), false);
        }
    }

    private static void requeue(Connection connection, Channel channel) throws Exception {
        String queue = queue(channel, null);
        publish(channel, "", queue, "x");
        channel.basicNack(take(channel, queue).getEnvelope().getDeliveryTag(), false, true);
        check(take(channel, queue).getEnvelope().isRedeliver());
    }

    private static void deadLetter(Connection connection, Channel channel) throws Exception {
        String dead = queue(channel, null);
        String queue = queue(channel, Map.of("x-dead-letter-exchange", "", "x-dead-letter-routing-key", dead));
        publish(channel, "", queue, "x");
        channel.basicReject(take(channel, queue).getEnvelope().getDeliveryTag(), false);
        List<?> deaths = (List<?>) take(channel, dead).getProps().getHeaders().get("x-death");
        Map<?, ?> death = (Map<?, ?>) deaths.get(0);
        check(death.get("count").equals(1L) && death.get("reason").toString().equals("rejected")
            && death.get("queue").toString().equals(queue), death);
    }

    private static void delayed(Connection connection, Channel channel) throws Exception {
        String exchange = name();
        channel.exchangeDeclare(exchange, "x-delayed-message", false, true, Map.of("x-delayed-type", "direct"));
        String queue = queue(channel, null);
        channel.queueBind(queue, exchange, "k");
        long start = System.nanoTime();
        AMQP.BasicProperties later = new AMQP.BasicProperties.Builder().headers(Map.of("x-delay", 500)).build();
        channel.basicPublish(exchange, "k", later, "x".getBytes());
        take(channel, queue);
        check(System.nanoTime() - start > 490_000_000L);
    }

    /** The client's own RPC pair, over direct reply-to. */
    private static void replyTo(Connection connection, Channel channel) throws Exception {
        String queue = queue(channel, null);
        RpcServer server = new RpcServer(channel, queue) {
            @Override
            public byte[] handleCall(byte[] request, AMQP.BasicProperties properties) {
                return ("re: " + new String(request)).getBytes();
            }
        };
        Thread loop = new Thread(() -> {
            try {
                server.mainloop();
            } catch (IOException | ShutdownSignalException ended) {
                // The connection is closed at the scenario's end.
            }
        });
        loop.start();
        RpcClient client = new RpcClient(new RpcClientParams()
            .channel(connection.createChannel()).exchange("").routingKey(queue).timeout(180_000));
        for (int n = 0; n < 50; n++) {
            check(client.stringCall("question " + n).equals("re: question " + n));
        }
        client.close();
        server.terminateMainloop();
    }

    private static void bigBody(Connection connection, Channel channel) throws Exception {
        channel.confirmSelect();
        String queue = queue(channel, null);
        byte[] body = "leveret 0123456789.\n".repeat(1_000_000).getBytes();
        channel.basicPublish("", queue, null, body);
        channel.waitForConfirmsOrDie(180_000);
        check(Arrays.equals(take(channel, queue).getBody(), body));
    }

    private static void serverClose(Connection connection, Channel channel) throws Exception {
        try {
            channel.queueDeclarePassive(name());
        } catch (IOException refusal) {
            ShutdownSignalException cause = (ShutdownSignalException) refusal.getCause();
            check(((AMQP.Channel.Close) cause.getReason()).getReplyCode() == 404, cause);
            queue(connection.createChannel(), null);
            return;
        }
        throw new AssertionError("it was not refused");
    }

    public static void main(String[] wanted) {
        Map<String, Scenario> scenarios = new LinkedHashMap<>();
        scenarios.put("wrong-credentials", Clients::wrongCredentials);
        scenarios.put("declare", Clients::declare);
        scenarios.put("confirms", Clients::confirms);
        scenarios.put("mandatory", Clients::mandatory);
        scenarios.put("prefetch", Clients::prefetch);
        scenarios.put("requeue", Clients::requeue);
        scenarios.put("dead-letter", Clients::deadLetter);
        scenarios.put("delayed", Clients::delayed);
        scenarios.put("reply-to", Clients::replyTo);
        scenarios.put("big-body", Clients::bigBody);
        scenarios.put("server-close", Clients::serverClose);
        boolean failed = false;
        for (String name : wanted) {
            Scenario scenario = scenarios.get(name);
            if (scenario == null) {
                System.out.println("none " + name);
                continue;
            }
            try (Connection connection = connect(URL)) {
                scenario.run(connection, connection.createChannel());
                System.out.println("ok " + name);
            } catch (Exception | AssertionError error) {
                failed = true;
                error.printStackTrace();
                System.out.println("FAIL " + name + ": " + error.toString().replace('\n', ' '));
            }
        }
        System.exit(failed ? 1 : 0);
    }
}
