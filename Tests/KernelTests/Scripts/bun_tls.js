// bun bun_tls.js AUTHORITY CERTIFICATE KEY COUNT: handshakes through the BoringSSL inside Bun, both sides in this process. Prints, a
// line each, what the client says of one. The last one it refuses.
const fs = require("fs");
const tls = require("tls");

const [authority, certificate, key, count] = process.argv.slice(2);
const server = tls.createServer({
    cert: fs.readFileSync(certificate),
    key: fs.readFileSync(key),
    ALPNProtocols: ["http/1.1"],
});
server.on("secureConnection", (socket) => {
    socket.on("error", () => {});
    socket.on("data", () => socket.end("x"));
});
server.on("tlsClientError", () => {});

function connect(options) {
    return new Promise((resolve) => {
        const to = { port: server.address().port, host: "127.0.0.1", servername: "a.example" };
        const socket = tls.connect({ ...to, ALPNProtocols: ["http/1.1"], ...options }, () => {
            const said = {
                version: socket.getProtocol(),
                cipher: socket.getCipher().standardName,
                alpn: socket.alpnProtocol,
                port: socket.localPort,
            };
            socket.on("data", () => {});
            socket.on("close", () => resolve(said));
            socket.write("y");
        });
        socket.on("error", (error) => resolve({ error: error.code }));
    });
}

server.listen(0, "127.0.0.1", async () => {
    const ca = fs.readFileSync(authority);
    for (let index = 0; index < count; index++) {
        console.log(JSON.stringify(await connect({ ca, maxVersion: index % 2 ? "TLSv1.2" : "TLSv1.3" })));
    }
    console.log(JSON.stringify(await connect({})));
    process.exit(0);
});
