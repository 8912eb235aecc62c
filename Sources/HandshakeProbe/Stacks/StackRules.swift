extension SessionRules {
    /// The rules of the stack of that name; `nil` for an unknown one (a recording of a newer version).
    static func of(stack: String) -> SessionRules? {
        switch stack {
        case OpenSSL.name: .openSSL
        default: nil
        }
    }
}
