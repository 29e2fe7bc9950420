package leveret;

import static leveret.Checks.same;
import static leveret.Checks.that;
import static leveret.Checks.waitFor;

import io.vertx.core.Future;
import io.vertx.core.Vertx;
import io.vertx.core.buffer.Buffer;
import io.vertx.core.json.JsonObject;
import io.vertx.rabbitmq.QueueOptions;
import io.vertx.rabbitmq.RabbitMQClient;
import io.vertx.rabbitmq.RabbitMQConsumer;
import io.vertx.rabbitmq.RabbitMQMessage;
import io.vertx.rabbitmq.RabbitMQOptions;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentSkipListSet;
import java.util.concurrent.TimeUnit;

/** Vert.x' client of RabbitMQ. */
final class VertxClient {
    private VertxClient() {
    }

    interface Act {
        void run(RabbitMQClient client, Vertx vertx) throws Exception;
    }

    static void all(List<String> wanted) {
        check(wanted, "vertx-declares-publishes-and-confirms", VertxClient::confirms);
        check(wanted, "vertx-consumes-with-acknowledgements", VertxClient::consumes);
        check(wanted, "vertx-refusals", VertxClient::refusals);
        check(wanted, "vertx-client-and-consumer-find-a-killed-broker-again", VertxClient::killed);
    }

    private static void check(List<String> wanted, String name, Act act) {
        Checks.check(wanted, name, () -> {
            Vertx vertx = Vertx.vertx();
            RabbitMQClient client = RabbitMQClient.create(vertx, new RabbitMQOptions().setUri(Checks.URL).setAutomaticRecoveryEnabled(false).setReconnectAttempts(200).setReconnectInterval(300));
            get(client.start());
            act.run(client, vertx);
            get(client.stop());
            get(vertx.close());
        });
    }

    private static <T> T get(Future<T> future) throws Exception {
        return future.toCompletionStage().toCompletableFuture().get(60, TimeUnit.SECONDS);
    }

    private static void confirms(RabbitMQClient client, Vertx vertx) throws Exception {
        get(client.exchangeDeclare("vx", "topic", true, false, new JsonObject().put("alternate-exchange", "amq.fanout")));
        get(client.queueDeclare("vx-q", true, false, false, new JsonObject().put("x-max-priority", 5)));
        get(client.queueBind("vx-q", "vx", "a.*"));
        get(client.confirmSelect());
        for (int number = 0; number < 50; number++) {
            get(client.basicPublish("vx", "a.b", Buffer.buffer("m" + number)));
        }
        get(client.waitForConfirms(60_000));
        same(50L, (long) get(client.messageCount("vx-q")));
        RabbitMQMessage first = get(client.basicGet("vx-q", true));
        same("m0", first.body().toString());
        same(49, first.messageCount());
        get(client.queueDelete("vx-q"));
        get(client.exchangeDelete("vx"));
    }

    private static void consumes(RabbitMQClient client, Vertx vertx) throws Exception {
        get(client.queueDeclare("vx-acks", true, false, false));
        get(client.basicQos(3));
        List<RabbitMQMessage> held = Collections.synchronizedList(new ArrayList<>());
        RabbitMQConsumer consumer = get(client.basicConsumer("vx-acks", new QueueOptions().setAutoAck(false)));
        consumer.handler(held::add);
        for (int number = 0; number < 10; number++) {
            get(client.basicPublish("", "vx-acks", Buffer.buffer("m" + number)));
        }
        waitFor(() -> held.size() == 3, () -> "three, but " + held.size());
        get(client.basicNack(held.get(0).envelope().getDeliveryTag(), false, true));
        waitFor(() -> held.size() == 4, () -> "the one given back");
        same("m0", held.get(3).body().toString());
        that(held.get(3).envelope().isRedeliver(), "not marked as redelivered");
        get(client.basicAck(held.get(3).envelope().getDeliveryTag(), true));
        waitFor(() -> held.size() == 7, () -> "three more, but " + held.size());
        get(consumer.cancel());
        get(client.queueDelete("vx-acks"));
    }

    private static void refusals(RabbitMQClient client, Vertx vertx) throws Exception {
        try {
            get(client.messageCount("vx-no-such"));
            throw new AssertionError("counted a queue that is not there");
        } catch (java.util.concurrent.ExecutionException refused) {
            that(String.valueOf(refused.getCause().getCause()).contains("reply-code=404"), "another refusal: " + refused.getCause().getCause());
        }
        // The client opens another channel.
        get(client.queueDeclare("vx-after", false, false, true));
        get(client.queueDelete("vx-after"));
    }

    private static void killed(RabbitMQClient client, Vertx vertx) throws Exception {
        get(client.queueDeclare("vx-lasting", true, false, false));
        Set<String> seen = new ConcurrentSkipListSet<>();
        get(client.basicConsumer("vx-lasting", new QueueOptions().setAutoAck(true))).handler(message -> seen.add(message.body().toString()));
        get(client.basicPublish("", "vx-lasting", Buffer.buffer("before")));
        waitFor(() -> seen.contains("before"), () -> "before");
        Checks.broker("kill");
        Checks.broker("start");
        // What is published while the client looks for the broker is lost.
        waitFor(() -> {
            client.basicPublish("", "vx-lasting", Buffer.buffer("after"));
            return seen.contains("after");
        }, () -> "after");
    }
}
