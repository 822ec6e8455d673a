// SPDX-License-Identifier: Apache-2.0
// Rules of the repository that can be read off the tree.

import Foundation
import IR
import Language
import Passes
import TestSupport
import Testing

@Suite struct TidyTests {
  @Test(arguments: Pipeline.all.map(\.name))
  func everyPassHasAGolden(_ name: String) {
    let files = Repository.files(in: "Tests/Golden/Passes")
      .compactMap { $0.split(separator: "/").last }
    let wanted = name.replacing("-", with: "") + ".graph"
    #expect(files.contains { $0.lowercased() == wanted })
  }

  @Test func passNamesAreDistinctAndSummarised() {
    let names = Pipeline.all.map(\.name)
    #expect(Set(names).count == names.count)
    for pass in Pipeline.all { #expect(pass.summary.hasSuffix("."), "\(pass.name)") }
  }

  @Test(arguments: Op.allCases)
  func everyOpHasASample(_ op: Op) {
    #expect(OpSample.all.contains { $0.op == op })
  }

  @Test func goldensAreGraphs() throws {
    let folder = Repository.root.appendingPathComponent("Tests/Golden")
    let files = FileManager.default.enumerator(at: folder, includingPropertiesForKeys: nil)
    for case let file as URL in try #require(files) where !file.hasDirectoryPath {
      let isRead = file.pathExtension == "graph" || file.path.contains("/Certificates/")
      #expect(isRead, "no test reads \(file.path)")
    }
  }

  /// A test that returns early because its data is not there passes without having tested anything.
  @Test(arguments: Repository.files(in: "Tests", extension: "swift"))
  func noTestIsSkipped(_ path: String) throws {
    let text = try Repository.text(path)
    // Written in two parts, or this file would be found too.
    for word in ["print(\"" + "skipped", ".disabled" + "(", ".enabled" + "(if"] {
      #expect(!text.contains(word), "\(word)")
    }
  }

  static let models = Repository.files(in: "graphs").filter { !$0.contains("/lib/") }

  @Test(arguments: models)
  func modelsCompile(_ path: String) throws {
    let model = try Repository.model(path)
    #expect(model.warnings.isEmpty)
    var runner = PassRunner()
    let plan = try compile(
      model, target: TargetMachine(machine: "any", isa: "any"), runner: &runner)
    #expect(!plan.functions.isEmpty)
  }

  @Test(arguments: Repository.files(in: "graphs"))
  func modelsAreFormatted(_ path: String) throws {
    let text = try Repository.text(path)
    #expect(try formatGraph(SourceFile(path: path, text: text)) == text)
  }
}
