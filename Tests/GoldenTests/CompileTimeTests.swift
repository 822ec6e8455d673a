// SPDX-License-Identifier: Apache-2.0
// Compiling takes time linear in the length of forward, and no stack that grows with it.

import IR
import Language
import Passes
import TestSupport
import Testing

@Suite struct CompileTimeTests {
  /// Compiles a model whose forward holds `lines`, with training and two scorers.
  private func compiles(_ lines: String, params: String = "") throws -> Bool {
    let text = """
      model m
      const vocab = 8, dim = 4, seq = 8
      param table [vocab, dim]  group embedding
      \(params)
      forward(ids: tokens[B, T]) -> dist[B, T, vocab] {
        x = embed(table, ids)
        \(lines)
        return softmax(linear(x, table))
      }
      train {
        read 2 rows of seq
        stop at 10 steps
        optimizer default sgd(lr: 0.1)
      }
      evaluate { sliding window seq stride 2 }
      """
    let model = try elaborate(
      file: SourceFile(path: "m.graph", text: text), includes: { _ in "" })
    var runner = PassRunner()
    let plan = try compile(
      model, target: TargetMachine(machine: "any", isa: "any"), runner: &runner)
    return plan.functions.count == 3
  }

  private func repeated(_ count: Int, _ line: (Int) -> String) -> String {
    (0..<count).map(line).joined(separator: "\n")
  }

  @Test(.timeLimit(.minutes(1))) func sumsWithOneValueAreCompiledInLinearTime() throws {
    #expect(try compiles("x0 = x\n" + repeated(12_000) { _ in "x = x + x0" }))
  }

  @Test(.timeLimit(.minutes(1))) func sumsOfConstantsAreFoldedInLinearTime() throws {
    #expect(
      try compiles(
        repeated(32_000) { $0 == 0 ? "y0 = x + 1" : "y\($0) = y\($0 - 1) + 1" } + "\nx = y31999"))
  }

  @Test(.timeLimit(.minutes(1))) func cheapNodesInARowNeedNoStack() throws {
    #expect(try compiles(repeated(20_000) { _ in "x = square(x)" }))
    #expect(try compiles(repeated(2000) { "x = 2 * tanh(x)\nz\($0) = x" } + "\nx = x + z0"))
  }

  @Test func copiesOfCheapNodesInARowStayFew() throws {
    // Each scale is read by the next op and by a sum; with all those before it copied too, their
    // number would grow with the square.
    let count = 60
    let lines = repeated(count) { "y\($0) = leaky_relu(\($0 == 0 ? "x" : "y\($0 - 1)"), 0.5)" }
    var graph = Graph(name: "f")
    var runner = PassRunner()
    runner.observe = { pass, after in if pass == "recompute-cheap" { graph = after } }
    let text = """
      model m
      param table [8, 4]  group embedding
      forward(ids: tokens[B, T]) -> dist[B, T, 8] {
        x = embed(table, ids)
        \(lines)
        s = y0
        \(repeated(count - 1) { "s = s + y\($0 + 1)" })
        return softmax(linear(s, table))
      }
      evaluate { plain window 8 }
      """
    let model = try elaborate(
      file: SourceFile(path: "m.graph", text: text), includes: { _ in "" })
    _ = try compile(model, target: TargetMachine(machine: "any", isa: "any"), runner: &runner)
    #expect(graph.nodes.count > count && graph.nodes.count < 14 * count)
  }
}
