// SPDX-License-Identifier: Apache-2.0
// Consts of a file with their values. How they are computed is the matter of Language.

/// A value known before the run.
public indirect enum ConstantValue: Hashable, Sendable {
  case number(Double)
  case bool(Bool)
  case list([ConstantValue])

  /// The number if it is whole and exactly known.
  public var whole: Int? {
    if case .number(let value) = self, abs(value) < 9e15 { return Int(exactly: value) }
    return nil
  }

  /// The value as a message about whole numbers shows it: `1.5`, or `1e+20, beyond …`.
  public var foundForWhole: String {
    switch self {
    case .number(let value) where value == value.rounded() && whole == nil:
      "\(text), and whole numbers are exact below 9e15 only"
    case .number: text
    default: kind
    }
  }

  /// `a number`, `a list of 3 entries`: how a message names the kind.
  public var kind: String {
    switch self {
    case .number: "a number"
    case .bool: "true or false"
    case .list(let entries):
      "a list of \(counted(entries.count, "entry", "entries"))"
    }
  }

  /// A source text that evaluates to this value.
  public var text: String {
    switch self {
    case .number(let value): shortest(value)
    case .bool(let value): value ? "true" : "false"
    case .list(let entries): "[\(entries.map(\.text).joined(separator: ", "))]"
    }
  }
}

/// Where the value of a const comes from.
public enum ConstantOrigin: Hashable, Sendable {
  /// Its declaration.
  case file(path: String, line: Int)
  case flag
  case preset(String)
  case variant(String)

  /// `m.graph:3`, `--set`, `preset small` or `variant looped`.
  public var text: String {
    switch self {
    case .file(let path, let line): "\(path):\(line)"
    case .flag: "--set"
    case .preset(let name): "preset \(name)"
    case .variant(let name): "variant \(name)"
    }
  }
}

/// One const with its value.
public struct Constant: Hashable, Sendable {
  public let name: String
  public let value: ConstantValue
  public let origin: ConstantOrigin
  /// Its declaration.
  public let location: SourceLocation

  public init(
    name: String, value: ConstantValue, origin: ConstantOrigin, location: SourceLocation
  ) {
    (self.name, self.value, self.origin, self.location) = (name, value, origin, location)
  }
}
