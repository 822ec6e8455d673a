// SPDX-License-Identifier: Apache-2.0
// The index page of all ops. Facts about an op stand in its definition (Ops/<Family>.swift).

/// The kind of a node. The raw value is the spelling in text.
public enum Op: String, Hashable, Sendable, CaseIterable {
  // Elementwise
  case add, sub, mul, scale, offset, square, sigmoid, tanh, softcap
  case softcap_backward
  case leaky_relu
  case leaky_relu_backward
  // Layout
  case slice, unslice, split_heads, merge_heads, sum_to
  // Matrix products
  case linear, linear_backward_input, linear_backward_weight
  case embed, embed_backward
  // Normalisation
  case rms_norm, rms_norm_backward
  // Attention
  case rope, rope_backward, scale_heads, scale_heads_backward_gain, attention, attention_backward
  // Loss
  case softmax, cross_entropy, cross_entropy_backward, dot
  // Quantisation
  case fake_quant, fake_quant_backward
  // Optimiser
  case clip_factor, adamw_update, sgd_update, muon_update
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
    case .softcap_backward: return .softcapBackward
    case .leaky_relu: return .leakyRelu
    case .leaky_relu_backward: return .leakyReluBackward
    case .slice: return .slice
    case .unslice: return .unslice
    case .split_heads: return .splitHeads
    case .merge_heads: return .mergeHeads
    case .sum_to: return .sumTo
    case .linear: return .linear
    case .linear_backward_input: return .linearBackwardInput
    case .linear_backward_weight: return .linearBackwardWeight
    case .embed: return .embed
    case .embed_backward: return .embedBackward
    case .rms_norm: return .rmsNorm
    case .rms_norm_backward: return .rmsNormBackward
    case .rope: return .rope
    case .rope_backward: return .ropeBackward
    case .scale_heads: return .scaleHeads
    case .scale_heads_backward_gain: return .scaleHeadsBackwardGain
    case .attention: return .attention
    case .attention_backward: return .attentionBackward
    case .softmax: return .softmax
    case .cross_entropy: return .crossEntropy
    case .cross_entropy_backward: return .crossEntropyBackward
    case .dot: return .dot
    case .fake_quant: return .fakeQuant
    case .fake_quant_backward: return .fakeQuantBackward
    case .clip_factor: return .clipFactor
    case .adamw_update: return .adamwUpdate
    case .sgd_update: return .sgdUpdate
    case .muon_update: return .muonUpdate
    case .fused: return .fused
    }
  }
}
