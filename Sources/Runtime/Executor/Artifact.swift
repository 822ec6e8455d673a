// SPDX-License-Identifier: Apache-2.0
// The artifact: a model's declaration and its stored weights, grouped by tensor class.

import Formats
import IR

/// What an artifact holds. No time, path or thread count: equal weights give equal bytes.
public struct Artifact: Sendable {
  /// The declaration, with what evaluation and adaptation need and nothing of training.
  public let model: Model
  public let tensors: [String: StoredTensor]

  /// Quantises the weights by the model's precision table.
  public init(model: Model, parameters: ParameterBlock, precision: [String: Precision]) {
    self.model = model
    var tensors: [String: StoredTensor] = [:]
    for entry in parameters.layout.entries {
      let parameter = entry.parameter
      let form = Artifact.form(parameter, precision)
      let rows = parameter.type.sizes.first ?? 1
      tensors[parameter.path] = form.store(parameters[parameter.path]!, rows: rows)
    }
    self.tensors = tensors
  }

  /// The weights as they are after quantisation.
  public func parameters() -> ParameterBlock {
    let block = ParameterBlock(layout: ParameterLayout(model.graph.parameters))
    for (path, tensor) in tensors { tensor.restore(to: block[path]!) }
    return block
  }

  /// Int rules quantise rows; other shapes with an int rule are stored as f16.
  private static func form(_ parameter: Parameter, _ table: [String: Precision]) -> Precision {
    let precision = table[parameter.path] ?? .f32
    if case .int = precision, parameter.type.rank != 2 { return .f16 }
    return precision
  }

  // MARK: Bytes

  /// A tensor's place in the groups of the container.
  private struct Piece {
    let group: String
    let path: String
    let bytes: Int
  }

  /// Codes are grouped by tensor class over all layers, because equal classes have equal statistics;
  /// scales and halves stand in planes of high and low bytes.
  private static func pieces(
    _ layout: ParameterLayout, _ precision: [String: Precision]
  ) -> [Piece] {
    var pieces: [Piece] = []
    for entry in layout.entries {
      let (parameter, count) = (entry.parameter, entry.parameter.type.count)
      switch form(parameter, precision) {
      case .f32: pieces.append(Piece(group: "f32", path: parameter.path, bytes: count * 4))
      case .f16: pieces.append(Piece(group: "f16", path: parameter.path, bytes: count * 2))
      case .int:
        pieces.append(
          Piece(group: "codes " + parameter.path.tensorClass, path: parameter.path, bytes: count))
        pieces.append(
          Piece(group: "scales", path: parameter.path, bytes: parameter.type.sizes[0] * 2))
      }
    }
    return pieces
  }

  /// Group names in file order, each with its size before compression.
  private static func groups(_ pieces: [Piece]) -> [(name: String, bytes: Int)] {
    var groups: [(name: String, bytes: Int)] = []
    for piece in pieces {
      if let index = groups.firstIndex(where: { $0.name == piece.group }) {
        groups[index].bytes += piece.bytes
      } else {
        groups.append((piece.group, piece.bytes))
      }
    }
    return groups
  }

  /// The container with everything compressed.
  public func container() throws(FormatError) -> ArtifactContainer {
    let pieces = Artifact.pieces(
      ParameterLayout(model.graph.parameters), model.precisionTable)
    var contents: [(name: String, content: [UInt8])] = []
    for group in Artifact.groups(pieces) {
      var content: [UInt8] = []
      content.reserveCapacity(group.bytes)
      for piece in pieces where piece.group == group.name {
        switch (tensors[piece.path]!, group.name) {
        case (.int(_, let scales), "scales"): content += scales.littleEndianBytes
        case (.int(let codes, _), _): content += codes.map { UInt8(bitPattern: $0) }
        case (.f16(let bits), _): content += bits.littleEndianBytes
        case (.f32(let values), _): content += values.map(\.bitPattern).littleEndianBytes
        }
      }
      contents.append((group.name, planes(content, of: Artifact.elementBytes(group.name))))
    }
    return try ArtifactContainer(graph: Array(model.printed().utf8), groups: contents)
  }

