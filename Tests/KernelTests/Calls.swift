// SPDX-License-Identifier: Apache-2.0
// One constructor a kernel: buffers in the order of its contract, arguments by name, the usual ones
// left out.
import CKernels

/// Leaves the decay of Muon as it is; lives as long as the process.
nonisolated(unsafe) private let noTaper: UnsafePointer<Float> = {
  let one = UnsafeMutablePointer<Float>.allocate(capacity: 1)
  one.pointee = 1
  return UnsafePointer(one)
}()

typealias Buffers = [UnsafeMutableRawPointer?]

extension kernel_call {
  init(_ kernel: kernel_id, _ buffers: Buffers) {
    self.init()
    self.kernel = Int32(kernel.rawValue)
    withUnsafeMutableBytes(of: &buffer) {
      let slots = $0.bindMemory(to: UnsafeMutableRawPointer?.self)
      for (i, buffer) in buffers.enumerated() { slots[i] = buffer }
    }
  }

  private init(_ kernel: kernel_id, _ buffers: Buffers, _ set: (inout kernel_call) -> Void) {
    self.init(kernel, buffers)
    set(&self)
  }

  /// The same call after everything before it.
  var afterAll: kernel_call {
    var call = self
    call.barrier = 1
    return call
  }

  static func embed(_ b: Buffers, rows: Int, width: Int, vocab: Int) -> Self {
    .init(KERNEL_EMBED, b) {
      $0.embed = .init(rows: Int64(rows), width: Int64(width), vocab: Int64(vocab), tile_rows: 0)
    }
  }

  static func embedBackward(_ b: Buffers, rows: Int, width: Int, vocab: Int) -> Self {
    .init(KERNEL_EMBED_BACKWARD, b) {
      $0.embed_backward = .init(rows: Int64(rows), width: Int64(width), vocab: Int64(vocab))
    }
  }

  static func pack(_ b: Buffers, n: Int, k: Int, transposed: Bool = false, bf16: Bool = false)
    -> Self
  {
    .init(KERNEL_PACK, b) {
      $0.pack = .init(
        n: Int64(n), k: Int64(k), transposed: transposed ? 1 : 0, bf16: bf16 ? 1 : 0)
    }
  }

  static func matmul(
    _ b: Buffers, m: Int, n: Int, k: Int, tileRows: Int = 0, bf16: Bool = false,
    xIsBF16: Bool = false, yIsBF16: Bool = false
  ) -> Self {
    .init(KERNEL_MATMUL, b) {
      $0.matmul = .init(
        m: Int64(m), n: Int64(n), k: Int64(k), tile_rows: Int64(tileRows), bf16: bf16 ? 1 : 0,
        x_bf16: xIsBF16 ? 1 : 0, y_bf16: yIsBF16 ? 1 : 0)
    }
  }

  static func packTokens(
    _ b: Buffers, m: Int, n: Int, tileRows: Int = 0, bf16: Bool = false, xIsBF16: Bool = false
  ) -> Self {
    .init(KERNEL_PACK_TOKENS, b) {
      $0.pack_tokens = .init(
        m: Int64(m), n: Int64(n), tile_rows: Int64(tileRows), bf16: bf16 ? 1 : 0,
        x_bf16: xIsBF16 ? 1 : 0)
    }
  }

  static func matmulWeight(_ b: Buffers, m: Int, n: Int, k: Int, bf16: Bool = false) -> Self {
    .init(KERNEL_MATMUL_WEIGHT, b) {
      $0.matmul_weight = .init(m: Int64(m), n: Int64(n), k: Int64(k), bf16: bf16 ? 1 : 0)
    }
  }

  static func rows(
    _ b: Buffers, rows: Int, width: Int, tileRows: Int, program: UnsafePointer<row_program>
  ) -> Self {
    .init(KERNEL_ROWS, b) {
      $0.rows = .init(
        rows: Int64(rows), width: Int64(width), tile_rows: Int64(tileRows), program: program)
    }
  }

  static func sumPartials(_ b: Buffers, n: Int, parts: Int) -> Self {
    .init(KERNEL_SUM_PARTIALS, b) { $0.sum_partials = .init(n: Int64(n), parts: Int64(parts)) }
  }

