package leveret;

import com.rabbitmq.client.AMQP.BasicProperties;
import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.ConnectionFactory;
import com.rabbitmq.client.GetResponse;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.apache.flink.api.common.restartstrategy.RestartStrategies;
import org.apache.flink.api.common.serialization.SimpleStringSchema;
import org.apache.flink.api.common.state.ListStateDescriptor;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.core.execution.JobClient;
import org.apache.flink.runtime.state.FunctionInitializationContext;
import org.apache.flink.runtime.state.FunctionSnapshotContext;
import org.apache.flink.streaming.api.CheckpointingMode;
import org.apache.flink.streaming.api.checkpoint.CheckpointedFunction;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.ProcessFunction;
import org.apache.flink.streaming.api.functions.sink.DiscardingSink;
import org.apache.flink.streaming.connectors.rabbitmq.RMQSink;
import org.apache.flink.streaming.connectors.rabbitmq.RMQSinkPublishOptions;
import org.apache.flink.streaming.connectors.rabbitmq.RMQSource;
import org.apache.flink.streaming.connectors.rabbitmq.SerializableReturnListener;
import org.apache.flink.streaming.connectors.rabbitmq.common.RMQConnectionConfig;
import org.apache.flink.util.Collector;

/** Jobs over ten thousand messages, some of which fail in the middle. {@code Main [CHECK..]} */
public final class Main {
    static final int MESSAGES = 10_000;
    private static final String END = "end";
    private static final long LIMIT_MS = 120_000;
    private static final BufferedReader ANSWERS = new BufferedReader(new InputStreamReader(System.in));
    /** How often a job's counting function failed on purpose, and what it counted when it ended; by job. */
    static final Map<String, AtomicInteger> FAILED = new ConcurrentHashMap<>();
    static final Map<String, AtomicInteger> PASSED = new ConcurrentHashMap<>();
    static final Map<String, long[]> COUNTED = new ConcurrentHashMap<>();

    private Main() {
    }

    interface Act {
        void run() throws Exception;
    }

    public static void main(String[] wanted) throws Exception {
        check(wanted, "source-counts-exactly-once-though-the-job-fails", Main::exactlyOnce);
        check(wanted, "source-counts-each-at-least-once-without-correlation-ids", Main::atLeastOnce);
        check(wanted, "source-counts-exactly-once-though-the-broker-is-restarted", Main::brokerStopped);
        check(wanted, "source-loses-none-though-the-broker-is-killed", Main::brokerKilled);
        check(wanted, "source-without-checkpoints", Main::withoutCheckpoints);
        check(wanted, "sink-has-all-though-the-job-fails", Main::sink);
        check(wanted, "sink-publishes-to-exchanges-and-hears-of-returns", Main::sinkOptions);
        System.exit(0);
    }

    private static void check(String[] wanted, String name, Act act) {
        if (wanted.length > 0 && !List.of(wanted).contains(name)) {
            return;
        }
        try {
            act.run();
            System.out.println("ok " + name);
        } catch (Throwable why) {
            why.printStackTrace(System.out);
            System.out.println("FAIL " + name + ": " + String.valueOf(why).lines().findFirst().orElse(""));
        }
    }

    private static void that(boolean holds, String what) {
        if (!holds) {
            throw new AssertionError(what);
        }
    }

    private static void broker(String what) throws Exception {
        System.out.println("broker " + what);
        that("done".equals(ANSWERS.readLine()), "the runner answers otherwise");
    }

    private static ConnectionFactory factory() throws Exception {
        ConnectionFactory factory = new ConnectionFactory();
        factory.setUri(System.getenv("AMQP_URL"));
        return factory;
    }

    private static RMQConnectionConfig config() {
        return new RMQConnectionConfig.Builder().setHost("127.0.0.1").setPort(Integer.parseInt(System.getenv("AMQP_PORT"))).setUserName("guest").setPassword("guest")
            .setVirtualHost("/").setPrefetchCount(2000).setAutomaticRecovery(false).build();
    }

    /** Numbers from 1 on as persistent messages, confirmed, and the word that ends the stream. */
    private static void fill(String queue, boolean ids) throws Exception {
        try (Connection connection = factory().newConnection()) {
            Channel channel = connection.createChannel();
            channel.queueDeclare(queue, true, false, false, null);
            channel.confirmSelect();
            for (int number = 1; number <= MESSAGES; number++) {
                publish(channel, queue, String.valueOf(number), ids);
            }
            publish(channel, queue, END, ids);
            channel.waitForConfirmsOrDie(60_000);
        }
    }

