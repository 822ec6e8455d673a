// SPDX-License-Identifier: Apache-2.0
// The streams of matrices in codes: how they are made, and what they stand for.

import CKernels
import Formats
import IR

extension Quantizer {
  /// Codes, scales, scales of the fine columns, factors of the correction: as many as the rule has. Codes
  /// are grouped by tensor class over all layers, because equal classes have equal statistics.
  func streams(rule: String) -> [StoredForm.Stream] {
    let widest = finer ?? self
    func scales(_ count: @escaping @Sendable (TensorType) -> Int) -> StoredForm.Stream {
      StoredForm.Stream(element: .half, what: "scale", group: { _ in "scales" }, count: count)
    }
    var streams = [
      StoredForm.Stream(
        element: .code(min(qmin, widest.qmin)...max(qmax, widest.qmax), rule: rule), what: "code",
        group: { "codes " + $0.tensorClass }, count: \.count),
      scales { scaleCount($0) },
    ]
    if fine != nil { streams.append(scales { $0.sizes[0] }) }
    guard let low = correction else { return streams }
    for (bits, isA) in [(low.aBits, true), (low.bBits, false)] {
      let half = 1 << (bits - 1)
      streams += [
        StoredForm.Stream(
          element: .code((low.group > 0 ? -half : 1 - half)...half - 1, rule: rule),
          what: "code of the correction", group: { _ in isA ? "correction a" : "correction b" },
          count: { low.rank * $0.sizes[isA ? 0 : 1] }, rows: { isA ? $0.sizes[0] : low.rank }),
        scales { low.scales($0, ofA: isA) },
      ]
    }
    return streams
  }

  private func scaleCount(_ type: TensorType) -> Int {
    scales(rows: type.sizes[0], columns: type.count / max(1, type.sizes[0]))
  }

  /// The streams of weights [rows, columns]. What needs a solver is left out where there is none.
  func elements(
    of weights: UnsafeBufferPointer<Float>, rows: Int, _ solver: CodeSolver?
  ) -> [StoredElements] {
    var pruned = Array(weights)
    if self.pruned > 0 { pruneSmallest(&pruned, share: self.pruned) }
    let streams = pruned.withUnsafeBufferPointer { codes(of: $0, rows: rows, solver) }
    guard let low = correction else { return streams }
    return streams + low.elements(of: weights, rows: rows, left: self, streams, solver)
  }

  /// Codes and scales.
  private func codes(
    of weights: UnsafeBufferPointer<Float>, rows: Int, _ solver: CodeSolver?
  ) -> [StoredElements] {
    let scales = stepSizes(of: weights, rows: rows, solver)
    if let fine, let finer {
      let columns = FineColumns(columns: fine.start..<fine.start + fine.count)
      return MixedCodes(
        weights, rows: rows, (self, scales),
        (finer, finer.stepSizes(of: weights, rows: rows, solver)),
        columns, solver
      ).streams
    }
    let codes: RowCodes
    if isSolved, let gptq = solver?.gptq {
      codes = gptq.quantise(
        weights, rows: rows, self, scales: scales, threads: solver?.threads ?? 1)
    } else {
      codes = RowCodes(rounding: weights, scales, self)
    }
    return (keepsMean ? codes.keepingMeans() : codes).streams
  }

  /// The steps, wider for rows that matter more where the rule asks for it.
  private func stepSizes(
    of weights: UnsafeBufferPointer<Float>, rows: Int, _ solver: CodeSolver?
  ) -> RowScales {
    guard sensitivity > 0, let solver else { return scales(of: weights, rows: rows) }
    return scales(
      of: weights, rows: rows,
      factors: sensitivityFactors(
        of: weights, rows: rows, diagonal: solver.diagonal, lambda: sensitivity))
  }

  /// Writes the weights that streams stand for.
  func restore(_ streams: [StoredElements], to values: UnsafeMutableBufferPointer<Float>) {
    let (codes, scales) = (streams[0].codes, streams[1].halves.map { quantise_from_half($0) })
    quantise_dequantise(
      values.baseAddress, codes, scales, Int64(scales.count),
      Int64(codes.count / max(scales.count, 1)))
    var rest = streams.dropFirst(2)
    if let fine, let stream = rest.popFirst() {
      let width = codes.count / max(scales.count, 1)
      for (row, bits) in stream.halves.enumerated() {
        let scale = quantise_from_half(bits)
        for place in row * width + fine.start..<row * width + fine.start + fine.count {
          values[place] = Float(codes[place]) * scale
        }
      }
    }
    guard let low = correction else { return }
    low.add(Array(rest), to: values)
  }
}

extension Quantizer.LowRank {
  fileprivate func scales(_ type: TensorType, ofA isA: Bool) -> Int {
    guard group > 0 else { return isA ? type.sizes[0] : rank }
    return isA ? 1 : (rank * type.sizes[1] + group - 1) / group
  }

  /// The factors of what codes leave of weights [rows, columns].
  func elements(
    of weights: UnsafeBufferPointer<Float>, rows: Int, left quantizer: Quantizer,
    _ streams: [StoredElements], _ solver: CodeSolver?
  ) -> [StoredElements] {
    var plain = quantizer
    plain.correction = nil
    var stored = [Float](repeating: 0, count: weights.count)
    stored.withUnsafeMutableBufferPointer { plain.restore(streams, to: $0) }
    let error = zip(weights, stored).map { Double($0) - Double($1) }
    let low = LowRankCorrection(
      error: error, rows: rows, columns: weights.count / max(rows, 1), rank: rank,
      a: (aBits, group > 0 ? .whole : .rows), b: (bBits, group > 0 ? .groups(group) : .rows),
      threads: solver?.threads ?? 1)
    return [low.a, low.b].flatMap { [.codes($0.codes), .halves($0.scales)] }
  }

  fileprivate func add(
    _ streams: [StoredElements], to values: UnsafeMutableBufferPointer<Float>
  ) {
    let rows = streams[0].codes.count / rank
    func factor(_ codes: StoredElements, _ scales: StoredElements, rows: Int)
      -> LowRankCorrection.Factor
    {
      let count = max(scales.halves.count, 1)
      return .init(
        rows: rows, columns: codes.codes.count / max(rows, 1),
        group: group > 0 && count > 1 ? group : (codes.codes.count + count - 1) / count,
        codes: codes.codes, scales: scales.halves)
    }
    LowRankCorrection(
      a: factor(streams[0], streams[1], rows: rows), b: factor(streams[2], streams[3], rows: rank)
    ).add(to: values)
  }
}
