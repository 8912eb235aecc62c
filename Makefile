# The developer's verbs. `make run` and `make test` are all that a newcomer needs.
.PHONY: deps build run test test-unit test-kernel test-go test-cycles test-kernels test-packaging bench bench-allocations \
	bench-analysis bench-overhead bench-stacks bench-nginx bench-wire bench-host bench-soak fmt docs check install deb rpm dist \
	protobuf

SWIFT ?= swift
PREFIX ?= /usr/local
# Nothing loads the program: what it exported would be kept, used or not.
RELEASE := -c release --static-swift-stdlib --disable-local-rpath -Xlinker --no-export-dynamic
SOURCES := Package.swift Plugins Sources Tests Benchmarks/Package.swift Benchmarks/Sources \
	Benchmarks/Synthetic Benchmarks/Thresholds

deps:
	@./scripts/deps.sh

build:
	env $$(./scripts/build-identity.sh $(SWIFT)) $(SWIFT) build $(RELEASE) --product tlswatch

run:
	@./scripts/deps.sh build
	@$(MAKE) --no-print-directory build
	@./scripts/run.sh .build/release/tlswatch

# The kernel tests by themselves: their probes see the whole host, the other tests' servers and browsers too. They try the
# binary that is shipped: a debug build reads code a hundred times slower. Without root, the last line says how many did not
# run.
test: deps build
	./scripts/check-binary.sh .build/release/tlswatch
	$(SWIFT) build --build-tests
	$(SWIFT) test --skip-build --skip KernelTests
	@SWIFT="$(SWIFT)" ./scripts/kernel-tests.sh --may-skip

test-unit:
	$(SWIFT) test --skip KernelTests

test-kernel: deps build
	$(SWIFT) build --build-tests
	@SWIFT="$(SWIFT)" ./scripts/kernel-tests.sh

# The tests of Go with every release from 1.19 on that there is a toolchain of, which are fetched first.
test-go: deps build
	./scripts/fetch-tls-builds.sh go
	$(SWIFT) build --build-tests
	TLSWATCH_GO=all $(SWIFT) test --skip-build --filter 'GoStackTests|GoBinaryTests'
	@TLSWATCH_GO=all SWIFT="$(SWIFT)" ./scripts/kernel-tests.sh --filter "GoTests|GoCycleTests|GoroutineTests"

# Probes go on and off a thousand times during handshakes of Go (a FIPS build too) and of BoringSSL; `make test` does it a
# hundred times.
test-cycles: CYCLES ?= 1000
test-cycles: deps build
	$(SWIFT) build --build-tests
	@TLSWATCH_CYCLES=$(CYCLES) SWIFT="$(SWIFT)" ./scripts/kernel-tests.sh --filter "GoCycleTests|BoringSSLCostTests/attachCycles"

test-kernels: deps build
	./scripts/test-kernels.sh .build/release/tlswatch

# The package installed, run, removed and purged here; then under systemd itself, in a virtual machine.
test-packaging: deps build
	./scripts/test-unit.sh .build/release/tlswatch
	./scripts/test-packaging.sh .build/release/tlswatch

# Figures beside those of others, then those that have a limit: past one, it fails.
bench: bench-allocations
	$(SWIFT) run -c release --package-path Benchmarks WindowBenchmarks
	.build/release/Thresholds

# The limits that a busy machine does not disturb: how often memory is asked for. Links against what `make build` compiled.
bench-allocations:
	$(SWIFT) build $(RELEASE) --product Thresholds
	.build/release/Thresholds --allocations

# How long large programs take to read, and how much memory: those of the tests, and one of Go's of 200 MB.
bench-analysis: deps
	$(SWIFT) build $(RELEASE) --product Thresholds
	./Benchmarks/analysis/analysis.sh .build/release/Thresholds

# What observation costs a handshake. BINARY="first=PATH second=PATH" measures those instead of what this tree builds.
bench-overhead: MINUTES ?= 4
bench-overhead: deps $(if $(BINARY),,build)
	python3 Benchmarks/overhead/overhead.py --minutes $(MINUTES) \
		$(foreach binary,$(or $(BINARY),.build/release/tlswatch),--binary $(binary)) $(ARGUMENTS)

# The same for servers of the other stacks.
bench-stacks: MINUTES ?= 9
bench-stacks: deps build
	python3 Benchmarks/stacks/stacks.py --minutes $(MINUTES) --binary .build/release/tlswatch $(ARGUMENTS)

# A real server as an example: nginx.
bench-nginx: deps build
	python3 Benchmarks/nginx/nginx.py --tlswatch .build/release/tlswatch

# What programs on packets cost a TCP connection, beside programs that do nothing.
bench-wire: deps
	CLANG="$$(dirname "$$(readlink -f "$$(command -v swift)")")/clang" Benchmarks/wire/wire.sh $(ROUNDS)

bench-host: deps build
	python3 Benchmarks/host/host.py --tlswatch .build/release/tlswatch

bench-soak: MINUTES ?= 30
bench-soak: deps build
	python3 Benchmarks/host/soak.py --tlswatch .build/release/tlswatch --minutes $(MINUTES)

fmt:
	$(SWIFT) format format --in-place --recursive $(SOURCES)
	./scripts/format-c.sh -i

# Writes the metric catalogue, its tables and what is written about fields and settings anew; the tests fail while they differ
# from the code.
docs:
	TLSWATCH_WRITE_DOCS=1 $(SWIFT) test --filter "CatalogueDocumentTests|matchesTheGoldenText|SessionsDocumentTests/documents|SettingsDocumentTests|ManualPageTests"

check:
	@./scripts/check.sh $(SOURCES)

deb: build
	./scripts/make-deb.sh .build/release/tlswatch dist

rpm: build
	./scripts/make-rpm.sh .build/release/tlswatch dist

dist: build
	./scripts/make-dist.sh .build/release/tlswatch dist

# Makes metrics.pb.swift and otlp.pb.swift anew; needs protoc (Debian: protobuf-compiler).
protobuf:
	$(SWIFT) build --package-path .build/checkouts/swift-protobuf --product protoc-gen-swift
	for file in PrometheusProtobuf/metrics OTLPProtobuf/otlp; do \
		(cd Sources/$${file%/*} && protoc --swift_opt=Visibility=Public --swift_out=. $${file#*/}.proto \
			--plugin=../../.build/checkouts/swift-protobuf/.build/debug/protoc-gen-swift) || exit 1; \
	done

install: build
	install -D -m 0755 .build/release/tlswatch $(DESTDIR)$(PREFIX)/bin/tlswatch