    private static void publish(Channel channel, String queue, String body, boolean id) throws Exception {
        channel.basicPublish("", queue, new BasicProperties.Builder().deliveryMode(2).correlationId(id ? body : null).build(), body.getBytes());
    }

    private static List<String> drain(String queue) throws Exception {
        List<String> bodies = new ArrayList<>();
        try (Connection connection = factory().newConnection()) {
            Channel channel = connection.createChannel();
            for (GetResponse got = channel.basicGet(queue, true); got != null; got = channel.basicGet(queue, true)) {
                bodies.add(new String(got.getBody()));
            }
        }
        return bodies;
    }

    private static final class Numbers extends SimpleStringSchema {
        @Override
        public boolean isEndOfStream(String next) {
            return next.equals(END);
        }
    }

    /** Adds numbers up, and fails once on purpose where it is told to. What it counted is in the checkpoints. */
    private static final class Counting extends ProcessFunction<String, String> implements CheckpointedFunction {
        private final String job;
        private final int failsAt;
        private long count;
        private long sum;
        private transient org.apache.flink.api.common.state.ListState<Long> state;

        Counting(String job, int failsAt) {
            this.job = job;
            this.failsAt = failsAt;
        }

        @Override
        public void processElement(String value, Context context, Collector<String> out) throws Exception {
            count++;
            sum += Long.parseLong(value);
            if (count == failsAt && FAILED.computeIfAbsent(job, any -> new AtomicInteger()).getAndIncrement() == 0) {
                throw new IllegalStateException("on purpose");
            }
            PASSED.computeIfAbsent(job, any -> new AtomicInteger()).incrementAndGet();
            // So that checkpoints come in between.
            if (count % 500 == 0) {
                Thread.sleep(60);
            }
            out.collect(value);
        }

        @Override
        public void snapshotState(FunctionSnapshotContext context) throws Exception {
            state.update(List.of(count, sum));
        }

        @Override
        public void initializeState(FunctionInitializationContext context) throws Exception {
            state = context.getOperatorStateStore().getListState(new ListStateDescriptor<>("counted", Long.class));
            List<Long> kept = new ArrayList<>();
            state.get().forEach(kept::add);
            if (!kept.isEmpty()) {
                count = kept.get(0);
                sum = kept.get(1);
            }
        }

        @Override
        public void close() {
            COUNTED.put(job, new long[] {count, sum});
        }
    }

    private static StreamExecutionEnvironment environment(boolean checkpoints) {
        StreamExecutionEnvironment environment = StreamExecutionEnvironment.createLocalEnvironment(1, new Configuration());
        environment.setRestartStrategy(RestartStrategies.fixedDelayRestart(30, 200));
        if (checkpoints) {
            environment.enableCheckpointing(100, CheckpointingMode.EXACTLY_ONCE);
        }
        return environment;
    }

    /** Runs a job that counts what is in a queue, until its end. */
    private static JobClient counting(String queue, boolean ids, boolean checkpoints, int failsAt) throws Exception {
        StreamExecutionEnvironment environment = environment(checkpoints);
        environment.addSource(new RMQSource<>(config(), queue, ids, new Numbers())).setParallelism(1).process(new Counting(queue, failsAt)).addSink(new DiscardingSink<>());
        return environment.executeAsync(queue);
    }

    private static void counted(String job, long count) {
        long[] found = COUNTED.get(job);
        that(found[0] == count && found[1] == (long) MESSAGES * (MESSAGES + 1) / 2, "counted " + found[0] + " with a sum of " + found[1]);
    }

    private static void allAcknowledged(String queue) throws Exception {
        List<String> left = drain(queue);
        that(left.isEmpty(), left.size() + " messages were left");
    }

    private static void exactlyOnce() throws Exception {
        fill("once", true);
        counting("once", true, true, MESSAGES / 2).getJobExecutionResult().get();
        counted("once", MESSAGES);
        that(FAILED.get("once").get() >= 1, "it did not fail");
        allAcknowledged("once");
    }

    private static void atLeastOnce() throws Exception {
        fill("least", false);
        counting("least", false, true, MESSAGES / 2).getJobExecutionResult().get();
        that(COUNTED.get("least")[0] >= MESSAGES, "some were lost: " + COUNTED.get("least")[0]);
        allAcknowledged("least");
    }

