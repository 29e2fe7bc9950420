package leveret;

import static leveret.Checks.same;
import static leveret.Checks.that;
import static leveret.Checks.waitFor;

import java.net.URI;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.atomic.AtomicInteger;
import org.springframework.amqp.AmqpException;
import org.springframework.amqp.core.AcknowledgeMode;
import org.springframework.amqp.core.AnonymousQueue;
import org.springframework.amqp.core.BindingBuilder;
import org.springframework.amqp.core.ExchangeBuilder;
import org.springframework.amqp.core.Message;
import org.springframework.amqp.core.MessageListener;
import org.springframework.amqp.core.Queue;
import org.springframework.amqp.core.QueueBuilder;
import org.springframework.amqp.core.TopicExchange;
import org.springframework.amqp.rabbit.connection.CachingConnectionFactory;
import org.springframework.amqp.rabbit.core.RabbitAdmin;
import org.springframework.amqp.rabbit.core.RabbitTemplate;
import org.springframework.amqp.rabbit.listener.AbstractMessageListenerContainer;
import org.springframework.amqp.rabbit.listener.DirectMessageListenerContainer;
import org.springframework.amqp.rabbit.listener.SimpleMessageListenerContainer;
import org.springframework.amqp.rabbit.listener.adapter.MessageListenerAdapter;
import org.springframework.amqp.rabbit.transaction.RabbitTransactionManager;
import org.springframework.context.support.GenericApplicationContext;
import org.springframework.transaction.support.TransactionTemplate;

/** Spring AMQP without the rest. */
final class Amqp {
    private Amqp() {
    }

    static void all(List<String> wanted) {
        Checks.check(wanted, "amqp-admin", Amqp::admin);
        Checks.check(wanted, "amqp-admin-declares-again-after-a-kill", Amqp::declaresAgain);
        Checks.check(wanted, "amqp-simple-container-recovers", () -> recovers(new SimpleMessageListenerContainer(factory()), "simple"));
        Checks.check(wanted, "amqp-direct-container-recovers", () -> recovers(new DirectMessageListenerContainer(factory()), "direct"));
        Checks.check(wanted, "amqp-containers-outlive-a-deleted-queue", Amqp::deletedQueue);
        Checks.check(wanted, "amqp-container-scales-its-consumers", Amqp::scales);
        Checks.check(wanted, "amqp-acknowledge-modes", Amqp::acknowledgeModes);
        Checks.check(wanted, "amqp-transactions", Amqp::transactions);
        Checks.check(wanted, "amqp-transacted-container-takes-back", Amqp::transactedContainer);
        Checks.check(wanted, "amqp-direct-reply-to", () -> replies(template -> template.setUseDirectReplyToContainer(true)));
        Checks.check(wanted, "amqp-direct-reply-to-on-the-same-channel", () -> replies(template -> template.setUseDirectReplyToContainer(false)));
        Checks.check(wanted, "amqp-replies-in-temporary-queues", () -> replies(template -> template.setUseTemporaryReplyQueues(true)));
        Checks.check(wanted, "amqp-wait-for-confirms", Amqp::waitsForConfirms);
    }

    static CachingConnectionFactory factory() {
        CachingConnectionFactory factory = new CachingConnectionFactory(URI.create(Checks.URL));
        factory.setUsername("guest");
        factory.setPassword("guest");
        return factory;
    }

    /** An application context with these declarations, which the admin makes on each new connection. */
    static GenericApplicationContext context(CachingConnectionFactory factory, RabbitAdmin admin, Object... declarables) {
        GenericApplicationContext context = new GenericApplicationContext();
        int number = 0;
        for (Object declarable : declarables) {
            register(context, "declarable" + number++, declarable);
        }
        context.refresh();
        admin.setApplicationContext(context);
        admin.afterPropertiesSet();
        return context;
    }

    private static <T> void register(GenericApplicationContext context, String name, T bean) {
        @SuppressWarnings("unchecked")
        Class<T> type = (Class<T>) bean.getClass();
        context.registerBean(name, type, () -> bean);
    }

    private static int ready(RabbitAdmin admin, String queue) {
        Properties found = admin.getQueueProperties(queue);
        return found == null ? -1 : ((Number) found.get(RabbitAdmin.QUEUE_MESSAGE_COUNT)).intValue();
    }

