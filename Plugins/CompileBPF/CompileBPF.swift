import Foundation
import PackagePlugin

/// Compiles bpf/*.bpf.c to BPF objects and writes them as base64 in a Swift source file, so that
/// `swift build` alone produces one binary with its kernel programs inside.
///
/// The object goes into a Swift string because a build plugin cannot add C sources, and
/// `.embedInCode` takes a minute per 100 KB.
@main
struct CompileBPF: BuildToolPlugin {
    func createBuildCommands(context: PluginContext, target: any Target) throws -> [Command] {
        let bpf = context.package.directoryURL.appending(path: "bpf")
        let script = context.package.directoryURL.appending(path: "Plugins/CompileBPF/compile-bpf.sh")
        let output = context.pluginWorkDirectoryURL.appending(path: "EmbeddedBPF.swift")
        let inputs = try FileManager.default.contentsOfDirectory(at: bpf, includingPropertiesForKeys: nil)
            .filter { $0.pathExtension == "c" || $0.pathExtension == "h" }
            .sorted { $0.path < $1.path }
        return [
            .buildCommand(
                displayName: "Compiling the BPF programs",
                executable: URL(filePath: "/bin/bash"),
                arguments: [script.path, bpf.path, output.path],
                inputFiles: inputs + [script],
                outputFiles: [output]
            )
        ]
    }
}
