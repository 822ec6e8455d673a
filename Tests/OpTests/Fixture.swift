// SPDX-License-Identifier: Apache-2.0
// Reads the reference fixtures: settings in JSON, tensors in safetensors. A small reader for trusted
// files; the strict one belongs to the program.

import Foundation
import TestSupport
import Testing

/// One folder of Tests/Fixtures.
struct Fixture {
  struct Tensor {
    var sizes: [Int]
    var values: [Double]

    /// One row of a matrix.
    func row(_ index: Int) -> [Double] {
      Array(values[(index * sizes[1])..<((index + 1) * sizes[1])])
    }
  }

  private let folder: URL
  private let config: Settings
  private let inputs: [String: Tensor]
  private let results: [String: Tensor]

  init(_ name: String, _ tensors: String) throws {
    folder = Repository.root.appending(path: "Tests/Fixtures/\(name)")
    let text = try Data(contentsOf: folder.appending(path: "config.json"))
    config = try JSONDecoder().decode(Settings.self, from: text)
    inputs = try Self.read(folder.appending(path: tensors + ".safetensors"))
    results = try Self.read(folder.appending(path: "expected.safetensors"))
  }

  func given(_ name: String) throws -> Tensor { try #require(inputs[name], "tensor \(name)") }
  func expected(_ name: String) throws -> Tensor { try #require(results[name], "tensor \(name)") }

  /// The int32 elements of an npy file.
  func identifiers(_ name: String) throws -> [Int32] {
    let bytes = [UInt8](try Data(contentsOf: folder.appending(path: name + ".npy")))
    let start = 10 + Int(Self.number(bytes, 8, as: UInt16.self))
    return stride(from: start, to: bytes.count, by: 4).map {
      Self.number(bytes, $0, as: Int32.self)
    }
  }

  /// A nested object of the settings.
  func object(_ path: String...) throws -> Settings {
    try path.reduce(config) { settings, name in
      try #require(settings[name], "setting \(name)")
    }
  }

  /// One JSON value. What is missing reads as nothing: the comparison that follows fails.
  ///
  /// JSONDecoder reads numbers to the nearest double; JSONSerialization is off by one unit at times,
  /// which decides ties of the quantiser.
  indirect enum Settings: Decodable {
    case fields([String: Settings])
    case list([Settings])
    case number(Double)
    case flag(Bool)
    case word(String)
    case nothing

    init(from decoder: any Decoder) throws {
      let container = try decoder.singleValueContainer()
      if container.decodeNil() {
        self = .nothing
      } else if let flag = try? container.decode(Bool.self) {
        self = .flag(flag)
      } else if let number = try? container.decode(Double.self) {
        self = .number(number)
      } else if let word = try? container.decode(String.self) {
        self = .word(word)
      } else if let list = try? container.decode([Settings].self) {
        self = .list(list)
      } else {
        self = .fields(try container.decode([String: Settings].self))
      }
    }

    subscript(_ name: String) -> Settings? {
      if case .fields(let fields) = self { return fields[name] }
      return nil
    }
    var names: [String] {
      if case .fields(let fields) = self { return fields.keys.sorted() }
      return []
    }
    var numbers: [Double] {
      guard case .list(let list) = self else { return [] }
      return list.compactMap { if case .number(let number) = $0 { number } else { nil } }
    }

    func number(_ name: String, else missing: Double = .nan) -> Double {
      if case .number(let number)? = self[name] { return number }
      return missing
    }
    func numbers(_ name: String) -> [Double] { self[name]?.numbers ?? [] }
    func numberLists(_ name: String) -> [[Double]] {
      guard case .list(let lists)? = self[name] else { return [] }
      return lists.map(\.numbers)
    }
    func flag(_ name: String) -> Bool {
      if case .flag(let flag)? = self[name] { return flag }
      return false
    }
    func word(_ name: String) -> String {
      if case .word(let word)? = self[name] { return word }
      return ""
    }
  }

  private static func read(_ url: URL) throws -> [String: Tensor] {
    let bytes = [UInt8](try Data(contentsOf: url))
    let headerSize = Int(number(bytes, 0, as: UInt64.self))
    let header = try JSONDecoder().decode(
      Settings.self, from: Data(bytes[8..<(8 + headerSize)]))
    var tensors: [String: Tensor] = [:]
    for name in header.names where name != "__metadata__" {
      let entry = try #require(header[name])
      let start = 8 + headerSize + Int(entry.numbers("data_offsets")[0])
      let sizes = entry.numbers("shape").map { Int($0) }
      let values = try (0..<sizes.reduce(1, *)).map { index in
        switch entry.word("dtype") {
        case "F64": return Double(bitPattern: number(bytes, start + 8 * index, as: UInt64.self))
        case "F32":
          return Double(Float(bitPattern: number(bytes, start + 4 * index, as: UInt32.self)))
        case "I32": return Double(number(bytes, start + 4 * index, as: Int32.self))
        case "I8": return Double(Int8(bitPattern: bytes[start + index]))
        case let other: throw UnknownType(name: other)
        }
      }
      tensors[name] = Tensor(sizes: sizes, values: values)
    }
    return tensors
  }

  private struct UnknownType: Error { var name: String }

  /// The little-endian number at an offset.
  private static func number<T: FixedWidthInteger>(
    _ bytes: [UInt8], _ offset: Int, as type: T.Type
  ) -> T {
    bytes.withUnsafeBytes { T(littleEndian: $0.loadUnaligned(fromByteOffset: offset, as: T.self)) }
  }
}
