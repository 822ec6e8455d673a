// SPDX-License-Identifier: Apache-2.0
// Names of the plan to kernels and row operations of the C module. Exhaustive, nothing else.

import CKernels
import IR

extension Kernel {
  var id: kernel_id {
    switch self {
    case .embed: return KERNEL_EMBED
    case .embedBackward: return KERNEL_EMBED_BACKWARD
    case .pack: return KERNEL_PACK
    case .matmul: return KERNEL_MATMUL
    case .packTokens: return KERNEL_PACK_TOKENS
    case .matmulWeight: return KERNEL_MATMUL_WEIGHT
    case .rows: return KERNEL_ROWS
    case .sumPartials: return KERNEL_SUM_PARTIALS
    case .ropeTable: return KERNEL_ROPE_TABLE
    case .attention: return KERNEL_ATTENTION
    case .attentionBackward: return KERNEL_ATTENTION_BACKWARD
    case .crossEntropy: return KERNEL_CROSS_ENTROPY
    case .crossEntropyBackward: return KERNEL_CROSS_ENTROPY_BACKWARD
    case .dot: return KERNEL_DOT
    case .clipFactor: return KERNEL_CLIP_FACTOR
    case .adamw: return KERNEL_ADAMW
    case .sgd: return KERNEL_SGD
    case .muon: return KERNEL_MUON
    case .quantScale: return KERNEL_QUANT_SCALE
    case .fakeQuant: return KERNEL_FAKE_QUANT
    case .fakeQuantBackward: return KERNEL_FAKE_QUANT_BACKWARD
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
    case .multiplyAdd: return ROW_MULTIPLY_ADD
    case .scale: return ROW_SCALE
    case .offset: return ROW_OFFSET
    case .square: return ROW_SQUARE
    case .sigmoid: return ROW_SIGMOID
    case .tanh: return ROW_TANH
    case .leakyRelu: return ROW_LEAKY_RELU
    case .leakyReluBackward: return ROW_LEAKY_RELU_BACKWARD
    case .squaredLeakyRelu: return ROW_SQUARED_LEAKY_RELU
    case .squaredLeakyReluBackward: return ROW_SQUARED_LEAKY_RELU_BACKWARD
    case .softcap: return ROW_SOFTCAP
    case .softcapBackward: return ROW_SOFTCAP_BACKWARD
    case .rmsNorm: return ROW_RMS_NORM
    case .rmsNormBackward: return ROW_RMS_NORM_BACKWARD
    case .rmsNormBackwardAdd: return ROW_RMS_NORM_BACKWARD_ADD
    case .rope: return ROW_ROPE
    case .ropeInverse: return ROW_ROPE_INVERSE
    case .dot: return ROW_DOT
    case .sumColumns: return ROW_SUM_COLUMNS
    case .sumColumnsProduct: return ROW_SUM_COLUMNS_PRODUCT
    case .sumPeriodic: return ROW_SUM_PERIODIC
    case .sumAll: return ROW_SUM_ALL
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
    case .table: return ROW_TABLE
    }
  }
}
