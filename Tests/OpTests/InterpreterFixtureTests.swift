// SPDX-License-Identifier: Apache-2.0
// The interpreter against reference values of optimiser steps and quantisers that were computed
// elsewhere (Tests/Fixtures).

import Foundation
import IR
import Runtime
import Testing

@Suite struct InterpreterFixtureTests {
  static let matrices = ["square", "tall", "wide"]

  @Test(arguments: ["muon", "muon_wd", "muon_eq_r", "polar_express"])
  func muonStepsEqualTheReference(_ name: String) throws {
    let fixture = try Fixture("optimiser", "tensors")
    let rule = try fixture.object("cases", name)
    let polar = rule.numberLists("coefficients")[0][0] != 3.4445
    for matrix in Self.matrices {
      let attributes: [AttributeName: AttributeValue] = [
        .steps: .int(Int(rule.number("steps"))), .decay: .double(rule.number("wd")),
        .iteration: .word(polar ? "polar_express" : "standard"),
        .rowNormalise: .bool(rule.flag("row_normalise")),
      ]
      var update = try Update(.muonUpdate, fixture.given("initial.\(matrix)"), attributes)
      for step in 1...3 {
        let gradient = try fixture.given("gradient.\(matrix).\(step)").values
        try update.step(gradient, [rule.number("lr"), 1, rule.number("momentum"), 1])
        let error = largestRelativeError(
          update.weights, try fixture.expected("\(name).\(matrix).\(step)").values)
        #expect(error < 1e-9, "\(matrix) after step \(step)")
      }
    }
  }

  @Test(arguments: ["adam", "adamw"])
  func adamStepsEqualTheReference(_ name: String) throws {
    let fixture = try Fixture("optimiser", "tensors")
    let rule = try fixture.object("cases", name)
    let betas = rule.numbers("betas")
    let attributes: [AttributeName: AttributeValue] = [
      .beta1: .double(betas[0]), .beta2: .double(betas[1]), .epsilon: .double(rule.number("eps")),
      .decay: .double(rule.number("wd")),
    ]
    for tensor in Self.matrices + ["vector"] {
      var update = try Update(.adamwUpdate, fixture.given("initial.\(tensor)"), attributes)
      for step in 1...3 {
        let gradient = try fixture.given("gradient.\(tensor).\(step)").values
        try update.step(gradient, [rule.number("lr"), 1, Double(step)])
        let error = largestRelativeError(
          update.weights, try fixture.expected("\(name).\(tensor).\(step)").values)
        #expect(error < 1e-9, "\(tensor) after step \(step)")
      }
    }
  }

  @Test func sgdStepsEqualTheReference() throws {
    let fixture = try Fixture("optimiser", "tensors")
    let rule = try fixture.object("cases", "sgd")
    for tensor in Self.matrices + ["vector"] {
      var update = try Update(
        .sgdUpdate, fixture.given("initial.\(tensor)"),
        [.momentum: .double(rule.number("momentum"))])
      for step in 1...3 {
        let gradient = try fixture.given("gradient.\(tensor).\(step)").values
        try update.step(gradient, [rule.number("lr"), 1])
        let error = largestRelativeError(
          update.weights, try fixture.expected("sgd.\(tensor).\(step)").values)
        #expect(error < 1e-9, "\(tensor) after step \(step)")
      }
    }
  }

