/// The name that was probably meant.
package enum NearestName {
    /// The nearest of `names`; `nil` where none is within a third of its letters.
    package static func of(_ word: String, among names: [String]) -> String? {
        // Nothing that long is near a name.
        guard word.utf8.count <= 64 else { return nil }
        let nearest = names.map { (name: $0, distance: distance(word, $0)) }.min { $0.distance < $1.distance }
        guard let nearest, nearest.distance * 3 <= nearest.name.utf8.count else { return nil }
        return nearest.name
    }

    /// How many letters to insert, remove or replace (Levenshtein).
    private static func distance(_ left: String, _ right: String) -> Int {
        let other = Array(right.utf8)
        var row = Array(0...other.count)
        for (index, letter) in left.utf8.enumerated() {
            var diagonal = row[0]
            row[0] = index + 1
            for column in other.indices {
                let above = row[column + 1]
                row[column + 1] = min(
                    diagonal + (other[column] == letter ? 0 : 1), min(above, row[column]) + 1)
                diagonal = above
            }
        }
        return row[other.count]
    }
}
