// SPDX-License-Identifier: Apache-2.0
// Where the tests find their data, and how they compile a file of the repository.

import Foundation
import IR
import Language

/// The folders of the repository, from this file's place in it.
enum Repository {
  static let root = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

  static func text(_ path: String) throws -> String {
    try String(contentsOf: root.appendingPathComponent(path), encoding: .utf8)
  }

  /// Paths of the `.graph` files in a folder and below it, relative to the root, sorted.
  static func graphs(in folder: String) -> [String] {
    let start = root.appendingPathComponent(folder)
    let files = FileManager.default.enumerator(at: start, includingPropertiesForKeys: nil)
    let paths = (files?.allObjects as? [URL] ?? []).filter { $0.pathExtension == "graph" }
    let prefix = root.path + "/"
    return paths.map { String($0.path.dropFirst(prefix.count)) }.sorted()
  }

  static func source(_ path: String) throws -> SourceFile {
    SourceFile(path: path, text: try text(path))
  }

  /// Compiles a file of the repository with `--set` overrides.
  static func model(_ path: String, set: [String: String] = [:]) throws -> Model {
    var overrides: [ConstantOverride] = []
    for (name, value) in set.sorted(by: { $0.key < $1.key }) {
      overrides.append(try ConstantOverride(flag: name, text: value))
    }
    return try elaborate(file: source(path), includes: text, overrides: overrides)
  }

  /// Compiles a text without includes.
  static func model(text: String, set: [String: String] = [:]) throws -> Model {
    var overrides: [ConstantOverride] = []
    for (name, value) in set.sorted(by: { $0.key < $1.key }) {
      overrides.append(try ConstantOverride(flag: name, text: value))
    }
    return try elaborate(
      file: SourceFile(path: "m.graph", text: text), includes: Self.text, overrides: overrides)
  }
}
