package leveret;

import static leveret.Checks.same;
import static leveret.Checks.that;
import static leveret.Checks.waitFor;

import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.function.Function;
import org.springframework.amqp.core.Queue;
import org.springframework.amqp.rabbit.connection.CorrelationData;
import org.springframework.amqp.rabbit.core.RabbitAdmin;
import org.springframework.amqp.rabbit.core.RabbitTemplate;
import org.springframework.boot.WebApplicationType;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.boot.builder.SpringApplicationBuilder;
import org.springframework.cloud.stream.binding.BindingsLifecycleController;
import org.springframework.cloud.stream.function.StreamBridge;
import org.springframework.context.ConfigurableApplicationContext;
import org.springframework.context.annotation.Bean;
import org.springframework.core.env.Environment;
import org.springframework.integration.support.MessageBuilder;
import org.springframework.messaging.Message;

/** Spring Cloud Stream: an application for each check, with the bindings that it takes. */
final class Streams {
    /** What functions saw, by the name of the application's instance. */
    static final Map<String, List<String>> SEEN = new ConcurrentHashMap<>();

    private Streams() {
    }

    static List<String> seen(String who) {
        return SEEN.computeIfAbsent(who, any -> Collections.synchronizedList(new ArrayList<>()));
    }

    @SpringBootApplication
    static class Application {
        @Bean
        Consumer<Message<String>> note(Environment environment) {
            String who = environment.getProperty("who");
            return message -> {
                seen(who).add(message.getPayload());
                if (message.getPayload().startsWith("bad")) {
                    throw new IllegalStateException("bad message");
                }
            };
        }

        @Bean
        Consumer<List<String>> batch(Environment environment) {
            String who = environment.getProperty("who");
            return messages -> seen(who).add(messages.size() + "");
        }

        @Bean
        Function<String, String> upper() {
            return String::toUpperCase;
        }
    }

    /** Starts an application: `settings` are below `spring.cloud.stream` unless they begin with `/`. */
    static ConfigurableApplicationContext start(String who, Map<String, Object> settings) {
        Map<String, Object> all = new HashMap<>(Map.of(
            "spring.rabbitmq.addresses", Checks.URL, "who", who, "spring.main.banner-mode", "off", "logging.level.root", "WARN", "spring.jmx.enabled", "false",
            "spring.cloud.stream.rabbit.bindings.note-in-0.consumer.recoveryInterval", 500));
        settings.forEach((key, value) -> all.put(key.startsWith("/") ? key.substring(1) : "spring.cloud.stream." + key, value));
        all.putIfAbsent("spring.cloud.function.definition", "note");
        return new SpringApplicationBuilder(Application.class).web(WebApplicationType.NONE).properties(all).run();
    }

    static Map<String, Object> input(String destination, String group, Object... more) {
        Map<String, Object> settings = new HashMap<>(Map.of("bindings.note-in-0.destination", destination));
        if (group != null) {
            settings.put("bindings.note-in-0.group", group);
        }
        for (int at = 0; at < more.length; at += 2) {
            settings.put((String) more[at], more[at + 1]);
        }
        return settings;
    }

    static boolean send(ConfigurableApplicationContext app, String destination, Object payload) {
        return app.getBean(StreamBridge.class).send(destination, payload);
    }

    static int waiting(ConfigurableApplicationContext app, String queue) {
        var found = new RabbitAdmin(app.getBean(RabbitTemplate.class)).getQueueInfo(queue);
        return found == null ? -1 : found.getMessageCount();
    }

