// The JDBC driver: metadata, parameters, sessions, errors, timeouts, cancels, large results, transactions, spooling.
// `java -cp trino-jdbc.jar Client.java FOLDER SET…`: each case of the sets writes what it saw to FOLDER/<name>.seen,
// without query ids and addresses, so that two runs can be compared; one that throws writes <name>.broken instead.

import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.sql.Connection;
import java.sql.Date;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.sql.Statement;
import java.sql.Timestamp;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Properties;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;

public class Client {
    private static final String LARGE = "SELECT * FROM tpch.sf1.lineitem LIMIT 200000";
    private static final String ENDLESS = "SELECT count(*) FROM tpch.sf10000.lineitem WHERE comment = 'never'";
    private static final String SPOOLED = "SELECT * FROM tpch.tiny.lineitem";
    private static final long DEADLINE = TimeUnit.SECONDS.toNanos(60);
    private static final long PAUSE = 100; // ms between two looks: each is a query that fills the coordinator's history
    private static final StringBuilder SEEN = new StringBuilder();

    interface Case { void run() throws Exception; }

    interface End { void on(Connection connection) throws SQLException; }

    record Named(String set, String name, Case run) {}

    private static final List<Named> CASES = List.of(
            new Named("read", "all-types", () -> query("", types())),
            new Named("read", "large-result", () -> query("", LARGE)),
            new Named("read", "fetch-size-and-limits", Client::fetchSizeAndLimits),
            new Named("read", "server-metadata", Client::serverMetadata),
            new Named("read", "tables-and-columns", Client::tablesAndColumns),
            new Named("read", "parameters-explicit-prepare", () -> parameters("explicitPrepare=true")),
            new Named("read", "parameters-execute-immediate", () -> parameters("explicitPrepare=false")),
            new Named("read", "session-in-the-address", Client::sessionInTheAddress),
            new Named("read", "session-changed", Client::sessionChanged),
            new Named("read", "errors", Client::errors),
            new Named("read", "cancel", Client::cancel),
            new Named("read", "close-early", Client::closeEarly),
            new Named("read", "timeout", Client::timeout),
            new Named("write", "tables", Client::tables),
            new Named("transaction", "committed", () -> transaction(Connection.TRANSACTION_READ_UNCOMMITTED, Connection::commit)),
            new Named("transaction", "rolled-back", () -> transaction(Connection.TRANSACTION_SERIALIZABLE, Connection::rollback)),
            new Named("transaction", "read-only", Client::readOnly),
            new Named("transaction", "aborted-by-an-error", Client::aborted),
            new Named("login", "one-for-each-connection", () -> logins("NONE")),
            new Named("login", "one-for-all-connections", () -> logins("MEMORY")),
            new Named("login", "a-wrong-token", Client::wrongToken),
            new Named("spooled", "large-result", () -> query("encoding=json%2Bzstd", SPOOLED)),
            new Named("spooled", "large-result-lz4", () -> query("encoding=json%2Blz4", SPOOLED)),
            new Named("spooled", "large-result-json", () -> query("encoding=json", SPOOLED)),
            new Named("spooled", "all-types", () -> query("encoding=json%2Bzstd", types())));

    public static void main(String[] arguments) throws Exception {
        Path folder = Path.of(arguments[0]);
        List<String> sets = Arrays.asList(arguments).subList(1, arguments.length);
        for (Named named : CASES) {
            if (!sets.contains(named.set)) {
                continue;
            }
            SEEN.setLength(0);
            String end = ".seen";
            try {
                named.run.run();
            } catch (Throwable thrown) {
                end = ".broken";
                StringWriter trace = new StringWriter();
                thrown.printStackTrace(new PrintWriter(trace));
                tell(trace);
            }
            Files.writeString(folder.resolve(named.set + "-" + named.name + end), SEEN);
        }
        System.exit(0); // threads of the driver that still poll a query that was given up are not waited for
    }

    private static void tell(Object... values) {
        SEEN.append(String.join(" ", Arrays.stream(values).map(String::valueOf).toList())).append('\n');
    }

