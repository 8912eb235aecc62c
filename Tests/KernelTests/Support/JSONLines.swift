import Foundation

/// What a program says, a JSON object on each line.
func jsonLines<Value: Decodable>(_ text: String, as type: Value.Type) throws -> [Value] {
    try text.split(separator: "\n").map { try JSONDecoder().decode(Value.self, from: Data($0.utf8)) }
}