    static void all(List<String> wanted) {
        Checks.check(wanted, "stream-groups-share-and-anonymous-ones-get-all", Streams::groups);
        Checks.check(wanted, "stream-durable-groups-keep-what-came-meanwhile", Streams::durable);
        Checks.check(wanted, "stream-processors-send-on", Streams::processor);
        Checks.check(wanted, "stream-retries-then-dead-letter-queue", Streams::deadLetters);
        Checks.check(wanted, "stream-republish-to-dead-letter-queue", Streams::republish);
        Checks.check(wanted, "stream-dead-letters-come-back-after-a-time", Streams::retryQueue);
        Checks.check(wanted, "stream-partitions", Streams::partitions);
        Checks.check(wanted, "stream-batches", Streams::batches);
        Checks.check(wanted, "stream-delayed-exchange", Streams::delayed);
        Checks.check(wanted, "stream-quorum-queues", Streams::quorum);
        Checks.check(wanted, "stream-priorities-ttl-and-single-active-consumer", Streams::queueSettings);
        Checks.check(wanted, "stream-publisher-confirms", Streams::confirms);
        Checks.check(wanted, "stream-missing-queue-is-refused-until-it-is-there", Streams::missing);
        Checks.check(wanted, "stream-existing-destinations-only", Streams::existing);
        Checks.check(wanted, "stream-killed-broker-is-found-again", Streams::killed);
    }

    private static void groups() throws Exception {
        try (var one = start("g1", input("groups", "shared")); var two = start("g2", input("groups", "shared")); var other = start("g3", input("groups", null))) {
            for (int number = 0; number < 100; number++) {
                send(other, "groups", "m" + number);
            }
            waitFor(() -> seen("g1").size() + seen("g2").size() == 100 && seen("g3").size() == 100, () -> "100 each: " + SEEN);
            that(!seen("g1").isEmpty() && !seen("g2").isEmpty(), "one of the group got all");
        }
    }

    private static void durable() throws Exception {
        start("d1", input("lasting", "kept")).close();
        try (var sender = start("d2", input("elsewhere", "any"))) {
            send(sender, "lasting", "while-away");
        }
        try (var again = start("d3", input("lasting", "kept"))) {
            waitFor(() -> seen("d3").contains("while-away"), () -> "there: " + seen("d3"));
        }
    }

    private static void processor() throws Exception {
        try (var upper = start("p1", Map.of("bindings.upper-in-0.destination", "lower", "bindings.upper-in-0.group", "g", "bindings.upper-out-0.destination", "upper", "/spring.cloud.function.definition", "upper"));
             var sink = start("p2", input("upper", "sink"))) {
            send(sink, "lower", "abc");
            waitFor(() -> seen("p2").contains("ABC"), () -> "ABC: " + seen("p2"));
        }
    }

    private static void deadLetters() throws Exception {
        try (var app = start("dl", input("failing", "g", "bindings.note-in-0.consumer.maxAttempts", 3, "bindings.note-in-0.consumer.backOffInitialInterval", 50,
                "rabbit.bindings.note-in-0.consumer.autoBindDlq", true, "rabbit.bindings.note-in-0.consumer.republishToDlq", false))) {
            send(app, "failing", "bad1");
            waitFor(() -> waiting(app, "failing.g.dlq") == 1, () -> "a dead letter");
            same(3, seen("dl").size());
            var message = app.getBean(RabbitTemplate.class).receive("failing.g.dlq");
            Map<String, ?> death = message.getMessageProperties().getXDeathHeader().get(0);
            same("rejected", death.get("reason"));
            same("failing.g", death.get("queue"));
            same(1L, death.get("count"));
        }
    }

    private static void republish() throws Exception {
        try (var app = start("rp", input("republished", "g", "bindings.note-in-0.consumer.maxAttempts", 2, "bindings.note-in-0.consumer.backOffInitialInterval", 50,
                "rabbit.bindings.note-in-0.consumer.autoBindDlq", true, "rabbit.bindings.note-in-0.consumer.republishToDlq", true,
                "rabbit.bindings.note-in-0.consumer.republishDeliveyMode", "PERSISTENT"))) {
            send(app, "republished", "bad1");
            waitFor(() -> waiting(app, "republished.g.dlq") == 1, () -> "a dead letter");
            var message = app.getBean(RabbitTemplate.class).receive("republished.g.dlq");
            that(message.getMessageProperties().getHeader("x-exception-stacktrace").toString().contains("bad message"), "no stack trace");
            same("republished", message.getMessageProperties().getHeader("x-original-exchange"));
            same(0, waiting(app, "republished.g"));
        }
    }

