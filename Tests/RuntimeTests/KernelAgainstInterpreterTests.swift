// SPDX-License-Identifier: Apache-2.0
// Every op alone: lowered, planned and run by the kernels of every route of this machine, compared
// with the interpreter in Float64.

import IR
import Passes
import Runtime
import TestSupport
import Testing

extension RuntimeTests {
  @Suite struct KernelAgainstInterpreterTests {
    static let samples = OpSample.all + OpSample.large

    @Test(arguments: samples.filter { $0.isExecutable })
    func kernelsComputeWhatTheInterpreterDoes(_ sample: OpSample) throws {
      // An update always has a gradient or a rate that is no parameter.
      for readingParameters in sample.isUpdate ? [false] : [false, true] {
        let (graph, contents) = try sample.function(readingParameters: readingParameters)
        #expect(graph.violations() == [])
        let expected = try Interpreter(graph).run(
          parameters: contents.parameters, inputs: contents.inputs)
        try Route.withEach { route in
          let compiled = try CompiledFunction(graph)
          compiled.contents = contents.parameters
          let outputs = compiled.run(contents.inputs)
          for output in graph.outputs where graph.type(output.value).isReal {
            let difference = relativeDifference(
              try #require(outputs[output.name]), expected.reals(of: output.name))
            #expect(difference < sample.tolerance, "\(output.name), \(route)")
          }
          for (path, values) in expected.writes {
            let difference = relativeDifference(try #require(compiled.contents[path]), values)
            #expect(difference < sample.tolerance, "@\(path), \(route)")
          }
        }
      }
    }

    @Test(arguments: samples.filter { !$0.isExecutable })
    func whatHasNoKernelIsRefusedWithAReason(_ sample: OpSample) throws {
      let (graph, _) = try sample.function(readingParameters: false)
      let error = #expect(throws: OpError.self) { try CompiledFunction(graph) }
      let message = error?.message ?? ""
      #expect(
        message.contains("no kernel") || message.contains("derive logits, loss or score"),
        "\(message)")
    }

    /// Threads decide who computes a tile, never what is in it.
    @Test(arguments: OpSample.large)
    func resultsHaveTheSameBitsForAnyNumberOfThreads(_ sample: OpSample) throws {
      let (graph, contents) = try sample.function(readingParameters: false)
      var first: [[String: [Double]]]?
      for threads in 1...3 {
        let compiled = try CompiledFunction(graph, threads: threads)
        compiled.contents = contents.parameters
        let results = [compiled.run(contents.inputs), compiled.contents]
        if let first { #expect(results == first, "\(threads) threads") }
        first = first ?? results
      }
    }
  }
}

extension OpSample {
  var isUpdate: Bool { [.adamwUpdate, .sgdUpdate, .muonUpdate].contains(op) }

  /// False for what graphs may say and no kernel computes.
  var isExecutable: Bool {
    op != .softmax && note != "stretching both" && note != "keeping an axis of 1"
  }

  /// Largest difference over the largest magnitude. Rounding grows with the number of terms; muon
  /// amplifies the error of the norm by its five cubic steps.
  var tolerance: Double { op == .muonUpdate ? 1e-4 : 1e-5 }
}
