// SPDX-License-Identifier: Apache-2.0
// What trained weights are like before there are any: how far they spread, and how well their stored forms
// compress. The factors are those of trained models, see the note at the end.

import Foundation
import IR

/// A number with what it is at least and at most.
public struct Interval: Sendable, Equatable {
  public var low: Double
  public var expected: Double
  public var high: Double

  public init(_ low: Double, _ expected: Double, _ high: Double) {
    (self.low, self.expected, self.high) = (low, expected, high)
  }

  static func + (a: Interval, b: Interval) -> Interval {
    Interval(a.low + b.low, a.expected + b.expected, a.high + b.high)
  }

  static func * (a: Interval, factor: Double) -> Interval {
    Interval(a.low * factor, a.expected * factor, a.high * factor)
  }
}

/// Expectations of the params of one model.
struct WeightPrior {
  private let train: TrainSettings?
  private let entries: [String: Int]
  private let gathered: Set<String>
  /// Steps of training; nil: nobody knows.
  private let steps: Int?
  /// Steps after which every weight that can learn has learnt something.
  private static let warm = 10
  /// Steps after which rows of rare tokens have learnt too.
  private static let long = 1000

  init(_ model: Model, steps: Int?) {
    train = model.settings.train
    self.steps = steps
    entries = train?.optimizers.winners(model.graph.parameters) ?? [:]
    let graph = model.scored.graph
    let paths = Dictionary(
      uniqueKeysWithValues: zip(graph.parameterValues, graph.parameters.map(\.path)))
    gathered = Set(
      graph.nodes.filter { $0.op == .embed }.flatMap(\.operands).compactMap { paths[$0] })
  }

  /// Whether little can be said because training may be over before it began.
  private var isShort: Bool { steps ?? 0 < Self.warm }

  /// Bytes of a stream of codes.
  func codes(_ parameter: Parameter, _ quantizer: Quantizer) -> Interval {
    let columns =
      quantizer.group > 0
      ? quantizer.group : parameter.type.count / max(parameter.type.sizes[0], 1)
    let rows = Double(parameter.type.sizes[0])
    func bits(_ quantizer: Quantizer, _ deviation: Double) -> Double {
      quantizer.expectedBits(columns: columns, deviation: deviation)
    }
    func bytes(_ deviation: Double) -> Double {
      let plain = bits(quantizer, deviation) * Double(parameter.type.count)
      guard let fine = quantizer.fine, let finer = quantizer.finer else { return plain / 8 }
      let more = bits(finer, deviation) - bits(quantizer, deviation)
      return (plain + rows * Double(fine.count) * more) / 8
    }
    // Without a floor the step follows the row, and nothing depends on its deviation.
    let spread =
      hasFloor(quantizer) ? deviation(of: parameter) : Interval(1, 1, 1)
    let factor = factor(of: parameter)
    return Interval(
      bytes(spread.low) * factor.low, bytes(spread.expected) * factor.expected,
      bytes(spread.high) * factor.high)
  }

  /// A floor of the usual size, which keeps a row of zeros from dividing by zero, is none.
  private func hasFloor(_ quantizer: Quantizer) -> Bool {
    max(quantizer.floor, quantizer.halfFloor) > 1e-6
  }

  /// What codes take, in parts of those of normal rows.
  private func factor(of parameter: Parameter) -> Interval {
    let isUntouched = isShort && startsEqual(parameter)
    if gathered.contains(parameter.path) {
      let low = isUntouched ? 0 : startsEqual(parameter) ? 0.1 : 0.3
      return Interval(low, steps ?? .max < Self.long ? 0.75 : 0.9, 1.05)
    }
    return Interval(isUntouched ? 0 : 0.8, 0.98, 1.05)
  }

  /// Bytes of numbers, in parts of those before compression. In fp8 small numbers are few different ones.
  func numbers(_ parameter: Parameter, bytes: Int, isFloat8: Bool = false) -> Interval {
    let low = startsEqual(parameter) ? (isShort ? 0 : 0.3) : 0.6
    let factor = Interval(isFloat8 ? min(low, 0.1) : low, startsEqual(parameter) ? 0.7 : 0.8, 1)
    return factor * Double(bytes)
  }