    private static Connection connect(String settings) throws SQLException {
        return connectTo(System.getenv("GATEWAY"), "/", settings);
    }

    private static Connection connectTo(String address, String path, String settings) throws SQLException {
        Properties properties = new Properties();
        properties.setProperty("user", "clients");
        properties.setProperty("timezone", "UTC");
        String query = settings.isEmpty() ? "" : "?" + settings;
        return DriverManager.getConnection(address.replace("http://", "jdbc:trino://") + path + query, properties);
    }

    private static String types() throws Exception {
        return Files.readString(Path.of(System.getenv("CASES")).resolve("types.sql"));
    }

    private static void query(String settings, String sql) throws Exception {
        try (Connection connection = connect(settings); Statement statement = connection.createStatement()) {
            tellRows(statement.executeQuery(sql));
            tell("warnings", statement.getWarnings());
        }
    }

    /** Columns, types and all rows, in order; a long result as the sum of its rows. */
    private static void tellRows(ResultSet result) throws Exception {
        ResultSetMetaData meta = result.getMetaData();
        for (int column = 1; column <= meta.getColumnCount(); column++) {
            tell("column", meta.getColumnLabel(column), meta.getColumnTypeName(column), meta.getColumnType(column),
                    meta.getPrecision(column), meta.getScale(column), meta.getColumnClassName(column));
        }
        MessageDigest sum = MessageDigest.getInstance("SHA-256");
        StringBuilder first = new StringBuilder();
        int rows = 0;
        for (; result.next(); rows++) {
            StringBuilder row = new StringBuilder("row");
            for (int column = 1; column <= meta.getColumnCount(); column++) {
                row.append(" | ").append(text(result.getObject(column)));
            }
            sum.update(row.append('\n').toString().getBytes(StandardCharsets.UTF_8));
            if (rows < 1000) {
                first.append(row);
            }
        }
        SEEN.append(first);
        tell("rows", rows, HexFormat.of().formatHex(sum.digest()));
    }

    /** Each login opens the URL by xdg-open, which is a browser that logs in by itself, and notes it. */
    private static void logins(String cache) throws Exception {
        Path opened = Path.of(System.getenv("OPENED"));
        long before = Files.exists(opened) ? Files.readAllLines(opened).size() : 0;
        for (int connection = 0; connection < 2; connection++) {
            Properties properties = secured();
            properties.setProperty("externalAuthentication", "true");
            properties.setProperty("externalAuthenticationRedirectHandlers", "SYSTEM_OPEN");
            properties.setProperty("externalAuthenticationTokenCache", cache);
            asAnn(properties);
        }
        tell("logins", Files.readAllLines(opened).size() - before);
    }

    private static void wrongToken() throws Exception {
        Properties properties = secured();
        properties.setProperty("accessToken", "a.b.c");
        try {
            asAnn(properties);
        } catch (SQLException refused) {
            tell(refused.getErrorCode(), refused.getSQLState(), refused.getMessage());
            return;
        }
        throw new AssertionError("this was to fail");
    }

    private static Properties secured() {
        Properties properties = new Properties();
        properties.setProperty("user", "ann");
        properties.setProperty("SSL", "true");
        properties.setProperty("SSLTrustStorePath", System.getenv("CA"));
        return properties;
    }

    private static void asAnn(Properties properties) throws Exception {
        String url = System.getenv("GATEWAY").replace("https://", "jdbc:trino://");
        try (Connection connection = DriverManager.getConnection(url, properties); Statement statement = connection.createStatement()) {
            tellRows(statement.executeQuery("SELECT current_user"));
            tellRows(statement.executeQuery("SELECT * FROM tpch.tiny.orders LIMIT 5000"));
            tell(connection.getMetaData().getUserName(), connection.getMetaData().getDatabaseProductVersion());
        }
    }

    private static String text(Object value) throws SQLException {
        return switch (value) {
            case null -> "null";
            case byte[] bytes -> HexFormat.of().formatHex(bytes);
            case java.sql.Array array -> Arrays.deepToString((Object[]) array.getArray());
            default -> value + " " + value.getClass().getSimpleName();
        };
    }

