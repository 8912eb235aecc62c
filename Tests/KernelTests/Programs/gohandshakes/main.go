// gohandshakes makes TLS handshakes over loopback, each scenario's two sides in this process, and prints what Go itself knows of
// each: one line of JSON a side, with CLOCK_MONOTONIC stamps from around the call.
package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"reflect"
	"runtime"
	"runtime/pprof"
	"strconv"
	"sync"
	"time"
	_ "unsafe" // for the clock
)

//go:linkname nanotime runtime.nanotime
func nanotime() int64

// One side's end.
type witness struct {
	Scenario  string `json:"scenario"`
	Role      string `json:"role"`
	Start     int64  `json:"start"`
	End       int64  `json:"end"`
	Completed bool   `json:"completed"`
	Panicked  bool   `json:"panicked"`
	Version   uint16 `json:"version"`
	Cipher    uint16 `json:"cipher"`
	ALPN      string `json:"alpn"`
	SNI       string `json:"sni"`
	Resumed   bool   `json:"resumed"`
	Peer      int    `json:"peer_certificates"`
	Local     string `json:"local"`
	Remote    string `json:"remote"`
	Group     uint64 `json:"group"` // 0 where this release does not tell
	Share     int64  `json:"share"` // when the peer's key share began to be sent; 0 where nobody stamps it
	Held      int64  `json:"held"`  // between this side's last read before the peer sent what follows its share, and that
	Last      int64  `json:"last"`  // when its last read or write in the handshake came back; 0 where nobody stamps it
	Error     string `json:"error"`
}

var output sync.Mutex

func tell(w witness) {
	line, err := json.Marshal(w)
	if err != nil {
		panic(err)
	}
	output.Lock()
	defer output.Unlock()
	fmt.Println(string(line))
}

func describe(scenario, role string, c *tls.Conn, start, end int64, err error) witness {
	state := c.ConnectionState()
	w := witness{Scenario: scenario, Role: role, Start: start, End: end, Completed: err == nil, Version: state.Version,
		Cipher: state.CipherSuite, ALPN: state.NegotiatedProtocol, SNI: state.ServerName, Resumed: state.DidResume,
		Peer: len(state.PeerCertificates), Local: c.LocalAddr().String(), Remote: c.RemoteAddr().String()}
	w.Group = groupOf(state)
	if s, ok := c.NetConn().(*splitConn); ok {
		w.Share = s.stamps.get("share", peers[role])
		rest := s.stamps.get("rest", peers[role])
		w.Held = rest - s.lastRead(rest)
	}
	if err != nil {
		w.Error = err.Error()
	}
	return w
}

// Since Go 1.25; before, 0.
func groupOf(state tls.ConnectionState) uint64 {
	if group := reflect.ValueOf(state).FieldByName("CurveID"); group.IsValid() {
		return group.Uint()
	}
	return 0
}

// ---- certificates ----

type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	pool        *x509.CertPool
}

var serial int64

func template(name string, from, until time.Time) *x509.Certificate {
	serial++
	return &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, NotBefore: from,
		NotAfter: until, DNSNames: []string{name}, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		BasicConstraintsValid: true}
}

