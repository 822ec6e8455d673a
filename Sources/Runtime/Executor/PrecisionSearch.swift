// SPDX-License-Identifier: Apache-2.0
// What each stored form of each matrix costs in bytes and in loss, and the forms that a budget buys.

import Dispatch
import Foundation
import IR

/// Predicts bytes and damage of the forms that matrices may take.
///
/// A form is a step in standard deviations of the row, r = k / qmax of `sdclip(k)`: it decides the entropy of
/// the codes, while bits are only their range (for Gaussian rows 2.047 - log2 r bits a weight), so bits are the
/// fewest that clip nothing. Bytes are the entropy of the codes. Damage is the error of what the matrix makes of
/// training text, times what such an error of that matrix does to the loss: this is measured once a matrix, at
/// one coarse form.
struct PrecisionSearch {
  let weights: ParameterBlock
  /// Nil: an error counts by the weights alone.
  let moments: SecondMoments?
  let threads: Int
  /// Nats a token of training text with some weights.
  let loss: (ParameterBlock) throws -> Double

  /// Steps in standard deviations: four an octave, from what int8 reaches to where a code is a sign.
  static let steps = (0..<27).map { 0.02 * exp2(Double($0) / 4) }
  /// The form whose damage is measured: large enough to stand out from rounding, small enough to be of the
  /// same kind.
  private static let measured = 0.5
  /// The least that a relative error counts, in parts of what it does to the loss in the median matrix.
  private static let least = 0.1

  /// What one unit of each matrix's error adds to the loss. `progress` gets the part that is done.
  func sensitivities(
    of matrices: [Parameter], progress: (Double) throws -> Void
  ) throws -> [String: Double] {
    let before = try loss(weights)
    let changed = try weights.copy()
    var scales: [Double] = []
    for (index, parameter) in matrices.enumerated() {
      scales.append(try sensitivity(of: parameter, changed, before) * size(of: parameter))
      try progress(Double(index + 1) / Double(matrices.count))
    }
    // A text is short: what it shows as harmless may only be harmless there.
    let usual = scales.isEmpty ? 0 : scales.sorted()[scales.count / 2]
    return Dictionary(
      uniqueKeysWithValues: zip(matrices, scales).map { parameter, scale in
        let least = max(scale, Self.least * usual, .leastNormalMagnitude)
        return (parameter.path, least / size(of: parameter))
      })
  }

  /// A table of the free matrices, whose forms have the bits that are allowed.
  func table(
    of free: [Parameter], _ sensitivities: [String: Double], bits: (Parameter) -> ClosedRange<Int>
  ) throws -> PrecisionTable {
    PrecisionTable(
      entries: try free.map { parameter in
        let reach = reach(weights[parameter.path]!, rows: parameter.type.sizes[0])
        let bits = bits(parameter)
        let quantizers = Self.quantizers(bits: bits, reach: reach)
        return PrecisionTable.Entry(
          path: parameter.path,
          candidates: try forms(of: parameter, quantizers).map { form in
            PrecisionCandidate(
              .int(form.quantizer), bytes: form.bytes,
              damage: sensitivities[parameter.path, default: 0] * form.error)
          })
      })
  }

  /// What a matrix makes of training text, squared: its error in parts of this is the same for all of a kind.
  private func size(of parameter: Parameter) -> Double {
    let columns = parameter.type.sizes[1]
    let importance = importance(of: parameter.path, columns: columns)
    let sum = weights[parameter.path]!.enumerated().reduce(0.0) { sum, weight in
      sum + Double(importance[weight.offset % columns] * weight.element * weight.element)
    }
    return max(sum, .leastNormalMagnitude)
  }

  // MARK: Forms

  /// The forms of rows that reach so many deviations, with bits that are allowed: where no step has them, with
  /// the nearest ones.
  static func quantizers(bits: ClosedRange<Int>, reach: Double) -> [Quantizer] {
    let all = steps.map { quantizer(step: $0, reach: reach) }
    let allowed = all.filter { bits.contains($0.bits) }
    if !allowed.isEmpty { return allowed }
    return all.map { form in
      var form = form
      let step = form.clip.parameters[0] / Double(form.qmax)
      form.bits = min(max(form.bits, bits.lowerBound), bits.upperBound)
      form.clip = .sdclip(rounded(step * Double(form.qmax)))
      return form
    }
  }

  struct Form {
    let quantizer: Quantizer
    let bytes: Double
    /// Of what the matrix makes of the text, or of the weights where nothing multiplies it.
    let error: Double
  }

