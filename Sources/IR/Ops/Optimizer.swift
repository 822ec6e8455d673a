// SPDX-License-Identifier: Apache-2.0
// Updates of weights: how a file asks for them, their ops, their kernels. `factor` scales the gradient
// (global clipping), `lr` already holds the schedule.

/// An update as a file asks for it: `sgd(lr: 0.1, momentum: 0.9)`. What a file's options say becomes
/// the attributes of the op and its operands (`OptimizerRule`).
public struct Optimizer: Sendable {
  public let name: String
  public let op: Op
  public let options: [Option]

  public struct Option: Sendable {
    public let name: String
    public let meaning: Meaning
    /// As it would be written; nil: must be given.
    public let defaultText: String?

    init(_ name: String, _ meaning: Meaning, default text: String? = nil) {
      (self.name, self.meaning, defaultText) = (name, meaning, text)
    }
  }

  /// What an option says of the update.
  public enum Meaning: Sendable {
    case learningRate
    case number(AttributeName, NumberRange)
    case pair(AttributeName, AttributeName, NumberRange)
    case word(AttributeName, [String])
    case flag(AttributeName)
    /// The operand of that name, in each step: a number, or a ramp to one.
    case ramp(operand: String)
  }

  private static let lr = Option("lr", .learningRate)
  private static let betas = Option(
    "betas", .pair(.beta1, .beta2, .fraction), default: "[0.9, 0.95]")
  private static let eps = Option("eps", .number(.epsilon, .positive), default: "1e-8")
  private static let decay = Option("decay", .number(.decay, .nonnegative), default: "0")

  public static let adam = Self(name: "adam", op: .adamwUpdate, options: [lr, betas, eps])
  /// With decoupled weight decay; decay 0 is Adam.
  public static let adamw = Self(
    name: "adamw", op: .adamwUpdate, options: [lr, betas, eps, decay])
  /// Momentum and orthogonalisation of matrices.
  public static let muon = Self(
    name: "muon", op: .muonUpdate,
    options: [
      lr, Option("momentum", .ramp(operand: "momentum"), default: "0.95"),
      Option(
        "newton_schulz", .number(.steps, .wholeUpTo(NewtonSchulz.mostSteps)), default: "5"),
      Option("iteration", .word(.iteration, NewtonSchulz.iterations), default: "standard"),
      Option("row_normalise", .flag(.rowNormalise), default: "false"), decay,
      Option("taper", .ramp(operand: "taper"), default: "1"),
    ])
  /// Gradient descent with momentum.
  public static let sgd = Self(
    name: "sgd", op: .sgdUpdate,
    options: [
      lr, Option("momentum", .number(.momentum, .fraction), default: "0"),
      Option("nesterov", .flag(.nesterov), default: "false"), decay,
    ])

  public static let all = [adam, adamw, muon, sgd]

  /// Attributes of the op: those that the options set.
  fileprivate var attributes: [AttributeName: AttributeKind] {
    var kinds: [AttributeName: AttributeKind] = [:]
    for option in options {
      let number = option.defaultText.flatMap(Double.init)
      switch option.meaning {
      case .learningRate, .ramp: continue
      case .number(let name, let range):
        kinds[name] =
          range.isWhole ? .int(default: number.map { Int($0) }) : .double(default: number)
      case .pair(let first, let second, _): (kinds[first], kinds[second]) = (.double(), .double())
      case .word(let name, let words): kinds[name] = .word(words, default: option.defaultText)
      case .flag(let name): kinds[name] = .bool(default: option.defaultText.map { $0 == "true" })
      }
    }
    return kinds
  }
}

extension AttributeName {
  public static let (beta1, beta2, decay) = (Self("beta1"), Self("beta2"), Self("decay"))
  public static let (epsilon, iteration) = (Self("epsilon"), Self("iteration"))
  public static let (momentum, nesterov) = (Self("momentum"), Self("nesterov"))
  public static let rowNormalise = Self("row_normalise")
  public static let steps = Self("steps")
}

// MARK: Ops

private func updateShape(_ states: Int) -> @Sendable (OpDefinition.Operands) throws -> [TensorType]
{
  { operands in
    try operands.needReal(0, rank: operands.op == .muonUpdate ? 2 : nil)
    for index in 1..<(2 + states) where operands[index] != operands[0] {
      throw operands.fail("shapes differ: \(operands[0]) and \(operands[index])")
    }
    for index in (2 + states)..<operands.types.count { try operands.needReal(index, rank: 0) }
    return [TensorType](repeating: operands[0], count: 1 + states)
  }
}

