// SPDX-License-Identifier: Apache-2.0
// The forms that a budget buys before there are weights.

import Formats
import IR

extension Model {
  /// The form of every param where `precision auto` chooses among matrices that nobody has seen: rows are
  /// normal, and an error of any weight costs the same, so all free matrices come to about one step. With
  /// weights the choice differs. Nil where nothing is chosen; throws `InfeasibleBudget` where nothing fits.
  public func precisionByPrior() throws -> [String: Precision]? {
    guard let quantize = settings.quantize, quantize.isAutomatic, let budget = quantize.budget
    else {
      return nil
    }
    let estimate = try SizeEstimate(self, steps: nil)
    if let infeasible = estimate.infeasible { throw infeasible }
    let prior = WeightPrior(self, steps: nil)
    let free = freeParameters
    let fixed = graph.parameters.filter { !quantize.isFree($0) }.reduce(Double(estimate.frame)) {
      $0 + prior.bytes($1, precisionTable[$1.path] ?? .f32)
    }
    let table = PrecisionTable(
      entries: free.map { parameter in
        let quantizers = PrecisionSearch.quantizers(
          bits: quantize.bits(of: parameter),
          reach: Quantizer(bits: 8, clip: .max).expectedClip(columns: parameter.type.sizes[1]))
        return PrecisionTable.Entry(
          path: parameter.path,
          candidates: quantizers.map {
            let step = $0.expectedClip(columns: parameter.type.sizes[1]) / Double($0.qmax)
            return PrecisionCandidate(
              .int($0), bytes: prior.bytes(parameter, .int($0)),
              damage: Double(parameter.type.count) * step * step / 12)
          })
      }, fixedBytes: fixed)
    guard let choice = table.choose(budget: Double(budget - quantize.codeBytes)) else {
      throw OverBudget(
        bytes: Int(table.leastBytes.rounded(.up)), code: quantize.codeBytes, budget: budget,
        largest: [])
    }
    let chosen = zip(table.entries, choice.indices).map {
      ($0.path, $0.candidates[$1].precision)
    }
    return precisionTable.merging(chosen) { $1 }
  }
}

extension WeightPrior {
  /// What a form of a param is expected to take.
  fileprivate func bytes(_ parameter: Parameter, _ precision: Precision) -> Double {
    precision.expectedStreams(parameter, self).reduce(0) { $0 + $1.bytes.expected }
  }
}
