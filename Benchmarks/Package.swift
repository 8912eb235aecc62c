// swift-tools-version:6.2
import PackageDescription

let package = Package(
    name: "Benchmarks",
    dependencies: [
        .package(name: "tlswatch", path: ".."),
        // Measured beside our own windows.
        .package(url: "https://github.com/HdrHistogram/hdrhistogram-swift", exact: "0.2.0"),
    ],
    targets: [
        .executableTarget(
            name: "WindowBenchmarks",
            dependencies: [
                .product(name: "Handshakes", package: "tlswatch"),
                .product(name: "SyntheticHandshakes", package: "tlswatch"),
                .product(name: "Histogram", package: "hdrhistogram-swift"),
            ],
            swiftSettings: [
                .swiftLanguageMode(.v6),
                .strictMemorySafety(),
                .treatAllWarnings(as: .error),
                .enableUpcomingFeature("ExistentialAny"),
            ])
    ]
)
