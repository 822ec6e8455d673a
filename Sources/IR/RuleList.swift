// SPDX-License-Identifier: Apache-2.0
// Lists of rules of which the last match wins: optimizers, precisions, factors of rates, what is frozen.

/// A rule that applies to some params.
public protocol TargetedRule {
  var target: Target { get }
  /// As messages name it.
  var targetText: String { get }
  /// Where it stands in the file, if it comes from one.
  var location: SourceLocation? { get }
}

/// What takes no part in comparing, such as the place of a rule in its file.
@propertyWrapper
public struct Uncompared<Value: Sendable>: Hashable, Sendable {
  public var wrappedValue: Value

  public init(wrappedValue: Value) { self.wrappedValue = wrappedValue }

  public static func == (a: Self, b: Self) -> Bool { true }
  public func hash(into hasher: inout Hasher) {}
}

extension TargetedRule {
  public var targetText: String { target.text }

  public func matches(_ parameter: Parameter) -> Bool {
    target.matches(
      path: parameter.path, group: parameter.group, elements: parameter.type.count)
  }
}

extension Array where Element: TargetedRule {
  /// The rule that wins a param: the last that applies to it.
  public func winner(_ parameter: Parameter) -> Element? { last { $0.matches(parameter) } }

  /// The index of the rule that wins each param, by path; params that no rule matches are left out.
  public func winners(_ parameters: [Parameter]) -> [String: Int] {
    var winners: [String: Int] = [:]
    for parameter in parameters {
      winners[parameter.path] = lastIndex { $0.matches(parameter) }
    }
    return winners
  }

  /// Rules that can win no param whatever the model, with a later one that applies wherever they do.
  public var overruled: [(rule: Element, by: Element)] {
    enumerated().compactMap { index, rule in
      self[(index + 1)...].first { $0.target == rule.target || $0.target == .default }
        .map { (rule, $0) }
    }
  }
}
