// SPDX-License-Identifier: Apache-2.0
// A model: its forward graphs and the settings of its sections. How it is written is the matter of
// Language.

/// The model with the consts of one variant.
public struct Variant: Hashable, Sendable {
  /// Values that training copies before the first step of a variant: from the params that one glob matches
  /// to those that the other does, in the order of the model.
  public struct Copy: Hashable, Sendable {
    public var source: Glob
    public var target: Glob

    public init(source: Glob, target: Glob) { (self.source, self.target) = (source, target) }
  }

  /// Empty for the file as it stands.
  public var name: String
  /// When the variant replaces the one before it; nil for the base.
  public var start: ScheduleStart?
  /// The tokens of a forward pass in training; nil: as the train section reads them.
  public var sizes: TokenSizes?
  /// Steps in which the learning rate rises from 0 when the variant begins.
  public var warmup = 0
  public var copies: [Copy] = []
  public var graph: Graph

  public init(name: String, start: ScheduleStart?, graph: Graph) {
    (self.name, self.start, self.graph) = (name, start, graph)
  }
}

/// Sizes of the tokens that a function takes, [rows, seq].
public struct TokenSizes: Hashable, Sendable {
  public var rows: Int
  public var seq: Int

  public init(rows: Int, seq: Int) { (self.rows, self.seq) = (rows, seq) }

  /// Tokens, or the largest number if that has no room for them.
  public var count: Int {
    let (count, overflow) = rows.multipliedReportingOverflow(by: seq)
    return overflow ? .max : count
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

  /// The tokens of a forward pass of `train` in a variant.
  public func sizes(of variant: Variant, _ train: TrainSettings) -> TokenSizes {
    variant.sizes ?? TokenSizes(rows: train.rows, seq: train.seq)
  }

  /// The longest rows that training reads. Data are read in these, and cut where a variant's are shorter.
  public func longestSizes(_ train: TrainSettings) -> TokenSizes {
    variants.map { sizes(of: $0, train) }.max { $0.seq < $1.seq }!
  }

  /// The first variant whose rows do not go together with the others': a batch keeps its tokens, and rows
  /// are whole parts of the longest ones, so that a switch leaves no token out.
  public func sizesError(
    _ train: TrainSettings
  ) -> (variant: Variant, message: String, suggestion: String)? {
    let usual = TokenSizes(rows: train.rows, seq: train.seq)
    let longest = longestSizes(train).seq
    for variant in variants {
      let sizes = sizes(of: variant, train)
      let what = "the variant '\(variant.name)' reads \(sizes.rows) rows of \(sizes.seq)"
      if sizes.count != usual.count {
        return (
          variant, "\(what), \(sizes.count) tokens; without it \(usual.count) are read",
          usual.count % sizes.seq == 0
            ? "a batch keeps its tokens: read \(usual.count / sizes.seq) rows of \(sizes.seq)"
            : "a batch keeps its tokens, and \(sizes.seq) does not divide \(usual.count)"
        )
      }
      if longest % sizes.seq != 0 {
        let who = variant.name.isEmpty ? "training begins with rows of \(sizes.seq)" : what
        return (
          variant, "\(who), which do not divide the longest ones, of \(longest)",
          "every length must divide the longest, or tokens would be left out at the switch"
        )
      }
    }
    return nil
  }

  /// The tokens of a pass over calibration text: windows as evaluations score them, but no longer than
  /// documents commonly are.
  public var calibrationSizes: TokenSizes {
    let windows = settings.evaluate.map(\.window)
    let window = min(windows.max() ?? settings.train.map { longestSizes($0).seq } ?? 1024, 2048)
    return TokenSizes(rows: scoringRows(window: window), seq: window)
  }

  /// The params that a variant copies when it begins, pairwise; params without a partner have none.
  public func copies(of variant: Variant) -> [(source: Parameter, target: Parameter)] {
    variant.copies.flatMap { copy in
      let sources = graph.parameters.filter { copy.source.matches($0.path) }
      return Array(zip(sources, graph.parameters.filter { copy.target.matches($0.path) }))
    }
  }

  /// The stored form of every parameter.
  public var precisionTable: [String: Precision] {
    var table: [String: Precision] = [:]
    for parameter in graph.parameters {
      table[parameter.path] = settings.quantize?.rule(for: parameter)?.precision ?? .f32
    }
    return table
  }
}