func newAuthority() *authority {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	t := template("authority", time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	t.IsCA = true
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	must(err)
	certificate, err := x509.ParseCertificate(der)
	must(err)
	a := &authority{certificate, key, x509.NewCertPool()}
	a.pool.AddCert(certificate)
	return a
}

func (a *authority) issue(name string, from, until time.Time) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	der, err := x509.CreateCertificate(rand.Reader, template(name, from, until), a.certificate, &key.PublicKey, a.key)
	must(err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func (a *authority) valid(name string) tls.Certificate {
	return a.issue(name, time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// ---- one pair ----

// What a scenario does besides handshakes.
type manner struct {
	wrap     func(net.Conn) net.Conn // both sides' connections
	client   func(net.Conn)          // in the place of a TLS client
	server   func(net.Conn)          // in the place of a TLS server
	context  func() (context.Context, func())
	deadline time.Duration // the server's
	again    bool          // the server enters a second time after a panic
	closed   bool          // the client closes its connection before it enters
}

type wrapped struct {
	number int
	net.Conn
}

// A connection by value, as routers wrap them.
type byValue struct {
	net.Conn
	name string
}

func serve(scenario string, conn net.Conn, config *tls.Config, m manner) {
	if m.deadline > 0 {
		conn.SetDeadline(time.Now().Add(m.deadline))
	}
	c := tls.Server(conn, config)
	err := enter(scenario, "server", c, conn, context.Background())
	if m.again {
		err = enter(scenario, "server", c, conn, context.Background())
	}
	if err == nil {
		b := make([]byte, 64)
		if n, err := c.Read(b); err == nil {
			c.Write(b[:n])
		}
	}
	c.Close()
}

var errPanicked = errors.New("panicked")

func enter(scenario, role string, c *tls.Conn, conn net.Conn, ctx context.Context) (err error) {
	start := nanotime()
	defer func() {
		if r := recover(); r != nil {
			tell(witness{Scenario: scenario, Role: role, Start: start, End: nanotime(), Panicked: true,
				Local: conn.LocalAddr().String(), Remote: conn.RemoteAddr().String(), Error: fmt.Sprint(r)})
			err = errPanicked
		}
	}()
	err = c.HandshakeContext(ctx)
	end := nanotime()
	tell(describe(scenario, role, c, start, end, err))
	return err
}

func pair(scenario string, server, client *tls.Config, m manner) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	defer listener.Close()
	var done sync.WaitGroup
	done.Add(1)
	go func() {
		defer done.Done()
		conn, err := listener.Accept()
		must(err)
		if m.wrap != nil {
			conn = m.wrap(conn)
		}
		if m.server != nil {
			m.server(conn)
			return
		}
		serve(scenario, conn, server, m)
	}()
	conn, err := net.Dial("tcp", listener.Addr().String())
	must(err)
	if m.wrap != nil {
		conn = m.wrap(conn)
	}
	if m.client != nil {
		m.client(conn)
		done.Wait()
		return
	}
	ctx, cancel := context.Background(), func() {}
	if m.context != nil {
		ctx, cancel = m.context()
	}
	defer cancel()
	if m.closed {
		conn.Close()
	}
	c := tls.Client(conn, client)
	if err := enter(scenario, "client", c, conn, ctx); err == nil {
		io.WriteString(c, "hello")
		c.Read(make([]byte, 64))
	}
	c.Close()
	done.Wait()
}

// ---- scenarios ----

type world struct {
	ca   *authority
	leaf tls.Certificate
}

func (w *world) configs() (server, client *tls.Config) {
	return &tls.Config{Certificates: []tls.Certificate{w.leaf}}, &tls.Config{RootCAs: w.ca.pool, ServerName: "a.example"}
}

// More, of later releases.
var later []func(*world)

func (w *world) complete() {
	for _, version := range []uint16{tls.VersionTLS13, tls.VersionTLS12} {
		name := map[uint16]string{tls.VersionTLS13: "13", tls.VersionTLS12: "12"}[version]
		s, c := w.configs()
		c.MaxVersion = version
		s.NextProtos, c.NextProtos = []string{"h2", "http/1.1"}, []string{"h2"}
		pair("alpn-"+name, s, c, manner{})
		s, c = w.configs()
		c.MaxVersion = version
		c.ClientSessionCache = tls.NewLRUClientSessionCache(4)
		pair("full-"+name, s, c, manner{})
		pair("resumed-"+name, s, c, manner{})
		s, c = w.configs()
		c.MaxVersion = version
		s.ClientAuth = tls.RequireAnyClientCert
		c.Certificates = []tls.Certificate{w.ca.valid("client")}
		pair("mutual-"+name, s, c, manner{})
		s, c = w.configs()
		c.MaxVersion = version
		s.ClientAuth = tls.RequestClientCert
		pair("asked-in-vain-"+name, s, c, manner{})
	}
	s, c := w.configs()
	s.CurvePreferences = []tls.CurveID{tls.CurveP384}
	c.CurvePreferences = []tls.CurveID{tls.X25519, tls.CurveP384}
	pair("retry", s, c, manner{})
	s, c = w.configs()
	s.CurvePreferences = []tls.CurveID{tls.CurveP256}
	c.MaxVersion = tls.VersionTLS12
	pair("p256-12", s, c, manner{})
	s, c = w.configs()
	pair("wrapped", s, c, manner{wrap: func(c net.Conn) net.Conn { return &wrapped{7, c} }})
	pair("wrapped-twice", s, c, manner{wrap: func(c net.Conn) net.Conn { return byValue{&wrapped{7, c}, "x"} }})
	w.rsa()
	w.slow()
	w.split()
	w.nested()
	w.parallel()
}

// A client that waits before it says hello: the server waits in its call.
func (w *world) slow() {
	s, c := w.configs()
	pair("slow-client", s, c, manner{wrap: func(conn net.Conn) net.Conn { return &slowWriter{Conn: conn} }})
}

type slowWriter struct {
	net.Conn
	once sync.Once
}

func (s *slowWriter) Write(b []byte) (int, error) {
	if len(b) > 5 && b[0] == 22 && b[5] == 1 {
		s.once.Do(func() { time.Sleep(50 * time.Millisecond) })
	}
	return s.Conn.Write(b)
}

// A key exchange without a group.
func (w *world) rsa() {
	s, c := w.configs()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	must(err)
	t := template("a.example", time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	t.KeyUsage |= x509.KeyUsageKeyEncipherment
	der, err := x509.CreateCertificate(rand.Reader, t, w.ca.certificate, &key.PublicKey, w.ca.key)
	must(err)
	s.Certificates = []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}
	s.MaxVersion = tls.VersionTLS12
	s.CipherSuites = []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256}
	c.CipherSuites = append(s.CipherSuites, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256)
	pair("rsa-12", s, c, manner{})
}

// Below TLS 1.3 a share is followed by more messages, which may come later.
func (w *world) split() {
	s, c := w.configs()
	c.MaxVersion = tls.VersionTLS12
	s.ClientAuth = tls.RequireAnyClientCert
	c.Certificates = []tls.Certificate{w.ca.valid("client")}
	stamps := &stamps{all: map[string]int64{}}
	pair("split-12", s, c, manner{wrap: func(conn net.Conn) net.Conn { return &splitConn{Conn: conn, stamps: stamps} }})
}

var peers = map[string]string{"client": "server", "server": "client"}

// When each side has begun to send something.
type stamps struct {
	lock sync.Mutex
	all  map[string]int64
}

func (s *stamps) note(what, role string) {
	s.lock.Lock()
	defer s.lock.Unlock()
	s.all[what+" "+role] = nanotime()
}

func (s *stamps) get(what, role string) int64 {
	s.lock.Lock()
	defer s.lock.Unlock()
	return s.all[what+" "+role]
}

// Sends what comes behind a ServerKeyExchange (12) or a ClientKeyExchange (16) 50 ms later.
type splitConn struct {
	net.Conn
	stamps *stamps
	once   sync.Once
	reads  []int64 // when each came back, of one goroutine
}

func (s *splitConn) Read(b []byte) (int, error) {
	n, err := s.Conn.Read(b)
	s.reads = append(s.reads, nanotime())
	return n, err
}

func (s *splitConn) lastRead(before int64) (last int64) {
	for _, read := range s.reads {
		if read < before {
			last = read
		}
	}
	return last
}

func (s *splitConn) Write(b []byte) (int, error) {
	for at := 0; at+6 <= len(b) && b[at] == 22; {
		end := at + 5 + int(binary.BigEndian.Uint16(b[at+3:]))
		kind := b[at+5]
		if (kind == 12 || kind == 16) && end < len(b) {
			split := false
			s.once.Do(func() { split = true })
			if !split {
				break
			}
			role := map[byte]string{12: "server", 16: "client"}[kind]
			s.stamps.note("share", role)
			n, err := s.Conn.Write(b[:end])
			if err != nil {
				return n, err
			}
			time.Sleep(50 * time.Millisecond)
			s.stamps.note("rest", role)
			more, err := s.Conn.Write(b[end:])
			return n + more, err
		}
		at = end
	}
	return s.Conn.Write(b)
}

// A handshake inside the callback of another, on the same goroutine.
func (w *world) nested() {
	s, c := w.configs()
	var once sync.Once
	s.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		once.Do(func() {
			s, c := w.configs()
			pair("nested-inner", s, c, manner{})
		})
		return nil, nil
	}
	pair("nested-outer", s, c, manner{})
}

func (w *world) parallel() {
	var all sync.WaitGroup
	for i := 0; i < 8; i++ {
		all.Add(1)
		go func() {
			defer all.Done()
			s, c := w.configs()
			pair("parallel", s, c, manner{})
		}()
	}
	all.Wait()
}

func (w *world) fail() {
	s, c := w.configs()
	c.RootCAs = x509.NewCertPool()
	pair("unknown-ca", s, c, manner{})
	c = c.Clone()
	c.MaxVersion = tls.VersionTLS12
	pair("unknown-ca-12", s, c, manner{})
	s, c = w.configs()
	c.ServerName = "b.example"
	pair("wrong-name", s, c, manner{})
	s, c = w.configs()
	s.Certificates = []tls.Certificate{w.ca.issue("a.example", time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour))}
	pair("expired", s, c, manner{})
	s, c = w.configs()
	s.ClientAuth = tls.RequireAnyClientCert
	c.MaxVersion = tls.VersionTLS12
	pair("no-certificate-12", s, c, manner{})
	s, c = w.configs()
	s.NextProtos, c.NextProtos = []string{"x"}, []string{"y"}
	pair("alpn-mismatch", s, c, manner{})
	s, c = w.configs()
	s.MinVersion, c.MaxVersion = tls.VersionTLS13, tls.VersionTLS12
	pair("version", s, c, manner{})
	s, c = w.configs()
	s.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return nil, errors.New("none for you") }
	pair("refused-by-callback", s, c, manner{})
	s, c = w.configs()
	pair("plain-http", s, nil, manner{client: func(conn net.Conn) {
		io.WriteString(conn, "GET / HTTP/1.0\r\n\r\n")
		io.Copy(io.Discard, conn)
		conn.Close()
	}})
	pair("silent", s, nil, manner{client: func(conn net.Conn) { time.Sleep(30 * time.Millisecond); conn.Close() }})
	pair("half", s, nil, manner{client: func(conn net.Conn) {
		conn.Write([]byte{22, 3, 1, 1, 0, 1, 0, 0, 252})
		conn.Close()
	}})
	pair("deadline", s, nil, manner{deadline: 40 * time.Millisecond, client: func(conn net.Conn) {
		io.Copy(io.Discard, conn)
		conn.Close()
	}})
	pair("reset", nil, c, manner{server: func(conn net.Conn) {
		io.ReadAtLeast(conn, make([]byte, 16), 16)
		conn.(*net.TCPConn).SetLinger(0)
		conn.Close()
	}})
	s, c = w.configs()
	release := make(chan struct{})
	s.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { <-release; return nil, nil }
	pair("canceled", s, c, manner{context: func() (context.Context, func()) {
		ctx, cancel := context.WithTimeout(context.Background(), 40*time.Millisecond)
		go func() { <-ctx.Done(); time.Sleep(20 * time.Millisecond); close(release) }()
		return ctx, cancel
	}})
	s, c = w.configs()
	unblock := make(chan struct{})
	s.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { <-unblock; return nil, nil }
	pair("closed-locally", s, c, manner{wrap: func(conn net.Conn) net.Conn {
		return &selfClosing{Conn: conn, then: func() { close(unblock) }}
	}, context: func() (context.Context, func()) { return context.WithCancel(context.Background()) }})
	s, c = w.configs()
	var once sync.Once
	s.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		once.Do(func() { panic("boom") })
		return nil, nil
	}
	pair("panic", s, c, manner{})
	// Closed before: a handshake that moves no byte is none.
	s, c = w.configs()
	pair("none-closed", s, c, manner{closed: true, server: func(conn net.Conn) { conn.Close() }})
	// The same object enters again after a panic.
	s, c = w.configs()
	again := true
	s.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		if again {
			again = false
			panic("boom")
		}
		return nil, nil
	}
	pair("again", s, nil, manner{again: true, client: func(conn net.Conn) {
		conn.SetDeadline(time.Now().Add(150 * time.Millisecond))
		enter("again", "client", tls.Client(conn, c), conn, context.Background())
		conn.Close()
	}})
	w.peek()
}