    /** Ends the broker in the middle of a job, and starts it again. */
    private static void interrupted(String queue, String how) throws Exception {
        fill(queue, true);
        JobClient job = counting(queue, true, true, -1);
        long late = System.currentTimeMillis() + LIMIT_MS;
        while (PASSED.getOrDefault(queue, new AtomicInteger()).get() < MESSAGES / 4) {
            that(System.currentTimeMillis() < late, "the job does not get on");
            Thread.sleep(5);
        }
        broker(how);
        that(PASSED.get(queue).get() < MESSAGES, "all was counted before the broker's end");
        broker("start");
        job.getJobExecutionResult().get();
        allAcknowledged(queue);
    }

    private static void brokerStopped() throws Exception {
        interrupted("stopped", "stop");
        counted("stopped", MESSAGES);
    }

    /** Acknowledgements just before a crash can be gone, here and on RabbitMQ, after Flink has forgotten what it acknowledged. */
    private static void brokerKilled() throws Exception {
        interrupted("killed", "kill");
        that(COUNTED.get("killed")[0] >= MESSAGES, "some were lost: " + COUNTED.get("killed")[0]);
    }

    private static void withoutCheckpoints() throws Exception {
        fill("plain", false);
        counting("plain", false, false, -1).getJobExecutionResult().get();
        counted("plain", MESSAGES);
        allAcknowledged("plain");
    }

    private static Set<String> numbers() {
        return IntStream.rangeClosed(1, MESSAGES).mapToObj(String::valueOf).collect(Collectors.toSet());
    }

    private static void sink() throws Exception {
        fill("to-sink", true);
        StreamExecutionEnvironment environment = environment(true);
        environment.addSource(new RMQSource<>(config(), "to-sink", true, new Numbers())).setParallelism(1).process(new Counting("to-sink", MESSAGES / 2))
            .addSink(new RMQSink<>(config(), "from-sink", new SimpleStringSchema()));
        environment.execute("to-sink");
        List<String> arrived = drain("from-sink");
        that(new HashSet<>(arrived).equals(numbers()), "some are missing: " + arrived.size());
        that(arrived.size() >= MESSAGES, "fewer than all");
    }

    private static final class Options implements RMQSinkPublishOptions<String> {
        @Override
        public String computeRoutingKey(String value) {
            return Integer.parseInt(value) % 2 == 0 ? "even" : "odd";
        }

        @Override
        public BasicProperties computeProperties(String value) {
            return new BasicProperties.Builder().deliveryMode(2).headers(Map.of("number", value)).build();
        }

        @Override
        public String computeExchange(String value) {
            return "parity";
        }

        @Override
        public boolean computeMandatory(String value) {
            return true;
        }
    }

    private static final class Returns implements SerializableReturnListener {
        private static final AtomicInteger COUNT = new AtomicInteger();

        @Override
        public void handleReturn(int code, String text, String exchange, String key, BasicProperties properties, byte[] body) {
            if (code == 312 && key.equals("odd")) {
                COUNT.incrementAndGet();
            }
        }
    }

    private static void sinkOptions() throws Exception {
        try (Connection connection = factory().newConnection()) {
            Channel channel = connection.createChannel();
            channel.exchangeDeclare("parity", "direct", true);
            channel.queueDeclare("evens", true, false, false, null);
            channel.queueBind("evens", "parity", "even");
        }
        StreamExecutionEnvironment environment = environment(false);
        environment.fromSequence(1, 1000).map(Main::lastWaitsForReturns).addSink(new RMQSink<>(config(), new SimpleStringSchema(), new Options(), new Returns()));
        environment.execute("options");
        Optional<String> odd = drain("evens").stream().filter(body -> Integer.parseInt(body) % 2 == 1).findAny();
        that(odd.isEmpty(), "an odd number among the even ones");
        that(Returns.COUNT.get() == 500, "returned " + Returns.COUNT.get());
    }

    /** The Java client drops what is returned once it closes its channel, which the sink does after the last one. */
    private static String lastWaitsForReturns(long number) throws Exception {
        long late = System.currentTimeMillis() + LIMIT_MS;
        while (number == 1000 && Returns.COUNT.get() < 500) {
            that(System.currentTimeMillis() < late, "returned " + Returns.COUNT.get());
            Thread.sleep(20);
        }
        return String.valueOf(number);
    }
}
