import com.sun.net.httpserver.HttpServer;
import java.io.InputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.Properties;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * The smallest program that a local deployer takes for a running stream application: it reads
 * the port from SPRING_APPLICATION_JSON, SERVER_PORT or --server.port, answers HTTP on loopback
 * and prints one line. With fail=true among its properties it ends at once with exit code 3.
 */
public class TrivialApp {

    static String json = System.getenv().getOrDefault("SPRING_APPLICATION_JSON", "{}");

    static String property(String name, String[] args) {
        for (String arg : args) {
            if (arg.startsWith("--" + name + "=")) return arg.substring(name.length() + 3);
        }
        Matcher m = Pattern.compile("\"" + Pattern.quote(name) + "\"\\s*:\\s*\"([^\"]*)\"").matcher(json);
        if (m.find()) return m.group(1);
        return System.getenv(name.toUpperCase().replace('.', '_'));
    }

    public static void main(String[] args) throws Exception {
        Properties me = new Properties();
        try (InputStream in = TrivialApp.class.getResourceAsStream("/app.properties")) {
            me.load(in);
        }
        String name = me.getProperty("name") + " " + me.getProperty("version");
        if ("true".equals(property("fail", args))) {
            System.out.println(name + " was asked to fail");
            System.exit(3);
        }
        int port = Integer.parseInt(property("server.port", args) == null ? "8080" : property("server.port", args));
        HttpServer server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), port), 0);
        server.createContext("/", exchange -> {
            String path = exchange.getRequestURI().getPath();
            String body = null;
            if (path.equals("/actuator/health")) body = "{\"status\":\"UP\"}";
            if (path.equals("/actuator/info")) body = "{\"app\":{\"name\":\"" + me.getProperty("name") + "\",\"version\":\"" + me.getProperty("version") + "\"}}";
            byte[] bytes = (body == null ? "{\"status\":404}" : body).getBytes(StandardCharsets.UTF_8);
            exchange.getResponseHeaders().set("Content-Type", "application/json");
            exchange.sendResponseHeaders(body == null ? 404 : 200, bytes.length);
            exchange.getResponseBody().write(bytes);
            exchange.close();
        });
        // First the line, then the answers: whoever finds it healthy also finds the line in its log.
        System.out.println(name + " is up");
        server.start();
        Thread.currentThread().join();
    }
}
