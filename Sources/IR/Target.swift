// SPDX-License-Identifier: Apache-2.0
// What a rule of a section applies to: targets, and globs over parameter paths.

/// A pattern over whole parameter paths: `*` any text, `{a,b}` either, `{0..4}` a number from 0 to
/// 4.
public struct Glob: Hashable, Sendable {
  private indirect enum Piece: Hashable, Sendable {
    case literal([Unicode.Scalar])
    case anything
    case either([[Piece]])
    case number(ClosedRange<Int>)
  }

  /// The pattern as written.
  public let pattern: String
  private let pieces: [Piece]

  /// Nil if braces do not match, or stand inside each other more than eight deep.
  public init?(_ pattern: String) {
    self.pattern = pattern
    var rest = Array(pattern.unicodeScalars)[...]
    guard let pieces = Glob.pieces(of: &rest, depth: 0), rest.isEmpty, !pattern.isEmpty else {
      return nil
    }
    self.pieces = pieces
  }

  private static func pieces(of text: inout ArraySlice<Unicode.Scalar>, depth: Int) -> [Piece]? {
    var pieces: [Piece] = []
    var literal: [Unicode.Scalar] = []
    func flush() {
      if !literal.isEmpty { pieces.append(.literal(literal)) }
      literal = []
    }
    while let scalar = text.first {
      switch scalar {
      case "*":
        flush()
        if pieces.last != .anything { pieces.append(.anything) }
        text.removeFirst()
      case "{":
        flush()
        text.removeFirst()
        guard depth < 8, let piece = alternatives(of: &text, depth: depth) else { return nil }
        pieces.append(piece)
      case "}", ",":
        if depth == 0 { return nil }
        flush()
        return pieces
      default:
        literal.append(scalar)
        text.removeFirst()
      }
    }
    flush()
    return depth == 0 ? pieces : nil
  }

  /// What stands between braces; the closing one is consumed.
  private static func alternatives(of text: inout ArraySlice<Unicode.Scalar>, depth: Int) -> Piece?
  {
    guard let close = text.firstIndex(of: "}") else { return nil }
    let inner = String(String.UnicodeScalarView(text[..<close]))
    if let dots = inner.firstIndex(of: "."), inner[dots...].hasPrefix(".."),
      let lower = Int(inner[..<dots]), let upper = Int(inner[dots...].dropFirst(2))
    {
      guard lower >= 0, lower <= upper else { return nil }
      text = text[(close + 1)...]
      return .number(lower...upper)
    }
    var choices: [[Piece]] = []
    while true {
      guard let choice = pieces(of: &text, depth: depth + 1) else { return nil }
      choices.append(choice)
      switch text.popFirst() {
      case ",": continue
      case "}": return .either(choices)
      default: return nil
      }
    }
  }

  /// Whether the pattern matches all of `path`.
  public func matches(_ path: String) -> Bool {
    let text = Array(path.unicodeScalars)
    return Glob.ends(pieces, in: text, from: [0]).contains(text.count)
  }

  /// Where a match that begins at one of `starts` can end. Sets keep many stars from multiplying
  /// work.
  private static func ends(
    _ pieces: [Piece], in text: [Unicode.Scalar], from starts: Set<Int>
  ) -> Set<Int> {
    var positions = starts
    for piece in pieces {
      guard let first = positions.min() else { return [] }
      switch piece {
      case .anything: positions = Set(first...text.count)
      case .literal(let literal):
        positions = Set(
          positions.filter { text[$0...].starts(with: literal) }.map { $0 + literal.count })
      case .either(let choices):
        positions = choices.reduce(into: []) { $0.formUnion(ends($1, in: text, from: positions)) }
      case .number(let range):
        var ends: Set<Int> = []
        for start in positions {
          var value = 0
          var end = start
          while end < text.count, ("0"..."9").contains(text[end]), end - start < 9 {
            value = value * 10 + Int(text[end].value - 48)
            end += 1
            let isCanonical = end == start + 1 || text[start] != "0"
            if isCanonical, range.contains(value) { ends.insert(end) }
          }
        }
        positions = ends
      }
    }
    return positions
  }
}

/// What a rule applies to.
public enum Target: Hashable, Sendable {
  case `default`
  case group(String)
  /// Params of at most this many elements.
  case atMost(Int)
  case glob(Glob)

  /// Whether the target catches what no other rule names; being overruled everywhere is no mistake.
  public var isNet: Bool {
    switch self {
    case .default, .atMost: true
    case .group, .glob: false
    }
  }

  /// Whether the rule applies to a param.
  public func matches(path: String, group: String, elements: Int) -> Bool {
    switch self {
    case .default: true
    case .group(let name): name == group
    case .atMost(let limit): elements <= limit
    case .glob(let glob): glob.matches(path)
    }
  }

  /// The spelling in `quantize`.
  public var text: String {
    switch self {
    case .default: "default"
    case .group(let name): "group \(name)"
    case .atMost(let limit): "at_most(\(limit))"
    case .glob(let glob): "\"\(glob.pattern)\""
    }
  }

  /// The spelling behind `optimizer`, where a bare name is a group.
  public var optimizerText: String {
    if case .group(let name) = self { return name }
    return text
  }
}
