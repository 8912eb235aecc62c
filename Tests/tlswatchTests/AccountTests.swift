import ArgumentParser
import Glibc
import Kernel
import TestSupport
import Testing

@testable import tlswatch

@Suite("Users") struct AccountTests {
    @Test("A user is found by name and by number, with every group that id(1) has")
    func lookUp() throws {
        for name in ["root", "nobody", "daemon"] {
            let account = try Account(name)
            let number = try Tool.run("/usr/bin/id", ["-u", name]).filter(\.isNumber)
            #expect(try Account(number) == account)
            #expect("\(account.credentials.user)" == number)
            #expect("\(account.credentials.group)" == (try Tool.run("/usr/bin/id", ["-g", name])).filter(\.isNumber))
            let groups = try Tool.run("/usr/bin/id", ["-G", name]).split(whereSeparator: \.isWhitespace)
            #expect(Set(account.credentials.groups.map(String.init)) == Set(groups.map(String.init)))
            #expect(account.variables["USER"] == name && account.variables["HOME"]?.hasPrefix("/") == true)
        }
    }

    @Test("One that is not there is bad usage", arguments: ["no-such-user", "", "4294967294", "-1", "root:root"])
    func unknown(_ text: String) {
        let failure = #expect(throws: CommandFailure.self) { try Account(text) }
        #expect(failure?.status == .usage)
        #expect(failure?.message.contains("no user '\(text)'") == true)
    }

    @Test("The user who called sudo is known by number, and is nobody without root")
    func sudo() throws {
        let nobody = try Account("nobody")
        func called(_ variables: [String: String]) -> Account? { Account.sudo { variables[$0] } }
        let isRoot = geteuid() == 0
        #expect(called(["SUDO_UID": "\(nobody.credentials.user)", "SUDO_USER": "x"]) == (isRoot ? nobody : nil))
        #expect(called([:]) == nil)
        #expect(called(["SUDO_UID": "0", "SUDO_USER": "root"]) == nil)
        #expect(called(["SUDO_UID": "many"]) == nil)
        let unknown = called(["SUDO_UID": "4294967294", "SUDO_GID": "4294967293", "SUDO_USER": "who"])
        #expect(unknown?.name == (isRoot ? "who" : nil))
        #expect(
            unknown?.credentials
                == (isRoot ? UserCredentials(user: 4_294_967_294, group: 4_294_967_293, groups: [4_294_967_293]) : nil))
    }

    @Test("A user without a command to run is bad usage")
    func userWithoutCommand() {
        #expect(throws: (any Error).self) { try CaptureCommand.parse(["--user", "nobody"]) }
        #expect(throws: Never.self) { try CaptureCommand.parse(["--user", "nobody", "--", "true"]) }
    }
}
