// SPDX-License-Identifier: Apache-2.0
// Optimisers and quantisers of the runtime against reference values.

import Formats
import IR
import Passes
import Runtime
import TestSupport
import Testing

extension RuntimeTests {
  @Suite struct OptimizerFixtureTests {
    @Test func optimiserStepsEqualTheReference() throws {
      let fixture = try ReferenceFixture("optimiser")
      let tensors = try fixture.tensors("tensors")
      let expected = try fixture.tensors("expected")
      let cases = try #require(fixture.config["cases"]?.objectValue)
      #expect(cases.count == 7)
      for (name, rule) in cases {
        let update = try Self.update(rule)
        for (tensorName, initial) in tensors where tensorName.hasPrefix("initial.") {
          let tensor = String(tensorName.dropFirst("initial.".count))
          guard expected["\(name).\(tensor).1"] != nil else { continue }
          let function = try Self.function(initial.shape, update)
          function.contents = ["w": try initial.doubles()]
          for step in 1...3 {
            var inputs: [String: Interpreter.Content] = [
              "grad.w": .reals(try #require(tensors["gradient.\(tensor).\(step)"]).doubles()),
              "learning_rate": .reals([1]),
            ]
            if function.executable.hasInput("step") { inputs["step"] = .reals([Double(step)]) }
            if function.executable.hasInput("momentum") {
              inputs["momentum"] = .reals([rule["momentum"]?.doubleValue ?? 0])
              inputs["taper"] = .reals([1])
            }
            function.run(inputs)
            let wanted = try #require(expected["\(name).\(tensor).\(step)"]).doubles()
            let difference = absoluteDifference(try #require(function.contents["w"]), wanted)
            #expect(difference < fixture.tolerance(name), "\(name) of \(tensor), step \(step)")
          }
        }
      }
    }

    private static func update(_ rule: JSONValue) throws -> ParameterUpdate {
      func number(_ name: String) -> Double { rule[name]?.doubleValue ?? 0 }
      let made: OptimizerRule
      let (lr, decay) = (number("lr"), number("wd"))
      switch rule["rule"]?.stringValue {
      case "muon":
        let first = rule["coefficients"]?.arrayValue?.first?.arrayValue?.first?.doubleValue
        made = .muon(
          lr: lr, steps: rule["steps"]?.intValue ?? 0,
          iteration: first == 3.4445 ? "standard" : "polar_express",
          normalisesRows: rule["row_normalise"]?.boolValue ?? false, decay: decay)
      case "adamw":
        let betas = try #require(rule["betas"]?.arrayValue).compactMap(\.doubleValue)
        made = .adamw(
          lr: lr, beta1: betas[0], beta2: betas[1], epsilon: number("eps"), decay: decay)
      default: made = .sgd(lr: lr, momentum: number("momentum"), decay: decay)
      }
      return ParameterUpdate(made)
    }

    private static func function(
      _ shape: [Int], _ update: ParameterUpdate, clip: Double = 0
    ) throws -> CompiledFunction {
      var builder = Builder(name: "f")
      _ = builder.declare(
        Parameter(
          role: .param, path: "w", type: .tensor(shape), group: "", initial: .zeros))
      var runner = PassRunner()
      let plan = OptimizerPlan(updates: ["w": update], clip: clip)
      return try CompiledFunction(runner.run(Pipeline.update(plan), on: builder.graph))
    }

    @Test(arguments: ["0.3", "100"])
    func clippedStepsEqualTheReference(_ limit: String) throws {
      let fixture = try ReferenceFixture("optimiser")
      let tensors = try fixture.tensors("tensors")
      let expected = try fixture.tensors("expected")
      // Plain descent at rate 1 from zero leaves minus the clipped gradient.
      let names = ["square", "tall", "vector", "wide"]
      var builder = Builder(name: "f")
      var updates: [String: ParameterUpdate] = [:]
      var inputs: [String: Interpreter.Content] = ["learning_rate": .reals([1])]
      for name in names {
        let gradient = try #require(tensors["gradient.\(name).1"])
        _ = builder.declare(
          Parameter(
            role: .param, path: name, type: .tensor(gradient.shape), group: "", initial: .zeros))
        updates[name] = ParameterUpdate(.sgd(lr: 1))
        inputs["grad." + name] = .reals(try gradient.doubles())
      }
      var runner = PassRunner()
      let plan = OptimizerPlan(updates: updates, clip: try #require(Double(limit)))
      let function = try CompiledFunction(
        runner.run(Pipeline.update(plan) + Pipeline.fuse, on: builder.graph))
      let outputs = function.run(inputs)
      for name in names {
        let wanted = try #require(expected["clip.\(limit).\(name)"]).doubles()
        let found = try #require(function.contents[name]).map { -$0 }
        #expect(absoluteDifference(found, wanted) < fixture.tolerance("clip"), "\(name)")
      }
      let norm = try #require(expected["clip.\(limit).norm"]).doubles()
      #expect(relativeDifference(outputs["grad_norm"] ?? [], norm) < 1e-6)
    }

    @Test func storedCodesAndScalesEqualTheReference() throws {
      let fixture = try ReferenceFixture("quantise")
      let rows = try #require(try fixture.tensors("rows")["rows"])
      let width = rows.shape[1]
      let all = try rows.floats()
      let expected = try fixture.tensors("expected")
      var checked = 0
      for (name, rule) in try #require(fixture.config["rules"]?.objectValue) {
        let quantizer = Self.quantizer(rule)
        // Weights are always restored from the stored, rounded scale.
        guard rule["dequant_from"]?.stringValue == "half" else { continue }
        let indices = try #require(rule["rows"]?.arrayValue).compactMap(\.intValue)
        var values = indices.flatMap { all[($0 * width)..<(($0 + 1) * width)] }
        let stored = values.withUnsafeMutableBufferPointer {
          Precision.int(quantizer).store($0, rows: indices.count)
        }
        try #require(stored.streams.count == 2, "\(name) is not stored as codes and scales")
        let (codes, scales) = (stored.streams[0].codes, stored.streams[1].halves)
        let wantedCodes = try #require(expected[name + ".codes"]).int32s()
        #expect(codes.map(Int32.init) == wantedCodes, "\(name)")
        let wantedScales = try #require(expected[name + ".scale"]).floats()
        #expect(scales.map { Float(Float16(bitPattern: $0)) } == wantedScales, "\(name)")
        stored.restoreAll(to: &values)
        let restored = try #require(expected[name + ".dequantised"]).doubles()
        #expect(relativeDifference(values.map(Double.init), restored) < 1e-6, "\(name)")
        checked += 1
      }
      #expect(checked >= 9)
    }

    private static func quantizer(_ rule: JSONValue) -> Quantizer {
      let clip: Quantizer.Clip
      switch rule["clip"]?.stringValue {
      case "quantile": clip = .quantile(rule["q"]?.doubleValue ?? .nan)
      case "sdclip": clip = .sdclip(rule["k"]?.doubleValue ?? .nan)
      default: clip = .max
      }
      let qmax = rule["qmax"]?.intValue ?? 0
      return Quantizer(
        bits: rule["bits"]?.intValue ?? 0, clip: clip, floor: rule["floor"]?.doubleValue ?? 0,
        halfFloor: rule["half_floor"]?.doubleValue ?? 0,
        isAsymmetric: rule["qmin"]?.intValue == -qmax - 1,
        codesFromUnrounded: rule["codes_from"]?.stringValue == "full")
    }
  }
}

extension StoredTensor {
  func restoreAll(to values: inout [Float]) {
    values.withUnsafeMutableBufferPointer { restore(to: $0) }
  }
}
