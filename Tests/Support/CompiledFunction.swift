// SPDX-License-Identifier: Apache-2.0
// One graph, lowered and loaded, with the calling convention of the interpreter: the same contents
// go into both, so that results can be compared by name.

import IR
import Passes
import Runtime

/// A bound graph as the kernels run it.
package final class CompiledFunction {
  package let executable: Executable

  package init(_ graph: Graph, threads: Int = 1) throws {
    let layout = ParameterLayout(graph.parameters)
    executable = try Executable(
      try lower(graph, layout: layout), parameters: ParameterBlock(layout: layout),
      threads: threads)
  }

  package init(_ function: PlanFunction, layout: ParameterLayout, threads: Int = 1) throws {
    executable = try Executable(
      function, parameters: ParameterBlock(layout: layout), threads: threads)
  }

  private func place(_ path: String) -> UnsafeMutableBufferPointer<Float>? {
    executable.parameters[path] ?? executable.state(path)
  }

  /// Parameters and states by path. Setting ignores paths that the function does not have.
  package var contents: [String: [Double]] {
    get {
      var contents: [String: [Double]] = [:]
      let layout = executable.parameters.layout.entries.map(\.parameter.path)
      for path in layout + executable.function.states.map(\.path) {
        contents[path] = place(path)!.map(Double.init)
      }
      return contents
    }
    set {
      for (path, values) in newValue {
        guard let place = place(path) else { continue }
        precondition(place.count == values.count, path)
        for (index, value) in values.enumerated() { place[index] = Float(value) }
      }
    }
  }

  /// Writes inputs, runs `prepare` and `body`, and returns the outputs.
  @discardableResult
  package func run(
    _ inputs: [String: Interpreter.Content], prepares: Bool = true
  ) -> [String: [Double]] {
    for (name, content) in inputs {
      switch content {
      case .reals(let values):
        let place = executable.input(name)
        precondition(place.count == values.count, name)
        for (index, value) in values.enumerated() { place[index] = Float(value) }
      case .ids(let ids):
        let sizes = executable.function.inputs.first { $0.name == name }?.type.sizes
        let place = executable.tokens(name, sizes ?? [])
        precondition(place.count == ids.count, name)
        for (index, id) in ids.enumerated() { place[index] = id }
      }
    }
    if prepares { executable.prepareParameters() }
    executable.run()
    var outputs: [String: [Double]] = [:]
    for output in executable.function.outputs where output.type.isReal {
      outputs[output.name] = executable.output(output.name).map(Double.init)
    }
    return outputs
  }
}

extension Interpreter.Result {
  /// A real output, empty if there is none.
  package func reals(of name: String) -> [Double] {
    if case .reals(let values)? = outputs[name] { return values }
    return []
  }
}

extension Interpreter.Content {
  /// Reals as the kernels see them: rounded to f32.
  package var rounded: Interpreter.Content {
    if case .reals(let values) = self { return .reals(values.map { Double(Float($0)) }) }
    return self
  }
}
