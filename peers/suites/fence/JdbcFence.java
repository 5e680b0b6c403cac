import java.sql.Connection;
import java.sql.DriverManager;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

/** Runs the class of docs/fencing.md on PostgreSQL, after check.py, which makes the tables. */
class JdbcFence {
    interface Check { void run() throws Exception; }

    static void check(String name, Check check) {
        try {
            check.run();
            System.out.println("ok java: " + name);
        } catch (Throwable error) {
            System.out.println("FAILED java: " + name + ": " + error);
        }
    }

    static void refused(Check step) throws Exception {
        try {
            step.run();
        } catch (IllegalStateException expected) {
            return;
        }
        throw new AssertionError("it was not refused");
    }

    public static void main(String[] args) throws Exception {
        var older = new DatabaseFence("java-a-0", 7);
        var newer = new DatabaseFence("java-a-0", 8);
        try (Connection one = DriverManager.getConnection(args[0]); Connection two = DriverManager.getConnection(args[0])) {
            check("a copy claims, and claims again", () -> {
                older.claim(one);
                older.claim(one);
            });
            check("a newer claim waits for the transaction of the older copy", () -> {
                one.setAutoCommit(false);
                older.check(one);
                var claim = CompletableFuture.runAsync(() -> {
                    try {
                        newer.claim(two);
                    } catch (Exception error) {
                        throw new RuntimeException(error);
                    }
                });
                try (var waiting = DriverManager.getConnection(args[0]); var ask = waiting.createStatement()) {
                    for (long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(30);;) {
                        var found = ask.executeQuery("SELECT count(*) FROM pg_locks WHERE NOT granted");
                        found.next();
                        if (found.getInt(1) > 0) break;
                        if (claim.isDone() || System.nanoTime() > end) throw new AssertionError("the claim did not wait");
                        Thread.onSpinWait();
                    }
                }
                one.commit();
                claim.get(30, TimeUnit.SECONDS);
            });
            check("the older copy is refused from then on", () -> {
                refused(() -> older.check(one));
                one.rollback();
                one.setAutoCommit(true);
                refused(() -> older.claim(one));
                newer.check(two);
            });
        }
    }
}
