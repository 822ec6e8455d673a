// SPDX-License-Identifier: Apache-2.0
// Learns with the parameters of the model themselves, by the updates of the ttt section.

import IR

/// The model and the compiled step that trains it on windows of a stream.
final class WholeModelLearner: Learner {
  let scorer: Scorer
  private let settings: TTTSettings
  private let step: Executable
  private let parameters: ParameterBlock
  private var updates = 0

  init(
    _ functions: [PlanFunction], settings: TTTSettings, parameters: ParameterBlock, threads: Int
  ) throws {
    (self.settings, self.parameters) = (settings, parameters)
    guard let adapt = functions.first(where: { $0.name == FunctionName.adapt }) else {
      preconditionFailure("the plan has no function \(FunctionName.adapt)")
    }
    // What adapting leaves alone is packed once.
    scorer = try Scorer(
      functions, window: settings.window, rows: scoringRows(window: settings.window),
      scored: settings.stride == settings.window ? nil : settings.stride, parameters: parameters,
      threads: threads, changing: adapt.updates)
    step = try Executable(adapt, parameters: parameters, threads: threads, changing: adapt.updates)
  }

  func begin() { updates = 0 }

  func stateHash() -> String { parameters.sha256() }

  func learn(
    _ targets: Range<Int>, of tokens: [Int32], rate: Double, epochs: Int,
    reads: (Range<Int>) throws -> Void
  ) throws -> [AdaptationUpdate] {
    let (length, rows) = (settings.window, settings.batch)
    let starts = Array(
      stride(from: targets.lowerBound, through: targets.upperBound - length, by: length))
    var done: [AdaptationUpdate] = []
    for _ in 0..<epochs {
      for batch in stride(from: 0, to: starts.count, by: rows) {
        let current = starts[batch..<min(batch + rows, starts.count)]
        for start in current { try reads(start..<(start + length)) }
        load(Array(current), of: tokens)
        done.append(try update(rate: rate))
      }
    }
    scorer.parametersChanged()
    return done
  }

  /// Writes a window a row; rows without one hold token 0 and have no weight.
  private func load(_ starts: [Int], of tokens: [Int32]) {
    let (length, rows) = (settings.window, settings.batch)
    let ids = step.ids([rows, length])
    let targets = step.tokens(.targets, [rows, length])
    let weights = step.input(.weights)
    let weight = 1 / Float(starts.count * length)
    for row in 0..<rows {
      let start = row < starts.count ? starts[row] : nil
      for position in 0..<length {
        let index = row * length + position
        ids[index] = start.map { tokens[$0 + position] } ?? 0
        targets[index] = start.map { tokens[$0 + position + 1] } ?? 0
        weights[index] = start == nil ? 0 : weight
      }
    }
  }

  private func update(rate: Double) throws -> AdaptationUpdate {
    updates += 1
    step.setUpdateScalars(rate: rate, step: updates, optimizers: settings.optimizers)
    step.prepareParameters()
    step.run()
    let norm = Double(step.output(.gradientNorm)[0])
    guard norm.isFinite else {
      throw NumericFailure(
        "the gradient of update \(updates) of test-time training is not finite; lower its lr")
    }
    return AdaptationUpdate(rate: rate, gradientNorm: norm)
  }
}
