// SPDX-License-Identifier: Apache-2.0
// What to write for names that other frameworks have and this language has not.

import IR

/// Advice for names of other frameworks.
enum Hints {
  /// What to write for a call that is no op; nil if the name is not known.
  static func call(_ name: String) -> String? { calls[name.lowercased()] }

  /// What to do about a name that nothing declares; nil if it is not known.
  static func name(_ name: String) -> String? {
    ["targets", "target", "labels", "label"].contains(name.lowercased())
      ? "targets have no name: the loss is derived from the dist that forward returns" : nil
  }

  private static let calls: [String: String] = {
    let product = "linear(x, w) multiplies by the transpose of a param: w [out, in]"
    let loss = "return softmax(logits): the loss is derived from forward's dist"
    let shape = "shapes change by split_heads, merge_heads and slices such as x[..., 0 : n]"
    let groups: [([String], String)] = [
      (["relu"], "write leaky_relu(x, 0)"),
      (["relu2", "squared_relu"], "write square(leaky_relu(x, 0))"),
      (["silu", "swish"], "write x * sigmoid(x)"),
      (["gelu", "quick_gelu"], "write x * sigmoid(1.702 * x), or a squared relu"),
      (["matmul", "dot", "mm", "bmm", "einsum", "dense"], product),
      (
        ["exp", "log", "softplus"],
        "there is none; sigmoid, tanh, softcap and softmax are the smooth ops"
      ),
      (["pow"], "write square(x), or x * x"),
      (
        ["layer_norm", "layernorm", "batch_norm", "norm"],
        "write rms_norm(x), and multiply by a param"
      ),
      (["embedding", "gather", "lookup"], "write embed(table, ids)"),
      (["scaled_dot_product_attention", "self_attention"], "write attention(q, k, v)"),
      (["cross_entropy", "nll", "nll_loss", "loss", "log_softmax"], loss),
      (["reshape", "view", "transpose", "permute", "cat", "concat", "split"], shape),
      (["dropout"], "there is none: leave it out"),
    ]
    return Dictionary(
      groups.flatMap { names, text in names.map { ($0, text) } }, uniquingKeysWith: { $1 })
  }()
}
