//go:build go1.24

package main

import (
	"crypto/ecdh"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
)

// ECHConfig of draft-ietf-tls-esni-18, with X25519 and AES-128-GCM.
func echConfig(id byte, key []byte, name string) []byte {
	body := []byte{id, 0, 0x20}
	body = binary.BigEndian.AppendUint16(body, uint16(len(key)))
	body = append(body, key...)
	body = append(body, 0, 4, 0, 1, 0, 1, 32, byte(len(name)))
	body = append(body, name...)
	body = append(body, 0, 0)
	return append(binary.BigEndian.AppendUint16([]byte{0xfe, 0x0d}, uint16(len(body))), body...)
}

func init() {
	later = append(later, func(w *world) {
		key, err := ecdh.X25519().GenerateKey(rand.Reader)
		must(err)
		config := echConfig(7, key.PublicKey().Bytes(), "public.example")
		list := append(binary.BigEndian.AppendUint16(nil, uint16(len(config))), config...)
		certificates := []tls.Certificate{w.leaf, w.ca.valid("public.example")}
		server := &tls.Config{Certificates: certificates, MinVersion: tls.VersionTLS13}
		client := &tls.Config{RootCAs: w.ca.pool, ServerName: "a.example", MinVersion: tls.VersionTLS13,
			EncryptedClientHelloConfigList: list}
		keyed := server.Clone()
		keyed.EncryptedClientHelloKeys = []tls.EncryptedClientHelloKey{{Config: config, PrivateKey: key.Bytes(), SendAsRetry: true}}
		pair("ech", keyed, client, manner{})
		pair("ech-rejected", server, client, manner{})
	})
}