// A connection that its own program closes once it has written a ClientHello.
type selfClosing struct {
	net.Conn
	then func()
}

func (s *selfClosing) Write(b []byte) (int, error) {
	n, err := s.Conn.Write(b)
	if len(b) > 5 && b[0] == 22 && b[5] == 1 {
		go func() {
			time.Sleep(40 * time.Millisecond)
			s.Conn.Close()
			s.then()
		}()
	}
	return n, err
}

// Reads a ClientHello from memory and refuses it, as routers by server name do. It is no handshake.
func (w *world) peek() {
	var hello bytes.Buffer
	_, c := w.configs()
	start := nanotime()
	err := tls.Client(onlyWriter{&hello}, c).Handshake()
	tell(witness{Scenario: "memory", Role: "client", Start: start, End: nanotime(), Error: err.Error()})
	for _, answer := range []func(net.Conn) net.Conn{
		func(c net.Conn) net.Conn { return c },
		func(c net.Conn) net.Conn { return byValue{c, "y"} },
	} {
		start := nanotime()
		err := tls.Server(answer(onlyReader{bytes.NewReader(hello.Bytes())}), &tls.Config{
			GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return nil, errors.New("seen") },
		}).Handshake()
		tell(witness{Scenario: "none-peek", Role: "server", Start: start, End: nanotime(), Error: err.Error()})
	}
}

