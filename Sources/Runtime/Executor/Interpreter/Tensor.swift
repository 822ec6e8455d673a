// SPDX-License-Identifier: Apache-2.0
// Values of the reference interpreter, and the ops that only move, stretch or map elements.

import IR

extension Interpreter {
  /// Content with its sizes, row-major.
  struct Tensor {
    var sizes: [Int]
    var content: Content

    init(sizes: [Int], content: Content) {
      (self.sizes, self.content) = (sizes, content)
    }
    init(_ sizes: [Int], _ reals: [Double]) {
      self.init(sizes: sizes, content: .reals(reals))
    }
    static func scalar(_ value: Double) -> Tensor { Tensor([], [value]) }

    var count: Int { sizes.reduce(1, *) }
    /// Extent of the last axis; 1 for a scalar.
    var width: Int { sizes.last ?? 1 }
    /// Product of all extents but the last.
    var rows: Int { sizes.dropLast().reduce(1, *) }

    var reals: [Double] {
      get throws {
        guard case .reals(let reals) = content else {
          throw InterpreterError("an operand holds identifiers, not real numbers")
        }
        return reals
      }
    }

    /// The only number.
    var scalar: Double {
      get throws {
        let reals = try self.reals
        guard reals.count == 1 else {
          throw InterpreterError("an operand is not a scalar: \(sizes)")
        }
        return reals[0]
      }
    }

    /// The identifiers as indices, each in `0 ..< bound`.
    func ids(below bound: Int) throws -> [Int] {
      guard case .ids(let ids) = content else {
        throw InterpreterError("an operand holds real numbers, not identifiers")
      }
      return try ids.map { id in
        guard id >= 0, id < bound else {
          throw InterpreterError("identifier \(id) is not in 0 ..< \(bound)")
        }
        return Int(id)
      }
    }

    /// Throws unless there are as many elements as the sizes say.
    func checkCount(_ what: String) throws {
      let found: Int
      switch content {
      case .reals(let reals): found = reals.count
      case .ids(let ids): found = ids.count
      }
      if found != count {
        throw InterpreterError("\(what) must have \(count) elements \(sizes), found \(found)")
      }
    }

    /// Throws unless the tensor has these sizes.
    func check(_ wanted: [Int], _ what: String) throws {
      if sizes != wanted {
        throw InterpreterError("\(what) must have the sizes \(wanted), found \(sizes)")
      }
    }
  }
}

/// What the ops compute, on whole tensors. One function an op, or one for a few alike.
enum Reference {
  typealias Tensor = Interpreter.Tensor

  // MARK: Elementwise

  /// y = f(x), element by element.
  static func map(_ x: Tensor, _ f: (Double) -> Double) throws -> Tensor {
    Tensor(x.sizes, try x.reals.map(f))
  }

  /// y = f(a, b), element by element, both stretched to `sizes`.
  static func combine(
    _ a: Tensor, _ b: Tensor, to sizes: [Int], _ f: (Double, Double) -> Double
  ) throws -> Tensor {
    let (left, right) = (try a.reals, try b.reals)
    if a.sizes == sizes, b.sizes == sizes {
      return Tensor(sizes, zip(left, right).map(f))
    }
    let fromLeft = try sources(of: a.sizes, stretchedTo: sizes)
    let fromRight = try sources(of: b.sizes, stretchedTo: sizes)
    return Tensor(sizes, zip(fromLeft, fromRight).map { f(left[$0], right[$1]) })
  }

  /// For each element of the stretched tensor the index of the element it shows.
  ///
  /// Axes are aligned at the right; axes that are missing or of extent 1 repeat their element.
  static func sources(of sizes: [Int], stretchedTo wanted: [Int]) throws -> [Int] {
    let missing = wanted.count - sizes.count
    let fits =
      missing >= 0 && zip(sizes, wanted.dropFirst(missing)).allSatisfy { $0 == $1 || $0 == 1 }
    guard fits else { throw InterpreterError("\(sizes) does not stretch to \(wanted)") }
    var strides = [Int](repeating: 0, count: wanted.count)
    var stride = 1
    for axis in sizes.indices.reversed() {
      if sizes[axis] != 1 { strides[missing + axis] = stride }
      stride *= sizes[axis]
    }
    var sources = [0]
    for (extent, stride) in zip(wanted, strides) {
      var longer: [Int] = []
      longer.reserveCapacity(sources.count * extent)
      for source in sources { for index in 0..<extent { longer.append(source + index * stride) } }
      sources = longer
    }
    return sources
  }

  /// Sums x over the axes along which `sizes` was stretched to it.
  static func sumTo(_ x: Tensor, _ sizes: [Int]) throws -> Tensor {
    var y = [Double](repeating: 0, count: sizes.reduce(1, *))
    for (value, target) in zip(try x.reals, try sources(of: sizes, stretchedTo: x.sizes)) {
      y[target] += value
    }
    return Tensor(sizes, y)
  }

  /// y = Σ a b.
  static func dot(_ a: Tensor, _ b: Tensor) throws -> Tensor {
    .scalar(zip(try a.reals, try b.reals).reduce(0) { $0 + $1.0 * $1.1 })
  }

  // MARK: Layout

  /// y = x[start ..< start + count] along `axis`, as a tensor of `sizes`.
  static func slice(
    _ x: Tensor, axis: Int, start: Int, count: Int, to sizes: [Int]
  ) throws -> Tensor {
    let range = try AxisRange(x.sizes, axis: axis, start: start, count: count)
    switch x.content {
    case .reals(let reals): return Tensor(sizes, range.indices.map { reals[$0] })
    case .ids(let ids): return Tensor(sizes: sizes, content: .ids(range.indices.map { ids[$0] }))
    }
  }

  /// y of `sizes`: x at `start` along `axis`, zero elsewhere.
  static func unslice(_ x: Tensor, axis: Int, start: Int, to sizes: [Int]) throws -> Tensor {
    // x may lack the axis (squeezed, one element), so its extent follows from the counts.
    let row = sizes.enumerated().reduce(1) { $1.offset == axis ? $0 : $0 * $1.element }
    let range = try AxisRange(sizes, axis: axis, start: start, count: row == 0 ? 0 : x.count / row)
    guard range.indices.count == x.count else {
      throw InterpreterError("\(x.sizes) is no slice of \(sizes) along axis \(axis)")
    }
    var y = [Double](repeating: 0, count: sizes.reduce(1, *))
    for (value, target) in zip(try x.reals, range.indices) { y[target] = value }
    return Tensor(sizes, y)
  }

  /// The elements of a tensor whose place along one axis is in a range, in row-major order.
  private struct AxisRange {
    var indices: [Int] = []

    init(_ sizes: [Int], axis: Int, start: Int, count: Int) throws {
      guard sizes.indices.contains(axis), start >= 0, count >= 0, start + count <= sizes[axis]
      else {
        throw InterpreterError("[\(start) : \(start + count)] leaves axis \(axis) of \(sizes)")
      }
      let outer = sizes[..<axis].reduce(1, *)
      let inner = sizes[(axis + 1)...].reduce(1, *)
      for block in 0..<outer {
        let first = (block * sizes[axis] + start) * inner
        indices += first..<(first + count * inner)
      }
    }
  }
}