    private static void admin() {
        CachingConnectionFactory factory = factory();
        RabbitAdmin admin = new RabbitAdmin(factory);
        same("named", admin.declareQueue(new Queue("named")));
        Queue unnamed = admin.declareQueue();
        that(unnamed.getName().startsWith("amq.gen-"), unnamed.getName());
        TopicExchange exchange = ExchangeBuilder.topicExchange("topics").build();
        admin.declareExchange(exchange);
        admin.declareBinding(BindingBuilder.bind(new Queue("named")).to(exchange).with("a.*"));
        new RabbitTemplate(factory).convertAndSend("topics", "a.b", "hello");
        same("hello", new RabbitTemplate(factory).receiveAndConvert("named", 30_000));
        same(0, admin.getQueueInfo("named").getConsumerCount());
        that(admin.getQueueProperties("no-such") == null, "a missing queue has properties");
        boolean refused = false;
        try {
            admin.declareQueue(new Queue("named", true, false, false, java.util.Map.of("x-max-length", 5)));
        } catch (AmqpException differs) {
            refused = String.valueOf(differs.getCause().getCause()).contains("PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue 'named' in vhost '/'");
        }
        that(refused, "another declaration was not refused");
        that(admin.deleteQueue("named") && admin.deleteExchange("topics"), "not deleted");
        factory.destroy();
    }

    private static void declaresAgain() throws Exception {
        CachingConnectionFactory factory = factory();
        RabbitAdmin admin = new RabbitAdmin(factory);
        TopicExchange transientExchange = new TopicExchange("fleeting", false, true);
        Queue exclusive = new AnonymousQueue(), transientQueue = QueueBuilder.nonDurable("fleeting-queue").autoDelete().build();
        try (var context = context(factory, admin, transientExchange, exclusive, transientQueue, BindingBuilder.bind(exclusive).to(transientExchange).with("#"),
                BindingBuilder.bind(transientQueue).to(transientExchange).with("#"))) {
            RabbitTemplate template = new RabbitTemplate(factory);
            for (String word : List.of("before", "after")) {
                template.convertAndSend("fleeting", "any", word);
                same(word, template.receiveAndConvert(exclusive.getName(), 30_000));
                same(word, template.receiveAndConvert("fleeting-queue", 30_000));
                if (word.equals("before")) {
                    Checks.broker("kill");
                    Checks.broker("start");
                    // The old connection is found dead by the first who uses it.
                    waitFor(() -> {
                        try {
                            return admin.getQueueInfo("fleeting-queue") != null;
                        } catch (AmqpException dead) {
                            return false;
                        }
                    }, () -> "declared again");
                }
            }
        }
        factory.destroy();
    }

    private static void recovers(AbstractMessageListenerContainer container, String name) throws Exception {
        CachingConnectionFactory factory = factory();
        new RabbitAdmin(factory).declareQueue(new Queue(name + "-durable"));
        List<String> heard = Collections.synchronizedList(new ArrayList<>());
        container.setQueueNames(name + "-durable");
        container.setMessageListener((MessageListener) message -> heard.add(new String(message.getBody())));
        container.setRecoveryInterval(300);
        container.start();
        RabbitTemplate template = new RabbitTemplate(factory);
        template.convertAndSend(name + "-durable", "before");
        waitFor(() -> heard.contains("before"), () -> "before");
        Checks.broker("kill");
        Checks.broker("start");
        waitFor(() -> {
            try {
                template.convertAndSend(name + "-durable", "after");
                return true;
            } catch (AmqpException dead) {
                return false;
            }
        }, () -> "sent again");
        waitFor(() -> heard.contains("after"), () -> "after");
        container.stop();
        factory.destroy();
    }

    private static void deletedQueue() throws Exception {
        for (AbstractMessageListenerContainer container : List.of(new SimpleMessageListenerContainer(factory()), new DirectMessageListenerContainer(factory()))) {
            RabbitAdmin admin = new RabbitAdmin(factory());
            admin.declareQueue(new Queue("doomed"));
            AtomicInteger heard = new AtomicInteger();
            container.setQueueNames("doomed");
            container.setMissingQueuesFatal(false);
            container.setRecoveryInterval(200);
            container.setFailedDeclarationRetryInterval(200);
            container.setMessageListener((MessageListener) message -> heard.incrementAndGet());
            container.start();
            waitFor(() -> consumers(admin, "doomed") == 1, () -> "consumed");
            admin.deleteQueue("doomed");
            admin.declareQueue(new Queue("doomed"));
            new RabbitTemplate(admin.getRabbitTemplate().getConnectionFactory()).convertAndSend("doomed", "x");
            waitFor(() -> heard.get() == 1, () -> "heard by " + container.getClass().getSimpleName());
            container.stop();
            admin.deleteQueue("doomed");
        }
    }