  @Test(arguments: ["cubic", "cubic3", "polar"])
  func orthogonalisedGradientsEqualTheReference(_ kind: String) throws {
    let fixture = try Fixture("optimiser", "tensors")
    let attributes: [AttributeName: AttributeValue] = [
      .steps: .int(kind == "cubic3" ? 3 : 5),
      .iteration: .word(kind == "polar" ? "polar_express" : "standard"),
    ]
    for matrix in Self.matrices {
      // From weights of 0 without momentum, a rate of -1 / stretch leaves the direction itself.
      let gradient = try fixture.given("gradient.\(matrix).1")
      let stretch = max(1, Double(gradient.sizes[0]) / Double(gradient.sizes[1])).squareRoot()
      let zeros = Fixture.Tensor(
        sizes: gradient.sizes, values: gradient.values.map { _ in 0 })
      var update = try Update(.muonUpdate, zeros, attributes)
      try update.step(gradient.values, [-1 / stretch, 1, 0, 1])
      let expected = try fixture.expected("orthogonalised.\(kind).\(matrix)").values
      #expect(largestRelativeError(update.weights, expected) < 1e-9, "\(matrix)")
    }
  }

  @Test(arguments: [0.3, 100])
  func clippedGradientsEqualTheReference(_ limit: Double) throws {
    let fixture = try Fixture("optimiser", "tensors")
    let names = Self.matrices + ["vector"]
    var builder = Builder(name: "clip")
    var inputs: [String: Interpreter.Content] = [:]
    let gradients = try names.map { name in
      let gradient = try fixture.given("gradient.\(name).1")
      inputs[name] = .reals(gradient.values)
      return builder.input(name, .tensor(gradient.sizes))
    }
    let results = try builder.apply(.clipFactor, gradients, [.limit: .double(limit)])
    builder.output("norm", results[1])
    for (name, gradient) in zip(names, gradients) {
      builder.output(name, builder.one(.mul, [gradient, results[0]]))
    }
    let result = try Interpreter(builder.graph).run(parameters: [:], inputs: inputs)
    for name in names + ["norm"] {
      let expected = try fixture.expected("clip.\(limit == 100 ? "100" : "0.3").\(name)").values
      #expect(largestRelativeError(result.reals(name), expected) < 1e-9, "\(name)")
    }
  }

  @Test func quantisedRowsEqualTheReference() throws {
    let fixture = try Fixture("quantise", "rows")
    let rows = try fixture.given("rows")
    let names = try fixture.object("rules").names
    #expect(names.count >= 10)
    for name in names {
      let rule = try fixture.object("rules", name)
      let quantizer = rule.quantizer
      let expectedScales = try fixture.expected(name + ".scale").values
      let expectedCodes = try fixture.expected(name + ".codes")
      let expectedValues = try fixture.expected(name + ".dequantised")
      let usesFullScale = rule.word("dequant_from") == "full"
      for (place, row) in rule.numbers("rows").map({ Int($0) }).enumerated() {
        let weights = rows.row(row)
        let scale = quantizer.scale(of: weights)
        let quantised = quantizer.quantised(weights)
        let placeName = Comment(rawValue: "\(name), row \(row)")
        #expect(quantised.codes.map { Double($0) } == expectedCodes.row(place), placeName)
        if usesFullScale {
          #expect(
            largestRelativeError([scale.unrounded], [expectedScales[place]]) < 1e-6, placeName)
        } else {
          #expect(scale.stored == expectedScales[place], placeName)
        }
        let step = usesFullScale ? scale.unrounded : scale.stored
        let values = quantised.codes.map { Double($0) * step }
        #expect(largestRelativeError(values, expectedValues.row(place)) < 1e-6, placeName)
      }
    }
  }

  @Test func softRoundsAndTheirSlopesEqualTheReference() throws {
    let fixture = try Fixture("quantise", "rows")
    let points = try fixture.expected("soft.y").values
    for alpha in try fixture.object("soft").numbers("alphas") {
      let label = alpha == alpha.rounded() ? "\(Int(alpha))" : "\(alpha)"
      for (letter, form) in [("a", SoftRound.exact), ("b", SoftRound.logistic)] {
        let name = "soft.\(letter).\(label)"
        let values = try fixture.expected(name + ".value").values
        let slopes = try fixture.expected(name + ".slope").values
        let found = points.map { form.value($0, alpha: alpha) }
        let foundSlopes = points.map { form.slope($0, alpha: alpha) }
        #expect(largestRelativeError(found, values) < 1e-9, "\(name)")
        #expect(largestRelativeError(foundSlopes, slopes) < 1e-9, "\(name)")
      }
    }
  }

  @Test(arguments: [1, 16])
  func softRoundedWeightsEqualTheReference(_ alpha: Int) throws {
    let fixture = try Fixture("quantise", "rows")
    let rows = try fixture.given("rows")
    let scales = try fixture.expected("soft.weight.scale").values
    let values = try fixture.expected("soft.weight.\(alpha).value")
    let slopes = try fixture.expected("soft.weight.\(alpha).slope")
    let quantizer = ReferenceQuantizer(
      Quantizer(bits: 6, clip: .quantile(0.9995), floor: 1e-4))
    for (place, row) in try fixture.expected("soft.weight.rows").values.enumerated() {
      let weights = rows.row(Int(row))
      let step = quantizer.scale(of: weights).unrounded
      #expect(largestRelativeError([step], [scales[place]]) < 1e-12)
      let codes = weights.map { SoftRound.exact.value($0 / step, alpha: Double(alpha)) }
      let found = codes.map { step * min(max($0, -31), 31) }
      #expect(largestRelativeError(found, values.row(place)) < 1e-9)
      let foundSlopes = zip(weights, codes).map { weight, code in
        abs(code) > 31 ? 0 : SoftRound.exact.slope(weight / step, alpha: Double(alpha))
      }
      #expect(largestRelativeError(foundSlopes, slopes.row(place)) < 1e-9)
    }
  }
}

