#!/usr/bin/env python3
"""capture.py [NAME...]: makes Fixtures/NAME.segments again, each one handshake between real programs, as tshark saw it on a
loopback interface of its own. Needs root, tshark, OpenSSL, Java and wget (GnuTLS).

A line is one TCP segment with payload: C or S for its sender, the TCP sequence number, the payload in hexadecimal.
"""
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).parent.resolve() / "Fixtures"
JAVA = """
import javax.net.ssl.*; import java.security.cert.X509Certificate;
public class Client { public static void main(String[] a) throws Exception {
  TrustManager t = new X509TrustManager() { public void checkClientTrusted(X509Certificate[] c, String s) {}
    public void checkServerTrusted(X509Certificate[] c, String s) {} public X509Certificate[] getAcceptedIssuers() { return new X509Certificate[0]; } };
  SSLContext c = SSLContext.getInstance("TLS"); c.init(null, new TrustManager[]{t}, null);
  try (SSLSocket s = (SSLSocket) c.getSocketFactory().createSocket("127.0.0.1", Integer.parseInt(a[0]))) {
    s.startHandshake(); s.getOutputStream().write("Q\\n".getBytes()); Thread.sleep(300); } } }
"""
# name: server's arguments, client's arguments, connections before the one that is kept
OPENSSL = {
    "tls13": ([], ["-servername", "a.example", "-alpn", "h2,http/1.1"]),
    "tls12": (["-tls1_2"], ["-servername", "a.example", "-alpn", "h2,http/1.1"]),
    "tls12-rsa": (["-tls1_2", "-cipher", "AES128-SHA"], []),
    "tls13-retry": (["-groups", "P-384"], ["-groups", "X25519:P-384"]),
    "tls13-sha384": (["-ciphersuites", "TLS_AES_256_GCM_SHA384"], []),
    "tls13-ccm8": (["-ciphersuites", "TLS_AES_128_CCM_8_SHA256"], ["-ciphersuites", "TLS_AES_128_CCM_8_SHA256"]),
    "tls13-certificate": (["-verify", "1"], ["-cert", "c.pem", "-key", "k.pem"]),
    "tls13-no-certificate": (["-verify", "1"], []),
    "tls12-certificate": (["-tls1_2", "-verify", "1"], ["-cert", "c.pem", "-key", "k.pem"]),
    "tls12-no-certificate": (["-tls1_2", "-verify", "1"], []),
    "tls13-certificate-required": (["-Verify", "1", "-verify_return_error"], []),
    "tls13-unknown-ca": ([], ["-verify_return_error", "-verify", "1"]),
    "tls12-no-cipher": (["-tls1_2", "-cipher", "AES128-SHA"], ["-cipher", "AES256-SHA"]),
    "tls13-resumed": ([], ["-sess_in", "s.pem"]),
    "tls12-resumed": (["-tls1_2"], ["-sess_in", "s.pem"]),
    "tls13-early-data": (["-early_data"], ["-sess_in", "s.pem", "-early_data", "early.txt"]),
    "tls13-java": ([], None),
    "tls13-gnutls": (["-www"], None),
}


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(port):
    for _ in range(200):
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise SystemExit("the server does not listen")


def client(arguments, port):
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", *arguments]
    subprocess.run(command, input=b"Q\n", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=20)


def one(name):
    serving, asking = OPENSSL[name]
    port = free_port()
    server = subprocess.Popen(
        ["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-cert", "c.pem", "-key", "k.pem", "-alpn", "h2", *serving],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(port)
    if asking and "-sess_in" in asking:
        hello = subprocess.Popen(
            ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-sess_out", "s.pem"], stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(0.5)
        hello.communicate(b"Q\n", timeout=10)
    tshark = subprocess.Popen(
        ["tshark", "-q", "-i", "lo", "-w", "c.pcap", "-f", f"tcp port {port}"], stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE)
    while b"Capturing" not in tshark.stderr.readline():
        pass
    time.sleep(1)
    if name == "tls13-java":
        pathlib.Path("Client.java").write_text(JAVA)
        subprocess.run(["java", "Client.java", str(port)], timeout=60)
    elif name == "tls13-gnutls":
        subprocess.run(["wget", "-q", "-O", "/dev/null", "--no-check-certificate", f"https://127.0.0.1:{port}/"], timeout=20)
    else:
        client(asking, port)
    time.sleep(1)
    tshark.terminate()
    tshark.wait()
    server.terminate()
    server.wait()
    fields = subprocess.run(
        ["tshark", "-r", "c.pcap", "-T", "fields", "-e", "tcp.srcport", "-e", "tcp.seq_raw", "-e", "tcp.payload", "-Y",
         "tcp.payload"], capture_output=True, text=True, check=True).stdout
    lines = []
    for line in fields.splitlines():
        source, sequence, payload = line.split("\t")
        lines.append(f"{'S' if int(source) == port else 'C'} {sequence} {payload.replace(':', '')}")
    (HERE / f"{name}.segments").write_text("\n".join(lines) + "\n")
    print(name, len(lines), "segments")


def main():
    if os.environ.get("CAPTURE_INSIDE") != "1":
        environment = dict(os.environ, CAPTURE_INSIDE="1")
        raise SystemExit(subprocess.run(["unshare", "-n", sys.executable, __file__, *sys.argv[1:]], env=environment).returncode)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    HERE.mkdir(exist_ok=True)
    work = tempfile.mkdtemp()
    os.chdir(work)
    try:
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "k.pem", "-out", "c.pem", "-days", "3650",
             "-subj", "/CN=a.example"], check=True, stderr=subprocess.DEVNULL)
        pathlib.Path("early.txt").write_text("GET / HTTP/1.0\r\n\r\n")
        for name in sys.argv[1:] or OPENSSL:
            one(name)
    finally:
        os.chdir("/")
        shutil.rmtree(work)


if __name__ == "__main__":
    main()