    private static int consumers(RabbitAdmin admin, String queue) {
        var found = admin.getQueueInfo(queue);
        return found == null ? -1 : found.getConsumerCount();
    }

    private static void scales() throws Exception {
        CachingConnectionFactory factory = factory();
        RabbitAdmin admin = new RabbitAdmin(factory);
        admin.declareQueue(new Queue("busy"));
        RabbitTemplate template = new RabbitTemplate(factory);
        AtomicInteger heard = new AtomicInteger();
        SimpleMessageListenerContainer container = new SimpleMessageListenerContainer(factory);
        container.setQueueNames("busy");
        container.setConcurrentConsumers(1);
        container.setMaxConcurrentConsumers(4);
        container.setStartConsumerMinInterval(100);
        container.setConsecutiveActiveTrigger(2);
        container.setPrefetchCount(1);
        container.setMessageListener((MessageListener) message -> {
            try {
                Thread.sleep(20);
            } catch (InterruptedException stopped) {
                Thread.currentThread().interrupt();
            }
            heard.incrementAndGet();
        });
        for (int number = 0; number < 300; number++) {
            template.convertAndSend("busy", "m");
        }
        container.start();
        waitFor(() -> consumers(admin, "busy") == 4, () -> "four consumers");
        waitFor(() -> heard.get() == 300, () -> "all heard");
        container.stop();
        factory.destroy();
    }

    private static void acknowledgeModes() throws Exception {
        CachingConnectionFactory factory = factory();
        RabbitAdmin admin = new RabbitAdmin(factory);
        RabbitTemplate template = new RabbitTemplate(factory);
        for (AcknowledgeMode mode : AcknowledgeMode.values()) {
            String queue = "mode-" + mode;
            admin.declareQueue(new Queue(queue));
            AtomicInteger heard = new AtomicInteger();
            DirectMessageListenerContainer container = new DirectMessageListenerContainer(factory);
            container.setQueueNames(queue);
            container.setAcknowledgeMode(mode);
            container.setConsumersPerQueue(2);
            container.setMessagesPerAck(7);
            container.setAckTimeout(200);
            container.setMessageListener((org.springframework.amqp.rabbit.listener.api.ChannelAwareMessageListener) (message, channel) -> {
                heard.incrementAndGet();
                if (mode == AcknowledgeMode.MANUAL) {
                    channel.basicAck(message.getMessageProperties().getDeliveryTag(), false);
                }
            });
            container.start();
            for (int number = 0; number < 100; number++) {
                template.convertAndSend(queue, "m");
            }
            waitFor(() -> heard.get() == 100, () -> "all heard in mode " + mode);
            container.stop();
            // Nothing comes back when the consumers are gone.
            waitFor(() -> consumers(admin, queue) == 0, () -> "no consumers");
            same(0, ready(admin, queue));
        }
        factory.destroy();
    }

    private static void transactions() {
        CachingConnectionFactory factory = factory();
        RabbitAdmin admin = new RabbitAdmin(factory);
        admin.declareQueue(new Queue("accounts"));
        RabbitTemplate template = new RabbitTemplate(factory);
        template.setChannelTransacted(true);
        TransactionTemplate transaction = new TransactionTemplate(new RabbitTransactionManager(factory));
        try {
            transaction.executeWithoutResult(status -> {
                template.convertAndSend("accounts", "never");
                throw new IllegalStateException("rolled back");
            });
        } catch (IllegalStateException expected) {
            same(0, ready(admin, "accounts"));
        }
        transaction.executeWithoutResult(status -> {
            template.convertAndSend("accounts", "one");
            template.convertAndSend("accounts", "two");
            same(0, ready(admin, "accounts"));
        });
        same(2, ready(admin, "accounts"));
        // What was taken in a transaction that failed is there again.
        try {
            transaction.executeWithoutResult(status -> {
                same("one", template.receiveAndConvert("accounts"));
                throw new IllegalStateException("rolled back");
            });
        } catch (IllegalStateException expected) {
            same("one", template.receiveAndConvert("accounts", 30_000));
        }
        same("two", template.receiveAndConvert("accounts", 30_000));
        factory.destroy();
    }

