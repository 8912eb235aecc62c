import CEvents

/// How many files can be probed at once.
package enum LibraryLimit {
    /// The kernel side's table, of which index 0 stands for none.
    package static let most = Int(TLSWATCH_MAX_PROFILES) - 1
}