type memory struct{}

func (memory) Read([]byte) (int, error)         { return 0, io.EOF }
func (memory) Write(b []byte) (int, error)      { return len(b), nil }
func (memory) Close() error                     { return nil }
func (memory) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (memory) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (memory) SetDeadline(time.Time) error      { return nil }
func (memory) SetReadDeadline(time.Time) error  { return nil }
func (memory) SetWriteDeadline(time.Time) error { return nil }

type onlyWriter struct{ w io.Writer }

func (o onlyWriter) Read(b []byte) (int, error)         { return memory{}.Read(b) }
func (o onlyWriter) Write(b []byte) (int, error)        { return o.w.Write(b) }
func (o onlyWriter) Close() error                       { return nil }
func (o onlyWriter) LocalAddr() net.Addr                { return memory{}.LocalAddr() }
func (o onlyWriter) RemoteAddr() net.Addr               { return memory{}.RemoteAddr() }
func (o onlyWriter) SetDeadline(t time.Time) error      { return nil }
func (o onlyWriter) SetReadDeadline(t time.Time) error  { return nil }
func (o onlyWriter) SetWriteDeadline(t time.Time) error { return nil }

type onlyReader struct{ r io.Reader }

func (o onlyReader) Read(b []byte) (int, error)         { return o.r.Read(b) }
func (o onlyReader) Write(b []byte) (int, error)        { return 0, io.EOF }
func (o onlyReader) Close() error                       { return nil }
func (o onlyReader) LocalAddr() net.Addr                { return memory{}.LocalAddr() }
func (o onlyReader) RemoteAddr() net.Addr               { return memory{}.RemoteAddr() }
func (o onlyReader) SetDeadline(t time.Time) error      { return nil }
func (o onlyReader) SetReadDeadline(t time.Time) error  { return nil }
func (o onlyReader) SetWriteDeadline(t time.Time) error { return nil }

