// swift-tools-version:6.2
import PackageDescription

/// Swift 6 language mode, strict memory safety, and no warning left standing.
let settings: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .strictMemorySafety(),
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("ExistentialAny"),
    // Spans in our own types.
    .enableExperimentalFeature("Lifetimes"),
]

let package = Package(
    name: "tlswatch",
    products: [
        .library(name: "HandshakeProbe", targets: ["HandshakeProbe"]),
        .executable(name: "tlswatch", targets: ["tlswatch"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1", traits: []),
    ],
    targets: [
        // libbpf and the kernel's bpf(2), with the wire contract of bpf/event.h.
        .target(
            name: "CBPF",
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
        .plugin(name: "CompileBPF", capability: .buildTool()),
        .target(
            name: "HandshakeProbe",
            dependencies: ["CBPF", "CCapstone"],
            swiftSettings: settings,
            plugins: ["CompileBPF"]
        ),
        .executableTarget(
            name: "tlswatch",
            dependencies: [
                "HandshakeProbe", "CGzip",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "Hummingbird", package: "hummingbird"),
            ],
            swiftSettings: settings
        ),
        .testTarget(
            name: "HandshakeProbeTests", dependencies: ["HandshakeProbe"],
            resources: [.copy("Fixtures")], swiftSettings: settings
        ),
        // Black box: the built command against real programs. Needs root.
        .testTarget(
            name: "KernelTests", dependencies: ["tlswatch"], resources: [.copy("Scripts"), .copy("Programs")],
            swiftSettings: settings
        ),
    ]
)
