// Makes the corpus of docs/sql-analysis.md: finds statements, keeps those that Trino's own parser accepts, and writes
// one JSON object for each, with the kind and the tables that Trino's syntax tree has. It shares no code with Warren,
// so that it can judge Warren. Statements are also changed at random, always in the same way, and what Trino still
// accepts is a part of its own. Run by hack/sql-corpus.sh: java -cp … Corpus.java OUT PART=FOLDER_OR_JAR…
import io.trino.grammar.sql.SqlBaseLexer;
import io.trino.sql.parser.ParsingException;
import io.trino.sql.parser.SqlParser;
import io.trino.sql.tree.*;

import org.antlr.v4.runtime.CharStreams;
import org.antlr.v4.runtime.Token;

import java.io.PrintStream;
import java.io.UncheckedIOException;
import java.lang.classfile.ClassFile;
import java.lang.classfile.constantpool.StringEntry;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.*;
import java.util.jar.JarFile;
import java.util.regex.Pattern;
import java.util.stream.Stream;

public class Corpus {
    static final SqlParser PARSER = new SqlParser();
    /** Changed ones of each statement. */
    static final int COPIES = Integer.getInteger("copies", 8);
    static final Pattern BLOCK = Pattern.compile("^[ \\t]*```([^\\n]*)\\n(.*?)^[ \\t]*```[ \\t]*$", Pattern.DOTALL | Pattern.MULTILINE);

    public static void main(String[] args) throws Exception {
        try (PrintStream out = new PrintStream(args[0], "UTF-8")) {
            Set<String> seen = new HashSet<>(); // a statement counts for the first part that has it
            List<String> statements = new ArrayList<>();
            for (String argument : Arrays.asList(args).subList(1, args.length)) {
                String[] partAndPath = argument.split("=", 2);
                Set<String> candidates = candidates(Path.of(partAndPath[1]));
                candidates.removeIf(sql -> !seen.add(sql));
                List<String> taken = candidates.stream().filter(sql -> write(out, partAndPath[0], sql)).toList();
                statements.addAll(taken);
                System.err.printf("%-14s %5d texts, %5d statements of Trino%n", partAndPath[0], candidates.size(), taken.size());
            }
            List<String> changed = changed(statements).stream().filter(seen::add).toList();
            long taken = changed.stream().filter(sql -> write(out, "changed", sql)).count();
            System.err.printf("%-14s %5d texts, %5d statements of Trino%n", "changed", changed.size(), taken);
        }
    }

    /** The texts that may be statements: .sql files, blocks of Markdown, string constants of classes. */
    static Set<String> candidates(Path path) throws Exception {
        Set<String> found = new LinkedHashSet<>();
        if (path.toString().endsWith(".jar")) {
            constants(path, found);
            return found;
        }
        try (Stream<Path> files = Files.walk(path).sorted()) {
            for (Path file : files.filter(Files::isRegularFile).toList()) {
                String text = Files.readString(file);
                if (file.toString().endsWith(".sql")) {
                    split(text.replace("${database}", "tpc").replace("${schema}", "sf1").replace("${prefix}", ""), found);
                }
                else if (file.toString().endsWith(".md.txt")) {
                    BLOCK.matcher(text).results().filter(block -> Set.of("", "sql").contains(block.group(1).strip()))
                            .forEach(block -> split(block.group(2), found));
                }
            }
        }
        return found;
    }

    /** Cuts at semicolons; a routine has some inside, so the longest run of pieces that is a statement counts. */
    static void split(String text, Set<String> found) {
        SqlBaseLexer lexer = new SqlBaseLexer(CharStreams.fromString(text));
        lexer.removeErrorListeners();
        List<Integer> ends = new ArrayList<>();
        for (Token token : lexer.getAllTokens()) {
            if (token.getText().equals(";")) ends.add(text.offsetByCodePoints(0, token.getStartIndex()));
        }
        ends.add(text.length());
        for (int begin = 0, piece = 0; piece < ends.size(); ) {
            int last = ends.size() - 1;
            while (last > piece && !isStatement(text.substring(begin, ends.get(last)))) last--;
            found.add(text.substring(begin, ends.get(last)).strip());
            begin = Math.min(ends.get(last) + 1, text.length());
            piece = last + 1;
        }
        found.remove("");
    }

    static boolean isStatement(String sql) {
        try {
            PARSER.createStatement(sql);
            return true;
        }
        catch (ParsingException | IllegalArgumentException e) {
            return false;
        }
    }

