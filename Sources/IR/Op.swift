// SPDX-License-Identifier: Apache-2.0
// The index page of all ops. Facts about an op stand in its definition (Ops/<Family>.swift).

/// The kind of a node. The raw value is the spelling in text.
public enum Op: String, Hashable, Sendable, CaseIterable {
  // Elementwise
  case add, sub, mul, scale, offset, square, sigmoid, tanh, softcap
  case softcapBackward = "softcap_backward"
  case leakyRelu = "leaky_relu"
  case leakyReluBackward = "leaky_relu_backward"
  case lerp
  // Caps of logits
  case softcapQuintic = "softcap_quintic"
  case softcapQuinticBackward = "softcap_quintic_backward"
  case softcapAsymmetric = "softcap_asymmetric"
  case capOfSign = "cap_of_sign"
  case softcapByBackward = "softcap_by_backward"
  case softcapByBackwardCap = "softcap_by_backward_cap"
  // Layout
  case slice, unslice
  case splitHeads = "split_heads"
  case mergeHeads = "merge_heads"
  case sumTo = "sum_to"
  case raw
  case shift
  case shiftBackward = "shift_backward"
  // Tokens
  case tokenMask = "token_mask"
  case hashBigram = "hash_bigram"
  case hashTrigram = "hash_trigram"
  case documents
  // Matrix products
  case linear
  case linearBackwardInput = "linear_backward_input"
  case linearBackwardWeight = "linear_backward_weight"
  case embed
  case embedBackward = "embed_backward"
  // Normalisation
  case rmsNorm = "rms_norm"
  case rmsNormBackward = "rms_norm_backward"
  // Attention
  case rope
  case ropeBackward = "rope_backward"
  case scaleHeads = "scale_heads"
  case scaleHeadsBackwardGain = "scale_heads_backward_gain"
  case scaleHeadsBackwardGate = "scale_heads_backward_gate"
  case excludeSelf = "exclude_self"
  case excludeSelfBackward = "exclude_self_backward"
  case attention
  case attentionBackward = "attention_backward"
  // Loss
  case softmax
  case crossEntropy = "cross_entropy"
  case crossEntropyBackward = "cross_entropy_backward"
  case dot
  // Quantisation
  case fakeQuant = "fake_quant"
  case fakeQuantBackward = "fake_quant_backward"
  case fakeFloat8 = "fake_float8"
  // Optimiser
  case clipFactor = "clip_factor"
  case adamwUpdate = "adamw_update"
  case sgdUpdate = "sgd_update"
  case muonUpdate = "muon_update"
  // Made by fusion passes
  case fused

  public var definition: OpDefinition {
    switch self {
    case .add: return .add
    case .sub: return .sub
    case .mul: return .mul
    case .scale: return .scale
    case .offset: return .offset
    case .square: return .square
    case .sigmoid: return .sigmoid
    case .tanh: return .tanh
    case .softcap: return .softcap
    case .softcapBackward: return .softcapBackward
    case .leakyRelu: return .leakyRelu
    case .leakyReluBackward: return .leakyReluBackward
    case .lerp: return .lerp
    case .softcapQuintic: return .softcapQuintic
    case .softcapQuinticBackward: return .softcapQuinticBackward
    case .softcapAsymmetric: return .softcapAsymmetric
    case .capOfSign: return .capOfSign
    case .softcapByBackward: return .softcapByBackward
    case .softcapByBackwardCap: return .softcapByBackwardCap
    case .slice: return .slice
    case .unslice: return .unslice
    case .splitHeads: return .splitHeads
    case .mergeHeads: return .mergeHeads
    case .sumTo: return .sumTo
    case .raw: return .raw
    case .shift: return .shift
    case .shiftBackward: return .shiftBackward
    case .tokenMask: return .tokenMask
    case .hashBigram: return .hashBigram
    case .hashTrigram: return .hashTrigram
    case .documents: return .documents
    case .linear: return .linear
    case .linearBackwardInput: return .linearBackwardInput
    case .linearBackwardWeight: return .linearBackwardWeight
    case .embed: return .embed
    case .embedBackward: return .embedBackward
    case .rmsNorm: return .rmsNorm
    case .rmsNormBackward: return .rmsNormBackward
    case .rope: return .rope
    case .ropeBackward: return .ropeBackward
    case .scaleHeads: return .scaleHeads
    case .scaleHeadsBackwardGain: return .scaleHeadsBackwardGain
    case .scaleHeadsBackwardGate: return .scaleHeadsBackwardGate
    case .excludeSelf: return .excludeSelf
    case .excludeSelfBackward: return .excludeSelfBackward
    case .attention: return .attention
    case .attentionBackward: return .attentionBackward
    case .softmax: return .softmax
    case .crossEntropy: return .crossEntropy
    case .crossEntropyBackward: return .crossEntropyBackward
    case .dot: return .dot
    case .fakeQuant: return .fakeQuant
    case .fakeQuantBackward: return .fakeQuantBackward
    case .fakeFloat8: return .fakeFloat8
    case .clipFactor: return .clipFactor
    case .adamwUpdate: return .adamwUpdate
    case .sgdUpdate: return .sgdUpdate
    case .muonUpdate: return .muonUpdate
    case .fused: return .fused
    }
  }
}
