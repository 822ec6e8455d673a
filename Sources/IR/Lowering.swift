// SPDX-License-Identifier: Apache-2.0
// How an op becomes kernel calls: a part of its definition. Passes/Lower.swift carries it out.

/// A buffer before it has an offset in the arena.
public struct Slot: Hashable, Sendable {
  public enum Home: Hashable, Sendable {
    case fixed(BufferReference.Space)
    case virtual(Int)
  }
  public var home: Home
  /// In bytes, from the start of the home.
  public var offset: Int

  public init(home: Home, offset: Int) {
    (self.home, self.offset) = (home, offset)
  }
}

/// What a definition sees of the function that is being lowered.
public protocol LoweringContext: AnyObject {
  var graph: Graph { get }
  /// Whether a value lies in memory as bf16.
  func isBF16(_ value: Value) -> Bool
  /// Where a value lies that was made before.
  func slot(_ value: Value) -> Slot
  /// Where the result of the node will lie.
  func result(_ value: Value) -> Slot
  /// Memory for the calls of the node alone.
  func scratch(elements: Int) -> Slot
  /// Numbers that are written once.
  func constants(_ numbers: [Double]) -> Slot
  /// What a kernel makes of a value, or of nothing: emitted once for all nodes that ask for it, as early
  /// as it can run.
  func derived(_ kernel: any KernelArguments, from value: Value?, source: Value) -> Slot
  /// Adds a call; buffers stand in the order of the kernel's contract. A call of a kernel that can be cut
  /// into rows runs in chains if `value`, over whose rows it goes, has tokens; nil: it goes over others.
  func emit(_ kernel: any KernelArguments, _ buffers: [Slot], source: Value, rowsOf value: Value?)
}

extension OpDefinition {
  public typealias KernelRule = @Sendable (any LoweringContext, Node) throws -> Void

  public enum Lowering: Sendable {
    /// The result is part of its operand's memory: from this element on, nil where its elements do not
    /// lie together; then a kernel makes it.
    case view(@Sendable (Node, [Int]) -> Int? = { _, _ in 0 }, otherwise: KernelRule? = nil)
    /// An instruction of a row program.
    case row(RowLowering)
    /// A sum over the rows of a row program.
    case rowSum(RowSum)
    /// Kernel calls of its own.
    case kernel(KernelRule)
    /// Parameter and states are written in place: the operands but the second, which is the gradient, as
    /// many as there are results. The others follow in the order of the kernel's contract, then constants.
    case update(@Sendable (Node, [Int]) -> (kernel: any KernelArguments, constants: [Double]))
    /// The nodes of its body, as one row program.
    case body
    case none(because: String)
  }

  /// One instruction: registers of the operands, an immediate number, a table.
  public struct RowLowering: Sendable {
    public var operation: RowProgram.Operation
    public var immediate: AttributeName?
    /// The operand that holds one number a head.
    public var gain: Int?
    /// Whether it turns by a table of rotary positions, its last operand.
    public var readsRopeTable = false
  }

  public enum RowSum: Sendable {
    /// To a vector along the width, or to a single number.
    case columns
    /// Of a product of two values, one number a head.
    case headProducts
    /// Of a product of two values, one number a row.
    case rowProducts
  }

  /// Whether results may lie in memory as bf16.
  public enum Storage: Sendable {
    case f32
    /// As its operand does.
    case asOperand
    /// Rows in either, vectors and single numbers in f32.
    case rows
    /// As the products read and make it: operands that are rounded anyway, and results.
    case product(operands: [Int], isResult: Bool)
    /// Operands and results that one call takes in one storage.
    case together(operands: [Int], results: [Int])
    /// Operands f32, the result as it is read.
    case asRead
    /// Each in either.
    case either
  }

  /// When a value is computed again rather than kept.
  public enum Recompute: Sendable {
    case never
    /// In the backward pass, if it is made of one activation.
    case ofOneActivation
    /// The same, and sums of two such values are too.
    case ofOneActivationAndInSums
    /// In the backward pass, if it is the sum of two that say so.
    case sums
    /// As `ofOneActivation`, and a copy for each row-local reader.
    case atReaders
  }

  /// How a slice of a result's positions follows from slices of its operands.
  public enum PositionSlices: Sendable {
    /// As the read rule says.
    case asRead
    /// Its attributes speak of positions.
    case never
    /// As the read rule says, with `start` moved; not if `train` makes it depend on the last position.
    case movingStart
    /// The last positions are those of the last queries.
    case lastQueries
  }
}

extension LoweringContext {
  func slots(_ values: [Value]) -> [Slot] { values.map(slot) }
  func results(_ node: Node) -> [Slot] { node.results.map(result) }
  func sizes(_ value: Value) -> [Int] { graph.type(value).sizes }
  /// The product of all axes but the last.
  func rows(_ value: Value) -> Int { sizes(value).dropLast().reduce(1, *) }

  /// A call that writes the node's results and reads its operands.
  func emit(_ kernel: any KernelArguments, of node: Node, rowsOf value: Value? = nil) {
    emit(
      kernel, results(node) + slots(node.operands), source: node.result,
      rowsOf: value ?? node.result)
  }

  public func emit(_ kernel: any KernelArguments, _ buffers: [Slot], source: Value) {
    emit(kernel, buffers, source: source, rowsOf: source)
  }
}

extension OpDefinition.Lowering {
  public static func row(
    _ operation: RowProgram.Operation, immediate: AttributeName? = nil, gain: Int? = nil,
    readsRopeTable: Bool = false
  ) -> Self {
    .row(
      .init(
        operation: operation, immediate: immediate, gain: gain, readsRopeTable: readsRopeTable))
  }
}

extension OpDefinition.Storage {
  /// What follows from the lowering where a definition says nothing else.
  init(_ lowering: OpDefinition.Lowering) {
    switch lowering {
    case .row, .rowSum, .body: self = .rows
    case .view: self = .asOperand
    case .kernel, .update, .none: self = .f32
    }
  }
}

extension Op {
  /// Whether row programs compute it.
  public var isRowLocal: Bool {
    switch definition.lowering {
    case .row, .rowSum: true
    case .view, .kernel, .update, .body, .none: false
    }
  }

  public var isRowSum: Bool { if case .rowSum = definition.lowering { true } else { false } }

  /// Whether its result may be part of its operand's memory.
  public var mayBeView: Bool { if case .view = definition.lowering { true } else { false } }
}

extension Node {
  /// Whether the products of this node are computed in bf16.
  public var computesInBF16: Bool { word(.compute) == ComputePrecision.bf16.rawValue }
}
