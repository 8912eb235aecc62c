/// The last sessions that failed, timed out or were slow. Bounded in count and in bytes.
///
/// Owned by one thread, which costs the others next to nothing: a comparison. A copy is a snapshot for any thread; what is
/// kept meanwhile goes into a piece of its own, so that no more than one piece is ever copied.
package struct RecentSessions: Sendable {
    /// Sessions, at most.
    package static let limit = 1_000
    /// Memory of the sessions and their texts, at most, give or take a piece.
    static let byteLimit = 4 << 20
    private static let pieceSize = 25

    private let slow: UInt64
    /// The oldest first; each has at most `pieceSize` sessions.
    private var pieces: [[Handshake]] = []
    /// Of each piece.
    private var bytes: [Int] = []
    private var totalBytes = 0

    /// - Parameter slow: nanoseconds from which on a completed session is slow.
    package init(slow: UInt64) { self.slow = slow }

    /// Keeps it if it is wanted; the oldest make room.
    package mutating func keep(_ handshake: Handshake) {
        guard handshake.failedOrWasSlow(slow) else { return }
        if pieces.last.map({ $0.count >= Self.pieceSize }) ?? true {
            pieces.append([])
            bytes.append(0)
        }
        let size = Self.size(of: handshake)
        pieces[pieces.count - 1].append(handshake)
        bytes[bytes.count - 1] += size
        totalBytes += size
        while pieces.count > 1, totalBytes > Self.byteLimit || count > Self.limit {
            pieces.removeFirst()
            totalBytes -= bytes.removeFirst()
        }
    }

    package var count: Int { max(0, pieces.count - 1) * Self.pieceSize + (pieces.last?.count ?? 0) }

    /// The newest first: those that a condition is met by, at most `limit` of them.
    package func newest(_ limit: Int, where isMet: (Handshake) -> Bool = { _ in true }) -> [Handshake] {
        var found: [Handshake] = []
        for piece in pieces.reversed() {
            for handshake in piece.reversed() where isMet(handshake) {
                guard found.count < limit else { return found }
                found.append(handshake)
            }
        }
        return found
    }

    private static func size(of handshake: Handshake) -> Int {
        // Texts that others choose; the rest are few and shared.
        let texts = [
            handshake.comm, handshake.thread, handshake.exe, handshake.sni, handshake.alpn, handshake.local,
            handshake.remote,
            handshake.reason, handshake.libraryReason,
        ]
        let offered = handshake.alpnOffered?.reduce(0) { $0 + $1.utf8.count + 16 } ?? 0
        return MemoryLayout<Handshake>.stride + texts.reduce(offered) { $0 + ($1?.utf8.count ?? 0) }
    }
}
