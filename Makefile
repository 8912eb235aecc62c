# The developer's verbs. `make run` and `make test` are all that a newcomer needs.
.PHONY: deps build run test test-unit test-kernel bench bench-overhead fmt check install

SWIFT ?= swift
PREFIX ?= /usr/local
SOURCES := Package.swift Plugins Sources Tests Benchmarks/Package.swift Benchmarks/Sources

deps:
	@./scripts/deps.sh

build:
	$(SWIFT) build -c release --static-swift-stdlib --product tlswatch

run:
	@./scripts/deps.sh build
	@$(MAKE) --no-print-directory build
	@./scripts/run.sh .build/release/tlswatch

test: deps
	$(SWIFT) build --build-tests
	$(SWIFT) test --skip-build

test-unit:
	$(SWIFT) test --filter HandshakeProbeTests

test-kernel: deps
	$(SWIFT) build --build-tests
	$(SWIFT) test --skip-build --filter KernelTests

bench:
	$(SWIFT) run -c release --package-path Benchmarks WindowBenchmarks

bench-overhead: deps build
	python3 Benchmarks/overhead/overhead.py --tlswatch .build/release/tlswatch

fmt:
	$(SWIFT) format format --in-place --recursive $(SOURCES)

check:
	@./scripts/check.sh $(SOURCES)

install: build
	install -D -m 0755 .build/release/tlswatch $(DESTDIR)$(PREFIX)/bin/tlswatch
