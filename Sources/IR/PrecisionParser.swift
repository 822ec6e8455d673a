// SPDX-License-Identifier: Apache-2.0
// Reads the stored form of a parameter from core text.

extension CoreParser {
  /// As `Precision.description` writes it.
  mutating func precision() throws -> Precision {
    let name = try word("a precision")
    if name == "f32" { return .f32 }
    if name == "f16" { return .f16 }
    if name == "fp8" { return .fp8 }
    if name == "ternary" { return try quantizer(.ternary(group: try columns())) }
    guard name.hasPrefix("int"), let bits = Int(name.dropFirst(3)), Quantizer.allBits.contains(bits)
    else {
      throw OpError("unknown precision \(name); f32, f16, fp8, ternary and int2 to int8 are known")
    }
    var quantizer = Quantizer(bits: bits, clip: .max)
    if take("groups") {
      quantizer.group = try columns()
    } else {
      try expect("per_row")
    }
    return try self.quantizer(quantizer)
  }

  /// The rest of a quantiser's words.
  private mutating func quantizer(_ begun: Quantizer) throws -> Precision {
    var quantizer = begun
    while true {
      skipSpace()
      guard let first = rest.first, first.isLetter else { return .int(quantizer) }
      let word = try self.word("a word of the quantiser")
      if let kind = Quantizer.Clip.Kind(rawValue: word) {
        quantizer.clip = Quantizer.Clip(kind, try numbers(of: kind))
        continue
      }
      switch word {
      case "floor": quantizer.floor = try argument()
      case "half_floor": quantizer.halfFloor = try argument()
      case "asymmetric": quantizer.isAsymmetric = true
      case "unrounded": quantizer.codesFromUnrounded = true
      case "gptq": quantizer.isSolved = true
      case "shrink_fix": quantizer.keepsMean = true
      case "prune": quantizer.pruned = try argument()
      case "sensitive": quantizer.sensitivity = try argument()
      case "fine":
        let n = try counts(3)
        quantizer.fine = .init(start: n[0], count: n[1], bits: n[2])
      case "lqer":
        let n = try counts(4)
        quantizer.correction = .init(rank: n[0], aBits: n[1], bBits: n[2], group: n[3])
      default: throw OpError("unknown word \(word) in a precision")
      }
    }
  }

  private mutating func argument() throws -> Double {
    try expect("(")
    let value = try number()
    try expect(")")
    return value
  }

  private mutating func numbers(of kind: Quantizer.Clip.Kind) throws -> [Double] {
    guard let argument = kind.argument else { return [] }
    try expect("(")
    let numbers = try numbers(until: ")")
    guard argument.count.contains(numbers.count) else {
      throw OpError("\(kind.rawValue) does not take \(numbers.count) numbers")
    }
    return numbers
  }

  private mutating func counts(_ expected: Int) throws -> [Int] {
    try expect("(")
    let numbers = try numbers(until: ")")
    let counts = numbers.compactMap { Int32(exactly: $0) }.map(Int.init)
    guard numbers.count == expected, counts.count == expected else {
      throw OpError("expected \(expected) whole numbers")
    }
    return counts
  }

  private mutating func columns() throws -> Int {
    let number = try argument()
    guard let columns = Int32(exactly: number), columns > 0 else {
      throw OpError("\(shortest(number)) is no count of columns")
    }
    return Int(columns)
  }
}

extension Precision {
  /// The precision that `description` wrote. `path`: where the text stands, for errors.
  public init(reading text: String, path: String) throws {
    var parser = CoreParser(path: path, text: text)
    parser.rest = text[...]
    self = try parser.precision()
  }
}
