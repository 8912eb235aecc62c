// SPDX-License-Identifier: Apache-2.0
// java JavaHandshakes.java CA CERTIFICATE KEY OTHER-CA: makes TLS handshakes of JSSE with itself, and says of each, a line
// of JSON, what its own session and exceptions told it, on both sides. The certificate is for a.example and 127.0.0.1.
import java.io.IOException;
import java.io.InputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyFactory;
import java.security.KeyStore;
import java.security.PrivateKey;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.Base64;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SNIHostName;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLEngine;
import javax.net.ssl.SSLEngineResult.HandshakeStatus;
import javax.net.ssl.SSLException;
import javax.net.ssl.SSLParameters;
import javax.net.ssl.SSLServerSocket;
import javax.net.ssl.SSLSession;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.TrustManagerFactory;

class JavaHandshakes {
    static final char[] PASSWORD = "password".toCharArray();
    static final ExecutorService servers = Executors.newCachedThreadPool();
    static final InetAddress loopback = InetAddress.getLoopbackAddress();

    static Certificate certificate(String path) throws Exception {
        try (InputStream stream = Files.newInputStream(Path.of(path))) {
            return CertificateFactory.getInstance("X.509").generateCertificate(stream);
        }
    }

    static PrivateKey key(String path) throws Exception {
        String body = Files.readString(Path.of(path)).replaceAll("-----[A-Z ]+-----", "").replaceAll("\\s", "");
        return KeyFactory.getInstance("EC").generatePrivate(new PKCS8EncodedKeySpec(Base64.getDecoder().decode(body)));
    }

    /** A context that trusts `authority`, and has a certificate, or none. */
    static SSLContext context(Certificate authority, Certificate certificate, PrivateKey key) throws Exception {
        KeyStore keys = KeyStore.getInstance("PKCS12");
        keys.load(null, null);
        if (key != null) keys.setKeyEntry("own", key, PASSWORD, new Certificate[] {certificate});
        KeyManagerFactory keyManagers = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
        keyManagers.init(keys, PASSWORD);
        KeyStore trusted = KeyStore.getInstance("PKCS12");
        trusted.load(null, null);
        trusted.setCertificateEntry("authority", authority);
        TrustManagerFactory trustManagers = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trustManagers.init(trusted);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(keyManagers.getKeyManagers(), trustManagers.getTrustManagers(), null);
        return context;
    }

    /** What one side knows of its handshake. */
    static String side(SSLSession session, String alpn, Exception error) {
        if (error != null) {
            return "{\"outcome\":\"failed\",\"error\":\"" + error.toString().replaceAll("[\"\\\\\\p{Cntrl}]", "'") + "\"}";
        }
        return "{\"outcome\":\"completed\",\"version\":\"" + session.getProtocol() + "\",\"cipher\":\""
            + session.getCipherSuite() + "\",\"alpn\":\"" + (alpn == null ? "" : alpn)
            + "\",\"created\":" + session.getCreationTime() + "}";
    }

    static void say(String name, int port, int local, String client, String server) {
        System.out.println("{\"name\":\"" + name + "\",\"port\":" + port + ",\"local\":" + local + ",\"client\":" + client
            + ",\"server\":" + server + "}");
    }

    /** A handshake and a byte each way over blocking sockets, at a port, or at any for 0: the port. */
    static int sockets(String name, int at, SSLContext client, SSLContext server, String version, String serverVersion,
        boolean asks) throws Exception {
        try (SSLServerSocket listener =
                (SSLServerSocket) server.getServerSocketFactory().createServerSocket(at, 1, loopback)) {
            Future<String> served = servers.submit(() -> {
                try (SSLSocket socket = (SSLSocket) listener.accept()) {
                    SSLParameters parameters = socket.getSSLParameters();
                    parameters.setProtocols(new String[] {serverVersion});
                    parameters.setApplicationProtocols(new String[] {"http/1.1"});
                    parameters.setNeedClientAuth(asks);
                    socket.setSSLParameters(parameters);
                    try {
                        socket.startHandshake();
                        String said = side(socket.getSession(), socket.getApplicationProtocol(), null);
                        socket.getInputStream().read();
                        socket.getOutputStream().write(1);
                        return said;
                    } catch (IOException error) {
                        return side(null, null, error);
                    }
                }
            });
            int port = listener.getLocalPort(), local;
            String said;
            try (SSLSocket socket = (SSLSocket) client.getSocketFactory().createSocket(loopback, port)) {
                local = socket.getLocalPort();
                SSLParameters parameters = socket.getSSLParameters();
                parameters.setProtocols(new String[] {version});
                parameters.setApplicationProtocols(new String[] {"h2", "http/1.1"});
                parameters.setServerNames(List.of(new SNIHostName("a.example")));
                socket.setSSLParameters(parameters);
                try {
                    socket.startHandshake();
                    said = side(socket.getSession(), socket.getApplicationProtocol(), null);
                    socket.getOutputStream().write(1);
                    socket.getInputStream().read();
                } catch (IOException error) {
                    said = side(null, null, error);
                }
            }
            say(name, port, local, said, served.get());
            return port;
        }
    }

