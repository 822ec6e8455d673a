// SPDX-License-Identifier: Apache-2.0
// Updates and quantisers against numbers that were computed by hand or by a separate float64 script,
// so that these tests stand without the fixtures.

import IR
import Runtime
import TestSupport
import Testing

@Suite struct ReferenceOptimizerTests {
  // MARK: Updates

  @Test func sgdKeepsMomentumAndDecays() throws {
    // m: 1, then 0.5 * 1 + 1 = 1.5 with the gradient 2 at factor 1/2.
    var update = try Update(
      .sgdUpdate, tensor([1], [4]), [.momentum: .double(0.5), .decay: .double(0.5)])
    try update.step([2], [0.5, 0.5])
    #expect(update.weights == [0.75 * 4 - 0.5])
    try update.step([2], [0.5, 0.5])
    #expect(update.weights == [0.75 * 2.5 - 0.75])
  }

  @Test func adamwCorrectsTheBiasOfItsMoments() throws {
    // Expected: float64 script. Factor 0.5.
    let attributes: [AttributeName: AttributeValue] = [
      .beta1: .double(0.9), .beta2: .double(0.99), .epsilon: .double(1e-3), .decay: .double(0.2),
    ]
    var update = try Update(.adamwUpdate, tensor([3], [1, -2, 0.5]), attributes)
    try update.step([0.1, -0.4, 2], [0.1, 0.5, 1])
    let first = [0.8819607843137255, -1.860497512437811, 0.3900999000999001]
    #expect(largestRelativeError(update.weights, first) < 1e-14)
    try update.step([-0.3, 0.2, 1], [0.1, 0.5, 2])
    let second = [0.9132149444922144, -1.7967854863828305, 0.2890712035801741]
    #expect(largestRelativeError(update.weights, second) < 1e-14)
  }

  @Test func muonStepEqualsTheScript() throws {
    // Expected: float64 script, momentum 0.9, rate 0.1; the second step meets a momentum of 1/8.
    let weights = (0..<12).map { Double($0) / 8 - 0.5 }
    let gradient = [0.5, -1, 0.25, 2, 1.5, 0.75, -0.5, 0.125, -0.25, 1, 1.25, -0.75]
    let memory = [Double](repeating: 0.125, count: 12)
    let wide = try muon([3, 4], weights, gradient, memory, factor: 0.5, [.decay: .double(0.5)])
    let expectedWide = [
      -0.4954715240326754, -0.32464997558187, -0.2763384248420807, -0.21162428938110214,
      -0.06131202034349377, 0.09026033755041075, 0.2655303686839765, 0.35135732655261454,
      0.48839372825262845, 0.54358090248419, 0.6182534074552899, 0.8434184127372282,
    ]
    #expect(largestRelativeError(wide, expectedWide) < 1e-13)
    let tall = try muon(
      [4, 3], weights, gradient, memory, factor: 1,
      [.iteration: .word("polar_express"), .rowNormalise: .bool(true)])
    let expectedTall = [
      -0.5466150721912298, -0.2868629341893555, -0.25398282901912184, -0.17644854998775422,
      -0.06621586361852654, 0.06500362145643494, 0.3203501287883036, 0.3408911346908447,
      0.5346019494757626, 0.564224432620964, 0.694652292360074, 0.9547896640041125,
    ]
    #expect(largestRelativeError(tall, expectedTall) < 1e-13)
  }

  @Test(arguments: ["standard", "polar_express"])
  func muonMakesSingularValuesAlike(_ iteration: String) throws {
    // H diag(s) with an orthonormal H: the result is H diag(s'), whose columns have the norms s'.
    let hadamard = [
      0.5, 0.5, 0.5, 0.5, 0.5, -0.5, 0.5, -0.5, 0.5, 0.5, -0.5, -0.5, 0.5, -0.5, -0.5, 0.5,
    ]
    let singular = [4, 2, 1, 0.5]
    let gradient = hadamard.enumerated().map { $0.element * singular[$0.offset % 4] }
    let zeros = [Double](repeating: 0, count: 16)
    let attributes: [AttributeName: AttributeValue] = [.iteration: .word(iteration)]
    let w = try muon([4, 4], zeros, gradient, zeros, factor: 1, rate: -1, attributes)
    for left in 0..<4 {
      for right in 0..<4 {
        let product = (0..<4).reduce(0.0) { $0 + w[$1 * 4 + left] * w[$1 * 4 + right] }
        if left == right {
          #expect((0.68...1.2).contains(product.squareRoot()))
        } else {
          #expect(abs(product) < 1e-14)
        }
      }
    }
  }

