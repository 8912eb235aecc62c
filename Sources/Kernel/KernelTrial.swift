/// What this kernel does when it is asked for real, for `doctor`: nothing is attached, nothing stays.
package struct KernelTrial: Sendable {
    /// Why the programs cannot be loaded; `nil` where they can.
    package var programs: String?
    /// Why what processes map is not seen as they map it; `nil` where it is.
    package var mappingEvents: String?

    /// Needs the capabilities of observing.
    package static func run(rung: ProbeRung, features: KernelFeatures) -> KernelTrial {
        var trial = KernelTrial()
        do throws(BPFError) {
            _ = try OpenBPFObject().load(rung: rung, features: features)
        } catch {
            trial.programs = error.description
        }
        do throws(BPFError) {
            _ = try MappingWatch()
        } catch {
            trial.mappingEvents = error.description
        }
        return trial
    }

    /// A sentence each, and whether it is good.
    package func sentences(_ features: KernelFeatures) -> [(good: Bool, name: String, detail: String)] {
        [
            (
                programs == nil, "programs",
                programs.map { "REFUSED: nothing can be observed. \($0)" } ?? "accepted by the kernel"
            ),
            (
                mappingEvents == nil, "mapping events",
                mappingEvents.map {
                    "not available: programs are scanned when they start, and libraries loaded later are found by frequent "
                        + "scans. Debian's kernel.perf_event_paranoid=3 reserves them for CAP_SYS_ADMIN; 2 does not. \($0)"
                } ?? "available (a library is found when a process maps it)"
            ),
            (
                features.listsProcesses, "process lists",
                features.listsProcesses
                    ? "from the kernel (files are identified by their real inode)"
                    : "from /proc (Linux 5.12 provides them): one library under several overlay mounts counts as several, "
                        + "and processes with connections but no known library are not reported"
            ),
        ]
    }
}
