// SPDX-License-Identifier: Apache-2.0
// What names stand for while a model is elaborated, and the frames of calls that hold them.

import IR

/// What an expression or name stands for.
indirect enum Meaning {
  case constant(ConstantValue)
  case value(Value)
  /// An instance of a block, by its index.
  case part(Int)
  /// Params or parts by the number in their path.
  case family(String, [Int: Meaning])
  /// Entries of an indexed name, `skip[i]`.
  case indexed([Int: Meaning])
  /// Several results of one call.
  case several([Meaning])
  /// An open size.
  case size(Dim)
  /// What an error left behind; reading it is silent.
  case unknown
}

/// A name in a scope.
struct Binding {
  enum Kind: String {
    case local, input, option, param, part
    case loop = "loop name"
  }

  var meaning: Meaning
  let kind: Kind
  let place: SourceLocation

  /// `a param`, `an option`.
  var described: String { (kind == .option || kind == .input ? "an " : "a ") + kind.rawValue }
}

/// An instance of a block: its params, parts and options, made once.
struct Instance {
  let block: String
  let path: String
  /// Declared names: options, params and parts.
  var names: [String: Binding] = [:]
  let place: SourceLocation
  var isCalled = false
  var isRead = false
}

/// One call under way.
struct Frame {
  /// The file of the statements.
  let path: String
  /// The block's name, or "forward".
  let what: String
  let instance: Int
  /// The prefix of value names: the instance's path, with `'2` for a second call.
  let valuePath: String
  /// Where the call stands, innermost first.
  let callers: [CallSite]
  /// The function's scope, then one for each `for` around the statement.
  var scopes: [[String: Binding]] = [[:]]
  /// Names that ended with an iteration.
  var ended: [String: SourceLocation] = [:]
  var loops: [LoopValue] = []
  var sizes: [String: Dim] = [:]
  /// Calls of each part so far in this call.
  var calls: [Int: Int] = [:]
}

/// Why a statement was given up.
enum Failure: Error {
  case diagnostic(Diagnostic)
  /// An operand was already reported.
  case followUp
}

/// A loop of a variant, a family or a list cannot run away with the compiler.
enum Limits {
  static let nodes = 200_000
  static let instances = 20_000
  static let statements = 1_000_000
  static let elements = 1 << 40
  /// Errors, counting those that a loop repeats.
  static let repeatedErrors = 10_000
  /// Calls inside each other, and parts inside each other.
  static let calls = 100
  /// Files that include each other in a row.
  static let includes = 50
  /// Expressions and bodies inside each other, over all calls.
  static let depth = 2000
}
