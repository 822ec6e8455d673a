// SPDX-License-Identifier: Apache-2.0
// A golden file of one pass: `# pass: TAG OPTIONS`, a function, `# ---`, the function after the pass
// or `# error: MESSAGE`, with `# note:` lines.

import IR
import Passes
import TestSupport

/// One file of Tests/Golden/Passes.
struct PassGolden {
  let path: String
  let pass: Pass
  let tag: String
  private let golden: Golden
  /// What stands below the separator.
  var expected: String { golden.text }

  init(path: String) throws {
    self.path = path
    golden = try Golden(path)
    let header = golden.input.prefix { $0 != "\n" }
    guard header.hasPrefix("# pass: ") else {
      throw Golden.Malformed(description: "\(path) does not begin with '# pass: '")
    }
    let words = header.dropFirst("# pass: ".count).split(separator: " ").map(String.init)
    tag = words[0]
    pass = try Self.pass(words[0], Options(words.dropFirst()), try Self.parse(path, golden.input))
  }

  /// The function above the separator.
  func input() throws -> Graph { try Self.parse(path, golden.input) }

  /// The text below the separator, as it should be.
  func actual() throws -> String {
    do {
      let result = try pass.run(input())
      let violations = result.violations()
      if let first = violations.first { return "# broken: \(first)\n" }
      return result.printed()
    } catch let error as OpError {
      return "# error: \(error.message)\n"
    } catch let error as Diagnostics {
      return error.all.map { diagnostic in
        "# error: \(diagnostic.message)\n"
          + diagnostic.notes.map { "# note: \($0.text)\n" }.joined()
      }.joined()
    }
  }

  func expected(of made: String) throws -> String { try golden.expected(of: made) }

  static func parse(_ path: String, _ text: String) throws -> Graph {
    var parser = CoreParser(path: path, text: text)
    return try parser.function()
  }

  // MARK: Options

  /// Words of the header behind the tag: flags, and NAME=VALUE.
  private struct Options {
    var flags: [String] = []
    var values: [(name: String, value: String)] = []

    init(_ words: some Sequence<String>) {
      for word in words {
        if let equals = word.firstIndex(of: "=") {
          values.append((String(word[..<equals]), String(word[word.index(after: equals)...])))
        } else {
          flags.append(word)
        }
      }
    }

    subscript(_ name: String) -> String? { values.first { $0.name == name }?.value }
    func number(_ name: String) -> Double? { self[name].flatMap(Double.init) }
    var isEmpty: Bool { flags.isEmpty && values.isEmpty }
  }

  private static func pass(_ tag: String, _ options: Options, _ graph: Graph) throws -> Pass {
    guard let plain = Pipeline.all.first(where: { $0.name == tag }) else {
      throw Golden.Malformed(description: "no pass is named \(tag)")
    }
    if options.isEmpty { return plain }
    switch tag {
    case "bind-sizes":
      return .bindSizes(
        Dictionary(uniqueKeysWithValues: options.values.map { ($0.name, Int($0.value)!) }))
    case "assign-precision":
      var table: [String: Precision] = [:]
      for (path, text) in options.values { table[path] = try precision(text) }
      return .assignPrecision(table)
    case "derive-loss": return .deriveLoss(zLoss: options.number("z_loss") ?? 0)
    case "derive-score": return .deriveScore(last: options["last"].flatMap { Int($0) })
    case "choose-compute-precision":
      return .chooseComputePrecision(options.flags[0] == "bf16" ? .bf16 : .f32)
    case "mark-qat": return .markQAT(form: options.flags[0])
    case "differentiate":
      return .differentiate(
        only: options["only"].map { Set($0.split(separator: ",").map(String.init)) })
    case "insert-optimizer": return .insertOptimizer(try optimizer(options, graph))
    default: throw Golden.Malformed(description: "\(tag) takes no options")
    }
  }

  /// `f16`, `int6`, `int6/sdclip/12.85`, `int6/unrounded`.
  private static func precision(_ text: String) throws -> Precision {
    let words = text.split(separator: "/").map(String.init)
    if words[0] == "f16" { return .f16 }
    if words[0] == "f32" { return .f32 }
    guard let bits = Int(words[0].dropFirst(3)) else {
      throw Golden.Malformed(description: "unknown precision \(text)")
    }
    var quantizer = Quantizer(bits: bits, clip: .max)
    if words.count == 3 {
      let number = Double(words[2])!
      quantizer.clip = words[1] == "sdclip" ? .sdclip(number) : .quantile(number)
    }
    quantizer.codesFromUnrounded = words.last == "unrounded"
    return .int(quantizer)
  }

  /// One rule for all parameters, or for those in `only`.
  private static func optimizer(_ options: Options, _ graph: Graph) throws -> OptimizerPlan {
    let rule: OptimizerRule
    let (lr, decay) = (options.number("lr") ?? 0.1, options.number("decay") ?? 0)
    switch options.flags.first {
    case "sgd": rule = .sgd(lr: lr, momentum: 0.9, decay: decay)
    case "adamw": rule = .adamw(lr: lr, decay: decay)
    case "muon": rule = .muon(lr: lr, decay: decay)
    default: throw Golden.Malformed(description: "insert-optimizer takes sgd, adamw or muon")
    }
    let update = ParameterUpdate(rule)
    let only = options["only"]?.split(separator: ",").map(String.init)
    var updates: [String: ParameterUpdate] = [:]
    for parameter in graph.parameters where only?.contains(parameter.path) ?? true {
      updates[parameter.path] = update
    }
    return OptimizerPlan(
      updates: updates, clip: options.number("clip") ?? 0,
      average: options.number("ema").map { .ema($0) } ?? .none)
  }
}