    private static void fetchSizeAndLimits() throws Exception {
        try (Connection connection = connect(""); Statement statement = connection.createStatement()) {
            statement.setFetchSize(100);
            statement.setMaxRows(5000);
            tellRows(statement.executeQuery("SELECT * FROM tpch.sf1.orders"));
        }
    }

    private static void serverMetadata() throws Exception {
        try (Connection connection = connect("")) {
            var meta = connection.getMetaData();
            tell(meta.getDatabaseProductName(), meta.getDatabaseProductVersion(), meta.getDriverVersion(), meta.getUserName());
            tellRows(meta.getCatalogs());
            tellRows(meta.getTableTypes());
            tellRows(meta.getTypeInfo());
            tell(connection.isValid(10), connection.getCatalog(), connection.getSchema(), connection.getTransactionIsolation());
        }
    }

    private static void tablesAndColumns() throws Exception {
        try (Connection connection = connect("")) {
            var meta = connection.getMetaData();
            tellRows(meta.getSchemas("tpch", "%"));
            tellRows(meta.getTables("tpch", "tiny", "%", null));
            tellRows(meta.getTables("tpch", "sf1", "or%", new String[] {"TABLE"}));
            tellRows(meta.getColumns("tpch", "tiny", "%", "%key"));
        }
    }

    private static void parameters(String settings) throws Exception {
        String sql = "SELECT ?, ?, ?, ?, ?, ?, ?, ?";
        try (Connection connection = connect(settings); PreparedStatement statement = connection.prepareStatement(sql)) {
            for (int turn = 0; turn < 3; turn++) {
                statement.setLong(1, Long.MAX_VALUE - turn);
                statement.setString(2, "it's ? ü");
                statement.setNull(3, java.sql.Types.VARCHAR);
                statement.setBoolean(4, turn == 1);
                statement.setBytes(5, new byte[] {0, -1});
                statement.setBigDecimal(6, new java.math.BigDecimal("12345678901234567890.10"));
                statement.setDate(7, Date.valueOf("2024-02-29"));
                statement.setTimestamp(8, Timestamp.valueOf("2024-02-29 12:34:56.789"));
                tellRows(statement.executeQuery());
            }
        }
        sql = "SELECT name FROM tpch.tiny.nation WHERE regionkey = ? ORDER BY name";
        try (Connection connection = connect(settings);
                PreparedStatement one = connection.prepareStatement(sql);
                PreparedStatement two = connection.prepareStatement(sql + " DESC LIMIT 2")) {
            tell(one.getParameterMetaData().getParameterCount(), one.getParameterMetaData().getParameterTypeName(1));
            tell(one.getMetaData().getColumnTypeName(1));
            for (int region = 0; region < 3; region++) {
                one.setInt(1, region);
                two.setInt(1, region);
                tellRows(one.executeQuery());
                tellRows(two.executeQuery());
            }
        }
    }

    private static void sessionInTheAddress() throws Exception {
        String settings = "sessionProperties=query_max_run_time:7m;task_concurrency:2&clientTags=one,two&source=nightly"
                + "&clientInfo=who%20asks&traceToken=token&applicationNamePrefix=app-&extraCredentials=a:b";
        try (Connection connection = connectTo(System.getenv("GATEWAY"), "/tpch/tiny", settings);
                Statement statement = connection.createStatement()) {
            tell(connection.getCatalog(), connection.getSchema());
            for (String sql : List.of("SELECT current_catalog, current_schema, current_user, current_timezone()",
                    "SELECT count(*) FROM orders", "SHOW SESSION LIKE 'query_max_run_time'", "SHOW SESSION LIKE 'task_concurrency'",
                    source())) {
                tellRows(statement.executeQuery(sql));
            }
        }
    }

    private static String source() {
        return "SELECT source FROM system.runtime.queries WHERE query LIKE '%" + UUID.randomUUID() + "%'";
    }