private let updates = OpDefinition.Gradient.none(because: "an update is not differentiated")

extension OpDefinition {
  static let clipFactor = OpDefinition(
    summary: "norm = sqrt(Σ g²) over all gradients, factor = min(1, limit / (norm + 1e-6)); "
      + "limit 0: factor 1.",
    operands: ["g…"], results: ["factor", "norm"], attributes: [.limit: .double(default: 0)],
    shape: { operands in
      for index in operands.types.indices { try operands.needReal(index) }
      return [.scalar, .scalar]
    },
    gradient: updates, reads: .everything, lowering: .kernel(clip), isSurface: false)

  static let adamwUpdate = OpDefinition(
    summary: "m, v: moments with bias correction (step from 1); "
      + "w = (1 - lr decay) w - lr mhat / (sqrt(vhat) + epsilon).",
    operands: ["w", "g", "m", "v", "lr", "factor", "step"], results: ["w", "m", "v"],
    attributes: Optimizer.adamw.attributes,
    shape: updateShape(2), gradient: updates, reads: .elementwise, lowering: .update(adamw),
    isSurface: false)

  static let sgdUpdate = OpDefinition(
    summary:
      "m = momentum m + g; w = (1 - lr decay) w - lr u, u = m, or with nesterov g + momentum m.",
    operands: ["w", "g", "m", "lr", "factor"], results: ["w", "m"],
    attributes: Optimizer.sgd.attributes,
    shape: updateShape(1), gradient: updates, reads: .elementwise, lowering: .update(sgd),
    isSurface: false)

  static let muonUpdate = OpDefinition(
    summary: "m = μ m + g; u = g + μ m, its rows normalised if asked; X = u / (|u| + 1e-7), "
      + "orthogonalised by Newton-Schulz steps X = aX + (bA + cA²)X, A = X Xᵀ; "
      + "w = (1 - lr decay taper) w - lr sqrt(max(1, rows/cols)) X.",
    operands: ["w", "g", "m", "lr", "factor", "momentum", "taper"], results: ["w", "m"],
    attributes: Optimizer.muon.attributes.merging(computeAttribute) { $1 },
    shape: { operands in
      guard (1...NewtonSchulz.mostSteps).contains(operands.int(.steps)) else {
        throw operands.fail(
          "steps are from 1 to \(NewtonSchulz.mostSteps), found \(operands.int(.steps))")
      }
      return try updateShape(1)(operands)
    }, gradient: updates, reads: .everything, lowering: .update(muon), isSurface: false)

  static let fused = OpDefinition(
    summary: "Row-local nodes computed together, a block of rows at a time.",
    operands: ["x…"], results: ["y"],
    shape: { operands in throw operands.fail("takes its types from its body") },
    gradient: .none(because: "fusion follows differentiation"),
    reads: .everything, lowering: .body, slices: .never, isSurface: false)
}

/// Coefficients (a, b, c) of the Newton-Schulz iterations.
///
/// `standard` repeats the quintic of Keller Jordan's Muon; `polarExpress` is the schedule of
/// Amsel et al., "The Polar Express" (2025), for five steps.
public enum NewtonSchulz {
  /// How many steps an update may take. Five or six are usual; later ones change nothing.
  public static let mostSteps = 100
  public static let iterations = ["standard", "polar_express"]
  public static let standard: [Double] = [3.4445, -4.7750, 2.0315]
  public static let polarExpress: [[Double]] = [
    [8.156554524902461, -22.48329292557795, 15.878769915207462],
    [4.042929935166739, -2.808917465908714, 0.5000178451051316],
    [3.8916678022926607, -2.772484153217685, 0.5060648178503393],
    [3.285753657755655, -2.3681294933425376, 0.46449024233003106],
    [2.3465413258596377, -1.7097828382687081, 0.42323551169305323],
  ]

  /// Three coefficients a step. Polar Express repeats its last step beyond five.
  public static func coefficients(_ iteration: String, steps: Int) -> [[Double]] {
    (0..<steps).map { step in
      iteration == "polar_express" ? polarExpress[min(step, polarExpress.count - 1)] : standard
    }
  }
}

// MARK: Lowering

