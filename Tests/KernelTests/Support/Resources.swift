import Foundation
import TestSupport

/// A script of `Scripts/`.
func script(_ name: String) throws -> String {
    guard let path = Bundle.module.path(forResource: "Scripts/" + name, ofType: nil) else {
        throw HarnessError("Scripts/\(name) is not in the test bundle")
    }
    return path
}

/// A file of the test bundle.
func resource(_ name: String) throws -> String {
    guard let path = Bundle.module.path(forResource: name, ofType: nil) else {
        throw HarnessError("\(name) is not in the test bundle")
    }
    return path
}