  static func ropeTable(
    _ b: Buffers, positions: Int, dims: Int, base: Double, train: Double, rampFrom: Double,
    rampFactor: Double
  ) -> Self {
    .init(KERNEL_ROPE_TABLE, b) {
      $0.rope_table = .init(
        positions: Int64(positions), dims: Int64(dims), base: base, train_length: train,
        ramp_from: rampFrom, ramp_factor: rampFactor)
    }
  }

  static func attention(_ b: Buffers, _ arguments: attention_args) -> Self {
    .init(KERNEL_ATTENTION, b) { $0.attention = arguments }
  }

  static func attentionBackward(_ b: Buffers, _ arguments: attention_args) -> Self {
    .init(KERNEL_ATTENTION_BACKWARD, b) { $0.attention = arguments }
  }

  static func crossEntropy(_ b: Buffers, rows: Int, vocab: Int, cap: Double) -> Self {
    .init(KERNEL_CROSS_ENTROPY, b) {
      $0.cross_entropy = .init(rows: Int64(rows), vocab: Int64(vocab), tile_rows: 0, cap: cap)
    }
  }

  static func crossEntropyBackward(
    _ b: Buffers, rows: Int, vocab: Int, cap: Double, tileRows: Int = 0, dzIsBF16: Bool = false,
    hasDlse: Bool = false
  ) -> Self {
    .init(KERNEL_CROSS_ENTROPY_BACKWARD, b) {
      $0.cross_entropy_backward = .init(
        rows: Int64(rows), vocab: Int64(vocab), tile_rows: Int64(tileRows), cap: cap,
        dz_bf16: dzIsBF16 ? 1 : 0, has_dlse: hasDlse ? 1 : 0)
    }
  }

  static func dot(_ b: Buffers, n: Int) -> Self {
    .init(KERNEL_DOT, b) { $0.dot = .init(n: Int64(n)) }
  }

  static func clipFactor(_ b: Buffers, n: Int, limit: Double) -> Self {
    .init(KERNEL_CLIP_FACTOR, b) { $0.clip_factor = .init(n: Int64(n), limit: limit) }
  }

  static func adamw(
    _ b: Buffers, n: Int, beta1: Double, beta2: Double, epsilon: Double, decay: Double
  ) -> Self {
    .init(KERNEL_ADAMW, b) {
      $0.adamw = .init(n: Int64(n), beta1: beta1, beta2: beta2, epsilon: epsilon, decay: decay)
    }
  }

  static func sgd(_ b: Buffers, n: Int, momentum: Double, decay: Double) -> Self {
    .init(KERNEL_SGD, b) {
      $0.sgd = .init(n: Int64(n), nesterov: 0, momentum: momentum, decay: decay)
    }
  }

  /// The buffers without the taper of the decay, which is 1.
  static func muon(
    _ b: Buffers, rows: Int, cols: Int, steps: Int, normalise: Bool = false, bf16: Bool = false,
    decay: Double
  ) -> Self {
    .init(KERNEL_MUON, b[..<6] + [UnsafeMutableRawPointer(mutating: noTaper)] + b[6...]) {
      $0.muon = .init(
        rows: Int64(rows), columns: Int64(cols), steps: Int64(steps),
        normalises_rows: normalise ? 1 : 0, bf16: bf16 ? 1 : 0, decay: decay)
    }
  }

  static func quantScale(_ b: Buffers, _ arguments: quant_scale_args) -> Self {
    .init(KERNEL_QUANT_SCALE, b) { $0.quant_scale = arguments }
  }

  static func fakeQuant(_ b: Buffers, _ arguments: fake_quant_args) -> Self {
    .init(KERNEL_FAKE_QUANT, b) { $0.fake_quant = arguments }
  }

  static func fakeQuantBackward(_ b: Buffers, _ arguments: fake_quant_args) -> Self {
    .init(KERNEL_FAKE_QUANT_BACKWARD, b) { $0.fake_quant = arguments }
  }

  static func slice(_ b: Buffers, _ arguments: slice_args) -> Self {
    .init(KERNEL_SLICE, b) { $0.slice = arguments }
  }

  static func unslice(_ b: Buffers, _ arguments: slice_args) -> Self {
    .init(KERNEL_UNSLICE, b) { $0.slice = arguments }
  }
}