extension Fixture.Settings {
  /// The rule of a `quantise` case.
  fileprivate var quantizer: ReferenceQuantizer {
    let clip: Quantizer.Clip
    switch word("clip") {
    case "quantile": clip = .quantile(number("q"))
    case "sdclip": clip = .sdclip(number("k"))
    default: clip = .max
    }
    return ReferenceQuantizer(
      Quantizer(
        bits: Int(number("bits")), clip: clip, floor: number("floor"),
        halfFloor: number("half_floor", else: 0),
        isAsymmetric: number("qmin") != -number("qmax"),
        codesFromUnrounded: word("codes_from") == "full"))
  }
}

/// Steps of one update op with the states it keeps between them.
struct Update {
  private let interpreter: Interpreter
  private let scalars: [String]
  private var contents: [String: [Double]]

  var weights: [Double] { contents["w"] ?? [] }

  /// States start at 0.
  init(
    _ op: Op, _ initial: Fixture.Tensor, _ attributes: [AttributeName: AttributeValue]
  ) throws {
    let type = TensorType.tensor(initial.sizes)
    let names = op.definition.operands
    let states = op.definition.results
    contents = ["w": initial.values]
    var builder = Builder(name: "update")
    let declared = states.map { state in
      builder.declare(
        Parameter(
          role: state == "w" ? .param : .state, path: state, type: type, group: "", initial: .zeros)
      )
    }
    for state in states.dropFirst() {
      contents[state] = [Double](repeating: 0, count: initial.values.count)
    }
    let operands = names.map { name in
      if let index = op.definition.results.firstIndex(of: name) { return declared[index] }
      return builder.input(name, name == "g" ? type : .scalar)
    }
    let results = try builder.apply(op, operands, attributes)
    for (target, result) in zip(declared, results) { builder.write(target, result) }
    interpreter = Interpreter(builder.graph)
    scalars = names.filter { $0 != "g" && !op.definition.results.contains($0) }
  }

  /// One step; `values` are the scalar operands in their order.
  mutating func step(_ gradient: [Double], _ values: [Double]) throws {
    var inputs: [String: Interpreter.Content] = ["g": .reals(gradient)]
    for (name, value) in zip(scalars, values) { inputs[name] = .reals([value]) }
    contents = try interpreter.run(parameters: contents, inputs: inputs).writes
  }
}
