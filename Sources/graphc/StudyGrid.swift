// SPDX-License-Identifier: Apache-2.0
// The points of a study: values of consts, and seeds.

import Formats
import Runtime

/// A const and the values that it takes.
struct StudyVariation: Equatable {
  let name: String
  let values: [String]

  /// Of `name=a,b,c`; commas inside of brackets belong to a value.
  init(_ text: String) throws {
    guard let split = text.firstIndex(of: "="), split != text.startIndex else {
      throw Failure.usage("--vary takes const=value,value,…, found '\(text)'")
    }
    name = String(text[..<split])
    var (values, depth) = ([""], 0)
    for character in text[text.index(after: split)...] {
      if "([{".contains(character) { depth += 1 }
      if ")]}".contains(character) { depth -= 1 }
      if character == ",", depth == 0 {
        values.append("")
      } else {
        values[values.count - 1].append(character)
      }
    }
    guard values.allSatisfy({ !$0.isEmpty }) else {
      throw Failure.usage("--vary \(name): a value is missing in '\(text)'")
    }
    guard Set(values).count == values.count else {
      throw Failure.usage("--vary \(name): a value is given twice in '\(text)'")
    }
    self.values = values
  }
}

/// Values of all varied consts.
struct StudySetting: Hashable {
  struct Value: Hashable {
    let name: String
    let text: String
  }
  let values: [Value]

  /// As --set takes them.
  var overrides: [String] { values.map { "\($0.name)=\($0.text)" } }

  /// All settings, the last const changing first.
  static func grid(_ variations: [StudyVariation]) -> [StudySetting] {
    variations.reduce([StudySetting(values: [])]) { settings, variation in
      settings.flatMap { setting in
        variation.values.map {
          StudySetting(values: setting.values + [Value(name: variation.name, text: $0)])
        }
      }
    }
  }
}

/// A setting with one seed.
struct StudyPoint: Hashable {
  let setting: StudySetting
  let seed: UInt64

  /// `rate=0.01, seed 2`.
  var description: String { (setting.overrides + ["seed \(seed)"]).joined(separator: ", ") }

  /// A folder's name, which no other point has.
  var name: String {
    let text = (setting.overrides + ["seed=\(seed)"]).joined(separator: ",")
    let plain = text.map { character in
      character.isASCII && (character.isLetter || character.isNumber || "_-.=,".contains(character))
        ? character : "_"
    }
    let isPlain = String(plain) == text && plain.count < 100
    return isPlain ? text : String(plain.prefix(80)) + "-" + SHA256.hex(text).prefix(12)
  }
}
