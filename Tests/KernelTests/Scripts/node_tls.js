// An HTTPS server and, unless it is told to serve only, its clients in the same process.
// Usage: node_tls.js CA CERTIFICATE KEY COUNT; COUNT 0 prints its port and serves until it is ended, else it prints its
// clients' own addresses.
'use strict';
const fs = require('fs');
const https = require('https');

const [authority, certificate, key, count] = process.argv.slice(2);
const server = https.createServer(
  { cert: fs.readFileSync(certificate), key: fs.readFileSync(key), ALPNProtocols: ['http/1.1'] },
  (request, response) => response.end('ok'));

function get(port) {
  return new Promise((resolve, reject) => {
    const options = {
      host: '127.0.0.1', port, servername: 'a.example', headers: { Host: 'a.example' },
      ca: fs.readFileSync(authority), ALPNProtocols: ['http/1.1'],
      // A new connection and a full handshake each time.
      agent: new https.Agent({ keepAlive: false, maxCachedSessions: 0 }),
    };
    https.get(options, (response) => {
      console.log(`127.0.0.1:${response.socket.localPort}`);
      response.resume();
      response.on('end', resolve);
    }).on('error', reject);
  });
}

server.listen(0, '127.0.0.1', async () => {
  if (Number(count) === 0) return console.log(server.address().port);
  for (let i = 0; i < Number(count); i++) await get(server.address().port);
  server.close();
});
