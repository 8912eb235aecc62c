import Code

extension FactFinder {
    /// The facts that the state machine's own code gives away, for files without symbols.
    func deriveFromStateMachine(_ result: inout Result) {
        let (version, role) = stateMachineFields()
        if version.count == 1, let offset = version.first {
            result.paths[.version] = FactPath(offsets: [offset], size: 4)
        } else {
            result.notes.append("no version: the state machine's code gives \(version.count) places")
        }
        if role.count == 1, let offset = role.first {
            result.paths[.role] = FactPath(offsets: [offset], size: 4)
        } else {
            result.notes.append("no role: the state machine's code gives \(role.count) places")
        }
    }

    /// Where the state machine stores its argument (`s->server = server`), and the field whose upper
    /// bytes it compares with TLS's major version (`s->version >> 8 != SSL3_VERSION_MAJOR`).
    func stateMachineFields() -> (version: Set<Int32>, role: Set<Int32>) {
        // A value that nothing else in the function has.
        let marker: UInt64 = 0x5a5a_a5a5
        var version: Set<Int32> = []
        var role: Set<Int32> = []
        var interpreter = interpreter
        // The beginning matters, not every way around the loop.
        interpreter.visitLimit = 4
        for event in interpreter.run(stateMachine, parameters: [1: .constant(marker)]) {
            switch event {
            case .stored(let place, .constant(marker)) where place.root == 0 && place.count == 0:
                role.insert(place.displacement)
            case .compared(let field, 3) where field.root == 0 && field.offsets.count == 1 && plausible(field):
                // One byte beside the field, or the field shifted down by one.
                if field.width == 3 || field.width == 1, let offset = field.offsets.first, offset % 4 == 1 {
                    version.insert(offset - 1)
                }
            default: break
            }
        }
        return (version, role.filter { (0..<0x10000).contains($0) })
    }
}