// ---- modes ----

// `load N`: so many pairs, and nothing is told of them; with `collect` the heap moves all the while.
func (w *world) load(count int, collects bool) {
	if path := os.Getenv("GOHANDSHAKES_PROFILE"); path != "" {
		file, err := os.Create(path)
		must(err)
		must(pprof.StartCPUProfile(file))
		defer pprof.StopCPUProfile()
	}
	stop := make(chan struct{})
	if collects {
		go func() {
			for {
				select {
				case <-stop:
					return
				default:
					runtime.GC()
				}
			}
		}()
	}
	var all sync.WaitGroup
	work := make(chan struct{})
	for i := 0; i < 4; i++ {
		all.Add(1)
		go func() {
			defer all.Done()
			for range work {
				s, c := w.configs()
				quiet(s, c)
			}
		}()
	}
	for i := 0; i < count; i++ {
		work <- struct{}{}
	}
	close(work)
	all.Wait()
	close(stop)
	fmt.Println("done", count)
}

func quiet(s, c *tls.Config) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	defer listener.Close()
	failed := make(chan error, 1)
	go func() {
		conn, err := listener.Accept()
		must(err)
		server := tls.Server(conn, s)
		failed <- server.Handshake()
		server.Close()
	}()
	conn, err := net.Dial("tcp", listener.Addr().String())
	must(err)
	client := tls.Client(conn, c)
	must(client.Handshake())
	must(<-failed)
	client.Close()
}

