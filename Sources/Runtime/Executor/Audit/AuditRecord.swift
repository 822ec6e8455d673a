// SPDX-License-Identifier: Apache-2.0
// How a record of an audit log is written and read: one list of fields serves both.

import Formats

/// A kind of event. Its fields are all its members but `event`, and each must be there.
protocol AuditRecord: Sendable, Equatable {
  static var name: String { get }
  static var fields: [AuditField<Self>] { get }
  init()
}

extension AuditRecord {
  /// What another order of summation does to a member of this key.
  static func rounding(of key: String) -> Rounding {
    fields.first { $0.key == key }?.rounding ?? .none
  }

  var members: [String: JSONValue] {
    var members: [String: JSONValue] = ["event": .string(Self.name)]
    for field in Self.fields { members[field.key] = field.write(self) }
    return members
  }

  init(members: [String: JSONValue]) throws(AuditEventError) {
    self.init()
    for field in Self.fields {
      guard let value = members[field.key] else {
        throw AuditEventError(message: "\(field.key) is missing")
      }
      guard field.read(value, &self) else {
        throw AuditEventError(message: "\(field.key) is \(value.text), not \(field.expected)")
      }
    }
    let keys = Set(Self.fields.map(\.key) + ["event"])
    if let key = members.keys.filter({ !keys.contains($0) }).sorted().first {
      throw AuditEventError(message: "\(key) is no member of a \(Self.name) event")
    }
  }
}

/// What a machine that sums in another order changes in a member of an event.
enum Rounding: Sendable {
  case none
  /// A sum, or several: their last digits.
  case sum
  /// A hash of weights that were learnt from rounded sums: all of it.
  case learnt
}

/// A member of an event: its key, and how its value is written, and read if it is in its range.
struct AuditField<Record>: Sendable {
  let key: String
  /// What a value must be, for messages.
  let expected: String
  /// What another order of summation does to the value.
  var rounding = Rounding.none
  let write: @Sendable (Record) -> JSONValue
  /// False where the value is not what is expected.
  let read: @Sendable (JSONValue, inout Record) -> Bool
}

extension AuditField {
  typealias Path<Value> = WritableKeyPath<Record, Value> & Sendable

  private init<Value>(
    _ key: String, _ path: Path<Value>, expected: String,
    write: @escaping @Sendable (Value) -> JSONValue,
    read: @escaping @Sendable (JSONValue) -> Value?
  ) {
    self.init(key: key, expected: expected) { record in
      write(record[keyPath: path])
    } read: { value, record in
      guard let value = read(value) else { return false }
      record[keyPath: path] = value
      return true
    }
  }

  /// Counts reach no further than a double holds exactly.
  private static var most: Int { 1 << 53 }

  static func whole(_ key: String, _ path: Path<Int>, from least: Int) -> Self {
    Self(key, path, expected: "a whole number from \(least)", write: JSONValue.int) {
      $0.intValue.flatMap { (least...most).contains($0) ? $0 : nil }
    }
  }

  /// A number that may be null.
  static func whole(_ key: String, _ path: Path<Int?>, from least: Int) -> Self {
    Self(
      key, path, expected: "null or a whole number from \(least)",
      write: { $0.map(JSONValue.int) ?? .null },
      read: { value -> Int?? in
        if value == .null { return .some(nil) }
        return value.intValue.flatMap { (least...most).contains($0) ? .some($0) : nil }
      })
  }

  static func number(_ key: String, _ path: Path<Double>, in range: ClosedRange<Double>) -> Self {
    Self(
      key, path, expected: "a number from \(range.lowerBound) to \(range.upperBound)",
      write: JSONValue.double
    ) { value in value.doubleValue.flatMap { range.contains($0) ? $0 : nil } }
  }

  /// A sum of nll: of nothing it is 0, and no probability is above one.
  static func nats(_ key: String, _ path: Path<Double>) -> Self {
    Self(key, path, expected: "a finite number from 0", write: JSONValue.double, read: sum)
      .rounding(.sum)
  }

  static func nats(_ key: String, _ path: Path<[Double]>) -> Self {
    Self(
      key, path, expected: "a list of finite numbers from 0",
      write: { .array($0.map(JSONValue.double)) },
      read: { value in
        guard let values = value.arrayValue?.map(sum), !values.contains(nil) else { return nil }
        return values.compactMap { $0 }
      }
    ).rounding(.sum)
  }

  @Sendable private static func sum(_ value: JSONValue) -> Double? {
    value.doubleValue.flatMap { $0.isFinite && $0 >= 0 ? $0 : nil }
  }

  private func rounding(_ rounding: Rounding) -> Self {
    var field = self
    field.rounding = rounding
    return field
  }

  static func text(_ key: String, _ path: Path<String>) -> Self {
    Self(key, path, expected: "a text", write: JSONValue.string) {
      $0.stringValue.flatMap { $0.isEmpty ? nil : $0 }
    }
  }

  /// A SHA-256 in lower-case hexadecimal digits.
  static func hash(_ key: String, _ path: Path<String>) -> Self {
    Self(key, path, expected: "a SHA-256", write: JSONValue.string) {
      $0.stringValue.flatMap { $0.isSHA256 ? $0 : nil }
    }
  }

  /// The hash of weights that test-time training changed.
  static func learntHash(_ key: String, _ path: Path<String>) -> Self {
    hash(key, path).rounding(.learnt)
  }

  /// A hash that may be null.
  static func hash(_ key: String, _ path: Path<String?>) -> Self {
    Self(
      key, path, expected: "null or a SHA-256", write: { $0.map(JSONValue.string) ?? .null },
      read: { value -> String?? in
        if value == .null { return .some(nil) }
        return value.stringValue.flatMap { $0.isSHA256 ? .some($0) : nil }
      })
  }

  static func flag(_ key: String, _ path: Path<Bool>) -> Self {
    Self(key, path, expected: "true or false", write: JSONValue.bool, read: \.boolValue)
  }

  static func choice<Choice: RawRepresentable<String> & CaseIterable & Sendable>(
    _ key: String, _ path: Path<Choice>
  ) -> Self {
    Self(
      key, path, expected: Choice.allCases.map(\.rawValue).joined(separator: " or "),
      write: { .string($0.rawValue) }, read: { $0.stringValue.flatMap(Choice.init) })
  }
}

extension String {
  var isSHA256: Bool {
    utf8.count == 64
      && utf8.allSatisfy {
        (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0)
          || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains($0)
      }
  }
}
