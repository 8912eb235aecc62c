import CBPF

/// How many files can be probed at once.
public enum LibraryLimit {
    /// The kernel side's table, of which index 0 stands for none.
    public static let most = Int(TLSWATCH_MAX_PROFILES) - 1
}