/// A part of the squared norm a gradient, then the factor of all.
@Sendable private func clip(_ context: any LoweringContext, _ node: Node) {
  let parts = context.scratch(elements: node.operands.count)
  for (index, gradient) in node.operands.enumerated() {
    var part = parts
    part.offset += index * 4
    let slot = context.slot(gradient)
    context.emit(
      Kernel.Dot(n: context.graph.type(gradient).count), [part, slot, slot], source: gradient)
  }
  context.emit(
    Kernel.ClipFactor(n: node.operands.count, limit: node.double(.limit)),
    context.results(node) + [parts], source: node.result)
}

@Sendable private func adamw(_ node: Node, _ sizes: [Int]) -> (
  kernel: any KernelArguments, constants: [Double]
) {
  let update = Kernel.AdamW(
    n: sizes.reduce(1, *), beta1: node.double(.beta1), beta2: node.double(.beta2),
    epsilon: node.double(.epsilon), decay: node.double(.decay))
  return (update, [])
}

@Sendable private func sgd(_ node: Node, _ sizes: [Int]) -> (
  kernel: any KernelArguments, constants: [Double]
) {
  let update = Kernel.SGD(
    n: sizes.reduce(1, *), isNesterov: node.bool(.nesterov), momentum: node.double(.momentum),
    decay: node.double(.decay))
  return (update, [])
}

@Sendable private func muon(_ node: Node, _ sizes: [Int]) -> (
  kernel: any KernelArguments, constants: [Double]
) {
  let steps = node.int(.steps)
  let update = Kernel.Muon(
    rows: sizes[0], columns: sizes[1], steps: steps, normalisesRows: node.bool(.rowNormalise),
    isBF16: node.computesInBF16, decay: node.double(.decay))
  return (
    update, NewtonSchulz.coefficients(node.word(.iteration), steps: steps).flatMap { $0 }
  )
}

// MARK: Kernels

/// A single number in a buffer of its own.
private let number = Access(.read, 1)

extension Kernel {
  /// y = Σ a b of n elements.
  public struct Dot: KernelArguments {
    public static let name = "dot"
    public var n: Int

    public var accesses: [Access] { [.init(.write, 1), .init(.read, n), .init(.read, n)] }
    public var flops: Double { 2 * Double(n) }
  }

  /// factor, norm of n sums of squares.
  public struct ClipFactor: KernelArguments {
    public static let name = "clip_factor"
    public var n: Int
    public var limit: Double

    public var accesses: [Access] { [.init(.write, 1), .init(.write, 1), .init(.read, n)] }
    public var flops: Double { Double(n) }
  }

  /// w, m, v by g, the learning rate, the clip factor and the step.
  public struct AdamW: KernelArguments {
    public static let name = "adamw"
    public var n: Int
    public var beta1: Double
    public var beta2: Double
    public var epsilon: Double
    public var decay: Double

    public var accesses: [Access] {
      let state = Access(.update, n)
      return [state, state, state, .init(.read, n), number, number, number]
    }
    public var flops: Double { 16 * Double(n) }
  }

  /// w, m by g, the learning rate and the clip factor.
  public struct SGD: KernelArguments {
    public static let name = "sgd"
    public var n: Int
    public var isNesterov: Bool
    public var momentum: Double
    public var decay: Double

    public var accesses: [Access] {
      [.init(.update, n), .init(.update, n), .init(.read, n), number, number]
    }
    public var flops: Double { 6 * Double(n) }
  }

  /// w, m [rows, columns] by g, the learning rate, the clip factor, the momentum, the taper of the decay
  /// and three coefficients a step.
  public struct Muon: KernelArguments {
    public static let name = "muon"
    public var rows: Int
    public var columns: Int
    public var steps: Int
    public var normalisesRows: Bool
    public var isBF16: Bool
    public var decay: Double

    public var accesses: [Access] {
      let state = Access(.update, rows * columns)
      return [
        state, state, .init(.read, rows * columns), number, number, number, number,
        .init(.read, 3 * steps),
      ]
    }
    /// Half of a symmetric product is enough. A step: A = x xᵀ, its square, their product with x. In
    /// bf16 two steps of a wide matrix meet it together; then five products are symmetric.
    public var flops: Double {
      let (m, n) = (Double(min(rows, columns)), Double(max(rows, columns)))
      let step = 3 * m * m * n + m * m * m
      let two = isBF16 ? min(2 * step, 3 * m * m * n + 5 * m * m * m) : 2 * step
      return Double(steps / 2) * two + Double(steps % 2) * step
    }
    public var precision: ComputePrecision { isBF16 ? .bf16 : .f32 }
  }
}