  /// What quantisers make of a matrix. Nearest codes leave an error of which codes that make up for each other
  /// leave `gain`.
  func forms(of parameter: Parameter, _ quantizers: [Quantizer]) throws -> [Form] {
    let (rows, columns) = (parameter.type.sizes[0], parameter.type.sizes[1])
    let importance = importance(of: parameter.path, columns: columns)
    let moment = quantizers.contains(where: \.isSolved) ? moments?[parameter.path] : nil
    let gain = try moment.map {
      try GPTQ(hessian: $0, columns: columns, threads: threads).gain(over: $0)
    }
    nonisolated(unsafe) var forms = [Form?](repeating: nil, count: quantizers.count)
    nonisolated(unsafe) let weights = UnsafeBufferPointer(weights[parameter.path]!)
    let lock = NSLock()
    DispatchQueue.concurrentPerform(iterations: quantizers.count) { index in
      let quantizer = quantizers[index]
      let codes = RowCodes(
        rounding: weights, quantizer.scales(of: weights, rows: rows), quantizer)
      let form = Form(
        quantizer: quantizer,
        bytes: entropyBits(of: codes.codes) / 8 + 2 * Double(codes.scales.stored.count),
        error: (quantizer.isSolved ? gain ?? 1 : 1)
          * codes.error(weights, importance, columns: columns))
      lock.withLock { forms[index] = form }
    }
    return forms.compactMap(\.self)
  }

  /// The second moment of each input of a matrix; 1 where nothing multiplies it as it is.
  private func importance(of path: String, columns: Int) -> [Float] {
    guard let moments, let h = moments[path] else { return [Float](repeating: 1, count: columns) }
    return (0..<columns).map { h[$0 * columns + $0] / Float(moments.tokens) }
  }

  /// How many standard deviations of its row the largest weight is away from 0.
  private func reach(_ values: UnsafeMutableBufferPointer<Float>, rows: Int) -> Double {
    let columns = values.count / rows
    return (0..<rows).reduce(1.0) { reach, row in
      let line = values[row * columns..<(row + 1) * columns]
      let mean = line.reduce(0.0) { $0 + Double($1) } / Double(columns)
      let variance =
        line.reduce(0.0) { $0 + (Double($1) - mean) * (Double($1) - mean) }
        / Double(max(columns - 1, 1))
      let largest = line.reduce(0.0) { max($0, Double(abs($1))) }
      return variance > 0 ? max(reach, largest / variance.squareRoot()) : reach
    }
  }

  /// The fewest bits whose codes reach as far as the weights do, with a step of so many deviations.
  static func quantizer(step: Double, reach: Double) -> Quantizer {
    let bits = Quantizer.allBits.first { Double((1 << ($0 - 1)) - 1) * step >= reach } ?? 8
    var quantizer = Quantizer(bits: bits, clip: .max)
    quantizer.clip = .sdclip(rounded(Double(quantizer.qmax) * step))
    quantizer.isSolved = true
    return quantizer
  }

  /// To three digits: the rule stands in the artifact.
  private static func rounded(_ k: Double) -> Double {
    let digit = pow(10, (2 - log10(k).rounded(.down)))
    return (k * digit).rounded() / digit
  }

  // MARK: Loss

  /// What one unit of a matrix's error adds to the loss: the mean of the loss with the error of one coarse form
  /// and with its opposite, less the loss without. The slope, which has no sign on average, drops out.
  private func sensitivity(
    of parameter: Parameter, _ changed: ParameterBlock, _ before: Double
  ) throws -> Double {
    let place = changed[parameter.path]!
    let values = weights[parameter.path]!
    let (rows, columns) = (parameter.type.sizes[0], parameter.type.sizes[1])
    let quantizer = Self.quantizer(step: Self.measured, reach: reach(values, rows: rows))
    let from = UnsafeBufferPointer(values)
    let codes = RowCodes(rounding: from, quantizer.scales(of: from, rows: rows), quantizer)
    let stored = codes.values
    _ = place.update(from: stored)
    let nearer = try loss(changed)
    for index in place.indices { place[index] = 2 * values[index] - stored[index] }
    let farther = try loss(changed)
    _ = place.update(from: values)
    let importance = importance(of: parameter.path, columns: columns)
    let error = codes.error(from, importance, columns: columns)
    return error > 0 ? ((nearer + farther) / 2 - before) / error : 0
  }
}

extension RowCodes {
  /// Σ importance (w - ŵ)² over rows and columns.
  fileprivate func error(
    _ weights: UnsafeBufferPointer<Float>, _ importance: [Float], columns: Int
  ) -> Double {
    var sum = 0.0
    // A row, or a group of it.
    let width = codes.count / max(scales.stored.count, 1)
    for (place, scale) in scales.stored.enumerated() {
      var line: Float = 0
      for index in place * width..<(place + 1) * width {
        let difference = weights[index] - scale * Float(codes[index])
        line += importance[index % columns] * difference * difference
      }
      sum += Double(line)
    }
    return sum
  }
}
