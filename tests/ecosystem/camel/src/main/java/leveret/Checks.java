package leveret;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.List;
import java.util.function.BooleanSupplier;
import java.util.function.Supplier;

/** Waiting, and the line to the runner. */
final class Checks {
    static final String URL = System.getenv("AMQP_URL");
    private static final long LIMIT_NS = 90_000_000_000L;
    private static final BufferedReader ANSWERS = new BufferedReader(new InputStreamReader(System.in));

    private Checks() {
    }

    interface Act {
        void run() throws Exception;
    }

    /** Runs a check if it is wanted, and says what came of it. */
    static void check(List<String> wanted, String name, Act act) {
        if (!wanted.isEmpty() && !wanted.contains(name)) {
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

    static void waitFor(BooleanSupplier condition, Supplier<String> what) throws InterruptedException {
        long late = System.nanoTime() + LIMIT_NS;
        while (!condition.getAsBoolean()) {
            if (System.nanoTime() > late) {
                throw new AssertionError("still not: " + what.get());
            }
            Thread.sleep(20);
        }
    }

    static void same(Object wanted, Object found) {
        if (!wanted.equals(found)) {
            throw new AssertionError("wanted " + wanted + ", but " + found);
        }
    }

    static void that(boolean holds, String what) {
        if (!holds) {
            throw new AssertionError(what);
        }
    }

    /** Has the broker killed or started. */
    static void broker(String what) throws Exception {
        System.out.println("broker " + what);
        same("done", ANSWERS.readLine());
    }
}
