// SPDX-License-Identifier: Apache-2.0
// Reference values that were computed elsewhere: Tests/Fixtures.

import Formats
import Foundation
import IR

/// One folder of Tests/Fixtures.
package struct ReferenceFixture {
  package let config: JSONValue
  private let folder: String

  package init(_ name: String) throws {
    folder = Repository.root.appendingPathComponent("Tests/Fixtures/" + name).path
    let text = try String(contentsOfFile: folder + "/config.json", encoding: .utf8)
    config = try JSONValue.parse(text)
  }

  /// Tensors of a file of the folder, or of one named relative to it.
  package func tensors(_ name: String) throws -> [String: TensorBlob] {
    try SafeTensors.read(folder + "/" + name + ".safetensors")
  }

  package func identifiers(_ name: String) throws -> [Int32] {
    try Npy.read(folder + "/" + name + ".npy").int32s()
  }

  package func int(_ path: String...) -> Int { value(path)?.intValue ?? 0 }
  package func double(_ path: String...) -> Double { value(path)?.doubleValue ?? .nan }
  package func tolerance(_ name: String) -> Double {
    value(["tolerance", "float32", name])?.doubleValue ?? .nan
  }

  private func value(_ path: [String]) -> JSONValue? {
    path.reduce(config as JSONValue?) { value, name in value?[name] }
  }
}

extension ReferenceFixture {
  /// The baseline of a model fixture: graphs/tiny.graph at its sizes.
  package func baseline(_ change: (inout Settings) -> Void = { _ in }) throws -> Model {
    var sizes: [String: String] = [:]
    for name in ["vocab", "dim", "layers", "heads", "kv_heads", "hidden"] {
      sizes[name] = "\(int("model", name))"
    }
    sizes["softcap"] = "\(double("model", "head", "softcap", "cap"))"
    sizes["seq"] = "\(int("seq"))"
    sizes["batch"] = "\(int("batch"))"
    var model = try Repository.model(
      "graphs/tiny.graph", set: sizes, windows: Repository.Windows(stride: 1, chunk: 5 * int("seq"))
    )
    model.settings.evaluate = []
    model.settings.ttt = nil
    change(&model.settings)
    return model
  }

  /// Weights of a fixture under the paths of the graph: the names without `.weight`.
  package static func contents(_ tensors: [String: TensorBlob]) throws -> [String: [Double]] {
    var contents: [String: [Double]] = [:]
    for (name, tensor) in tensors { contents[path(name)] = try tensor.doubles() }
    return contents
  }

  package static func path(_ name: String) -> String {
    name.hasSuffix(".weight") ? String(name.dropLast(7)) : name
  }
}
