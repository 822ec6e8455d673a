// SPDX-License-Identifier: Apache-2.0
// Names of the plan to kernels and row operations of the C module. Exhaustive, nothing else.

import CKernels
import IR

extension Kernel {
  var id: kernel_id {
    switch self {
    case .embed: return KERNEL_EMBED
    case .embed_backward: return KERNEL_EMBED_BACKWARD
    case .pack: return KERNEL_PACK
    case .matmul: return KERNEL_MATMUL
    case .matmul_weight: return KERNEL_MATMUL_WEIGHT
    case .rows: return KERNEL_ROWS
    case .sum_partials: return KERNEL_SUM_PARTIALS
    case .rope_table: return KERNEL_ROPE_TABLE
    case .rope: return KERNEL_ROPE
    case .attention: return KERNEL_ATTENTION
    case .attention_backward: return KERNEL_ATTENTION_BACKWARD
    case .cross_entropy: return KERNEL_CROSS_ENTROPY
    case .cross_entropy_backward: return KERNEL_CROSS_ENTROPY_BACKWARD
    case .dot: return KERNEL_DOT
    case .clip_factor: return KERNEL_CLIP_FACTOR
    case .adamw: return KERNEL_ADAMW
    case .sgd: return KERNEL_SGD
    case .muon: return KERNEL_MUON
    case .quant_scale: return KERNEL_QUANT_SCALE
    case .fake_quant: return KERNEL_FAKE_QUANT
    case .fake_quant_backward: return KERNEL_FAKE_QUANT_BACKWARD
    case .slice: return KERNEL_SLICE
    case .unslice: return KERNEL_UNSLICE
    }
  }
}

extension RowProgram.Operation {
  var code: row_op {
    switch self {
    case .copy: return ROW_COPY
    case .add: return ROW_ADD
    case .sub: return ROW_SUB
    case .mul: return ROW_MUL
    case .scale: return ROW_SCALE
    case .offset: return ROW_OFFSET
    case .square: return ROW_SQUARE
    case .sigmoid: return ROW_SIGMOID
    case .tanh: return ROW_TANH
    case .leaky_relu: return ROW_LEAKY_RELU
    case .leaky_relu_backward: return ROW_LEAKY_RELU_BACKWARD
    case .softcap: return ROW_SOFTCAP
    case .softcap_backward: return ROW_SOFTCAP_BACKWARD
    case .inverse_rms: return ROW_INVERSE_RMS
    case .dot: return ROW_DOT
    case .sum_columns: return ROW_SUM_COLUMNS
    case .sum_periodic: return ROW_SUM_PERIODIC
    case .sum_all: return ROW_SUM_ALL
    }
  }
}

extension RowProgram.Shape {
  var code: row_shape {
    switch self {
    case .full: return ROW_FULL
    case .vector: return ROW_VECTOR
    case .scalar: return ROW_SCALAR
    case .periodic: return ROW_PERIODIC
    case .constant: return ROW_CONSTANT
    }
  }
}
