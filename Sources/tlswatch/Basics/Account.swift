import Glibc
import HandshakeProbe
import Kernel

/// A user of this host, as its databases have it (passwd(5), group(5)).
struct Account: Equatable {
    var name: String
    var home: String
    var shell: String
    var credentials: UserCredentials

    /// By name, or by number where no name is that number.
    ///
    /// - Throws: `CommandFailure`, usage: there is no such user.
    init(_ text: String) throws(CommandFailure) {
        guard let found = Self.entry(named: text) ?? UInt32(text).flatMap(Self.entry(of:)) else {
            throw CommandFailure(.usage, "no user '\(text)' on this host")
        }
        self = found
    }

    private init(name: String, home: String, shell: String, credentials: UserCredentials) {
        self.name = name
        self.home = home
        self.shell = shell
        self.credentials = credentials
    }

    /// The user who called sudo(8) to run this program as root; `nil` where nobody else did.
    ///
    /// One that the databases do not have keeps the number and the group that sudo names.
    static func sudo(_ variables: (String) -> String? = environment) -> Account? {
        guard geteuid() == 0, let user = variables("SUDO_UID").flatMap({ UInt32($0) }), user != 0 else { return nil }
        if let account = entry(of: user) { return account }
        guard let group = variables("SUDO_GID").flatMap({ UInt32($0) }) else { return nil }
        return Account(
            name: variables("SUDO_USER") ?? "\(user)", home: "/", shell: "/bin/sh",
            credentials: UserCredentials(user: user, group: group, groups: [group]))
    }

    /// What of the environment is the user's own.
    var variables: [String: String] { ["HOME": home, "SHELL": shell, "USER": name, "LOGNAME": name] }

    // MARK: databases

    private static func entry(named name: String) -> Account? {
        unsafe lookUp { unsafe getpwnam_r(name, $0, $1!, $2, $3) }
    }

    private static func entry(of user: UInt32) -> Account? {
        unsafe lookUp { unsafe getpwuid_r(user, $0, $1!, $2, $3) }
    }

    private typealias Query = (
        UnsafeMutablePointer<passwd>, UnsafeMutablePointer<CChar>?, Int,
        UnsafeMutablePointer<UnsafeMutablePointer<passwd>?>
    ) -> Int32

    private static func lookUp(_ query: Query) -> Account? {
        // A home directory or a comment may be of any length.
        var size = 4_096
        while size <= 1 << 20 {
            var buffer = [CChar](repeating: 0, count: size)
            let (result, account) = unsafe buffer.withUnsafeMutableBufferPointer { space -> (Int32, Account?) in
                var entry = unsafe passwd()
                var found: UnsafeMutablePointer<passwd>?
                let result = unsafe query(&entry, space.baseAddress, size, &found)
                return unsafe (result, result == 0 && found != nil ? Account(entry) : nil)
            }
            guard result == ERANGE else { return account }
            size *= 4
        }
        return nil
    }

    /// - Parameter entry: its texts are copied.
    private init(_ entry: passwd) {
        unsafe name = String(cString: entry.pw_name)
        unsafe home = String(cString: entry.pw_dir)
        unsafe shell = String(cString: entry.pw_shell)
        credentials = unsafe UserCredentials(
            user: entry.pw_uid, group: entry.pw_gid, groups: Self.groups(of: name, entry.pw_gid))
    }

    /// As initgroups(3) takes them: the user's own group and those that name it.
    private static func groups(of name: String, _ group: UInt32) -> [UInt32] {
        var count: Int32 = 64
        while true {
            var groups = [gid_t](repeating: 0, count: Int(count))
            let wanted = count
            if unsafe getgrouplist(name, group, &groups, &count) >= 0 { return Array(groups.prefix(Int(count))) }
            // NGROUPS_MAX: the kernel takes no more.
            guard count > wanted, count <= 65_536 else { return [group] }
        }
    }
}
