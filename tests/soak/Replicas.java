import io.trino.jdbc.TrinoStatement;

import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import java.util.UUID;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.LockSupport;

/**
 * Queries on end, from many threads at a time, each result checked by count and checksum. Every fifth thread has a long query,
 * whose client takes its time: it lives for a quarter of a minute. Each query carries a comment of its own, so that whoever lists
 * the coordinators' queries sees one that ran twice. Arguments: URL, threads, seconds, and maybe a file that ends them earlier
 * when it is there. The last line: `queries N, first calls lost N, broken N, wrong N, longest N s`. A query is lost at its first
 * call when the driver never heard of it: nothing was promised to it, and the driver does not repeat that call. It is broken when
 * it fails later, and wrong when a row is lost, repeated or changed.
 */
public class Replicas
{
    private static final String COLUMNS = "SELECT orderkey, custkey, totalprice, comment FROM ";
    private static final String SHORT = COLUMNS + "tpch.tiny.orders";
    private static final String LONG = COLUMNS + "tpch.sf1.orders WHERE orderkey <= 600000";
    /** Rows between two pauses of a millisecond while a long one is read: of its 150,000 rows, 15 s. */
    private static final int ROWS_PER_MILLISECOND = 10;
    private static final String RUN = UUID.randomUUID().toString().substring(0, 8);
    private static final AtomicInteger SENT = new AtomicInteger();
    private static final AtomicLong LONGEST = new AtomicLong();
    private static final AtomicInteger QUERIES = new AtomicInteger();
    private static final AtomicInteger LOST = new AtomicInteger();
    private static final AtomicInteger BROKEN = new AtomicInteger();
    private static final AtomicInteger WRONG = new AtomicInteger();

    public static void main(String[] arguments)
            throws Exception
    {
        String url = arguments[0];
        int threads = Integer.parseInt(arguments[1]);
        long end = System.nanoTime() + Long.parseLong(arguments[2]) * 1_000_000_000L;
        String ofShort = undisturbed(url, SHORT);
        String ofLong = undisturbed(url, LONG);
        System.out.println("each result: " + ofShort + "; of a long one: " + ofLong);
        List<Thread> running = new ArrayList<>();
        for (int index = 0; index < threads; index++) {
            boolean isLong = index % 5 == 4;
            running.add(Thread.ofPlatform().start(() -> {
                while (System.nanoTime() < end && !(arguments.length > 3 && Files.exists(Path.of(arguments[3])))) {
                    one(url, isLong ? LONG : SHORT, isLong ? ofLong : ofShort);
                }
            }));
        }
        for (Thread thread : running) {
            thread.join();
        }
        System.out.printf("queries %d, first calls lost %d, broken %d, wrong %d, longest %d s%n", QUERIES.get(), LOST.get(), BROKEN.get(), WRONG.get(), LONGEST.get() / 1_000_000_000);
        System.exit(BROKEN.get() + WRONG.get() == 0 && QUERIES.get() > 0 ? 0 : 1);
    }

    private static String undisturbed(String url, String query)
            throws SQLException
    {
        try (Connection connection = connect(url); var statement = connection.createStatement()) {
            return read(statement.executeQuery(query), false);
        }
    }

    private static void one(String url, String query, String expected)
    {
        long begin = System.nanoTime();
        AtomicBoolean known = new AtomicBoolean();
        try (Connection connection = connect(url); var statement = connection.createStatement()) {
            // Called with each page, the first one included.
            statement.unwrap(TrinoStatement.class).setProgressMonitor(stats -> known.set(true));
            String comment = " -- soak " + RUN + " " + SENT.incrementAndGet();
            String seen = read(statement.executeQuery(query + comment), query.equals(LONG));
            QUERIES.incrementAndGet();
            LONGEST.accumulateAndGet(System.nanoTime() - begin, Math::max);
            if (!seen.equals(expected)) {
                WRONG.incrementAndGet();
                System.out.println("WRONG: " + seen);
            }
        }
        catch (SQLException e) {
            if (known.get()) {
                BROKEN.incrementAndGet();
                System.out.println("BROKEN: " + chain(e));
            }
            else {
                LOST.incrementAndGet();
                System.out.println("first call lost: " + chain(e));
            }
        }
    }

    private static Connection connect(String url)
            throws SQLException
    {
        Properties properties = new Properties();
        properties.setProperty("user", "soak");
        return DriverManager.getConnection(url, properties);
    }

    /** The count, and a sum that changes with any value but not with the order of rows. */
    private static String read(ResultSet rows, boolean slowly)
            throws SQLException
    {
        long count = 0;
        long sum = 0;
        while (rows.next()) {
            long hash = 17;
            for (int column = 1; column <= 4; column++) {
                hash = hash * 1_000_003 + rows.getObject(column).hashCode();
            }
            sum += hash * hash;
            count++;
            if (slowly && count % ROWS_PER_MILLISECOND == 0) {
                LockSupport.parkNanos(1_000_000);
            }
        }
        return count + " rows, " + Long.toHexString(sum);
    }

    private static String chain(Throwable error)
    {
        StringBuilder text = new StringBuilder();
        for (Throwable cause = error; cause != null; cause = cause.getCause()) {
            text.append(text.isEmpty() ? "" : " <- ").append(cause.getClass().getSimpleName()).append(": ").append(cause.getMessage());
        }
        return text.toString();
    }
}
