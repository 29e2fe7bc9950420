package leveret;

import java.util.List;

/** {@code Main [CHECK..]} */
public final class Main {
    private Main() {
    }

    public static void main(String[] arguments) {
        List<String> wanted = List.of(arguments);
        Routes.all(wanted);
        VertxClient.all(wanted);
        System.exit(0);
    }
}
