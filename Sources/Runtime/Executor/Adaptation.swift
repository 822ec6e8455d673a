// SPDX-License-Identifier: Apache-2.0
// Test-time training. Score-first: a chunk's targets are scored, finally, before any update reads them.

import Formats
import Glibc
import IR

/// Adapts a model to a stream while scoring it.
public final class Adaptation {
  public struct Result {
    /// nll of every target, in nats.
    public var nll: [Float]
    /// Σ nll of each chunk.
    public var chunks: [Double]
    /// Rate and gradient norm of each update.
    public var updates: [AdaptationUpdate]
    /// Gradient norm of each update, before clipping.
    public var gradientNorms: [Double] { updates.map(\.gradientNorm) }
  }

  private let settings: TTTSettings
  let scorer: Scorer
  private let step: Executable
  let parameters: ParameterBlock
  private var updates = 0

  /// `parameters` are changed by adapting; give a copy.
  public init(
    _ functions: [PlanFunction], settings: TTTSettings, parameters: ParameterBlock, threads: Int
  ) throws {
    self.settings = settings
    self.parameters = parameters
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

  /// Runs the protocol of the settings over a stream.
  ///
  /// Every score and update is appended to `audit`, with hashes of the weights before and after.
  public func run(
    _ tokens: [Int32], audit: (any AuditSink)? = nil, progress: (Double) -> Void = { _ in }
  ) throws -> Result {
    let targets = tokens.count - 1
    let chunks = chunks(tokens)
    var ledger = ScoreLedger(targets: targets)
    var result = Result(
      nll: [Float](repeating: 0, count: targets), chunks: [], updates: [])
    if settings.mode == .adaptFirst {
      for epoch in 0..<settings.epochs {
        for index in chunks.indices {
          let rate = settings.rate(epoch: epoch, chunk: index, of: chunks.count)
          result.updates += try train(chunk: index, of: tokens, rate: rate, ledger: nil)
          progress(
            Double(epoch * chunks.count + index + 1) / Double((settings.epochs + 1) * chunks.count))
        }
      }
      if let audit {
        var event = AdaptFirstEvent()
        event.weights = weightsHash()
        try audit.append(.adaptFirst(event))
      }
      scorer.parametersChanged()
    }
    var scored = 0
    for (index, windows) in chunks.enumerated() {
      scorer.score(windows, of: tokens, into: &result.nll)
      for window in windows { try ledger.mark(window.firstScored..<window.end) }
      // A chunk that is smaller than the windows of the one before it may have none of its own.
      let range = scored..<(windows.last?.end ?? scored)
      scored = range.upperBound
      let nats = range.reduce(0.0) { $0 + Double(result.nll[$1]) }
      guard nats.isFinite else {
        throw NumericFailure(
          "chunk \(index): the score is not finite; lower the lr of test-time training")
      }
      result.chunks.append(nats)
      if let audit {
        var event = ScoreEvent()
        (event.chunk, event.first, event.end) = (index, range.lowerBound, range.upperBound)
        event.nats = nats
        event.weights = weightsHash()
        try audit.append(.score(event))
      }
      // The last chunk is only scored: nothing is left that an update could help. Without epochs
      // nothing is updated, so the log has no update.
      if settings.mode == .scoreFirst, settings.epochs > 0, index + 1 < chunks.count {
        try ledger.requireRest()
        let before = audit == nil ? "" : weightsHash()
        let rate = settings.rate(epoch: 0, chunk: index, of: chunks.count)
        result.updates += try learn(
          chunk: index, of: chunks.count, from: tokens, ledger: ledger)
        if let audit {
          var event = UpdateEvent()
          (event.chunk, event.first) = (index, index * settings.chunk)
          event.end = min((index + 1) * settings.chunk, targets)
          (event.epochs, event.rate) = (settings.epochs, rate)
          (event.before, event.after) = (before, weightsHash())
          try audit.append(.update(event))
        }
      }
      progress(Double(index + 1) / Double(chunks.count))
    }
    try ledger.checkComplete()
    return result
  }

  /// The chunks of a stream, each the windows whose targets it scores.
  func chunks(_ tokens: [Int32]) -> [[Window]] {
    let targets = tokens.count - 1
    return chunked(
      slidingWindows(targets: targets, length: settings.window, stride: settings.stride),
      targets: targets, chunk: settings.chunk)
  }

  /// All epochs on one chunk. The next score is by the new weights.
  func learn(
    chunk: Int, of count: Int, from tokens: [Int32], ledger: ScoreLedger?
  ) throws -> [AdaptationUpdate] {
    var done: [AdaptationUpdate] = []
    for _ in 0..<settings.epochs {
      done += try train(
        chunk: chunk, of: tokens, rate: settings.rate(epoch: 0, chunk: chunk, of: count),
        ledger: ledger)
    }
    scorer.parametersChanged()
    return done
  }

  /// One pass over a chunk's sequences. With a ledger, every token must have been scored.
  private func train(
    chunk: Int, of tokens: [Int32], rate: Double, ledger: ScoreLedger?
  ) throws -> [AdaptationUpdate] {
    let (length, rows) = (settings.window, settings.batch)
    let first = chunk * settings.chunk
    let end = min(first + settings.chunk, tokens.count - 1)
    let sequences = Array(stride(from: first, through: end - length, by: length))
    var done: [AdaptationUpdate] = []
    let ids = step.tokens(step.function.inputs[0].name, [rows, length])
    let targets = step.tokens("targets", [rows, length])
    let weights = step.input("weights")
    for batch in stride(from: 0, to: sequences.count, by: rows) {
      let current = sequences[batch..<min(batch + rows, sequences.count)]
      let weight = 1 / Float(current.count * length)
      for row in 0..<rows {
        let start = row < current.count ? current[batch + row] : nil
        for position in 0..<length {
          let index = row * length + position
          ids[index] = start.map { tokens[$0 + position] } ?? 0
          targets[index] = start.map { tokens[$0 + position + 1] } ?? 0
          weights[index] = start == nil ? 0 : weight
        }
        if let ledger, let start { try ledger.requireScored(start..<(start + length)) }
      }
      updates += 1
      step.setScalar("learning_rate", rate)
      step.setScalar("step", Double(updates))
      for (index, entry) in settings.optimizers.enumerated() {
        if case .muon(let rule) = entry.rule {
          step.setScalar("momentum.\(index)", Schedule.momentum(rule, step: updates - 1))
        }
      }
      step.prepareParameters()
      step.run()
      let norm = Double(step.output("grad_norm")[0])
      guard norm.isFinite else {
        throw NumericFailure(
          "the gradient of update \(updates) of test-time training is not finite; lower its lr")
      }
      done.append(AdaptationUpdate(rate: rate, gradientNorm: norm))
    }
    return done
  }

  private func weightsHash() -> String { parameters.sha256() }
}

extension TTTSettings {
  /// The multiplier of the learning rates while one of `chunks` chunks is trained on.
  ///
  /// Score-first trains a chunk once, in all its epochs, and the cosine ends at the last chunk, which
  /// is only scored. Adapt-first passes over all chunks once an epoch: the cosine falls over all
  /// passes and would reach 0 behind the last, so that none is without effect.
  public func rate(epoch: Int, chunk: Int, of chunks: Int) -> Double {
    guard schedule == .cosineOverChunks else { return 1 }
    let (pass, end) =
      mode == .scoreFirst ? (chunk, chunks - 1) : (epoch * chunks + chunk, epochs * chunks)
    return end > 0 ? 0.5 * (1 + cos(Double.pi * Double(pass) / Double(end))) : 1
  }
}

extension ParameterBlock {
  /// SHA-256 of the values' bytes.
  public func sha256() -> String {
    var hasher = Hasher256()
    hasher.update(UnsafeRawBufferPointer(start: memory.base, count: layout.bytes))
    return hasher.hex()
  }
}

/// A number that must be finite is not.
public struct NumericFailure: Error, CustomStringConvertible {
  public let description: String
  public init(_ description: String) { self.description = description }
}
