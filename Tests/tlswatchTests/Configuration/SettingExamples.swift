import Testing

@testable import tlswatch

/// For each setting: right texts that are not the default, in three sources' hands, and wrong ones.
struct SettingExample: CustomTestStringConvertible, Sendable {
    var key: String
    /// Each different from the others.
    var right: [[String]]
    var wrong: [String]

    var setting: Setting { Setting.all.first { $0.key == key } ?? .listen }
    var testDescription: String { key }

    static let all = [
        SettingExample(
            key: "listen", right: [["[::1]:1", "127.0.0.1:1"], ["localhost:2"], ["0.0.0.0:0", "0.0.0.0:0"]],
            wrong: ["9899", "host:65536", "host:-1", "host:http"]),
        SettingExample(
            key: "telemetry-path", right: [["/a"], ["/b/c-d"], ["/metrics_2"]],
            wrong: [
                "metrics", "/", "//", "/a/", "/sessions", "/healthz", "/readyz", "/a b", "/:a", "/*", "/{a}", "/%2f",
                "/a/../b", "/a?b",
            ]),
        SettingExample(key: "web-config-file", right: [["/a.yml"], ["b.yml"], ["c"]], wrong: []),
        SettingExample(
            key: "log-level", right: [["debug"], ["error"], ["warn"]], wrong: ["trace", "INFO", "warning"]),
        SettingExample(key: "log-format", right: [["json"], ["text"], ["logfmt"]], wrong: ["xml", "JSON"]),
        SettingExample(key: "library", right: [["/a", "/b"], ["/c"], ["/d"]], wrong: []),
        SettingExample(key: "phases", right: [["off"], ["full"], ["on"]], wrong: ["true", "OFF"]),
        SettingExample(key: "wire", right: [["all"], ["unobserved"], ["off"]], wrong: ["on", "ALL", "true"]),
        SettingExample(key: "probes", right: [["perf"], ["multi"], ["session"]], wrong: ["magic"]),
        SettingExample(
            key: "handshake-timeout", right: [["250ms"], ["5m"], ["1.5h"]],
            wrong: ["0s", "-1s", "10", "soon", "nans", "infs", "1e300h", "1 s"]),
        SettingExample(
            key: "ring-size", right: [["1"], ["1024"], ["16"]], wrong: ["0", "3", "2048", "-8", "8MiB", "4294967304"]),
        SettingExample(
            key: "sweep-interval", right: [["1s"], ["10m"], ["45s"]], wrong: ["999ms", "601s", "0s", "30"]),
        SettingExample(
            key: "max-sessions", right: [["1000"], ["1000000"], ["4096"]], wrong: ["999", "1000001", "1e4", "many"]),
        SettingExample(key: "max-libraries", right: [["4"], ["1023"], ["64"]], wrong: ["3", "1024", "-5", "all"]),
        SettingExample(
            key: "window", right: [["1s", "1h"], ["15m"], ["60s", "5m"]],
            wrong: ["999ms", "1500ms", "61m", "60", "60s;15m"]),
        SettingExample(
            key: "label", right: [["sni:50", "comm"], ["remote_net"], ["local_port:10000"]],
            wrong: ["issuer", "sni:0", "sni:10001", "sni:", "SNI"]),
        SettingExample(key: "exemplars", right: [["true"], ["false"], ["true"]], wrong: ["yes", "1", "True"]),
        SettingExample(key: "slow", right: [["1ms"], ["1h"], ["2.5s"]], wrong: ["999us", "61m", "0s", "100"]),
        SettingExample(key: "max-series", right: [["1000"], ["1000000"], ["5000"]], wrong: ["999", "1000001", "x"]),
        SettingExample(
            key: "otlp", right: [["http://a:4318"], ["https://b.example/base"], ["http://[::1]"]],
            wrong: ["a:4318", "grpc://a:4317", "http://", "http://a:0", "http://a/?b", "http://u@a"]),
        SettingExample(
            key: "otlp-header", right: [["a=b", "c=d"], ["e=f g"], ["h=i=j"]], wrong: ["a", "=b", "a b=c", "Host=a"]),
        SettingExample(key: "otlp-certificate", right: [["/a.pem"], ["b.pem"], ["c"]], wrong: []),
        SettingExample(
            key: "otlp-interval", right: [["1s"], ["10m"], ["60s"]], wrong: ["999ms", "601s", "0s", "30"]),
        SettingExample(
            key: "otlp-share", right: [["0.01"], ["1"], ["0"]], wrong: ["-0.1", "1.1", "1%", "nan", "all"]),
    ]
}
