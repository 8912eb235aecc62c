// gopair is to Go's crypto/tls what pair.c is to OpenSSL: both ends of TLS handshakes over loopback, one by one, each end on a
// thread of its own, and both threads on the processor that the program was started on. It answers the commands `round N`,
// `warm N` and `sites` as pair.c does; what stands in the kernel is the affair of pair.c itself.
package main

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/big"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

const protocol = "h2"

// What one end took.
type cost struct {
	nanoseconds int64
	err         error
}

// The calling thread's time on the processor.
func threadTime() int64 {
	var t syscall.Timespec
	const clockThread = 3
	syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, clockThread, uintptr(unsafe.Pointer(&t)), 0)
	return t.Nano()
}

func measured(c *tls.Conn) cost {
	before := threadTime()
	err := c.Handshake()
	return cost{threadTime() - before, err}
}

type pair struct {
	listener net.Listener
	server   *tls.Config
	client   *tls.Config
	accepted chan net.Conn
	served   chan cost
}

func newPair() (*pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(24 * time.Hour), DNSNames: []string{"localhost"}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AddCert(certificate)
	common := tls.Config{MinVersion: tls.VersionTLS13, CurvePreferences: []tls.CurveID{tls.X25519}, NextProtos: []string{protocol},
		SessionTicketsDisabled: true}
	p := &pair{server: common.Clone(), client: common.Clone(), accepted: make(chan net.Conn), served: make(chan cost)}
	p.server.Certificates = []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}
	p.client.RootCAs, p.client.ServerName = roots, "localhost"
	p.listener, err = net.Listen("tcp", "127.0.0.1:0")
	go p.serve()
	return p, err
}

func (p *pair) serve() {
	runtime.LockOSThread()
	for conn := range p.accepted {
		c := tls.Server(conn, p.server)
		p.served <- measured(c)
		c.Close()
	}
}

func (p *pair) handshake() (server, client cost) {
	conn, err := net.Dial("tcp", p.listener.Addr().String())
	if err != nil {
		return cost{}, cost{err: err}
	}
	other, err := p.listener.Accept()
	if err != nil {
		return cost{err: err}, cost{}
	}
	p.accepted <- other
	c := tls.Client(conn, p.client)
	client = measured(c)
	server = <-p.served
	if client.err == nil && c.ConnectionState().NegotiatedProtocol != protocol {
		client.err = fmt.Errorf("no %s", protocol)
	}
	c.Close()
	return server, client
}

func quartile(values []int64) int64 {
	sort.Slice(values, func(i, j int) bool { return values[i] < values[j] })
	return values[len(values)/4]
}

// So many handshakes: the lower quartiles. Threads of one processor take turns, so that none is left alone in all of one.
func (p *pair) round(count int) string {
	runtime.GC()
	var servers, clients []int64
	for i := 0; i < count; i++ {
		server, client := p.handshake()
		if server.err != nil || client.err != nil {
			return fmt.Sprint("error ", server.err, " ", client.err)
		}
		servers, clients = append(servers, server.nanoseconds), append(clients, client.nanoseconds)
	}
	return fmt.Sprint("ok ", quartile(servers), " ", quartile(clients), " ", count, " ", count)
}

// Where the program's code in memory is another than in its file: where probes are.
func sites() string {
	path, err := os.Executable()
	if err != nil {
		return "error " + err.Error()
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return "error " + err.Error()
	}
	file, err := os.ReadFile(path)
	if err != nil {
		return "error " + err.Error()
	}
	var found []string
	for _, line := range strings.Split(string(maps), "\n") {
		fields := strings.Fields(line)
		if len(fields) != 6 || fields[5] != path || fields[1][2] != 'x' {
			continue
		}
		var start, end, offset uint64
		fmt.Sscanf(fields[0], "%x-%x", &start, &end)
		fmt.Sscanf(fields[2], "%x", &offset)
		memory := unsafe.Slice((*byte)(unsafe.Pointer(uintptr(start))), end-start)
		for i, b := range memory {
			if at := offset + uint64(i); at < uint64(len(file)) && b != file[at] {
				found = append(found, strconv.FormatUint(at, 16))
			}
		}
	}
	return "ok " + path + ":" + strings.Join(found, ",")
}

func main() {
	runtime.LockOSThread()
	debug.SetGCPercent(-1)
	p, err := newPair()
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	fmt.Println("ok")
	for input := bufio.NewScanner(os.Stdin); input.Scan(); {
		words := append(strings.Fields(input.Text()), "", "")
		count, _ := strconv.Atoi(words[1])
		switch words[0] {
		case "round":
			fmt.Println(p.round(count))
		case "warm":
			for i := 0; i < count; i++ {
				p.handshake()
			}
			fmt.Println("ok")
		case "sites":
			fmt.Println(sites())
		case "library":
			path, _ := os.Executable()
			fmt.Println("ok", path, runtime.Version())
		default:
			fmt.Println("error unknown command")
		}
	}
}
