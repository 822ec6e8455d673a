// SPDX-License-Identifier: Apache-2.0
// What packing adds to the rules of a file: which columns are protected, which tensors corrected.

import Formats
import IR

extension QuantizeSettings {
  /// With the protected columns as a rule: of all groups in the matrices that have fewer bits, and are not
  /// small, the one whose inputs and weights are the largest (AWQ-lite, pull request #1908 of Parameter Golf).
  func protecting(
    _ parameters: [Parameter], _ weights: ParameterBlock, _ moments: SecondMoments?
  ) -> QuantizeSettings {
    guard let protection, let moments else { return self }
    var best: (path: String, quantizer: Quantizer, fine: FineColumns)?
    for parameter in parameters where parameter.type.count > Self.leastProtected {
      guard case .int(let quantizer)? = rule(for: parameter)?.precision, quantizer.group == 0,
        quantizer.bits < protection.bits, let h = moments[parameter.path]
      else { continue }
      let columns = parameter.type.sizes[1]
      let rms = FineColumns.rms(
        diagonal: (0..<columns).map { Double(h[$0 * columns + $0]) },
        count: Double(moments.tokens))
      let fine = FineColumns(
        of: UnsafeBufferPointer(weights[parameter.path]!), rows: parameter.type.sizes[0], rms: rms,
        width: protection.columns)
      if let fine, fine.score > best?.fine.score ?? -.infinity {
        best = (parameter.path, quantizer, fine)
      }
    }
    guard var best else { return self }
    best.quantizer.fine = .init(
      start: best.fine.columns.lowerBound, count: best.fine.columns.count, bits: protection.bits)
    return adding([(best.path, .int(best.quantizer))])
  }

  /// Matrices of fewer numbers are no candidates.
  private static let leastProtected = 65_536

  /// Whether packing may have added a rule for a param.
  func mayAdd(_ added: Precision, for parameter: Parameter) -> Bool {
    if isFree(parameter) { return true }
    guard case .int(var quantizer) = added,
      case .int(let declared)? = rule(for: parameter)?.precision
    else { return false }
    if quantizer.correction == correction?.form { quantizer.correction = declared.correction }
    if quantizer.fine?.count == protection?.columns, quantizer.fine?.bits == protection?.bits {
      quantizer.fine = declared.fine
    }
    return Precision.int(quantizer).nearest == Precision.int(declared).nearest
  }
}

extension Artifact {
  /// With corrections of the worst matrices, whose rules the model gets.
  func corrected(
    _ correction: QuantizeSettings.Correction, madeFrom weights: ParameterBlock,
    declaring model: inout Model, threads: Int
  ) throws -> Artifact {
    let table = model.precisionTable
    var (tensors, forms) = (self.tensors, [(path: String, precision: Precision)]())
    let solver = CodeSolver(gptq: nil, diagonal: [], threads: threads)
    for path in try worst(correction.worst, madeFrom: weights) {
      guard case .int(var quantizer)? = table[path], let tensor = tensors[path],
        let parameter = model.graph.parameters.first(where: { $0.path == path })
      else { continue }
      let factors = correction.form.elements(
        of: UnsafeBufferPointer(weights[path]!), rows: parameter.type.sizes[0], left: quantizer,
        tensor.streams, solver)
      quantizer.correction = correction.form
      forms.append((path, .int(quantizer)))
      tensors[path] = StoredTensor(
        precision: Precision.int(quantizer).nearest, streams: tensor.streams + factors)
    }
    model.settings.quantize = model.settings.quantize?.adding(forms)
    return Artifact(model: model.forArtifact, tensors: tensors)
  }

  /// The paths of the matrices in codes with the largest errors, by Frobenius norm.
  func worst(_ count: Int, madeFrom weights: ParameterBlock) throws -> [String] {
    let stored = try parameters()
    let coded = model.graph.parameters.map(\.path).filter { path in
      if case .int? = tensors[path]?.precision { true } else { false }
    }
    let errors = coded.map { path in
      zip(weights[path]!, stored[path]!).map { Double($0) - Double($1) }
    }
    return LowRankCorrection.worst(errors, count: count).map { coded[$0] }
  }
}