    /** The documented cycle: the dead-letter queue expires messages back into the first one. */
    private static void retryQueue() throws Exception {
        try (var app = start("rq", input("cycle", "g", "bindings.note-in-0.consumer.maxAttempts", 1, "rabbit.bindings.note-in-0.consumer.autoBindDlq", true,
                "rabbit.bindings.note-in-0.consumer.republishToDlq", false, "rabbit.bindings.note-in-0.consumer.dlqTtl", 200, "rabbit.bindings.note-in-0.consumer.dlqDeadLetterExchange", ""))) {
            send(app, "cycle", "bad-again");
            waitFor(() -> seen("rq").size() >= 4, () -> "tried four times: " + seen("rq"));
        }
    }

    private static void partitions() throws Exception {
        Map<String, Object> first = partitioned(0), second = partitioned(1);
        try (var one = start("pt0", first); var two = start("pt1", second)) {
            var producer = start("pt-out", Map.of("/spring.cloud.function.definition", "upper", "bindings.upper-in-0.destination", "pt-source", "bindings.upper-in-0.group", "g",
                "bindings.upper-out-0.destination", "parts", "bindings.upper-out-0.producer.partitionKeyExpression", "payload.substring(0,2)",
                "bindings.upper-out-0.producer.partitionCount", 2));
            for (int number = 0; number < 100; number++) {
                send(one, "pt-source", "k" + number % 10 + "-" + number);
            }
            waitFor(() -> seen("pt0").size() + seen("pt1").size() == 100, () -> "100 in both: " + SEEN.keySet());
            producer.close();
        }
        // All of a key are in one partition, in order.
        Map<String, Integer> at = new TreeMap<>();
        for (int partition = 0; partition < 2; partition++) {
            Map<String, Integer> last = new HashMap<>();
            for (String payload : seen("pt" + partition)) {
                String key = payload.substring(0, 2);
                int number = Integer.parseInt(payload.substring(3));
                same(partition, at.merge(key, partition, (old, now) -> old));
                that(last.getOrDefault(key, -1) < number, "out of order: " + payload);
                last.put(key, number);
            }
        }
        same(10, at.size());
        that(at.containsValue(0) && at.containsValue(1), "one partition got all");
    }

    private static Map<String, Object> partitioned(int index) {
        return input("parts", "g", "bindings.note-in-0.consumer.partitioned", true, "instanceIndex", index, "instanceCount", 2);
    }

    private static void batches() throws Exception {
        try (var app = start("bt", Map.of("/spring.cloud.function.definition", "batch", "bindings.batch-in-0.destination", "batched", "bindings.batch-in-0.group", "g",
                "bindings.batch-in-0.consumer.batch-mode", true, "rabbit.bindings.batch-in-0.consumer.enable-batching", true,
                "rabbit.bindings.batch-in-0.consumer.batch-size", 10, "rabbit.bindings.batch-in-0.consumer.receive-timeout", 500,
                "rabbit.bindings.batch-in-0.consumer.prefetch", 20))) {
            for (int number = 0; number < 45; number++) {
                send(app, "batched", "m" + number);
            }
            waitFor(() -> total("bt") == 45, () -> "45 in batches: " + seen("bt"));
            that(seen("bt").contains("10") && seen("bt").stream().allMatch(size -> Integer.parseInt(size) <= 10), "other sizes: " + seen("bt"));
            waitFor(() -> waiting(app, "batched.g") == 0, () -> "all acknowledged");
        }
    }

    private static int total(String who) {
        synchronized (seen(who)) {
            return seen(who).stream().mapToInt(Integer::parseInt).sum();
        }
    }

