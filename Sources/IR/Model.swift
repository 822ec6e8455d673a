// SPDX-License-Identifier: Apache-2.0
// A model: its forward graphs and the settings of its sections. How it is written is the matter of
// Language.

/// The model with the consts of one variant.
public struct Variant: Hashable, Sendable {
  /// Empty for the file as it stands.
  public var name: String
  /// When the variant replaces the one before it; nil for the base.
  public var start: ScheduleStart?
  public var graph: Graph

  public init(name: String, start: ScheduleStart?, graph: Graph) {
    (self.name, self.start, self.graph) = (name, start, graph)
  }
}

/// What a source file declares.
public struct Model: Sendable {
  public var name: String
  /// The base first, then in the order of the file. All have the same params.
  public var variants: [Variant]
  public var settings: Settings
  /// In file order; empty if the model was read from core text.
  public var constants: [Constant]
  /// Names of the file's presets, in its order.
  public var presets: [String]
  public var warnings: [Diagnostic]
  /// The texts the model was read from.
  public var sources: [SourceFile]

  public init(
    name: String, variants: [Variant], settings: Settings, constants: [Constant] = [],
    presets: [String] = [], warnings: [Diagnostic] = [], sources: [SourceFile] = []
  ) {
    (self.name, self.variants, self.settings) = (name, variants, settings)
    (self.constants, self.presets) = (constants, presets)
    (self.warnings, self.sources) = (warnings, sources)
  }
}

extension Model {
  /// The variant that is exported and scored: the last one live in training.
  public var scored: Variant { variants[variants.count - 1] }
  /// The graph whose parameters are the model's.
  public var graph: Graph { variants[0].graph }

  /// The stored form of every parameter.
  public var precisionTable: [String: Precision] {
    var table: [String: Precision] = [:]
    for parameter in graph.parameters {
      table[parameter.path] = settings.quantize?.rule(for: parameter)?.precision ?? .f32
    }
    return table
  }
}