    /** Each statement with tokens left out, repeated, swapped, or taken from its neighbours; the seed is fixed. */
    static List<String> changed(List<String> statements) {
        Random random = new Random(476);
        List<List<String>> tokens = statements.stream().filter(sql -> sql.length() < 4_000).map(Corpus::tokens).toList();
        List<String> changed = new ArrayList<>();
        for (int at = 0; at < tokens.size(); at++) {
            for (int copy = 0; copy < COPIES; copy++) {
                List<String> own = new ArrayList<>(tokens.get(at));
                List<String> other = tokens.get(random.nextInt(tokens.size()));
                for (int edit = random.nextInt(3); edit >= 0 && own.size() > 1; edit--) {
                    int where = random.nextInt(own.size());
                    int from = random.nextInt(other.size());
                    switch (random.nextInt(6)) {
                        case 0 -> own.remove(where);
                        case 1 -> own.add(where, own.get(random.nextInt(own.size())));
                        case 2 -> Collections.swap(own, where, random.nextInt(own.size()));
                        case 3 -> own.set(where, other.get(from));
                        case 4 -> own.addAll(where, other.subList(from, Math.min(other.size(), from + 1 + random.nextInt(6))));
                        default -> { // a subquery, a table and a join fit in many places
                            List<String> fits = List.of("(SELECT x FROM sub WHERE a IS DISTINCT FROM b)", "(TABLE sub)", "CROSS JOIN sub, more",
                                    "(WITH sub AS (SELECT 1 FROM sub) TABLE sub)", "UNION SELECT 1 FROM sub", ", sub", "from", "limit", "window");
                            own.add(where, fits.get(random.nextInt(fits.size())));
                        }
                    }
                }
                changed.add(String.join(" ", own));
            }
        }
        return changed;
    }

    static List<String> tokens(String sql) {
        SqlBaseLexer lexer = new SqlBaseLexer(CharStreams.fromString(sql));
        lexer.removeErrorListeners();
        return lexer.getAllTokens().stream().filter(token -> token.getChannel() == Token.DEFAULT_CHANNEL).<String>map(Token::getText).toList();
    }

    static void constants(Path jar, Set<String> found) throws Exception {
        try (JarFile file = new JarFile(jar.toFile())) {
            for (var entry : file.stream().filter(e -> e.getName().endsWith(".class")).sorted(Comparator.comparing(Object::toString)).toList()) {
                var model = ClassFile.of().parse(file.getInputStream(entry).readAllBytes());
                for (var constant : model.constantPool()) {
                    if (constant instanceof StringEntry string && string.stringValue().strip().contains(" ")) {
                        found.add(string.stringValue().strip());
                    }
                }
            }
        }
    }

    static boolean write(PrintStream out, String part, String sql) {
        try {
            Statement statement = PARSER.createStatement(sql);
            if (executes(statement)) return false; // what it is stands in another statement
            Found found = new Found();
            found.statement(statement);
            out.printf("{\"part\":%s,\"kind\":%s,\"tables\":[%s],\"sql\":%s}%n", json(part), json(kind(statement)),
                    String.join(",", found.tables.stream().map(Corpus::json).toList()), json(sql));
            return true;
        }
        catch (ParsingException | IllegalArgumentException | UncheckedIOException | StackOverflowError e) {
            return false;
        }
    }

    static boolean executes(Statement statement) {
        return switch (statement) {
            case Execute _, DescribeInput _, DescribeOutput _ -> true;
            case Explain explain -> executes(explain.getStatement());
            case ExplainAnalyze explain -> executes(explain.getStatement());
            case Prepare prepare -> executes(prepare.getStatement());
            default -> false;
        };
    }

    static String json(String text) {
        StringBuilder json = new StringBuilder("\"");
        for (char c : text.toCharArray()) {
            if (c == '"' || c == '\\') json.append('\\').append(c);
            else if (c < 0x20) json.append(String.format("\\u%04x", (int) c));
            else json.append(c);
        }
        return json.append('"').toString();
    }

    static String kind(Statement statement) {
        return switch (statement) {
            case Query _ -> "SELECT";
            case ExplainAnalyze analyze -> kind(analyze.getStatement());
            case ExecuteImmediate immediate -> kind(PARSER.createStatement(immediate.getStatement().getValue()));
            case AddColumn _, RenameColumn _, DropColumn _, SetColumnType _, DropNotNullConstraint _ -> "ALTER";
            case SetProperties _, SetAuthorizationStatement _, TableExecute _ -> "ALTER";
            case RenameTable _, RenameView _, RenameMaterializedView _, RenameSchema _ -> "ALTER";
            case TruncateTable _ -> "TRUNCATE";
            case StartTransaction _ -> "START";
            case Execute _ -> "EXECUTE";
            default -> { // the first word of the class: CreateTable, ShowColumns, Insert
                String name = statement.getClass().getSimpleName();
                yield name.replaceAll("(?<=[a-z])[A-Z].*", "").toUpperCase(Locale.ROOT);
            }
        };
    }

    /** The tables of a syntax tree, completed by the catalog `c` and the schema `s`. */
    static class Found {
        final SortedSet<String> tables = new TreeSet<>();
        final Deque<String> visible = new ArrayDeque<>();

