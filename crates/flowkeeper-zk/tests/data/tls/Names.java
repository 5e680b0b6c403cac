import java.io.FileInputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;

/** Prints what Java, and so Apache ZooKeeper, calls the subjects of certificates. */
class Names {
    public static void main(String[] files) throws Exception {
        var out = new java.io.PrintStream(System.out, true, StandardCharsets.UTF_8);
        var certificates = CertificateFactory.getInstance("X.509");
        for (var file : files) {
            try (var in = new FileInputStream(file)) {
                var certificate = (X509Certificate) certificates.generateCertificate(in);
                out.println(Path.of(file).getFileName() + "\t" + certificate.getSubjectX500Principal().getName());
            }
        }
    }
}
