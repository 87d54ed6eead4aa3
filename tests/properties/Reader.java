import java.io.FileInputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.HexFormat;
import java.util.Properties;

/** Reads a properties file with Java's own parser, in both ways that it has, and prints each line as hex(key)=hex(value). */
final class Reader {
    public static void main(String[] arguments) throws Exception {
        Properties bytes = new Properties();
        try (FileInputStream file = new FileInputStream(arguments[0])) {
            bytes.load(file);
        }
        Properties characters = new Properties();
        try (InputStreamReader file = new InputStreamReader(new FileInputStream(arguments[0]), StandardCharsets.UTF_8)) {
            characters.load(file);
        }
        if (!bytes.equals(characters)) {
            throw new AssertionError("the two ways of reading differ");
        }
        PrintStream out = new PrintStream(System.out, false, StandardCharsets.US_ASCII);
        for (String key : bytes.stringPropertyNames()) {
            out.println(hex(key) + "=" + hex(bytes.getProperty(key)));
        }
        out.flush();
    }

    private static String hex(String text) {
        return HexFormat.of().formatHex(text.getBytes(StandardCharsets.UTF_8));
    }
}
