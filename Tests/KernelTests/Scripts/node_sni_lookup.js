// node_sni_lookup.js AUTHORITY CERTIFICATE KEY COUNT: a TLS server whose SNICallback asks another server, over a connection
// that is kept open, which certificate to use; and as many clients, one after the other. Prints the two ports.
const fs = require('fs');
const net = require('net');
const tls = require('tls');

const [authority, certificate, key, count] = process.argv.slice(2);
const context = tls.createSecureContext({ cert: fs.readFileSync(certificate), key: fs.readFileSync(key) });

const store = net.createServer((peer) => peer.on('data', () => peer.write('+OK\r\n')));
store.listen(0, '127.0.0.1', () => {
  const lookup = net.connect(store.address().port, '127.0.0.1', () => {
    const server = tls.createServer({
      cert: fs.readFileSync(certificate),
      key: fs.readFileSync(key),
      SNICallback: (name, done) => {
        lookup.once('data', () => done(null, context));
        lookup.write(`GET ${name}\r\n`);
      },
    });
    server.listen(0, '127.0.0.1', () => {
      console.log(JSON.stringify({ port: server.address().port, lookup: store.address().port }));
      connect(server, Number(count));
    });
    function connect(server, left) {
      if (left === 0) process.exit(0);
      const client = tls.connect(
        { port: server.address().port, host: '127.0.0.1', servername: 'a.example', ca: fs.readFileSync(authority) },
        () => client.end(),
      );
      client.on('close', () => connect(server, left - 1));
      client.resume();
    }
  });
});