  /// Reads an artifact; sizes come from the graph in it, never from the stream.
  public static func read(_ path: String) throws -> Artifact {
    let container = try ArtifactContainer.read(path)
    guard let text = String(validatingUTF8Bytes: container.graph) else {
      throw FormatError(.corrupt, file: path, field: "graph", "the graph text is not UTF-8")
    }
    let model: Model
    do {
      model = try Model.parse(path: path, text: text)
    } catch {
      throw FormatError(
        .corrupt, file: path, field: "graph", error.all.first?.message ?? "malformed graph text")
    }
    let layout = ParameterLayout(model.graph.parameters)
    let pieces = pieces(layout, model.precisionTable)
    let sizes = Dictionary(uniqueKeysWithValues: groups(pieces).map { ($0.name, $0.bytes) })
    let contents = try container.contents { sizes[$0] }
    if let missing = sizes.keys.sorted().first(where: { contents[$0] == nil }) {
      throw FormatError(.corrupt, file: path, field: "group \(missing)", "the group is missing")
    }
    var cursors: [String: Int] = [:]
    var codes: [String: [Int8]] = [:]
    var tensors: [String: StoredTensor] = [:]
    var unpacked: [String: [UInt8]] = [:]
    for (name, bytes) in contents { unpacked[name] = merged(bytes, of: elementBytes(name)) }
    for piece in pieces {
      let start = cursors[piece.group, default: 0]
      let bytes = unpacked[piece.group]![start..<(start + piece.bytes)]
      cursors[piece.group] = start + piece.bytes
      switch piece.group {
      case "f32":
        tensors[piece.path] = .f32(UInt32.littleEndian(bytes).map(Float.init(bitPattern:)))
      case "f16": tensors[piece.path] = .f16(UInt16.littleEndian(bytes))
      case "scales":
        tensors[piece.path] = .int(codes: codes[piece.path]!, scales: UInt16.littleEndian(bytes))
      default: codes[piece.path] = bytes.map { Int8(bitPattern: $0) }
      }
    }
    return Artifact(model: model, tensors: tensors)
  }

  private init(model: Model, tensors: [String: StoredTensor]) {
    self.model = model
    self.tensors = tensors
  }

  private static func elementBytes(_ group: String) -> Int {
    switch group {
    case "f32": return 4
    case "f16", "scales": return 2
    default: return 1
    }
  }
}

extension String {
  /// The path with layer numbers replaced: `blocks.*.attn.c_q`.
  public var tensorClass: String {
    split(separator: ".").map { Int($0) == nil ? String($0) : "*" }.joined(separator: ".")
  }

  fileprivate init?(validatingUTF8Bytes bytes: [UInt8]) {
    guard let text = String(validating: bytes, as: UTF8.self) else { return nil }
    self = text
  }
}

/// All first bytes of the elements, then all second ones: equal exponents stand together.
private func planes(_ bytes: [UInt8], of size: Int) -> [UInt8] {
  guard size > 1 else { return bytes }
  return (0..<size).flatMap { byte in
    stride(from: byte, to: bytes.count, by: size).map { bytes[$0] }
  }
}

private func merged(_ bytes: [UInt8], of size: Int) -> [UInt8] {
  guard size > 1 else { return bytes }
  let count = bytes.count / size
  var result = [UInt8](repeating: 0, count: bytes.count)
  for byte in 0..<size {
    for index in 0..<count { result[index * size + byte] = bytes[byte * count + index] }
  }
  return result
}

extension Array where Element: FixedWidthInteger {
  fileprivate var littleEndianBytes: [UInt8] {
    flatMap { element in
      (0..<(Element.bitWidth / 8)).map { UInt8(truncatingIfNeeded: element >> ($0 * 8)) }
    }
  }
}

extension FixedWidthInteger {
  fileprivate static func littleEndian(_ bytes: ArraySlice<UInt8>) -> [Self] {
    let size = bitWidth / 8
    return stride(from: bytes.startIndex, to: bytes.endIndex, by: size).map { start in
      (0..<size).reduce(0) { $0 | Self(truncatingIfNeeded: bytes[start + $1]) << ($1 * 8) }
    }
  }
}