    private static void sessionChanged() throws Exception {
        try (Connection connection = connect(""); Statement statement = connection.createStatement()) {
            statement.execute("SET SESSION query_max_run_time = '9m'");
            statement.execute("SET TIME ZONE 'Asia/Kolkata'");
            tellRows(statement.executeQuery("SHOW SESSION LIKE 'query_max_run_time'"));
            tellRows(statement.executeQuery("SELECT current_timezone()"));
            statement.execute("USE tpch.sf1");
            tellRows(statement.executeQuery("SELECT count(*) FROM customer"));
            connection.setSchema("tiny");
            tellRows(statement.executeQuery("SELECT count(*) FROM customer"));
            connection.setClientInfo("ApplicationName", "another");
            tellRows(statement.executeQuery(source()));
        }
    }

    private static void tellFailure(Case failing) throws Exception {
        try {
            failing.run();
        } catch (SQLException error) {
            tell(failure(error));
            return;
        }
        throw new AssertionError("this was to fail");
    }

    private static String failure(SQLException error) {
        String message = error.getMessage().replaceAll("#?[0-9]{8}_[0-9]{6}_[0-9]{5}_[a-z0-9]{5}", "ID");
        return error.getClass().getSimpleName() + " " + error.getErrorCode() + " " + error.getSQLState() + " " + message;
    }

    private static void errors() throws Exception {
        for (String sql : List.of("SELEC", "SELECT * FROM tpch.tiny.nowhere", "SELECT x FROM tpch.tiny.nation", "SELECT 1 / 0",
                "SELECT fail('on purpose')", "SELECT * FROM nocatalog.a.b", "SELECT CAST('x' AS bigint)",
                "SELECT '" + "x".repeat(1_100_000) + "'")) {
            tell(sql.length() > 100 ? "a long one" : sql);
            tellFailure(() -> query("", sql));
        }
        tellFailure(() -> query("sessionProperties=no_such_property:1", "SELECT 1"));
        tellFailure(() -> query("", "SELECT 1 / (orderkey - 60000), comment FROM tpch.tiny.lineitem"));
    }

    private static void cancel() throws Exception {
        String mark = "cancel " + UUID.randomUUID();
        try (Connection connection = connect(""); Statement statement = connection.createStatement()) {
            // Before the driver's own thread polls, its cancel can be lost: rows are then awaited that nobody fetches.
            var began = new CountDownLatch(1);
            var asking = new AtomicReference<Thread>();
            statement.unwrap(io.trino.jdbc.TrinoStatement.class).setProgressMonitor(stats -> {
                if (stats.getState().equals("RUNNING") && Thread.currentThread() != asking.get()) {
                    began.countDown();
                }
            });
            var end = new CompletableFuture<String>();
            Thread.ofVirtual().start(() -> {
                asking.set(Thread.currentThread());
                try {
                    statement.executeQuery(ENDLESS + " -- " + mark).next();
                    end.complete("it ended by itself");
                } catch (SQLException error) {
                    end.complete(failure(error));
                } catch (Throwable thrown) {
                    end.completeExceptionally(thrown);
                }
            });
            if (!began.await(60, TimeUnit.SECONDS)) {
                throw new AssertionError("the query did not begin to run");
            }
            statement.cancel();
            tell(end.get(60, TimeUnit.SECONDS));
        }
        tell(fate(mark));
    }

    private static void closeEarly() throws Exception {
        String mark = "close " + UUID.randomUUID();
        try (Connection connection = connect(""); Statement statement = connection.createStatement()) {
            ResultSet result = statement.executeQuery("SELECT orderkey, comment FROM tpch.sf100.orders -- " + mark);
            tell(result.next(), result.getLong(1), result.getString(2));
            result.close();
        }
        tell(fate(mark));
    }

    private static void timeout() throws Exception {
        String mark = "timeout " + UUID.randomUUID();
        try (Connection connection = connect(""); Statement statement = connection.createStatement()) {
            statement.setQueryTimeout(1);
            tellFailure(() -> statement.executeQuery(ENDLESS + " -- " + mark).next());
        }
        tell(fate(mark));
        tellFailure(() -> query("sessionProperties=query_max_run_time:1s", ENDLESS));
    }

