// SPDX-License-Identifier: Apache-2.0
// What holds for the definition of every op: documentation, shape rule, text form, a meaning.

import IR
import Runtime
import TestSupport
import Testing

@Suite struct OpDefinitionTests {
  @Test(arguments: Op.allCases)
  func everyOpIsDocumentedAndSampled(_ op: Op) {
    let definition = op.definition
    #expect(!definition.summary.isEmpty)
    #expect(definition.summary.hasSuffix("."))
    #expect(!definition.results.isEmpty)
    #expect(Set(definition.positional).isSubset(of: definition.attributes.keys))
    #expect(!OpSample.samples(of: op).isEmpty)
  }

  @Test(arguments: OpSample.all.filter { $0.op != .fused })
  func shapeRuleRejectsWrongOperandCounts(_ sample: OpSample) throws {
    let definition = sample.op.definition
    let isVariadic = definition.operands.last?.hasSuffix("…") == true
    let required = definition.operands.count { !$0.hasSuffix("?") }
    let most = sample.types + Array(repeating: .scalar, count: definition.operands.count)
    let wrong = [sample.types.prefix(required - 1), most.prefix(definition.operands.count + 1)]
    for types in isVariadic ? [] : wrong.map(Array.init) {
      let error = #expect(throws: OpError.self) {
        try definition.check(sample.op, types, sample.attributes)
      }
      let message = error?.message ?? ""
      #expect(message.hasPrefix(sample.op.rawValue), "\(message)")
      #expect(message.contains("found \(types.count) operands"), "\(message)")
    }
  }

  @Test(arguments: OpSample.all.filter { $0.op != .fused })
  func missingAttributesAreNamed(_ sample: OpSample) throws {
    for (name, kind) in sample.op.definition.attributes where kind.defaultValue == nil {
      var attributes = sample.attributes
      attributes[name] = nil
      var (builder, operands, _) = try sample.built()
      let error = #expect(throws: OpError.self) {
        try builder.apply(sample.op, operands, attributes)
      }
      #expect(error?.message.contains(name.rawValue) == true)
    }
  }

  @Test(arguments: OpSample.all)
  func printedTextReadsBackToTheSameGraph(_ sample: OpSample) throws {
    let graph = try sample.graph()
    #expect(graph.violations().isEmpty)
    let text = graph.printed()
    var parser = CoreParser(path: "sample", text: text)
    let parsed = try parser.function()
    #expect(parsed.printed() == text)
    #expect(parsed == graph)
  }

  @Test(arguments: OpSample.all)
  func interpreterGivesEverySampleFiniteResultsOfItsTypes(_ sample: OpSample) throws {
    let graph = try sample.graph()
    let result = try Interpreter(graph).run(parameters: [:], inputs: sample.inputs)
    for output in graph.outputs {
      if case .index(let bound) = graph.type(output.value).kind {
        guard case .ids(let ids)? = result.outputs[output.name] else {
          Issue.record("\(output.name) holds no identifiers")
          continue
        }
        #expect(ids.count == graph.type(output.value).count)
        #expect(ids.allSatisfy { $0 >= 0 && $0 < bound })
        continue
      }
      let reals = result.reals(output.name)
      #expect(reals.count == graph.type(output.value).count)
      #expect(reals.allSatisfy { $0.isFinite })
    }
  }
}
