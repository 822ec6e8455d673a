// SPDX-License-Identifier: Apache-2.0
// The certificate says what the code does: with a safeguard switched off, what it guards against
// happens, and the claims that name it turn into assumptions.

import Formats
import Foundation
import IR
import Language
import Passes
import Runtime
import TestSupport
import Testing

@Suite struct CertificateTests {
  @Test(arguments: ["graphs/tiny.graph", "graphs/baseline.graph"])
  func speaksOfAllTwelveInvariants(path: String) throws {
    let certificate = try Certificate(of: Repository.model(path))
    #expect(Set(certificate.invariants.map(\.id)) == Set((1...12).map { "I\($0)" }))
    for entry in certificate.invariants {
      #expect(!entry.claim.isEmpty)
      // What nobody checks has a place to look at, what somebody does has a safeguard or a type.
      let isNamed = Safeguard.allCases.contains { $0.rawValue == entry.by }
      #expect(entry.how == .assumed || entry.how == .type || isNamed, "\(entry.by)")
    }
  }

  @Test func everySafeguardIsNamed() throws {
    let certificate = try Certificate(of: Repository.model("graphs/tiny.graph"))
    let named = Set(certificate.invariants.map(\.by))
    for safeguard in Safeguard.allCases { #expect(named.contains(safeguard.rawValue)) }
  }

  @Test(arguments: Safeguard.allCases)
  func claimsWithoutTheirSafeguardAreAssumptions(_ safeguard: Safeguard) throws {
    let model = try Repository.model("graphs/tiny.graph")
    let on = try Certificate(of: model).invariants
    let off = try Safeguard.$disabled.withValue([safeguard]) {
      try Certificate(of: model).invariants
    }
    #expect(on.count == off.count)
    for (before, after) in zip(on, off) {
      if before.by == safeguard.rawValue {
        #expect(after.how == .assumed)
        #expect(after.by != before.by)
      } else {
        #expect(after == before)
      }
    }
  }

  /// What a safeguard is against is refused with it, and happens without.
  @Test(arguments: Safeguard.allCases)
  func safeguardsRefuseWhatHappensWithoutThem(_ safeguard: Safeguard) throws {
    #expect(throws: (any Error).self) { try violation(of: safeguard) }
    try Safeguard.$disabled.withValue([safeguard]) { try violation(of: safeguard) }
  }

  private func violation(of safeguard: Safeguard) throws {
    var ledger = ScoreLedger(targets: 4)
    switch safeguard {
    case .causality:
      let text = """
        model leak
        const vocab = 16, dim = 8, seq = 4
        param table [vocab, dim]  init normal(0.05)  group embedding
        forward(ids: tokens[B, seq]) -> dist[B, seq, vocab] {
          x = embed(table, ids)
          return softmax(linear(x + x[:, 3 : 4], table))
        }
        """
      do throws(Diagnostics) {
        _ = try elaborate(file: SourceFile(path: "leak.graph", text: text), includes: { $0 })
      } catch {
        // Its fixed size is refused in any case.
        if error.isLegality { throw error }
      }
    case .distribution:
      let graph = try Repository.model("graphs/tiny.graph").scored.graph
      var copy = Rebuilder(graph)
      for node in graph.nodes where node.op != .softmax { copy.copy(node) }
      let logits = copy[graph.nodes.last { $0.op == .softmax }!.operands[0]]
      copy.builder.output("dist", logits)
      if let problem = copy.builder.graph.forwardErrors(at: nil).first { throw problem }
    case .scoreOnce:
      try ledger.mark(0..<2)
      try ledger.mark(1..<3)
    case .scoreBeforeUpdate:
      try ledger.mark(0..<2)
      try ledger.requireScored(1..<3)
    case .lastChunk:
      try ledger.mark(0..<4)
      try ledger.requireRest()
    case .coverage:
      try ledger.mark(0..<3)
      try ledger.checkComplete()
    case .readOnlyScorer:
      var model = try Repository.model(
        "graphs/tiny.graph",
        set: ["layers": "2", "dim": "16", "heads": "1", "kv_heads": "1", "vocab": "32"])
      model.settings.train = nil
      var runner = PassRunner()
      let plan = try compile(
        model, target: TargetMachine(machine: "any", isa: "any"), runner: &runner)
      var function = try #require(
        plan.functions.first { $0.name.hasPrefix("score") && !$0.name.contains("last") })
      function.updates = ["tok_emb"]
      let entry = try #require(model.settings.evaluate.first { $0.stride == nil })
      _ = try Scorer(
        [function], window: entry.window, rows: entry.batch ?? scoringRows(window: entry.window),
        scored: nil, parameters: ParameterBlock(layout: plan.layout), threads: 1)
    case .budget:
      let settings = try Repository.model("graphs/tiny.graph").settings.quantize
      if let found = OverBudget.exceeding(settings, bytes: 16_000_001, groups: []) { throw found }
    case .bytes:
      // Two tokens in each other's place: another document, as many tokens.
      try withFolder { shards in
        let path = try #require(shards.first { $0.contains("_val_") })
        var bytes = try readFile(path)
        let end = bytes.count
        let last = Array(bytes[(end - 4)..<(end - 2)])
        bytes.replaceSubrange((end - 4)..<(end - 2), with: bytes[(end - 20)..<(end - 18)])
        bytes.replaceSubrange((end - 20)..<(end - 18), with: last)
        try AtomicFile.write(path, bytes)
      } check: {
        try $0.requireEvidence()
      }
    case .disjoint:
      try withFolder { shards in
        let held = try readFile(try #require(shards.first { $0.contains("_val_") }))
        for path in shards where !path.contains("_val_") { try AtomicFile.write(path, held) }
      } check: {
        try $0.requireDisjoint()
      }
    }
  }

  /// A data folder whose shards were changed behind its manifest.
  private func withFolder(
    changing change: ([String]) throws -> Void, check: (DataFolder) throws -> Void
  ) throws {
    let corpus = try SmallCorpus()
    let folder = corpus.folder.path + "/data"
    let names = try FileManager.default.contentsOfDirectory(atPath: folder)
    try change(names.filter { $0.hasSuffix(".bin") }.sorted().map { folder + "/" + $0 })
    try check(DataFolder.open(folder))
  }
}
