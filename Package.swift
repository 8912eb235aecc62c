// swift-tools-version:6.2
import PackageDescription

/// Swift 6 language mode, strict memory safety, and no warning left standing.
let settings: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .strictMemorySafety(),
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("ExistentialAny"),
    // A member is of a module that its file imports: a transitive Foundation's brings 34 MB of ICU.
    .enableUpcomingFeature("MemberImportVisibility"),
    // Spans in our own types.
    .enableExperimentalFeature("Lifetimes"),
]

/// What is built, and with what, for `--version`: `make build` sets it. What is not plain is no version.
let identity: [CSetting] = ["TLSWATCH_REVISION", "TLSWATCH_TOOLCHAIN"].compactMap { name in
    guard let value = Context.environment[name], !value.isEmpty,
        value.allSatisfy({ $0.isASCII && ($0.isLetter || $0.isNumber || "-.+".contains($0)) })
    else { return nil }
    return .define(name, to: "\"\(value)\"")
}

let package = Package(
    name: "tlswatch",
    products: [
        // For Benchmarks, a package of its own, which brings what it is measured beside.
        .library(name: "Handshakes", targets: ["Handshakes"]),
        .library(name: "SyntheticHandshakes", targets: ["SyntheticHandshakes"]),
        .executable(name: "tlswatch", targets: ["tlswatch"]),
    ],
    // Exact: what is built is what was tried. Raise them on purpose.
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", exact: "1.8.2"),
        .package(url: "https://github.com/apple/swift-log", exact: "1.16.2"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", exact: "2.13.0"),
        .package(url: "https://github.com/apple/swift-configuration", exact: "1.4.0", traits: []),
        .package(url: "https://github.com/apple/swift-protobuf", exact: "1.39.0"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", exact: "2.28.1", traits: []),
        .package(url: "https://github.com/apple/swift-nio", exact: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-extras", exact: "1.35.2"),
        .package(url: "https://github.com/apple/swift-nio-ssl", exact: "2.37.6"),
        .package(url: "https://github.com/apple/swift-crypto", exact: "4.5.2"),
    ],
    targets: [
        // bpf/event.h and its neighbours, the contract between the BPF programs and their consumer: no libbpf, no kernel.
        .target(name: "CEvents"),
        // libbpf and the kernel's bpf(2).
        .target(
            name: "CBPF", dependencies: ["CEvents"],
            linkerSettings: [
                // Archives: one file to deploy, whatever libbpf the host has.
                .linkedLibrary(":libbpf.a"), .linkedLibrary(":libelf.a"), .linkedLibrary(":libz.a"),
            ]
        ),
        // Capstone, one instruction at a time, in a shape Swift can read without unions.
        .target(name: "CCapstone", linkerSettings: [.linkedLibrary(":libcapstone.a")]),
        // zlib's gzip, for the HTTP side, which has nothing to do with the kernel's. CBPF's archives name libz last,
        // and once is enough.
        .target(name: "CGzip"),
        // Generated from metrics.proto (`make protobuf`), for the exposition that carries native histograms.
        .target(
            name: "PrometheusProtobuf", dependencies: [.product(name: "SwiftProtobuf", package: "swift-protobuf")],
            exclude: ["metrics.proto"]
        ),
        // The same of otlp.proto, OpenTelemetry's protocol.
        .target(
            name: "OTLPProtobuf", dependencies: [.product(name: "SwiftProtobuf", package: "swift-protobuf")],
            exclude: ["otlp.proto"]
        ),
        // libxcrypt's bcrypt, for the HTTP side's passwords. Its archive: one file to deploy.
        .target(name: "CPassword", linkerSettings: [.linkedLibrary(":libcrypt.a")]),
        // libyaml's parser, for the settings and the web configuration: its errors have lines.
        .target(name: "CYAML", linkerSettings: [.linkedLibrary(":libyaml.a")]),
        // The commit and the toolchain.
        .target(name: "CBuild", cSettings: identity),
        .plugin(name: "CompileBPF", capability: .buildTool()),
        // What a handshake is, how many are counted and how they are told: no kernel, no C.
        .target(
            name: "Handshakes",
            dependencies: [
                "OTLPProtobuf", "PrometheusProtobuf", .product(name: "SwiftProtobuf", package: "swift-protobuf"),
            ],
            swiftSettings: settings
        ),
        // Machine code: ELF files, unwind tables, an interpreter, where a probe costs least.
        .target(name: "Code", dependencies: ["CCapstone"], swiftSettings: settings),
        // TLS and QUIC as packets show them: hellos, records, when a handshake has ended. No kernel, no C.
        .target(
            name: "Wire",
            dependencies: [
                "Handshakes", .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "CryptoExtras", package: "swift-crypto"),
            ],
            swiftSettings: settings
        ),
        // What is asked of the kernel and of the system: the programs and their ring, links, iterators, files, clocks.
        .target(
            name: "Kernel", dependencies: ["CBPF", "CEvents"], swiftSettings: settings, plugins: ["CompileBPF"]
        ),
        .target(
            name: "HandshakeProbe", dependencies: ["CCapstone", "CEvents", "Code", "Handshakes", "Kernel", "Wire"],
            swiftSettings: settings
        ),
        .executableTarget(
            name: "tlswatch",
            dependencies: [
                "HandshakeProbe", "Handshakes", "Kernel", "CBuild", "CGzip", "CPassword", "CYAML",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "UnixSignals", package: "swift-service-lifecycle"),
                .product(name: "Configuration", package: "swift-configuration"),
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "HummingbirdCore", package: "hummingbird"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOHTTPTypes", package: "swift-nio-extras"),
                .product(name: "NIOHTTPTypesHTTP1", package: "swift-nio-extras"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
            ],
            swiftSettings: settings
        ),
        // What must not grow, with its limits: `make bench`, `make bench-allocations`.
        .target(name: "CAllocations", path: "Benchmarks/CAllocations"),
        .target(
            name: "SyntheticHandshakes", dependencies: ["Handshakes"], path: "Benchmarks/Synthetic",
            swiftSettings: settings
        ),
        .executableTarget(
            name: "Thresholds",
            dependencies: [
                "CAllocations", "CEvents", "Code", "Handshakes", "HandshakeProbe", "Kernel", "SyntheticHandshakes",
            ],
            path: "Benchmarks/Thresholds", swiftSettings: settings
        ),
        // What several test targets do: child processes, waiting, certificates, random numbers that repeat.
        .target(
            name: "TestSupport", dependencies: ["Code", "Handshakes"], path: "Tests/TestSupport",
            exclude: ["Collector/collector.py"],
            swiftSettings: settings
        ),
        // These three run anywhere.
        .testTarget(
            name: "HandshakesTests",
            dependencies: [
                "Handshakes", "TestSupport", "PrometheusProtobuf",
                .product(name: "SwiftProtobuf", package: "swift-protobuf"),
            ],
            resources: [.copy("Fixtures")], swiftSettings: settings
        ),
        .testTarget(
            name: "WireTests", dependencies: ["Handshakes", "TestSupport", "Wire"],
            exclude: ["capture.py", "capture_quic.py"],
            resources: [.copy("Fixtures")],
            swiftSettings: settings
        ),
        .testTarget(name: "CodeTests", dependencies: ["Code", "TestSupport"], swiftSettings: settings),
        .testTarget(
            name: "HandshakeProbeTests",
            dependencies: [
                "CBPF", "CCapstone", "CEvents", "Code", "HandshakeProbe", "Handshakes", "Kernel", "TestSupport",
            ],
            resources: [.copy("Fixtures")], swiftSettings: settings
        ),
        // The command's own parts. No root, no kernel; the status page is tried in Chromium.
        .testTarget(
            name: "tlswatchTests",
            dependencies: [
                "tlswatch", "HandshakeProbe", "Handshakes", "Kernel", "TestSupport",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ],
            swiftSettings: settings
        ),
        // Black box: the built command against real programs. Needs root.
        .testTarget(
            name: "KernelTests",
            dependencies: ["tlswatch", "CEvents", "Code", "HandshakeProbe", "Handshakes", "Kernel", "TestSupport"],
            resources: [.copy("Scripts"), .copy("Programs")],
            swiftSettings: settings
        ),
    ]
)
