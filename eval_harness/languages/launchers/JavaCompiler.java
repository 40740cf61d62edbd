import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.io.PrintStream;
import java.lang.management.ManagementFactory;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import javax.tools.Diagnostic;
import javax.tools.DiagnosticCollector;
import javax.tools.FileObject;
import javax.tools.ForwardingJavaFileManager;
import javax.tools.JavaCompiler.CompilationTask;
import javax.tools.JavaFileManager;
import javax.tools.JavaFileObject;
import javax.tools.SimpleJavaFileObject;
import javax.tools.StandardJavaFileManager;
import javax.tools.StandardLocation;
import javax.tools.ToolProvider;

/**
 * A compiler that stays: reads `{"source": BASE64}` by the line, answers
 * `{"classes": {NAME: BASE64}, "error": BASE64, "cpu_ms": NUMBER}`. Nothing touches a disk.
 * Arguments: options of javac.
 */
public final class JavaCompiler {
  private static final javax.tools.JavaCompiler COMPILER = ToolProvider.getSystemJavaCompiler();
  private static final StandardJavaFileManager DISK =
      COMPILER.getStandardFileManager(null, Locale.ROOT, StandardCharsets.UTF_8);
  private static final com.sun.management.OperatingSystemMXBean SYSTEM =
      (com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();

  private JavaCompiler() {}

  public static void main(String[] options) throws IOException {
    PrintStream answers = System.out;
    System.setOut(System.err);
    BufferedReader questions =
        new BufferedReader(new InputStreamReader(System.in, StandardCharsets.US_ASCII));
    for (String line; (line = questions.readLine()) != null; ) {
      String source = line.substring(line.indexOf(':') + 1).replaceAll("[^A-Za-z0-9+/=]", "");
      long before = SYSTEM.getProcessCpuTime();
      String answer = answer(new String(Base64.getDecoder().decode(source), StandardCharsets.UTF_8),
          Arrays.asList(options));
      double cpuMs = (SYSTEM.getProcessCpuTime() - before) / 1e6;
      answers.println("{" + answer + ", \"cpu_ms\": " + cpuMs + "}");
      answers.flush();
    }
  }

  private static String answer(String source, List<String> options) {
    Classes classes = new Classes();
    DiagnosticCollector<JavaFileObject> said = new DiagnosticCollector<>();
    boolean isCompiled;
    String error = "";
    try {
      CompilationTask task =
          COMPILER.getTask(null, classes, said, options, null, List.of(new Source(source)));
      isCompiled = task.call();
    } catch (OutOfMemoryError full) {
      System.exit(1); // whatever it still holds is not to be relied on
      throw full;
    } catch (StackOverflowError | RuntimeException crash) {
      isCompiled = false;
      error = "the compiler crashed: " + crash;
    }
    StringBuilder errors = new StringBuilder(error);
    for (Diagnostic<? extends JavaFileObject> each : said.getDiagnostics()) {
      if (each.getKind() == Diagnostic.Kind.ERROR) {
        errors.append(each.getLineNumber()).append(": ").append(each.getMessage(Locale.ROOT)).append('\n');
      }
    }
    List<String> compiled = new ArrayList<>();
    if (isCompiled) {
      classes.written.forEach((name, bytes) ->
          compiled.add('"' + name + "\": \"" + encoded(bytes.toByteArray()) + '"'));
    } else if (errors.length() == 0) {
      errors.append("the compiler refused it");
    }
    return "\"classes\": {" + String.join(", ", compiled) + "}, \"error\": \""
        + encoded(errors.toString().getBytes(StandardCharsets.UTF_8)) + '"';
  }

  private static String encoded(byte[] bytes) {
    return Base64.getEncoder().encodeToString(bytes);
  }

  private static final class Source extends SimpleJavaFileObject {
    private final String text;

    Source(String text) {
      super(URI.create("string:///Main.java"), Kind.SOURCE);
      this.text = text;
    }

    @Override
    public boolean isNameCompatible(String simpleName, Kind kind) {
      return kind == Kind.SOURCE; // a public class may have any name
    }

    @Override
    public CharSequence getCharContent(boolean ignoreEncodingErrors) {
      return text;
    }
  }

  private static final class Classes extends ForwardingJavaFileManager<JavaFileManager> {
    final Map<String, ByteArrayOutputStream> written = new TreeMap<>();

    Classes() {
      super(DISK);
    }

    @Override
    public boolean hasLocation(Location location) {
      return location != StandardLocation.SOURCE_PATH && super.hasLocation(location);
    }

    @Override
    public JavaFileObject getJavaFileForOutput(
        Location location, String name, JavaFileObject.Kind kind, FileObject sibling) {
      ByteArrayOutputStream bytes = new ByteArrayOutputStream();
      written.put(name, bytes);
      return new SimpleJavaFileObject(URI.create("memory:///" + name.replace('.', '/')), kind) {
        @Override
        public OutputStream openOutputStream() {
          return bytes;
        }
      };
    }

    @Override
    public void close() {} // the disk's manager keeps the platform's classes for the next program
  }
}