    private static void transactedContainer() throws Exception {
        CachingConnectionFactory factory = factory();
        RabbitAdmin admin = new RabbitAdmin(factory);
        admin.declareQueue(new Queue("incoming"));
        admin.declareQueue(new Queue("outgoing"));
        RabbitTemplate template = new RabbitTemplate(factory);
        template.setChannelTransacted(true);
        List<Boolean> redelivered = Collections.synchronizedList(new ArrayList<>());
        SimpleMessageListenerContainer container = new SimpleMessageListenerContainer(factory);
        container.setQueueNames("incoming");
        container.setChannelTransacted(true);
        container.setTransactionManager(new RabbitTransactionManager(factory));
        container.setMessageListener((MessageListener) message -> {
            redelivered.add(message.getMessageProperties().isRedelivered());
            template.convertAndSend("outgoing", "from attempt " + redelivered.size());
            if (redelivered.size() < 3) {
                throw new IllegalStateException("not yet");
            }
        });
        container.start();
        new RabbitTemplate(factory).convertAndSend("incoming", "x");
        waitFor(() -> ready(admin, "outgoing") == 1, () -> "sent by the attempt that was committed");
        same(List.of(false, true, true), redelivered);
        same("from attempt 3", new RabbitTemplate(factory).receiveAndConvert("outgoing", 30_000));
        container.stop();
        same(0, ready(admin, "incoming"));
        factory.destroy();
    }

    private interface Setting {
        void apply(RabbitTemplate template);
    }

    private static void replies(Setting setting) throws Exception {
        CachingConnectionFactory factory = factory();
        new RabbitAdmin(factory).declareQueue(new Queue("questions"));
        SimpleMessageListenerContainer container = new SimpleMessageListenerContainer(factory);
        container.setQueueNames("questions");
        container.setConcurrentConsumers(3);
        container.setMessageListener(new MessageListenerAdapter(new Object() {
            @SuppressWarnings("unused")
            public String handleMessage(String question) {
                return question + "!";
            }
        }));
        container.start();
        RabbitTemplate template = new RabbitTemplate(factory);
        setting.apply(template);
        template.setReplyTimeout(60_000);
        List<Thread> askers = new ArrayList<>();
        List<Object> wrong = Collections.synchronizedList(new ArrayList<>());
        for (int asker = 0; asker < 8; asker++) {
            String name = "asker" + asker;
            askers.add(new Thread(() -> {
                for (int number = 0; number < 25; number++) {
                    Object answer = template.convertSendAndReceive("questions", name + "-" + number);
                    if (!(name + "-" + number + "!").equals(answer)) {
                        wrong.add(String.valueOf(answer));
                    }
                }
            }));
        }
        askers.forEach(Thread::start);
        for (Thread asker : askers) {
            asker.join();
        }
        same(List.of(), wrong);
        Message timedOut = sendWithoutAnswer(template);
        that(timedOut == null, "an answer from nobody");
        template.stop();
        container.stop();
        factory.destroy();
    }

    private static Message sendWithoutAnswer(RabbitTemplate template) {
        template.setReplyTimeout(200);
        new RabbitAdmin(template.getConnectionFactory()).declareQueue(new Queue("unanswered"));
        return template.sendAndReceive("unanswered", new Message("x".getBytes()));
    }

    private static void waitsForConfirms() {
        CachingConnectionFactory factory = factory();
        factory.setPublisherConfirmType(CachingConnectionFactory.ConfirmType.SIMPLE);
        RabbitAdmin admin = new RabbitAdmin(factory);
        admin.declareQueue(new Queue("sure"));
        RabbitTemplate template = new RabbitTemplate(factory);
        boolean confirmed = template.invoke(operations -> {
            for (int number = 0; number < 500; number++) {
                operations.convertAndSend("sure", "m" + number);
            }
            return operations.waitForConfirms(60_000);
        });
        that(confirmed, "not confirmed");
        same(500, ready(admin, "sure"));
        admin.purgeQueue("sure");
        factory.destroy();
    }
}
