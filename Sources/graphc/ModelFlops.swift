// SPDX-License-Identifier: Apache-2.0
// The arithmetic of a step by the formula of the peers' benchmark, which knows no kernels.

import IR

/// FLOPs as the peers' benchmark counts them: 2 a matrix parameter and token, plus the causal half of
/// attention; three times that with a backward; Newton-Schulz for Muon, with both halves of symmetric
/// products.
struct ModelFlops {
  private let graph: Graph

  init(_ model: Model) { graph = model.scored.graph }

  func total(
    phase: BenchCommand.Phase, optimizer: BenchCommand.Optimizer, rows: Int, seq: Int, scored: Int
  ) -> Double {
    var products = 0.0
    var head = 0.0
    var attention = 0.0
    for node in graph.nodes {
      switch node.op {
      case .linear:
        let count = Double(graph.type(node.operands[1]).count)
        products += 2 * count
        if graph.type(node.result).shape.last == graph.type(graph.outputs[0].value).shape.last {
          head = 2 * count
        }
      case .attention:
        let shape = graph.type(node.operands[0]).shape
        attention +=
          2 * Double(min(seq, longestDocument)) * Double(shape[2].number! * shape[3].number!)
      default: break
      }
    }
    let perToken = products + attention
    let tokens = Double(rows * seq)
    switch phase {
    case .eval: return perToken * tokens
    case .slide: return perToken * tokens - head * Double(rows * (seq - scored))
    case .ttt: return 3 * perToken * tokens
    case .train: return 3 * perToken * tokens + (optimizer == .muon ? newtonSchulz : 0)
    }
  }

  /// Of one token of a row of `seq`: forward, and in a training step of `rows` of them.
  func perToken(rows: Int, seq: Int, optimizer: BenchCommand.Optimizer) -> (
    forward: Double, training: Double
  ) {
    let tokens = Double(rows * seq)
    func of(_ phase: BenchCommand.Phase) -> Double {
      total(phase: phase, optimizer: optimizer, rows: rows, seq: seq, scored: seq) / tokens
    }
    return (of(.eval), of(.train))
  }

  /// Tokens of a document at most, where attention stays inside of one.
  private var longestDocument: Int {
    let limit = graph.nodes.first { $0.op == .documents }?.int(.limit) ?? 0
    return limit > 0 ? limit : .max
  }

  private var newtonSchulz: Double {
    graph.parameters.filter { $0.group == Parameter.matrixGroup && $0.type.rank == 2 }.reduce(0) {
      sum, parameter in
      let (m, n) = (Double(parameter.type.sizes.min()!), Double(parameter.type.sizes.max()!))
      return sum + 5 * (4 * m * m * n + 2 * m * m * m)
    }
  }
}
