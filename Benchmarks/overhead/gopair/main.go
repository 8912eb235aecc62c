// gopair is to Go's crypto/tls what pair.c is to OpenSSL: both ends of TLS handshakes over loopback, one by one, in one thread.
// Each end is a goroutine, and there is one processor for both (GOMAXPROCS): an end that would have to wait gives its turn to the
// other one. The runtime's poller, which would wake other threads, has no part in it, and memory is collected between handshakes.
// It answers the commands `round N`, `warm N` and `sites` as pair.c does; what stands in the kernel is the affair of pair.c itself.
package main

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"math/bits"
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

const (
	server = iota
	client
	sides
)

// The calling thread's time on the processor.
func threadTime() int64 {
	var t syscall.Timespec
	const clockThread = 3
	syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, clockThread, uintptr(unsafe.Pointer(&t)), 0)
	return t.Nano()
}

// What the ends of the handshake that is being made took, and since when the one whose turn it is has had it.
var (
	spent [sides]int64
	since int64
)

func begin() { since = threadTime() }

func end(side int) { spent[side] += threadTime() - since }

// A connection whose bytes go to the system without the runtime.
type turns struct {
	*net.TCPConn
	descriptor uintptr
	side       int
}

func newTurns(conn net.Conn, side int) (*turns, error) {
	t := &turns{TCPConn: conn.(*net.TCPConn), side: side}
	raw, err := t.SyscallConn()
	if err == nil {
		err = raw.Control(func(descriptor uintptr) { t.descriptor = descriptor })
	}
	return t, err
}

func (t *turns) Read(b []byte) (int, error) {
	for {
		n, _, errno := syscall.RawSyscall(syscall.SYS_READ, t.descriptor, uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
		switch {
		case errno == syscall.EAGAIN:
			end(t.side)
			runtime.Gosched()
			begin()
		case errno != 0:
			return 0, errno
		case n == 0:
			return 0, io.EOF
		default:
			return int(n), nil
		}
	}
}

// What an end sends in a handshake fits the socket's buffer.
func (t *turns) Write(b []byte) (int, error) {
	n, _, errno := syscall.RawSyscall(syscall.SYS_WRITE, t.descriptor, uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
	if errno != 0 {
		return 0, errno
	}
	if int(n) != len(b) {
		return int(n), io.ErrShortWrite
	}
	return int(n), nil
}

type pair struct {
	listener net.Listener
	configs  [sides]*tls.Config
	// The connections to be made, and how each went.
	begun [sides]chan *turns
	ended [sides]chan error
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
	p := &pair{configs: [sides]*tls.Config{common.Clone(), common.Clone()}}
	p.configs[server].Certificates = []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}
	p.configs[client].RootCAs, p.configs[client].ServerName = roots, "localhost"
	p.listener, err = net.Listen("tcp", "127.0.0.1:0")
	for side, connection := range [sides]func(net.Conn, *tls.Config) *tls.Conn{tls.Server, tls.Client} {
		p.begun[side], p.ended[side] = make(chan *turns), make(chan error)
		go p.serve(side, connection)
	}
	return p, err
}

func (p *pair) serve(side int, connection func(net.Conn, *tls.Config) *tls.Conn) {
	for conn := range p.begun[side] {
		begin()
		c := connection(conn, p.configs[side])
		err := c.Handshake()
		end(side)
		if err == nil && c.ConnectionState().NegotiatedProtocol != protocol {
			err = fmt.Errorf("no %s", protocol)
		}
		p.ended[side] <- err
	}
}

// One handshake, whose costs are in `spent`; whether one thread made it.
func (p *pair) handshake() (bool, error) {
	conn, err := net.Dial("tcp", p.listener.Addr().String())
	if err != nil {
		return false, err
	}
	defer conn.Close()
	other, err := p.listener.Accept()
	if err != nil {
		return false, err
	}
	defer other.Close()
	// Or the ports are used up by what has ended.
	if err := other.(*net.TCPConn).SetLinger(0); err != nil {
		return false, err
	}
	spent = [sides]int64{}
	thread := syscall.Gettid()
	for side, conn := range [sides]net.Conn{other, conn} {
		t, err := newTurns(conn, side)
		if err != nil {
			return false, err
		}
		p.begun[side] <- t
	}
	for side := range p.ended {
		if failure := <-p.ended[side]; failure != nil {
			err = failure
		}
	}
	return thread == syscall.Gettid(), err
}

func quartile(values []int64) int64 {
	sort.Slice(values, func(i, j int) bool { return values[i] < values[j] })
	return values[len(values)/4]
}

// Some 20 µs of code that fills the core, as cryptography does; in nanoseconds of the clock on the wall.
func reference() int64 {
	began := time.Now()
	a, b, c, d := uint64(1), uint64(2), uint64(3), uint64(4)
	for turn := 0; turn < 45; turn++ {
		for i := 0; i < len(words); i += 4 {
			a = a*0x9e3779b97f4a7c15 + words[i]
			b = b*0xbf58476d1ce4e5b9 + words[i+1]
			c = (c ^ words[i+2]) + bits.RotateLeft64(c, 7)
			d = (d ^ words[i+3]) + bits.RotateLeft64(d, 9)
			words[i] = a ^ d
			words[i+2] = b + c
		}
	}
	return time.Since(began).Nanoseconds()
}

var words [1024]uint64

// What the computation takes on a quiet machine: the lowest 5th percentile of a round so far.
var quietest int64

const (
	// How much longer than at best the computation may take beside a handshake that counts.
	quiet = 1.1
	// How many times as many handshakes as are asked for, and how long, until enough of them were quiet.
	patience = 10
	longest  = 3 * time.Second
	// Handshakes between two collections: the heap stays small, and its pages in place.
	collected = 20
)

// Handshakes until so many of them were quiet, too many were made or time is up: the lower quartiles of the quiet ones.
func (p *pair) round(count int) string {
	var figures [sides][]int64
	var references []int64
	began := time.Now()
	before := reference()
	for len(figures[server]) < count && len(references) < patience*count && time.Since(began) < longest {
		if len(references)%collected == 0 {
			runtime.GC()
			before = reference()
		}
		inOneThread, err := p.handshake()
		if err != nil {
			return fmt.Sprint("error ", err)
		}
		after := reference()
		references = append(references, after)
		if most := int64(quiet * float64(quietest)); inOneThread && before <= most && after <= most {
			for side := range figures {
				figures[side] = append(figures[side], spent[side])
			}
		}
		before = after
	}
	// Of few, the 5th percentile would be the luckiest one.
	if len(references) >= 40 {
		sort.Slice(references, func(i, j int) bool { return references[i] < references[j] })
		if low := references[len(references)/20]; quietest == 0 || low < quietest {
			quietest = low
		}
	}
	kept, made := len(figures[server]), len(references)
	if kept == 0 {
		return fmt.Sprint("ok 0 0 0 ", made)
	}
	return fmt.Sprint("ok ", quartile(figures[server]), " ", quartile(figures[client]), " ", kept, " ", made)
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
	runtime.GOMAXPROCS(1)
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
				if _, err = p.handshake(); err != nil {
					break
				}
			}
			if err != nil {
				fmt.Println("error", err)
			} else {
				fmt.Println("ok")
			}
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