    private static void delayed() throws Exception {
        try (var app = start("dx", input("postponed", "g", "rabbit.bindings.note-in-0.consumer.delayedExchange", true,
                "bindings.later.destination", "postponed", "rabbit.bindings.later.producer.delayedExchange", true,
                "rabbit.bindings.later.producer.delayExpression", "headers['wait']"))) {
            long begun = System.nanoTime();
            send(app, "later", MessageBuilder.withPayload("slow").setHeader("wait", 1500).build());
            send(app, "later", MessageBuilder.withPayload("soon").setHeader("wait", 300).build());
            waitFor(() -> seen("dx").size() == 2, () -> "both: " + seen("dx"));
            same(List.of("soon", "slow"), seen("dx"));
            that(System.nanoTime() - begun >= 1_500_000_000L, "too early");
        }
    }

    private static void quorum() throws Exception {
        try (var app = start("qq", input("quorate", "g", "rabbit.bindings.note-in-0.consumer.quorum.enabled", true, "rabbit.bindings.note-in-0.consumer.quorum.deliveryLimit", 3,
                "rabbit.bindings.note-in-0.consumer.autoBindDlq", true, "rabbit.bindings.note-in-0.consumer.dlqQuorum.enabled", true,
                "bindings.note-in-0.consumer.maxAttempts", 1, "rabbit.bindings.note-in-0.consumer.requeueRejected", true,
                "rabbit.bindings.note-in-0.consumer.republishToDlq", false))) {
            send(app, "quorate", "good");
            send(app, "quorate", "bad");
            waitFor(() -> waiting(app, "quorate.g.dlq") == 1, () -> "a dead letter after the delivery limit: " + seen("qq"));
            var death = app.getBean(RabbitTemplate.class).receive("quorate.g.dlq").getMessageProperties().getXDeathHeader().get(0);
            same("delivery_limit", death.get("reason"));
            same(4L, seen("qq").stream().filter("bad"::equals).count());
        }
    }

    private static void queueSettings() throws Exception {
        Map<String, Object> settings = input("settings", "g", "rabbit.bindings.note-in-0.consumer.maxPriority", 9, "rabbit.bindings.note-in-0.consumer.ttl", 60_000,
            "rabbit.bindings.note-in-0.consumer.singleActiveConsumer", true, "rabbit.bindings.note-in-0.consumer.maxLength", 100, "rabbit.bindings.note-in-0.consumer.overflowBehavior", "reject-publish",
            "rabbit.bindings.note-in-0.consumer.exchangeType", "topic", "rabbit.bindings.note-in-0.consumer.bindingRoutingKey", "a.#,b.*", "rabbit.bindings.note-in-0.consumer.bindingRoutingKeyDelimiter", ",");
        try (var one = start("st1", settings); var two = start("st2", settings)) {
            RabbitTemplate template = one.getBean(RabbitTemplate.class);
            for (String key : List.of("a.b.c", "b.c", "b.c.d", "c")) {
                template.convertAndSend("settings", key, key);
            }
            waitFor(() -> seen("st1").size() + seen("st2").size() == 2, () -> "two: " + SEEN);
            that(seen("st1").isEmpty() || seen("st2").isEmpty(), "two were active");
            that(seen("st1").containsAll(List.of("a.b.c", "b.c")) || seen("st2").containsAll(List.of("a.b.c", "b.c")), "others: " + SEEN);
        }
    }

    private static void confirms() throws Exception {
        try (var app = start("pc", input("confirmed", "g", "/spring.rabbitmq.publisher-confirm-type", "correlated", "/spring.rabbitmq.publisher-returns", true,
                "bindings.sure.destination", "confirmed", "rabbit.bindings.sure.producer.useConfirmHeader", true))) {
            CorrelationData known = new CorrelationData("1");
            send(app, "sure", MessageBuilder.withPayload("x").setHeader("amqp_publishConfirmCorrelation", known).build());
            that(known.getFuture().get(60, TimeUnit.SECONDS).isAck(), "not confirmed");
            that(known.getReturned() == null, "returned");
            waitFor(() -> seen("pc").contains("x"), () -> "there");
            // Nothing is bound there: returned before it is confirmed.
            CorrelationData lost = new CorrelationData("2");
            app.getBean(RabbitTemplate.class).setMandatory(true);
            app.getBean(RabbitTemplate.class).convertAndSend("confirmed-nowhere", "key", "y", lost);
            that(!lost.getFuture().get(60, TimeUnit.SECONDS).isAck(), "confirmed by a missing exchange");
            CorrelationData unrouted = new CorrelationData("3");
            app.getBean(RabbitTemplate.class).convertAndSend("", "no-such-queue", "z", unrouted);
            that(unrouted.getFuture().get(60, TimeUnit.SECONDS).isAck(), "not confirmed");
            same(312, unrouted.getReturned().getReplyCode());
        }
    }

