// SPDX-License-Identifier: Apache-2.0
// The difference of two models, in lines a person would write.

import IR

/// What changes from one model to another. Elaborated models are compared: comments, layout and names of
/// locals do not count.
public struct ModelDifference: Sendable {
  public enum Kind: String, Sendable {
    case parameters, op, variant, section
  }

  /// One line: `+` what only the second has, `-` what only the first has, `~` what is another.
  public struct Change: Hashable, Sendable {
    public let kind: Kind
    public let sign: Character
    public let text: String
  }

  public private(set) var changes: [Change] = []

  /// Nothing is listed where both are equal.
  public init(_ old: Model, _ new: Model) {
    compareParameters(old.graph, new.graph)
    compareVariants(old, new)
    compareOps(old.scored.graph, new.scored.graph)
    compareSections(old.settings, new.settings)
  }

  private mutating func add(_ kind: Kind, _ sign: Character, _ text: String) {
    changes.append(Change(kind: kind, sign: sign, text: text))
  }

  // MARK: Parameters

  private mutating func compareParameters(_ old: Graph, _ new: Graph) {
    let (before, after) = (old.parameterCount, new.parameterCount)
    if before != after {
      let difference = abs(after - before)
      add(
        .parameters, "~",
        "parameters \(before) -> \(after) (\(difference) \(after > before ? "more" : "fewer"))")
    }
    let (first, second) = (old.shownParameters, new.shownParameters)
    for (path, text) in first.ordered where second[path] == nil {
      add(.parameters, "-", "param \(path) \(text)")
    }
    for (path, text) in second.ordered {
      guard let earlier = first[path] else {
        add(.parameters, "+", "param \(path) \(text)")
        continue
      }
      if earlier != text { add(.parameters, "~", "param \(path) \(earlier) -> \(text)") }
    }
  }

  // MARK: Ops

  /// Ops by the part in which they stand, the layers of a family together.
  private mutating func compareOps(_ old: Graph, _ new: Graph) {
    let (first, second) = (old.opsByPlace, new.opsByPlace)
    for sign: Character in ["-", "+"] {
      let (own, other) = sign == "-" ? (first, second) : (second, first)
      for (op, kinds) in own.ordered {
        let earlier = other[op] ?? [:]
        let more = kinds.compactMap { attributes, count in
          count > earlier[attributes, default: 0]
            ? (attributes: attributes, count: count - earlier[attributes, default: 0]) : nil
        }.sorted { $0.attributes < $1.attributes }
        // Layers may each have a number of their own: that is one line, not one for each.
        if more.count > 2 {
          let total = more.reduce(0) { $0 + $1.count }
          add(.op, sign, "\(op.name) in \(op.place), \(total) times with \(more.count) settings")
          continue
        }
        for (attributes, count) in more {
          let text = [op.name, attributes, "in", op.place].filter { !$0.isEmpty }
          add(.op, sign, text.joined(separator: " ") + (count == 1 ? "" : ", \(count) times"))
        }
      }
    }
  }

  // MARK: Variants and sections

  private mutating func compareVariants(_ old: Model, _ new: Model) {
    func shown(_ model: Model) -> [String] {
      model.variants.compactMap { variant in
        variant.start.map {
          (["variant from \($0.text), \(variant.graph.nodes.count) ops"] + variant.entryTexts)
            .joined(separator: ", ")
        }
      }
    }
    compareLines(shown(old), shown(new), .variant, "")
  }

  private mutating func compareSections(_ old: Settings, _ new: Settings) {
    for table in SectionTable.all where table.section != .expect {
      func lines(_ settings: Settings) -> [String] {
        table.entries.flatMap { $0.prints(settings) }.compactMap { $0 }
      }
      let (first, second) = (table.header(old), table.header(new))
      if first != second, let header = second { add(.section, "~", "section \(header)") }
      compareLines(
        first == nil ? [] : lines(old), second == nil ? [] : lines(new), .section,
        table.name + ": ")
    }
  }

  /// Lines that only one has. Two that begin with the same word are one that changed.
  private mutating func compareLines(
    _ old: [String], _ new: [String], _ kind: Kind, _ prefix: String
  ) {
    var removed = old.filter { !new.contains($0) }
    for line in new where !old.contains(line) {
      let place = removed.firstIndex { $0.head == line.head }
      if let place {
        add(kind, "~", "\(prefix)\(removed.remove(at: place)) -> \(line)")
      } else {
        add(kind, "+", prefix + line)
      }
    }
    for line in removed { add(kind, "-", prefix + line) }
  }
}

extension String {
  /// What an entry is about: its first word, and its target if it has one.
  fileprivate var head: Substring {
    let words = split(separator: " ")
    return words.first == "optimizer" && words.count > 1
      ? prefix(words[0].count + 1 + words[1].count) : words.first ?? ""
  }

  /// The path with the numbers of families as stars.
  fileprivate var withoutIndices: String {
    split(separator: ".", omittingEmptySubsequences: false)
      .map { $0.allSatisfy(\.isNumber) ? "*" : $0.prefix { $0 != "'" && $0 != "~" } }
      .joined(separator: ".")
  }
}

/// An op and the part in which it stands.
private struct PlacedOp: Hashable {
  let name: String
  let place: String
}

/// Values by name, in the order in which the names came first.
private struct Ordered<Name: Hashable, Value> {
  private(set) var names: [Name] = []
  private var values: [Name: Value] = [:]

  subscript(_ name: Name) -> Value? {
    get { values[name] }
    set {
      if values[name] == nil { names.append(name) }
      values[name] = newValue
    }
  }

  var ordered: [(Name, Value)] { names.map { ($0, values[$0]!) } }
}

extension Graph {
  /// Params by their paths, those of a family that are alike together, with type, start and number.
  fileprivate var shownParameters: Ordered<String, String> {
    var counts = Ordered<String, [String]>()
    for parameter in parameters {
      let shape = parameter.type.shape.map(\.description).joined(separator: ", ")
      let text = "[\(shape)] \(parameter.group) \(parameter.initial)"
      counts[parameter.path.withoutIndices, default: []].append(text)
    }
    var shown = Ordered<String, String>()
    for (path, texts) in counts.ordered {
      var seen: [String] = []
      for text in texts where !seen.contains(text) { seen.append(text) }
      shown[path] = seen.map { text in
        let count = texts.count { $0 == text }
        return count == 1 ? text : "\(text) x \(count)"
      }.joined(separator: ", ")
    }
    return shown
  }

  /// How often each op stands in each part, by its attributes that are not the default.
  fileprivate var opsByPlace: Ordered<PlacedOp, [String: Int]> {
    var counts = Ordered<PlacedOp, [String: Int]>()
    for node in nodes {
      let place = name(node.result).split(separator: ".").dropLast().joined(separator: ".")
      let op = PlacedOp(
        name: node.op.rawValue, place: place.isEmpty ? "forward" : place.withoutIndices)
      let kinds = node.definition.attributes
      let attributes = node.attributes.filter { $0.value != kinds[$0.key]?.defaultValue }
        .sorted { $0.key < $1.key }.map { "\($0.key.rawValue)=\($0.value)" }
      counts[op, default: [:]][attributes.joined(separator: " "), default: 0] += 1
    }
    return counts
  }
}

extension Ordered {
  fileprivate subscript(_ name: Name, default value: Value) -> Value {
    get { self[name] ?? value }
    set { self[name] = newValue }
  }
}