  /// Bytes of the scales of a matrix, of which there are so many before compression.
  func scales(bytes: Int) -> Interval { Interval(0, 0.65, 1) * Double(bytes) }

  /// Bytes of the factors of a correction, so many codes of so many kinds.
  static func corrections(codes: Int, of kinds: Int) -> Interval {
    Interval(0.3, 0.85, 1) * (Double(codes) * log2(Double(kinds)) / 8)
  }

  private func startsEqual(_ parameter: Parameter) -> Bool {
    switch parameter.initial {
    case .zeros, .ones, .constant, .rows: true
    case .normal, .uniform, .orthogonal, .overtone: false
    }
  }

  // MARK: Spread

  /// The standard deviation of a row of a param after training.
  ///
  /// It starts where the init says, and updates take it away from there as a walk takes a random walker: by
  /// the root of the number of steps, of which decay forgets the early ones.
  func deviation(of parameter: Parameter) -> Interval {
    let start = initialDeviation(of: parameter)
    guard let train, let index = entries[parameter.path] else {
      return Interval(start, start, start)
    }
    let rule = train.optimizers[index].rule
    let update = rule.lr * updateSize(of: parameter, rule)
    let decay = rule.lr * (rule.attributes[.decay].flatMap(\.number) ?? 0)
    func walked(_ steps: Int, _ pace: Double) -> Double {
      let counted = decay > 0 ? min(Double(steps), 1 / (2 * decay)) : Double(steps)
      let kept = exp(-decay * Double(steps))
      return hypot(start * kept, pace * update * counted.squareRoot())
    }
    // Who does not know the steps expects some, and allows for none and for many.
    let (few, usual, many) = (steps ?? 0, steps ?? 1000, steps ?? 100_000)
    return Interval(
      min(walked(few, 0.3), walked(many, 0.3)), walked(usual, 1.2), max(start, walked(many, 5)))
  }

  /// The root mean square of an update at a learning rate of 1.
  private func updateSize(of parameter: Parameter, _ rule: OptimizerRule) -> Double {
    guard rule.op == .muonUpdate, parameter.type.rank == 2 else { return 1 }
    let (rows, columns) = (Double(parameter.type.sizes[0]), Double(parameter.type.sizes[1]))
    return max(1, rows / columns).squareRoot() / max(rows, columns).squareRoot()
  }

  private func initialDeviation(of parameter: Parameter) -> Double {
    let sizes = parameter.type.sizes
    switch parameter.initial {
    case .zeros, .ones, .constant, .rows: return 0
    case .normal(let deviation), .overtone(let deviation): return deviation
    case .uniform: return 1 / (3 * Double(sizes.last ?? 1)).squareRoot()
    case .orthogonal(let gain): return abs(gain) / Double(sizes.max() ?? 1).squareRoot()
    }
  }
}

extension AttributeValue {
  fileprivate var number: Double? { if case .double(let value) = self { value } else { nil } }
}

// Note [priors of weights]
//
// The factors are what artifacts of trained models took, in parts of what normal rows would: graphs/tiny.graph
// (vocab 512) after 1, 5, 25, 100 and 400 steps, and the small presets of the records #lowerlr, #162, #549, #1204,
// #1493 and #1945 after 3 and 100.
//
//   codes of matrices, no floor     0.94 to 1.00 from the first step on: rows of any shape have about the
//                                   entropy of normal ones when the step follows their deviation
//   codes of embedding tables       0.69 to 0.98: rows of rare tokens resemble each other
//   scales                          0.6
//   f16, f32                        0.65 to 0.85; what starts equal begins at 0.06 and is at 0.65 after 100 steps
//   codes with a floor              depend on the weights' size. Updates of rms u leave sqrt(steps) * u * 0.7 to 2
//                                   behind, whichever direction they have at first
//
// The low ends are far below all of these, because a budget is refused by them: a run that would have fitted must
// never be. The high ends only warn.