    /** Drives an engine's handshake over a channel of the program's own, as Netty and Tomcat do, and exchanges a byte. */
    static String drive(SSLEngine engine, SocketChannel channel, boolean first) throws Exception {
        ByteBuffer out = ByteBuffer.allocate(1 << 16), in = ByteBuffer.allocate(1 << 16);
        ByteBuffer plain = ByteBuffer.allocate(1 << 16), empty = ByteBuffer.allocate(0);
        engine.beginHandshake();
        String said = null;
        boolean sent = false, got = false;
        while (!sent || !got) {
            HandshakeStatus status = engine.getHandshakeStatus();
            if (status == HandshakeStatus.NEED_TASK) {
                for (Runnable task; (task = engine.getDelegatedTask()) != null;) task.run();
                continue;
            }
            boolean done = status == HandshakeStatus.NOT_HANDSHAKING;
            if (done && said == null) said = side(engine.getSession(), engine.getApplicationProtocol(), null);
            if (status == HandshakeStatus.NEED_WRAP || (done && !sent && (first || got))) {
                out.clear();
                engine.wrap(done ? ByteBuffer.wrap(new byte[] {1}) : empty, out);
                out.flip();
                while (out.hasRemaining()) channel.write(out);
                sent |= done;
                continue;
            }
            in.flip();
            plain.clear();
            int before = in.remaining();
            engine.unwrap(in, plain);
            boolean moved = in.remaining() != before;
            in.compact();
            got |= plain.position() > 0;
            if (!moved && channel.read(in) < 0) throw new SSLException("the peer has closed");
        }
        return said;
    }

    static void engines(String name, SSLContext client, SSLContext server) throws Exception {
        try (ServerSocketChannel listener = ServerSocketChannel.open().bind(new InetSocketAddress(loopback, 0))) {
            Future<String> served = servers.submit(() -> {
                try (SocketChannel channel = listener.accept()) {
                    SSLEngine engine = server.createSSLEngine();
                    engine.setUseClientMode(false);
                    return drive(engine, channel, false);
                }
            });
            InetSocketAddress address = (InetSocketAddress) listener.getLocalAddress();
            try (SocketChannel channel = SocketChannel.open(address)) {
                SSLEngine engine = client.createSSLEngine("a.example", address.getPort());
                engine.setUseClientMode(true);
                int local = ((InetSocketAddress) channel.getLocalAddress()).getPort();
                String said = drive(engine, channel, true);
                say(name, address.getPort(), local, said, served.get());
            }
        }
    }

    public static void main(String[] arguments) throws Exception {
        Certificate authority = certificate(arguments[0]), own = certificate(arguments[1]);
        PrivateKey key = key(arguments[2]);
        SSLContext server = context(authority, own, key);
        SSLContext client = context(authority, own, key);
        int port = sockets("tls13", 0, client, server, "TLSv1.3", "TLSv1.3", false);
        // JSSE keeps a session by name and port.
        sockets("tls13-resumed", port, client, server, "TLSv1.3", "TLSv1.3", false);
        sockets("tls12", 0, client, server, "TLSv1.2", "TLSv1.2", false);
        sockets("client-certificate", 0, context(authority, own, key), server, "TLSv1.3", "TLSv1.3", true);
        SSLContext stranger = context(certificate(arguments[3]), null, null);
        sockets("unknown-authority", 0, stranger, server, "TLSv1.3", "TLSv1.3", false);
        sockets("no-shared-version", 0, client, server, "TLSv1.3", "TLSv1.2", false);
        engines("engine", context(authority, own, key), server);
        servers.shutdown();
    }
}
