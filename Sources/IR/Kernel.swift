// SPDX-License-Identifier: Apache-2.0
// Calls of kernels as plans hold them. Facts about a kernel stand with its arguments, beside
// the ops that call it (Ops), those of row programs in RowKernels.swift.

/// What a call does with one of its buffers.
public struct Access: Hashable, Sendable {
  public enum Mode: Hashable, Sendable { case read, write, update }
  public var mode: Mode
  /// From the start of the buffer on, all of which the call may touch.
  public var bytes: Int
  /// Whether the rows of the buffer lie in the order of the call's rows, so that a tile touches its own
  /// rows only. Others are read whole, or written tile by tile.
  public var isRowwise: Bool
  /// Bytes that a profile counts once, where a call does not need all that it may touch.
  public var neededBytes: Int

  public init(
    _ mode: Mode, _ elements: Int, isBF16: Bool = false, isRowwise: Bool = false, needed: Int? = nil
  ) {
    let width = isBF16 ? 2 : 4
    self.mode = mode
    bytes = elements * width
    neededBytes = (needed ?? elements) * width
    self.isRowwise = isRowwise
  }

  public var writes: Bool { mode != .read }
}

/// The arguments of one kernel by name, and what follows from them. Plan text shows every member that
/// is not zero or false, by its name.
public protocol KernelArguments: Hashable, Sendable {
  /// The name of the C function without its prefix.
  static var name: String { get }
  /// The buffers in the order of the kernel's contract, those that it writes first.
  var accesses: [Access] { get }
  /// Additions and multiplications; one for a division, a root or an exponential.
  var flops: Double { get }
  /// Of the products, which decides how fast the machine is at most.
  var precision: ComputePrecision { get }
  /// The rows that are cut into tiles where the call runs in a chain; nil: it cannot run in one.
  var chainRows: Int? { get }
  /// Whether no call moves up past this one: what the backward pass can compute early would stay in
  /// memory all the while.
  var endsPhase: Bool { get }
}

extension KernelArguments {
  public var precision: ComputePrecision { .f32 }
  public var chainRows: Int? { nil }
  public var endsPhase: Bool { false }

  fileprivate func equals(_ other: any KernelArguments) -> Bool { other as? Self == self }
}

/// A kernel of the runtime with its arguments.
public struct Kernel: Hashable, Sendable {
  public var arguments: any KernelArguments

  public init(_ arguments: any KernelArguments) { self.arguments = arguments }

  public static func == (a: Self, b: Self) -> Bool { a.arguments.equals(b.arguments) }
  public func hash(into hasher: inout Hasher) { arguments.hash(into: &hasher) }

  public var name: String { type(of: arguments).name }

  /// The arguments by name; of arguments that are structs their members.
  public var namedArguments: [(name: String, value: Any)] { members(of: arguments) }

  private func members(of value: Any) -> [(name: String, value: Any)] {
    Mirror(reflecting: value).children.flatMap { label, value in
      switch value {
      case is Int, is Double, is Bool, is Rounding, is Quantizer, is RowProgram:
        [(name: label!, value: value)]
      default: members(of: value)
      }
    }
  }

  /// The row program, of `rows` only.
  public var program: RowProgram? {
    (arguments as? Rows)?.program
  }
}