  @Test func clipFactorIsOneBelowTheLimitAndWithoutOne() throws {
    for (limit, factor) in [(0.5, 0.5 / (5 + 1e-6)), (7, 1), (0, 1)] {
      var builder = Builder(name: "clip")
      let gradients = [builder.input("a", .tensor([1])), builder.input("b", .tensor([1]))]
      let results = try builder.apply(.clipFactor, gradients, [.limit: .double(limit)])
      builder.output("factor", results[0])
      builder.output("norm", results[1])
      let result = try Interpreter(builder.graph).run(
        parameters: [:], inputs: ["a": .reals([3]), "b": .reals([-4])])
      #expect(result.reals("norm") == [5])
      #expect(result.reals("factor") == [factor])
    }
  }

  private func muon(
    _ sizes: [Int], _ weights: [Double], _ gradient: [Double], _ memory: [Double], factor: Double,
    rate: Double = 0.1, _ attributes: [AttributeName: AttributeValue]
  ) throws -> [Double] {
    let matrices = [weights, gradient, memory].map { values in
      OpSample.Operand(type: .tensor(sizes), content: .reals(values))
    }
    let scalars = [rate, factor, 0.9, 1].map { value in
      OpSample.Operand(type: .scalar, content: .reals([value]))
    }
    let sample = OpSample(
      op: .muonUpdate, note: "", operands: matrices + scalars, attributes: attributes)
    return try Interpreter(sample.graph()).run(parameters: [:], inputs: sample.inputs).reals("y0")
  }

  private func tensor(_ sizes: [Int], _ values: [Double]) -> Fixture.Tensor {
    Fixture.Tensor(sizes: sizes, values: values)
  }
}

@Suite struct ReferenceQuantizerTests {
  @Test func codesRoundHalfToEvenWithinTheirRange() {
    // The largest code 7 stands for 3.5: the step is 1/2.
    let row = [3.5, -3.5, 0.25, 0.75, -0.25, -1.25, 0.1, 1]
    let symmetric = ReferenceQuantizer(Quantizer(bits: 4, clip: .max)).quantised(row)
    #expect(symmetric.scale == 0.5)
    #expect(symmetric.codes == [7, -7, 0, 2, 0, -2, 0, 2])
    #expect(symmetric.dequantised == [3.5, -3.5, 0, 1, 0, -1, 0, 1])
  }

  @Test func asymmetricRangesUseTheLowestCode() {
    // The 0.5-quantile of the magnitudes is 7, so the step is 1 and the ends are clamped.
    let row = [7.0, -9, 6, -8, 7]
    let quantizer = Quantizer(bits: 4, clip: .quantile(0.5), isAsymmetric: true)
    #expect(ReferenceQuantizer(quantizer).quantised(row).codes == [7, -8, 6, -8, 7])
  }

  @Test func clipsFollowTheirRules() {
    let row = [1.0, -2, 3, -4]
    func clip(_ clip: Quantizer.Clip) -> Double {
      ReferenceQuantizer(Quantizer(bits: 8, clip: clip)).scale(of: row).clip
    }
    #expect(clip(.max) == 4)
    #expect(clip(.quantile(0.5)) == 2.5)
    #expect(abs(clip(.quantile(0.9)) - 3.7) < 1e-14)
    // Mean -1/2, squared distances 9/4, 9/4, 49/4, 49/4: variance 29/3.
    #expect(abs(clip(.sdclip(2)) - 2 * (29.0 / 3).squareRoot()) < 1e-14)
  }

