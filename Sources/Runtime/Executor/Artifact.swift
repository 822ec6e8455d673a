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

  /// Quantises the weights by a table of precisions. Without moments all codes are nearest.
  public init(
    model: Model, parameters: ParameterBlock, precision: [String: Precision],
    moments: SecondMoments? = nil, threads: Int = 1
  ) throws(NumericFailure) {
    self.model = model
    var tensors: [String: StoredTensor] = [:]
    // Neighbours multiply the same values: their factor is made once.
    var solver: (place: Int, solver: CodeSolver)?
    for entry in parameters.layout.entries {
      let parameter = entry.parameter
      let form = precision[parameter.path] ?? .f32
      let place = form.needsMoments ? moments?.place(of: parameter.path) : nil
      if let moments, let place, solver?.place != place || solver?.solver.gptq == nil {
        let columns = parameter.type.sizes[1]
        let sums = moments.sums[place]
        solver = (
          place,
          CodeSolver(
            gptq: try form.isSolved
              ? GPTQ(hessian: sums, columns: columns, threads: threads) : nil,
            diagonal: (0..<columns).map { Double(sums[$0 * columns + $0]) }, threads: threads)
        )
      }
      tensors[parameter.path] = form.store(
        parameters[parameter.path]!, rows: parameter.type.sizes.first ?? 1,
        solver: place != nil ? solver?.solver : nil)
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

  /// A stream's place in the groups of the container.
  struct Piece {
    let group: String
    let path: String
    let element: StoredElement
    let bytes: Int
    /// What the stream is, if it holds codes.
    let matrix: CodeMatrix?
  }

  /// All streams in the order of the parameters.
  static func pieces(_ model: Model) -> [Piece] {
    let precision = model.precisionTable
    return model.graph.parameters.filter { $0.role == .param }.flatMap { parameter in
      (precision[parameter.path] ?? .f32).form.streams.map {
        Piece(
          group: $0.group(of: parameter), path: parameter.path, element: $0.element,
          bytes: $0.bytes(of: parameter), matrix: $0.matrix(of: parameter))
      }
    }
  }

  /// A group of the container before compression.
  struct Group {
    let name: String
    let elementBytes: Int
    var bytes: Int
    var matrices: [CodeMatrix]

    /// What a reader may expect of the stored group.
    var shape: GroupShape {
      matrices.isEmpty ? GroupShape(bytes: bytes) : GroupShape(matrices: matrices)
    }
  }

  /// Groups in file order: by their first pieces.
  static func groups(_ pieces: [Piece]) -> [Group] {
    var groups: [Group] = []
    for piece in pieces {
      if let index = groups.firstIndex(where: { $0.name == piece.group }) {
        groups[index].bytes += piece.bytes
        groups[index].matrices += piece.matrix.map { [$0] } ?? []
      } else {
        groups.append(
          Group(
            name: piece.group, elementBytes: piece.element.bytes, bytes: piece.bytes,
            matrices: piece.matrix.map { [$0] } ?? []))
      }
    }
    return groups
  }

  /// The container with everything compressed, by class and coder; elements of several bytes stand in planes.
  public func container() throws(FormatError) -> ArtifactContainer {
    let pieces = Artifact.pieces(model)
    let contents = contents(pieces)
    return try ArtifactContainer(
      graph: Array(model.printed().utf8),
      groups: Artifact.groups(pieces).map {
        ArtifactContainer.Content(
          name: $0.name, content: planes(contents[$0.name]!, of: $0.elementBytes),
          matrices: $0.matrices)
      })
  }

  /// The bytes of all streams by group, elements of several bytes as they are.
  func contents(_ pieces: [Piece]) -> [String: [UInt8]] {
    var contents: [String: [UInt8]] = [:]
    var next: [String: Int] = [:]
    for piece in pieces {
      contents[piece.group, default: []] +=
        tensors[piece.path]!.streams[next[piece.path, default: 0]]
        .bytes
      next[piece.path, default: 0] += 1
    }
    return contents
  }

  /// Reads an artifact and unpacks its weights.
  public static func read(_ path: String) throws -> Artifact {
    try PackedArtifact(path).unpacked()
  }

  init(model: Model, tensors: [String: StoredTensor]) {
    (self.model, self.tensors) = (model, tensors)
  }
}

extension String {
  /// The path with layer numbers replaced: `blocks.*.attn.c_q`.
  public var tensorClass: String {
    split(separator: ".").map { Int($0) == nil ? String($0) : "*" }.joined(separator: ".")
  }
}
