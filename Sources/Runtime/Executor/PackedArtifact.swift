// SPDX-License-Identifier: Apache-2.0
// An artifact as it lies in its file: the declaration is read, the weights are still compressed.

import Formats
import IR
import Language

/// A declaration whose sizes were found possible, and weights that nothing was allocated for yet: a
/// caller can refuse the model first.
public struct PackedArtifact {
  /// Bytes of weights that a file may unpack to, whatever its size, and times its size beyond that.
  ///
  /// Trained weights shrink to an eighth at best; a file that claims a thousandfold holds nothing but
  /// repetitions, and its author's wish that memory runs out.
  static let (modestBytes, largestRatio) = (64 << 20, 1000)

  public let path: String
  public let model: Model
  public let container: ArtifactContainer
  let pieces: [Artifact.Piece]

  /// Reads the file, its hash and its graph; sizes come from the graph, never from the stream.
  public init(_ path: String) throws {
    let container = try ArtifactContainer.read(path)
    guard let text = String(validating: container.graph, as: UTF8.self) else {
      throw FormatError(.corrupt, file: path, field: "graph", "the graph text is not UTF-8")
    }
    do {
      model = try Model.parse(path: path, text: text)
    } catch {
      if error.isLegality { throw error }
      throw FormatError(
        .corrupt, file: path, field: "graph", error.all.first?.message ?? "malformed graph text")
    }
    (self.path, self.container) = (path, container)
    try PackedArtifact.checkSizes(of: model, packed: container, path)
    pieces = Artifact.pieces(model)
  }

  /// All sizes together are in a sane proportion to what the file holds.
  private static func checkSizes(
    of model: Model, packed container: ArtifactContainer, _ path: String
  ) throws(FormatError) {
    let packed = container.groups.reduce(0) { $0 + $1.frame.count }
    let limit = modestBytes + largestRatio * packed
    var total = 0
    for parameter in model.graph.parameters {
      var count = 1
      for size in parameter.type.sizes {
        let (product, overflow) = count.multipliedReportingOverflow(by: size)
        count = overflow ? .max : product
      }
      total = count > limit - total ? .max : total + count
      guard total <= limit else {
        throw FormatError(
          .corrupt, file: path, field: "graph",
          "the graph declares more than \(limit) weights, which \(packed) bytes of packed weights "
            + "cannot hold; the artifact is damaged or made to exhaust memory")
      }
    }
  }

  /// The weights as they are after quantisation.
  public func parameters() throws -> ParameterBlock { try unpacked().parameters() }

  /// The contents of all groups that the graph has.
  func contents(
    _ groups: [Artifact.Group]
  ) throws(FormatError) -> [String: ArtifactContainer.Unpacked] {
    let shapes = Dictionary(uniqueKeysWithValues: groups.map { ($0.name, $0.shape) })
    let contents = try container.contents { shapes[$0] }
    if let missing = shapes.keys.sorted().first(where: { contents[$0] == nil }) {
      throw FormatError(.corrupt, file: path, field: "group \(missing)", "the group is missing")
    }
    return contents
  }

  /// Unpacks the weights. They are refused when a number is not finite, or a code is none of its rule.
  public func unpacked() throws -> Artifact {
    let groups = Artifact.groups(pieces)
    let contents = try contents(groups)
    var rest: [String: ArraySlice<UInt8>] = [:]
    for group in groups {
      rest[group.name] = merged(contents[group.name]!.bytes, of: group.elementBytes)[...]
    }
    let precision = model.precisionTable
    var tensors: [String: StoredTensor] = [:]
    for piece in pieces {
      let bytes = rest[piece.group]!
      rest[piece.group] = bytes.dropFirst(piece.bytes)
      let empty = StoredTensor(precision: precision[piece.path] ?? .f32, streams: [])
      tensors[piece.path, default: empty].streams.append(
        piece.element.elements(bytes.prefix(piece.bytes)))
    }
    for parameter in model.graph.parameters {
      guard let damage = tensors[parameter.path]?.damage(precision[parameter.path] ?? .f32) else {
        continue
      }
      throw FormatError(.corrupt, file: path, field: parameter.path, damage)
    }
    return Artifact(model: model, tensors: tensors)
  }
}

extension Artifact {
  /// Throws unless the weights that it was made from are numbers and a reader will accept their
  /// stored forms: training may end with others, which a quantiser need not show.
  public func checkFinite(madeFrom weights: ParameterBlock) throws {
    let precision = model.precisionTable
    for parameter in model.graph.parameters {
      if let index = weights[parameter.path]?.firstIndex(where: { !$0.isFinite }) {
        throw NumericFailure(
          "\(parameter.path): weight \(index) is not finite; lower the learning rates")
      }
      guard let damage = tensors[parameter.path]?.damage(precision[parameter.path] ?? .f32) else {
        continue
      }
      throw NumericFailure(
        "\(parameter.path): \(damage) in its stored form; lower the learning rates, or store it as f32"
      )
    }
  }
}
