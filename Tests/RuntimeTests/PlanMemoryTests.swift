// SPDX-License-Identifier: Apache-2.0
// Memory plans checked against the kernels' contracts, without the planner's own bookkeeping.

import IR
import Passes
import TestSupport
import Testing

extension RuntimeTests {
  @Suite struct PlanMemoryTests {
    static let cases: [(path: String, set: [String: String])] = [
      ("graphs/tiny.graph", [:]),
      ("graphs/tiny.graph", ["accumulate": "2", "layers": "3"]),
      (
        "graphs/tiny.graph",
        ["dim": "48", "heads": "3", "kv_heads": "1", "seq": "17", "batch": "3"]
      ),
      ("graphs/baseline.graph", [:]),
      ("graphs/baseline.graph", ["accumulate": "1"]),
    ]

    @Test(arguments: cases.indices, [ComputePrecision.f32, .bf16])
    func everyFunctionKeepsWhatLaterCallsRead(_ index: Int, _ compute: ComputePrecision) throws {
      let (path, set) = Self.cases[index]
      var model = try Repository.model(
        path, set: set, windows: set["seq"] == "17" ? .short : nil)
      if model.settings.ttt != nil { try check(model, compute) }
      model.settings.qat = .on(.straightThrough, from: .start)
      model.settings.train?.average = .ema(0.9)
      model.settings.train?.zLoss = 1e-4
      model.settings.train?.clip = 1
      try check(model, compute)
    }

    private func check(_ model: Model, _ compute: ComputePrecision) throws {
      var runner = PassRunner()
      let target = TargetMachine(machine: "any", isa: "any", compute: compute)
      let plan = try compile(model, target: target, runner: &runner)
      #expect(plan.functions.count >= 4)
      for function in plan.functions {
        var checker = PlanChecker(function, layout: plan.layout)
        checker.run()
        #expect(checker.faults.prefix(3) == [], "\(function.name)")
      }
    }

    @Test func updatesWorkInPlace() throws {
      let model = try Repository.model("graphs/tiny.graph")
      var runner = PassRunner()
      let plan = try compile(
        model, target: TargetMachine(machine: "any", isa: "any"), runner: &runner)
      let train = try #require(plan["train"])
      var updated: [Int] = []
      for call in train.body where ["adamw", "sgd", "muon"].contains(call.kernel.name) {
        #expect(call.buffers[0].space == .parameter)
        #expect(call.buffers[1].space == .state)
        updated.append(call.buffers[0].offset)
      }
      #expect(updated.sorted() == plan.layout.entries.map(\.offset))
      // Nothing is copied into a parameter afterwards.
      for call in train.body where call.kernel.name == "rows" {
        #expect(!call.buffers.prefix(1).contains { $0.space == .parameter })
      }
    }

    @Test(arguments: [ComputePrecision.f32, .bf16])
    func checkerFindsMissingBarriers(_ compute: ComputePrecision) throws {
      var (function, layout) = try Self.smallTrainStep(compute)
      let index = try #require(function.body.lastIndex { $0.barrier })
      function.body[index].barrier = false
      var checker = PlanChecker(function, layout: layout)
      checker.run()
      #expect(!checker.faults.isEmpty)
    }

    @Test(arguments: [ComputePrecision.f32, .bf16])
    func checkerFindsReferencesOutsideTheArena(_ compute: ComputePrecision) throws {
      var (function, layout) = try Self.smallTrainStep(compute)
      function.arenaBytes /= 2
      var checker = PlanChecker(function, layout: layout)
      checker.run()
      #expect(!checker.faults.isEmpty)
    }

    @Test(arguments: [ComputePrecision.f32, .bf16])
    func checkerFindsOverwrittenBuffers(_ compute: ComputePrecision) throws {
      var (function, layout) = try Self.smallTrainStep(compute)
      // A gradient in the place of packed weights, which the next run reads again.
      let packed = Set(function.prepare.filter { $0.kernel.name == "pack" }.map { $0.buffers[0] })
      let weight = try #require(function.body.lastIndex { $0.kernel.name == "matmul_weight" })
      let product = try #require(
        function.body.first { $0.kernel.name == "matmul" && packed.contains($0.buffers[2]) })
      function.body[weight].buffers[0] = product.buffers[2]
      var checker = PlanChecker(function, layout: layout)
      checker.run()
      #expect(!checker.faults.isEmpty)
    }

    private static func smallTrainStep(
      _ compute: ComputePrecision
    ) throws -> (PlanFunction, ParameterLayout) {
      let plan = try CompiledModel(CompiledModel.small(layers: 2), compute: compute).plan
      return (try #require(plan["train"]), plan.layout)
    }
  }
}
