//go:build go1.21

package main

import (
	"context"
	"crypto/tls"
)

// The two sides of a QUIC handshake in memory: crypto/tls makes the messages, this carries them.
func carry(scenario string, s, c *tls.Config) {
	server, client := tls.QUICServer(&tls.QUICConfig{TLSConfig: s}), tls.QUICClient(&tls.QUICConfig{TLSConfig: c})
	server.SetTransportParameters(nil)
	client.SetTransportParameters(nil)
	start := nanotime()
	ends := map[*tls.QUICConn]*witness{
		server: {Scenario: scenario, Role: "server", Start: start}, client: {Scenario: scenario, Role: "client", Start: start},
	}
	fail := func(conn *tls.QUICConn, err error) {
		if err != nil && ends[conn].Error == "" {
			ends[conn].Error, ends[conn].End = err.Error(), nanotime()
		}
	}
	fail(client, client.Start(context.Background()))
	fail(server, server.Start(context.Background()))
	for moved := true; moved; {
		moved = false
		for _, from := range []*tls.QUICConn{client, server} {
			to := map[*tls.QUICConn]*tls.QUICConn{client: server, server: client}[from]
			for event := from.NextEvent(); event.Kind != tls.QUICNoEvent; event = from.NextEvent() {
				moved = true
				switch event.Kind {
				case tls.QUICWriteData:
					fail(to, to.HandleData(event.Level, event.Data))
				case tls.QUICHandshakeDone:
					ends[from].Completed, ends[from].End = true, nanotime()
				}
			}
		}
	}
	for _, conn := range []*tls.QUICConn{client, server} {
		state := conn.ConnectionState()
		w := ends[conn]
		w.Version, w.Cipher, w.ALPN, w.SNI = state.Version, state.CipherSuite, state.NegotiatedProtocol, state.ServerName
		w.Group = groupOf(state)
		conn.Close()
		if w.End == 0 {
			w.Error, w.End = "closed", nanotime()
		}
		tell(*w)
	}
}

func init() {
	later = append(later, func(w *world) {
		configs := func() (*tls.Config, *tls.Config) {
			s, c := w.configs()
			s.NextProtos, c.NextProtos = []string{"h3"}, []string{"h3"}
			s.MinVersion, c.MinVersion = tls.VersionTLS13, tls.VersionTLS13
			return s, c
		}
		s, c := configs()
		carry("quic", s, c)
		s, c = configs()
		c.ServerName = "b.example"
		carry("quic-wrong-name", s, c)
	})
}
