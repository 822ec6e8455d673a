// SPDX-License-Identifier: Apache-2.0
// Where tests find their data, and how they compile a file of the repository.

import Foundation
import IR
import Language
import Passes

/// The folders of the repository, from this file's place in it.
package enum Repository {
  package static let root = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

  package static func text(_ path: String) throws -> String {
    try String(contentsOf: root.appendingPathComponent(path), encoding: .utf8)
  }

  /// Paths of the files with an extension in a folder and below it, relative to the root, sorted.
  package static func files(in folder: String, extension suffix: String = "graph") -> [String] {
    let start = root.appendingPathComponent(folder)
    let files = FileManager.default.enumerator(at: start, includingPropertiesForKeys: nil)
    let paths = (files?.allObjects as? [URL] ?? []).filter { $0.pathExtension == suffix }
    let prefix = root.path + "/"
    return paths.map { String($0.path.dropFirst(prefix.count)) }.sorted()
  }

  /// Strides and chunks in place of those that the sections of a file give.
  package struct Windows: Sendable {
    package var stride: Int
    package var chunk: Int

    package init(stride: Int, chunk: Int) {
      self.stride = stride
      self.chunk = chunk
    }

    /// They fit windows of 17 tokens.
    package static let short = Windows(stride: 1, chunk: 85)
  }

  /// Compiles a file of the repository with overrides of its consts.
  package static func model(
    _ path: String, preset: String? = nil, set: [String: String] = [:], windows: Windows? = nil
  ) throws -> Model {
    var text = try text(path)
    if let windows {
      text = text.replacing(/stride = [0-9_]+/, with: "stride = \(windows.stride)")
        .replacing(/chunk [0-9_]+ tokens/, with: "chunk \(windows.chunk) tokens")
    }
    return try model(SourceFile(path: path, text: text), preset, set)
  }

  /// Elaborates the forward of a file alone, whatever its sections say of other sizes.
  package static func forward(
    _ path: String, preset: String? = nil, set: [String: String]
  ) throws -> Model {
    let overrides = try set.sorted { $0.key < $1.key }.map {
      try ConstantOverride(flag: $0.key, text: $0.value)
    }
    return try elaborate(
      file: try source(path), includes: text,
      choices: Choices(preset: preset, constants: overrides), used: [.initial])
  }

  /// Compiles a text, called `graphs/test.graph`; what it includes lies in the repository.
  package static func model(text: String, set: [String: String] = [:]) throws -> Model {
    try model(SourceFile(path: "graphs/test.graph", text: text), nil, set)
  }

  package static func source(_ path: String) throws -> SourceFile {
    SourceFile(path: path, text: try text(path))
  }

  private static func model(
    _ file: SourceFile, _ preset: String?, _ set: [String: String]
  ) throws -> Model {
    var overrides: [ConstantOverride] = []
    for (name, value) in set.sorted(by: { $0.key < $1.key }) {
      overrides.append(try ConstantOverride(flag: name, text: value))
    }
    return try elaborate(
      file: file, includes: text, choices: Choices(preset: preset, constants: overrides))
  }

  package static func write(_ text: String, to path: String) throws {
    try text.write(to: root.appendingPathComponent(path), atomically: true, encoding: .utf8)
  }
}
