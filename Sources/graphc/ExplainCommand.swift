// SPDX-License-Identifier: Apache-2.0
// graphc explain: the rule behind a code, the entries of a section, or the list of all codes.

import ArgumentParser
import IR
import Language
import Passes

struct ExplainCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "explain",
    abstract: "Explain a code such as E0306, a section's entries, or the precisions of a run.",
    discussion: """
      Without a topic it lists all codes. 'precision' says of each param of a run which rule stored it, what \
      it takes, and what one bit less or more would cost and bring.

      Example: graphc explain E0306
      Example: graphc explain train
      Example: graphc explain precision '*.mlp.proj' --run runs/tiny
      """)

  @Argument(help: "A code that a message ends with, the name of a section, or 'precision'.")
  var topic: String?

  @Argument(help: "With 'precision': which params, such as '*.mlp.proj'. Default: all.")
  var pattern: String?

  @Option(name: .customLong("run"), help: "With 'precision': the run directory.")
  var directory: String?

  @OptionGroup var form: JSONOptions

  mutating func run() throws {
    if topic == PrecisionExplanation.topic {
      guard let directory else {
        throw Failure.usage("'explain precision' needs a run: graphc explain precision --run DIR")
      }
      let explanation = try PrecisionExplanation(run: directory, pattern: pattern)
      return try printOutput(form.json ? explanation.json.text : explanation.text)
    }
    if pattern != nil || directory != nil || form.json {
      throw Failure.usage("only 'graphc explain precision' takes a pattern, --run and --json")
    }
    guard let topic else { return try printOutput(Explanation.allCodes) }
    if let code = DiagnosticCode.all.first(where: { $0.rawValue == topic.uppercased() }) {
      return try printOutput(Explanation.text(of: code))
    }
    if let section = SectionTable.all.first(where: { $0.name == topic.lowercased() }) {
      return try printOutput(Explanation.text(of: section))
    }
    let codes = DiagnosticCode.all.map(\.rawValue)
    let sections = SectionTable.all.map(\.name)
    let hint =
      suggestion(for: topic.lowercased(), among: sections)
      ?? suggestion(for: topic.uppercased(), among: codes)
      ?? "'graphc explain' lists the codes; the sections are \(sections.joined(separator: ", "))"
    throw Failure.usage("there is no code or section '\(topic)'; \(hint)")
  }
}

/// The texts that `graphc explain` prints.
private enum Explanation {
  static var allCodes: String {
    textTable(DiagnosticCode.all.map { [$0.rawValue, $0.explanation] })
  }

  static func text(of code: DiagnosticCode) -> String {
    var text = "\(code.rawValue)  \(code.explanation)"
    guard let example = code.example else { return text }
    let place =
      switch example.place {
      case .file: "a model"
      case .top: "at the top of a model"
      case .forward: "in forward"
      case .train: "in train"
      }
    for (title, lines) in [("wrong", example.wrong), ("right", example.right)] {
      text += "\n\n\(title), \(place):\n"
      text += lines.split(separator: "\n").map { "  " + $0 }.joined(separator: "\n")
    }
    return text
  }

  static func text(of section: SectionTable) -> String {
    var text = section.name
    if !section.kinds.isEmpty { text += " (\(section.kinds.joined(separator: ", ")))" }
    text += ": \(section.meaning)\n"
    for entry in section.entries where entry.limit == nil {
      let standard = entry.defaultText.map { " Default: \($0)." } ?? ""
      text += "\n  \(entry.formText)\n      \(entry.meaning)\(standard)"
    }
    let later = section.entries.filter { $0.limit != nil }.map(\.word)
    if !later.isEmpty { text += "\n\nnot supported yet: \(later.joined(separator: ", "))" }
    return text
  }
}
