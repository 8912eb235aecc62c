import Glibc

/// Standard input, output and error, which whoever starts a program may have closed: a file that is opened later would get
/// their numbers, and messages would be written into it.
enum StandardDescriptors {
    /// Call first, while nothing has been opened.
    static func fill() {
        for descriptor: Int32 in 0...2 where fcntl(descriptor, F_GETFD) < 0 {
            unsafe _ = open("/dev/null", O_RDWR)
        }
    }

    /// Room for many connections and libraries: the soft limit is the shell's habit, the hard one is meant.
    static func raiseLimit() {
        var limit = rlimit()
        let resource = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
        guard unsafe getrlimit(resource, &limit) == 0, limit.rlim_cur < limit.rlim_max else { return }
        limit.rlim_cur = min(limit.rlim_max, 65_536)
        unsafe _ = setrlimit(resource, &limit)
    }
}
