// swift-tools-version:6.2
import PackageDescription

let package = Package(
    name: "Benchmarks",
    dependencies: [.package(name: "tlswatch", path: "..")],
    targets: [
        .executableTarget(
            name: "WindowBenchmarks",
            dependencies: [.product(name: "HandshakeProbe", package: "tlswatch")],
            swiftSettings: [
                .swiftLanguageMode(.v6),
                .strictMemorySafety(),
                .treatAllWarnings(as: .error),
                .enableUpcomingFeature("ExistentialAny"),
            ])
    ]
)