// A connection that stamps its reads and writes, of one goroutine.
type stampedConn struct {
	net.Conn
	last int64
}

func (s *stampedConn) Read(b []byte) (int, error) {
	n, err := s.Conn.Read(b)
	s.last = nanotime()
	return n, err
}

func (s *stampedConn) Write(b []byte) (int, error) {
	n, err := s.Conn.Write(b)
	s.last = nanotime()
	return n, err
}

func stamp(role string, c *tls.Conn) error {
	start := nanotime()
	err := c.Handshake()
	end := nanotime()
	w := describe("stamps", role, c, start, end, err)
	w.Last = c.NetConn().(*stampedConn).last
	tell(w)
	return err
}

// `stamps N [12] [resumed]`: so many pairs, one after the other.
func (w *world) stamps(count int, options []string) {
	s, c := w.configs()
	for _, option := range options {
		switch option {
		case "12":
			c.MaxVersion = tls.VersionTLS12
		case "resumed":
			c.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	for i := 0; i < count; i++ {
		failed := make(chan error, 1)
		go func() {
			conn, err := listener.Accept()
			must(err)
			server := tls.Server(&stampedConn{Conn: conn}, s)
			err = stamp("server", server)
			server.Write([]byte{1})
			server.Close()
			failed <- err
		}()
		conn, err := net.Dial("tcp", listener.Addr().String())
		must(err)
		client := tls.Client(&stampedConn{Conn: conn}, c)
		must(stamp("client", client))
		// Tickets come before what the server has to say.
		client.Read(make([]byte, 1))
		must(<-failed)
		client.Close()
	}
}

// `hang N`: so many pairs, each of which stands still in the middle, and goes on only when the process ends.
func (w *world) hang(count int) {
	var waiting sync.WaitGroup
	waiting.Add(count)
	for i := 0; i < count; i++ {
		go func() {
			s, c := w.configs()
			c.VerifyPeerCertificate = func([][]byte, [][]*x509.Certificate) error {
				waiting.Done()
				select {}
			}
			quiet(s, c)
		}()
	}
	waiting.Wait()
	fmt.Println("hanging")
	time.Sleep(time.Hour)
}

// `leave N`: so many servers' goroutines end inside their handshakes.
func (w *world) leave(count int) {
	for i := 0; i < count; i++ {
		left := make(chan struct{})
		s, c := w.configs()
		s.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { runtime.Goexit(); return nil, nil }
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		must(err)
		go func() {
			defer close(left)
			conn, err := listener.Accept()
			must(err)
			defer conn.Close()
			tls.Server(conn, s).Handshake()
		}()
		conn, err := net.Dial("tcp", listener.Addr().String())
		must(err)
		tls.Client(conn, c).Handshake()
		<-left
		conn.Close()
		listener.Close()
	}
	fmt.Println("left")
	time.Sleep(time.Hour)
}

func main() {
	ca := newAuthority()
	w := &world{ca, ca.valid("a.example")}
	if len(os.Args) > 2 && os.Args[1] == "stamps" {
		count, err := strconv.Atoi(os.Args[2])
		must(err)
		w.stamps(count, os.Args[3:])
		return
	}
	if len(os.Args) > 2 && os.Args[1] != "load" {
		count, err := strconv.Atoi(os.Args[2])
		must(err)
		map[string]func(int){"hang": w.hang, "leave": w.leave}[os.Args[1]](count)
	}
	if len(os.Args) > 2 && os.Args[1] == "load" {
		count, err := strconv.Atoi(os.Args[2])
		must(err)
		w.load(count, len(os.Args) > 3)
		return
	}
	w.complete()
	w.fail()
	for _, more := range later {
		more(w)
	}
}