        void statement(Node node) {
            switch (node) {
                case AddColumn n -> table(n.getName());
                case RenameColumn n -> table(n.getTable());
                case DropColumn n -> table(n.getTable());
                case SetColumnType n -> table(n.getTableName());
                case DropNotNullConstraint n -> table(n.getTable());
                case SetProperties n -> table(n.getName());
                case SetAuthorizationStatement n -> { if (Set.of("TABLE", "VIEW").contains(n.getOwnedEntityKind())) table(n.getSource()); }
                case RenameTable n -> renamed(n.getSource(), n.getTarget());
                case RenameView n -> renamed(n.getSource(), n.getTarget());
                case RenameMaterializedView n -> renamed(n.getSource(), n.getTarget());
                case CreateTable n -> table(n.getName());
                case CreateTableAsSelect n -> table(n.getName());
                case CreateView n -> table(n.getName());
                case CreateMaterializedView n -> table(n.getName());
                case DropTable n -> table(n.getTableName());
                case DropView n -> table(n.getName());
                case DropMaterializedView n -> table(n.getName());
                case Analyze n -> table(n.getTableName());
                case TruncateTable n -> table(n.getTableName());
                case Comment n -> (n.getType() == Comment.Type.COLUMN ? n.getName().getPrefix() : Optional.of(n.getName())).ifPresent(this::table);
                case ShowCreate n -> { if (table(n.getType())) table(n.getName()); }
                case ShowColumns n -> table(n.getTable());
                case Grant n -> granted(n.getGrantObject());
                case Revoke n -> granted(n.getGrantObject());
                case Deny n -> granted(n.getGrantObject());
                case ShowGrants n -> n.getGrantObject().ifPresent(this::granted);
                case ExecuteImmediate n -> statement(PARSER.createStatement(n.getStatement().getValue()));
                case Insert n -> table(n.getTarget()); // these do not count the table among their children
                case Update n -> table(n.getTable().getName());
                case TableExecute n -> table(n.getTable().getName());
                case RefreshMaterializedView n -> table(n.getName());
                case Prepare n -> statement(n.getStatement());
                case Explain n -> statement(n.getStatement());
                case ExplainAnalyze n -> statement(n.getStatement());
                default -> {}
            }
            visit(node);
        }

        boolean table(ShowCreate.Type type) {
            return type != ShowCreate.Type.SCHEMA && !type.name().equals("FUNCTION");
        }

        void granted(GrantObject object) {
            if (object.getEntityKind().isEmpty() || object.getEntityKind().get().equalsIgnoreCase("TABLE")) table(object.getName());
        }

        void visit(Node node) {
            switch (node) {
                case Query query -> query(query);
                case Table table -> reference(table.getName());
                case GroupingSets sets -> sets.getSets().forEach(set -> set.forEach(this::visit)); // no children of it
                case LikeClause like -> table(like.getTableName());
                default -> node.getChildren().forEach(this::visit);
            }
            if (node instanceof Table table) table.getQueryPeriod().ifPresent(this::visit);
        }

        void query(Query query) {
            int names = 0;
            query.getFunctions().forEach(this::visit);
            if (query.getWith().isPresent()) {
                With with = query.getWith().get();
                for (WithQuery named : with.getQueries()) {
                    String name = named.getName().getValue().toLowerCase(Locale.ENGLISH);
                    // As StatementAnalyzer has it: the name means the query itself right of its UNION, and a table elsewhere.
                    // Of more than one UNION it refuses all but the last; so it does not matter what the name means there.
                    if (with.isRecursive() && named.getQuery().getWith().isEmpty() && named.getQuery().getQueryBody() instanceof Union union) {
                        Deque<Relation> steps = new ArrayDeque<>();
                        Relation anchor = union;
                        while (anchor instanceof Union left) {
                            left.getRelations().stream().skip(1).forEach(steps::push);
                            anchor = left.getRelations().get(0);
                        }
                        visit(anchor);
                        visible.push(name);
                        steps.forEach(this::visit);
                    }
                    else {
                        query(named.getQuery());
                        visible.push(name);
                    }
                    names++;
                }
            }
            visit(query.getQueryBody());
            query.getOrderBy().ifPresent(this::visit);
            query.getOffset().ifPresent(this::visit);
            query.getLimit().ifPresent(this::visit);
            for (; names > 0; names--) visible.pop();
        }

        void reference(QualifiedName name) {
            if (name.getParts().size() > 1 || !visible.contains(name.getParts().get(0))) table(name);
        }

        void table(QualifiedName name) {
            complete(name, List.of("c", "s"));
        }

        void renamed(QualifiedName source, QualifiedName target) { // CreateTargetQualifiedObjectName: completed by the source
            table(source);
            List<String> parts = new ArrayList<>(List.of("c", "s"));
            int missing = 3 - source.getParts().size();
            for (int i = missing; i < 2; i++) parts.set(i, source.getParts().get(i - missing));
            complete(target, parts);
        }

        void complete(QualifiedName name, List<String> before) {
            List<String> parts = name.getParts();
            if (parts.size() > 3) return; // Trino refuses it: "Too many dots"
            List<String> whole = new ArrayList<>(before.subList(0, 3 - parts.size()));
            whole.addAll(parts);
            tables.add(String.join(".", whole));
        }
    }
}