    private static void missing() throws Exception {
        Map<String, Object> settings = input("absent", "g", "rabbit.bindings.note-in-0.consumer.bindQueue", false, "rabbit.bindings.note-in-0.consumer.declareExchange", false,
            "rabbit.bindings.note-in-0.consumer.missingQueuesFatal", true, "rabbit.bindings.note-in-0.consumer.queueNameGroupOnly", true, "bindings.note-in-0.group", "absent-queue",
            "rabbit.bindings.note-in-0.consumer.queueDeclarationRetries", 1, "rabbit.bindings.note-in-0.consumer.failedDeclarationRetryInterval", 100, "bindingRetryInterval", 1);
        try (var app = start("ms", settings)) {
            var bindings = app.getBean(BindingsLifecycleController.class);
            that(bindings.queryState("note-in-0").isEmpty(), "bound to a queue that is not there");
            // It is tried again every second.
            RabbitTemplate template = app.getBean(RabbitTemplate.class);
            new RabbitAdmin(template).declareQueue(new Queue("absent-queue"));
            template.convertAndSend("absent-queue", "found");
            waitFor(() -> seen("ms").contains("found"), () -> "bound once the queue is there");
        }
    }

    private static void existing() throws Exception {
        try (var maker = start("ex1", input("made", "g"))) {
            RabbitAdmin admin = new RabbitAdmin(maker.getBean(RabbitTemplate.class));
            admin.declareQueue(new Queue("by-hand"));
            try (var user = start("ex2", input("by-hand-exchange", "by-hand", "rabbit.bindings.note-in-0.consumer.bindQueue", false,
                    "rabbit.bindings.note-in-0.consumer.declareExchange", false, "rabbit.bindings.note-in-0.consumer.queueNameGroupOnly", true))) {
                maker.getBean(RabbitTemplate.class).convertAndSend("", "by-hand", "hello");
                waitFor(() -> seen("ex2").contains("hello"), () -> "heard");
                same(Boolean.FALSE, exists(maker, "by-hand-exchange"));
            }
        }
    }

    private static Boolean exists(ConfigurableApplicationContext app, String exchange) {
        try {
            return app.getBean(RabbitTemplate.class).execute(channel -> channel.exchangeDeclarePassive(exchange) != null);
        } catch (Exception refused) {
            return false;
        }
    }

    private static void killed() throws Exception {
        CountDownLatch done = new CountDownLatch(1);
        try (var group = start("kb1", input("surviving", "g")); var anonymous = start("kb2", input("surviving", null))) {
            send(group, "surviving", "before");
            waitFor(() -> seen("kb1").contains("before") && seen("kb2").contains("before"), () -> "both before");
            Checks.broker("kill");
            Checks.broker("start");
            Thread sender = new Thread(() -> {
                while (done.getCount() > 0) {
                    try {
                        send(group, "surviving", "after");
                        Thread.sleep(200);
                    } catch (Exception again) {
                        // The connection is not back yet.
                    }
                }
            });
            sender.setDaemon(true);
            sender.start();
            waitFor(() -> seen("kb1").contains("after") && seen("kb2").contains("after"), () -> "both after: " + seen("kb1") + seen("kb2"));
            done.countDown();
            sender.join();
        }
    }
}