  @Test func floorsAreAppliedBeforeAndAfterTheHalf() {
    let small = [1e-9, -1e-9]
    let floored = ReferenceQuantizer(Quantizer(bits: 6, clip: .max, floor: 1.0 / 31))
    #expect(floored.scale(of: small).stored == 0.032257080078125)
    let half = ReferenceQuantizer(Quantizer(bits: 6, clip: .max, halfFloor: 6.103515625e-05))
    #expect(half.scale(of: small).stored == 6.103515625e-05)
    let neither = ReferenceQuantizer(Quantizer(bits: 6, clip: .max))
    #expect(neither.quantised(small).scale == 0)
    #expect(neither.quantised(small).codes == [0, 0])
  }

  @Test func unroundedCodesComeFromTheFullStepOfClippedWeights() {
    // The step 1/31 is rounded down to f16, so 15.5 steps are a tie only for the full one.
    let row = [15.5 / 31, 0.9]
    let rounded = Quantizer(bits: 6, clip: .max, floor: 1.0 / 31)
    var unrounded = rounded
    unrounded.codesFromUnrounded = true
    #expect(ReferenceQuantizer(rounded).quantised([14.5 / 31, 0.9]).codes[0] == 15)
    #expect(ReferenceQuantizer(unrounded).quantised([14.5 / 31, 0.9]).codes[0] == 14)
    #expect(ReferenceQuantizer(unrounded).quantised(row).codes[0] == 16)
  }

  @Test func halvesRoundOnceAndToEven() {
    func half(_ value: Double) -> Double { ReferenceQuantizer.roundedToHalf(value) }
    let step = 1.0 / 1024
    #expect(half(1 + step / 2) == 1)
    #expect(half(1 + 3 * step / 2) == 1 + 2 * step)
    // Just above a tie: a first rounding to f32 would lose what decides.
    #expect(half(1 + step / 2 + 1e-12) == 1 + step)
    #expect(half(65519) == 65504)
    #expect(half(65520) == .infinity)
    #expect(half(0x1p-24) == 0x1p-24)
    #expect(half(0x1p-25) == 0)
    #expect(half(0x1.8p-25) == 0x1p-24)
    #expect(half(-0.1) == -0.0999755859375)
  }

  @Test func softRoundsApproachTheIdentityAndTheRounding() {
    for y in [-1.75, -0.6, 0.1, 0.45, 2.2] {
      #expect(abs(SoftRound.exact.value(y, alpha: 1e-4) - y) < 1e-8)
      #expect(abs(SoftRound.exact.value(y, alpha: 1000) - y.rounded()) < 1e-8)
      #expect(abs(SoftRound.logistic.value(y, alpha: 1000) - y.rounded()) < 1e-8)
    }
    #expect(SoftRound.exact.value(3, alpha: 4) == 3)
    #expect(abs(SoftRound.logistic.value(3, alpha: 4) - 3.1192029220221175) < 1e-14)
  }

  @Test func fakeQuantisedWeightsStopMovingWhereClamped() throws {
    // Step 1: codes -7 to 7, and 9 lies beyond.
    let operands = [[1.0, 1], [9, 0.5]].map {
      OpSample.Operand(type: .tensor([1, 2]), content: .reals($0))
    }
    let alpha = OpSample.Operand(type: .scalar, content: .reals([4]))
    let attributes: [AttributeName: AttributeValue] = [
      .bits: .int(4), .clip: .word("quantile"), .parameters: .doubles([0]), .floor: .double(1),
      .form: .word("soft_round"),
    ]
    let backward = OpSample(
      op: .fakeQuantBackward, note: "", operands: operands + [alpha], attributes: attributes)
    let slopes = try Interpreter(backward.graph()).run(parameters: [:], inputs: backward.inputs)
    #expect(slopes.reals("y0")[0] == 0)
    #expect(abs(slopes.reals("y0")[1] - SoftRound.exact.slope(0.5, alpha: 4)) < 1e-14)
    let forward = OpSample(
      op: .fakeQuant, note: "", operands: [operands[1], alpha], attributes: attributes)
    let values = try Interpreter(forward.graph()).run(parameters: [:], inputs: forward.inputs)
    #expect(values.reals("y0") == [7, 0.5])
  }
}