    /** The states in which the coordinators ended the queries with this mark; waits until all of them have ended. */
    private static String fate(String mark) throws Exception {
        String sql = "SELECT state, error_code FROM system.runtime.queries WHERE query LIKE '%" + mark + "%' AND query NOT LIKE '%runtime%'";
        long begin = System.nanoTime();
        while (true) {
            StringBuilder ends = new StringBuilder();
            boolean open = false;
            for (String address : System.getenv("COORDINATORS").split(" ")) {
                try (Connection connection = connectTo(address, "/", ""); Statement statement = connection.createStatement()) {
                    ResultSet result = statement.executeQuery(sql);
                    while (result.next()) {
                        open |= !List.of("FINISHED", "FAILED").contains(result.getString(1));
                        ends.append(result.getString(1)).append(' ').append(result.getString(2)).append("; ");
                    }
                }
            }
            if (!ends.isEmpty() && !open) {
                return ends.toString();
            }
            if (System.nanoTime() - begin > DEADLINE) {
                throw new AssertionError("not ended: " + ends);
            }
            Thread.sleep(PAUSE);
        }
    }

    private static void tables() throws Exception {
        String table = "jdbc_" + UUID.randomUUID().toString().replace('-', '_');
        try (Connection connection = connectTo(System.getenv("GATEWAY"), "/memory/default", "");
                Statement statement = connection.createStatement()) {
            tell(statement.executeUpdate("CREATE TABLE " + table + " AS SELECT * FROM tpch.tiny.nation"));
            tell(statement.executeLargeUpdate("INSERT INTO " + table + " SELECT * FROM tpch.tiny.nation"));
            try (PreparedStatement insert = connection.prepareStatement("INSERT INTO " + table + " VALUES (?, ?, ?, ?)")) {
                for (int row = 0; row < 3; row++) {
                    insert.setLong(1, 100 + row);
                    insert.setString(2, "it's " + row);
                    insert.setLong(3, row);
                    insert.setNull(4, java.sql.Types.VARCHAR);
                    insert.addBatch();
                }
                tell(Arrays.toString(insert.executeBatch()));
            }
            tellRows(statement.executeQuery("SELECT * FROM " + table + " ORDER BY nationkey, name"));
            tellRows(statement.executeQuery("DESCRIBE " + table));
            tell(statement.executeUpdate("DROP TABLE " + table));
        }
    }

    private static void transaction(int isolation, End end) throws Exception {
        try (Connection connection = connect(""); Statement statement = connection.createStatement()) {
            connection.setTransactionIsolation(isolation);
            connection.setAutoCommit(false);
            for (int turn = 0; turn < 2; turn++) {
                tellRows(statement.executeQuery("SELECT count(*) FROM tpch.tiny.nation"));
                tellRows(statement.executeQuery("SELECT name FROM tpch.tiny.region ORDER BY name"));
                try (PreparedStatement prepared = connection.prepareStatement("SELECT name FROM tpch.tiny.nation WHERE nationkey = ?")) {
                    prepared.setInt(1, turn);
                    tellRows(prepared.executeQuery());
                }
                end.on(connection);
            }
            connection.setAutoCommit(true);
            tellRows(statement.executeQuery("SELECT 'after'"));
        }
    }

    private static void readOnly() throws Exception {
        try (Connection connection = connect(""); Statement statement = connection.createStatement()) {
            connection.setReadOnly(true);
            connection.setAutoCommit(false);
            tellRows(statement.executeQuery("SELECT 1"));
            tellFailure(() -> statement.executeUpdate("CREATE TABLE memory.default.never (x bigint)"));
            connection.rollback();
            tellRows(statement.executeQuery("SELECT 2"));
            connection.commit();
        }
    }

    private static void aborted() throws Exception {
        try (Connection connection = connect(""); Statement statement = connection.createStatement()) {
            connection.setAutoCommit(false);
            tellRows(statement.executeQuery("SELECT 1"));
            tellFailure(() -> statement.executeQuery("SELECT 1 / 0").next());
            tellFailure(() -> statement.executeQuery("SELECT 2").next());
            connection.rollback();
            tellRows(statement.executeQuery("SELECT 3"));
            connection.commit();
        }
    }
}
