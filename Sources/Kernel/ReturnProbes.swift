import CBPF

/// Whether this kernel's return probes leave processes alone that a seccomp filter confines. In some, returning from a
/// probed function is a system call of its own, which such a filter does not know and kills for (CVE-2025-21834).
///
/// Nothing is put where a function returns as long as its exits can be probed instead; only builds whose exits are not
/// found need return probes.
package enum ReturnProbes: Sendable, Equatable {
    /// A confined child lived.
    case safe
    /// It was killed.
    case deadly
    /// It could not be tried, and why: they are not used then either.
    case untried(String)

    /// Whether they may be put on other people's programs.
    package var allowed: Bool { self == .safe }

    /// For `doctor`.
    package var sentence: String {
        switch self {
        case .safe:
            "safe (tested under seccomp; used only where a function's exits are not found)"
        case .deadly:
            "UNSAFE on this kernel: they kill processes confined by seccomp. Not used; a build that needs them is not "
                + "observed"
        case .untried(let why): "not tested (\(why)), so not used; a build that needs them is not observed"
        }
    }

    /// Tries one on a confined child of this process: some 30 ms, which nobody else notices.
    package static func tried(rung: ProbeRung) -> ReturnProbes {
        outcome(tlswatch_try_return_probe(rung == .perf ? TLSWATCH_TRIAL_PERF : TLSWATCH_TRIAL_MULTI))
    }

    /// The trial's own test: a child that does what its filter forbids.
    static func triedForbiddenCall() -> ReturnProbes { outcome(tlswatch_try_return_probe(TLSWATCH_TRIAL_FORBIDDEN)) }

    private static func outcome(_ result: Int32) -> ReturnProbes {
        switch result {
        case 1: .safe
        case 0: .deadly
        default: .untried(errnoText(-result))
        }
    }
}
