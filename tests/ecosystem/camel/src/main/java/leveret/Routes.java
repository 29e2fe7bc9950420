package leveret;

import static leveret.Checks.same;
import static leveret.Checks.that;
import static leveret.Checks.waitFor;

import java.net.URI;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.camel.CamelContext;
import org.apache.camel.ExchangePattern;
import org.apache.camel.ProducerTemplate;
import org.apache.camel.builder.RouteBuilder;
import org.apache.camel.impl.DefaultCamelContext;
import org.springframework.amqp.rabbit.connection.CachingConnectionFactory;
import org.springframework.amqp.rabbit.core.RabbitAdmin;

/** Camel's routes from and to exchanges. */
final class Routes {
    private static final List<String> SEEN = Collections.synchronizedList(new ArrayList<>());

    private Routes() {
    }

    interface Act {
        void run(CamelContext camel, ProducerTemplate template, RabbitAdmin admin) throws Exception;
    }

    static void all(List<String> wanted) {
        check(wanted, "camel-routes-by-exchanges", Routes::routed, "spring-rabbitmq:orders?queues=camel-orders&routingKey=order.%23&exchangeType=topic&arg.queue.durable=true");
        check(wanted, "camel-headers-exchange-and-queue-arguments", Routes::headers,
            "spring-rabbitmq:sorted?queues=camel-sorted&exchangeType=headers&arg.binding.x-match=all&arg.binding.kind=new&arg.queue.x-max-length=100&arg.queue.x-message-ttl=60000");
        check(wanted, "camel-requests-are-answered", Routes::replies, "spring-rabbitmq:questions?queues=camel-questions&routingKey=ask");
        check(wanted, "camel-retries-then-dead-letter-queue", Routes::deadLetters,
            "spring-rabbitmq:failing?queues=camel-failing&routingKey=f&maximumRetryAttempts=3&retryDelay=50&rejectAndDontRequeue=true&deadLetterExchange=camel-dead&deadLetterQueue=camel-dead-letters&deadLetterRoutingKey=dead&deadLetterExchangeType=direct");
        check(wanted, "camel-several-consumers-and-prefetch", Routes::concurrent, "spring-rabbitmq:busy?queues=camel-busy&routingKey=b&concurrentConsumers=4&prefetchCount=5&messageListenerContainerType=SMLC");
        check(wanted, "camel-finds-a-killed-broker-again", Routes::killed, "spring-rabbitmq:lasting?queues=camel-lasting&routingKey=l&arg.queue.durable=true&arg.queue.autoDelete=false&arg.exchange.durable=true&arg.exchange.autoDelete=false");
    }

    /** A context with one route from this endpoint, which notes what it sees, while the check runs. */
    private static void check(List<String> wanted, String name, Act act, String from) {
        Checks.check(wanted, name, () -> {
            SEEN.clear();
            CachingConnectionFactory factory = new CachingConnectionFactory(URI.create(Checks.URL));
            try (CamelContext camel = new DefaultCamelContext()) {
                camel.getRegistry().bind("connectionFactory", factory);
                camel.addRoutes(new RouteBuilder() {
                    @Override
                    public void configure() {
                        from(from + (from.contains("autoDeclare") ? "" : "&autoDeclare=true")).process(exchange -> {
                            String body = exchange.getMessage().getBody(String.class);
                            SEEN.add(body);
                            if (body.startsWith("bad")) {
                                throw new IllegalStateException("on purpose");
                            }
                            exchange.getMessage().setBody(body.toUpperCase());
                        });
                    }
                });
                camel.start();
                act.run(camel, camel.createProducerTemplate(), new RabbitAdmin(factory));
            }
            factory.destroy();
        });
    }

    private static void routed(CamelContext camel, ProducerTemplate template, RabbitAdmin admin) throws Exception {
        for (int number = 0; number < 100; number++) {
            template.sendBodyAndHeader("spring-rabbitmq:orders?exchangeType=topic", "m" + number, "CamelSpringRabbitmqRoutingOverrideKey", number % 2 == 0 ? "order.new.x" : "other");
        }
        waitFor(() -> SEEN.size() == 50, () -> "50, but " + SEEN.size());
        that(SEEN.get(49).equals("m98"), "out of order");
    }

    private static void headers(CamelContext camel, ProducerTemplate template, RabbitAdmin admin) throws Exception {
        template.sendBodyAndHeaders("spring-rabbitmq:sorted?exchangeType=headers", "yes", Map.of("kind", "new", "more", 5));
        template.sendBodyAndHeaders("spring-rabbitmq:sorted?exchangeType=headers", "no", Map.of("kind", "old"));
        template.sendBodyAndHeaders("spring-rabbitmq:sorted?exchangeType=headers", "last", Map.of("kind", "new"));
        waitFor(() -> SEEN.contains("last"), () -> "the last");
        same(List.of("yes", "last"), SEEN);
    }

    private static void replies(CamelContext camel, ProducerTemplate template, RabbitAdmin admin) {
        for (int number = 0; number < 50; number++) {
            same("M" + number, template.requestBody("spring-rabbitmq:questions?routingKey=ask&replyTimeout=60000", "m" + number, String.class));
        }
    }

    private static void deadLetters(CamelContext camel, ProducerTemplate template, RabbitAdmin admin) throws Exception {
        template.sendBody("spring-rabbitmq:failing?routingKey=f", "bad");
        waitFor(() -> admin.getQueueInfo("camel-dead-letters").getMessageCount() == 1, () -> "a dead letter; attempts: " + SEEN.size());
        same(3, SEEN.size());
        same(0, admin.getQueueInfo("camel-failing").getMessageCount());
    }

    private static void concurrent(CamelContext camel, ProducerTemplate template, RabbitAdmin admin) throws Exception {
        waitFor(() -> admin.getQueueInfo("camel-busy").getConsumerCount() == 4, () -> "four consumers");
        for (int number = 0; number < 200; number++) {
            template.sendBody("spring-rabbitmq:busy?routingKey=b", ExchangePattern.InOnly, "m" + number);
        }
        waitFor(() -> SEEN.size() == 200, () -> "200, but " + SEEN.size());
        waitFor(() -> admin.getQueueInfo("camel-busy").getMessageCount() == 0, () -> "an empty queue");
    }

    private static void killed(CamelContext camel, ProducerTemplate template, RabbitAdmin admin) throws Exception {
        template.sendBody("spring-rabbitmq:lasting?routingKey=l", "before");
        waitFor(() -> SEEN.contains("before"), () -> "before");
        Checks.broker("kill");
        Checks.broker("start");
        AtomicInteger failures = new AtomicInteger();
        waitFor(() -> {
            try {
                template.sendBody("spring-rabbitmq:lasting?routingKey=l", "after");
                return true;
            } catch (RuntimeException dead) {
                return failures.incrementAndGet() < 0;
            }
        }, () -> "sent again");
        waitFor(() -> SEEN.contains("after"), () -> "after");
    }
}
