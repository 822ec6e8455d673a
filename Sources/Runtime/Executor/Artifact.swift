// SPDX-License-Identifier: Apache-2.0
// The artifact: a model's declaration and its stored weights, grouped by tensor class.

import Formats
import IR
import Language

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
      let form = precision[parameter.path] ?? .f32
      let rows = parameter.type.sizes.first ?? 1
      tensors[parameter.path] = form.store(parameters[parameter.path]!, rows: rows)
    }
    self.tensors = tensors
  }

  /// The weights as they are after quantisation.
  public func parameters() throws(OutOfMemory) -> ParameterBlock {
    let block = try ParameterBlock(layout: ParameterLayout(model.graph.parameters))
    for (path, tensor) in tensors { tensor.restore(to: block[path]!) }
    return block
  }

  // MARK: Bytes

  /// A tensor's place in the groups of the container.
  struct Piece {
    let group: String
    let path: String
    let bytes: Int
  }

  /// Codes are grouped by tensor class over all layers, because equal classes have equal statistics;
  /// scales and halves stand in planes of high and low bytes.
  static func pieces(
    _ layout: ParameterLayout, _ precision: [String: Precision]
  ) -> [Piece] {
    var pieces: [Piece] = []
    for entry in layout.entries {
      let (parameter, count) = (entry.parameter, entry.parameter.type.count)
      switch precision[parameter.path] ?? .f32 {
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
  static func groups(_ pieces: [Piece]) -> [(name: String, bytes: Int)] {
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

  /// Reads an artifact and unpacks its weights.
  public static func read(_ path: String) throws -> Artifact {
    try PackedArtifact(path).unpacked()
  }

  init(model: Model, tensors: [String: StoredTensor]) {
    self.model = model
    self.tensors = tensors
  }

  static func elementBytes(_ group: String) -> Int {
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
}

/// All first bytes of the elements, then all second ones: equal exponents stand together.
private func planes(_ bytes: [UInt8], of size: Int) -> [UInt8] {
  guard size > 1 else { return bytes }
  return (0..<size).flatMap { byte in
    stride(from: byte, to: bytes.count, by: size).map { bytes[$0] }
  }
}

extension Array where Element: FixedWidthInteger {
  fileprivate var littleEndianBytes: [UInt8] {
    flatMap { element in
      (0..<(Element.bitWidth / 8)).map { UInt8(truncatingIfNeeded: element >> ($0 * 8)) }
    }
  }
}
