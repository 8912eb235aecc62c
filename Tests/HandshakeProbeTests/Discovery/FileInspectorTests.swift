import Foundation
import TestSupport
import Testing

@testable import HandshakeProbe
@testable import Kernel

/// What the daemon, `targets` and `doctor` say of a file.
@Suite("The inspector of files") struct FileInspectorTests {
    private func inspector() -> FileInspector {
        FileInspector(reader: ForeignReader(), mappings: nil, stacks: .builtIn)
    }

    /// What this process maps as code under `name`.
    private func mapping(_ name: String) throws -> (file: MappedFile, mapping: KernelMapping) {
        let files = try #require(ProcessMaps.codeFiles(of: UInt32(getpid())))
        let file = try #require(files.first { $0.path.contains(name) })
        return (file, try #require(KernelMapping(file, of: UInt32(getpid()))))
    }

    @Test("A libssl is analysed, and has its version from the companion beside it")
    func aLibraryHasItsCompanionsVersion() throws {
        let inspector = inspector()
        guard case .looked(let look, let name) = inspector.named(Machine.libssl) else {
            Issue.record("it was not looked at")
            return
        }
        defer { inspector.close(look) }
        #expect(name == Machine.libssl)
        guard case .analysed(let analysis) = look.finding else {
            Issue.record("\(look.finding)")
            return
        }
        #expect(analysis.observesSessions)
        #expect(!analysis.isCompanion)
        #expect(analysis.version == nil)
        let companion = try #require(inspector.companion(of: look, foundAs: name, root: ""))
        defer { inspector.close(companion.look) }
        #expect(companion.path == Machine.libcrypto)
        guard case .analysed(let beside) = companion.look.finding else {
            Issue.record("\(companion.look.finding)")
            return
        }
        #expect(beside.isCompanion)
        #expect(beside.version?.hasPrefix("3.") == true)
        #expect(inspector.companion(of: companion.look, foundAs: Machine.libcrypto, root: "") == nil)
    }

    @Test("This program's own file, which holds the texts that it looks for, holds no TLS")
    func theOwnFileHoldsNothing() throws {
        var inspector = inspector()
        let path = try #require(OpenFile("/proc/self/exe")?.kernelPath)
        guard case .looked(let look, _) = inspector.named(path), case .nothing = look.finding else {
            Issue.record("\(path)")
            return
        }
        let (file, mapping) = try mapping(path)
        guard case .looked(let mapped, _) = inspector.inspect(mapping, name: (file.path, file.deleted)),
            case .nothing = mapped.finding
        else {
            Issue.record("as it is mapped")
            return
        }
    }

    @Test("A mapping that the kernel does not open is found by its name, unless the name is another file's by now")
    func aMappingIsFoundByItsName() throws {
        var inspector = inspector()
        var (_, mapping) = try mapping("/libc.so")
        // No such mapping: as where /proc/PID/map_files may not be read.
        (mapping.start, mapping.end) = (1, 2)
        guard case .looked(let look, let name) = inspector.inspect(mapping, name: (Machine.libssl, false)) else {
            Issue.record("it was not found by its name")
            return
        }
        #expect(name == Machine.libssl)
        guard case .analysed = look.finding else {
            Issue.record("\(look.finding)")
            return
        }
        inspector.close(look)
        for name in [(Machine.libssl, true), nil] as [(String, Bool)?] {
            guard case .failed(ENOENT, _) = inspector.inspect(mapping, name: name) else {
                Issue.record("\(String(describing: name))")
                return
            }
        }
    }

    @Test("A file that is refused, or does not answer, is reported; one whose process has gone is not")
    func whatIsReported() {
        func reason(_ verdict: FileInspector.Verdict) -> UnobservedReason? { verdict.refusal?.reason }
        #expect(reason(.failed(EACCES, name: "/a")) == .unreadable)
        #expect(reason(.failed(EIO, name: "/a")) == .unreadable)
        #expect(reason(.failed(EACCES, name: nil)) == nil)
        #expect(reason(.failed(ENOENT, name: "/a")) == nil)
        #expect(reason(.failed(EMFILE, name: "/a")) == nil)
        #expect(reason(.another) == nil)
        #expect(reason(.hangs(detail: "", name: nil)) == .fileSystemHangs)
        #expect(FileInspector.Verdict.hangs(detail: "", name: nil).refusal?.path == "unknown")
    }
}
