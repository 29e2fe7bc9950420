package leveret;

import java.util.List;

/** {@code Main [CHECK..]} */
public final class Main {
    private Main() {
    }

    public static void main(String[] arguments) {
        List<String> wanted = List.of(arguments);
        Streams.all(wanted);
        Amqp.all(wanted);
        System.exit(0);
    }
}
