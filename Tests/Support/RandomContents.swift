// SPDX-License-Identifier: Apache-2.0
// Reproducible contents for parameters and inputs, so that no tensor keeps a neutral initial value.

import IR
import Runtime

extension Graph {
  /// Values of all parameters, exact in f32. States are zero.
  package func randomContents(seed: UInt64) -> [String: [Double]] {
    var contents: [String: [Double]] = [:]
    for parameter in parameters {
      let count = parameter.type.count
      guard parameter.role == .param else {
        contents[parameter.path] = [Double](repeating: 0, count: count)
        continue
      }
      var random = TestRandom(seed: parameter.path.utf8.reduce(seed) { $0 &* 31 &+ UInt64($1) })
      let scale = 1.5 / Double(parameter.type.sizes.last ?? 1).squareRoot()
      contents[parameter.path] = (0..<count).map { _ in
        let value = random.awayFromZero()
        return Double(
          Float(
            parameter.type.rank == 2 && parameter.group == "matrix"
              ? scale * value : value))
      }
    }
    return contents
  }

  /// Contents for the inputs of a loss, score or train function; scalars as given.
  package func randomInputs(
    seed: UInt64, vocab: Int, scalars: [String: Double] = [:]
  ) -> [String: Interpreter.Content] {
    var random = TestRandom(seed: seed)
    var inputs: [String: Interpreter.Content] = [:]
    for input in self.inputs {
      let (name, count) = (self.name(input), type(input).count)
      if let number = scalars[name] {
        inputs[name] = .reals([number])
      } else if type(input).isReal {
        inputs[name] = .reals((0..<count).map { _ in Double(Float(1 / Double(count))) })
      } else {
        inputs[name] = .ids((0..<count).map { _ in Int32(random.uniform() * Double(vocab)) })
      }
    }
    return inputs
  }
}
