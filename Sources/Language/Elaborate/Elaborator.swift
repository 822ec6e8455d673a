// SPDX-License-Identifier: Apache-2.0
// The state of elaborating one variant: instances, frames, names, and the forward function as a
// whole. Declarations, statements, expressions and calls are in the files beside this one.

import IR

struct Elaborator {
  let program: Program
  let constants: [String: Constant]
  let initialRules: [InitialRule]
  let log: ReadLog
  var builder = Builder(name: "forward")
  var instances: [Instance] = []
  var frames: [Frame] = []
  var diagnostics: [Diagnostic] = []
  var warnings: [Diagnostic] = []
  /// Params by path, with the value that stands for each.
  var params: [String: Value] = [:]
  var paramPlaces: [String: SourceLocation] = [:]
  /// Where forward declares its input.
  var forwardPlace: SourceLocation?
  /// Which rules of `init` won for some param, and which matched one.
  var initialWinners: Set<Int> = []
  var initialMatches: Set<Int> = []
  var statements = 0
  /// Conditions around declarations that failed when the declarations were gathered.
  var badConditions: Set<String> = []
  /// Set when a limit was passed; nothing more is elaborated.
  var isAborted = false
  /// How many expressions and bodies are being evaluated inside each other, over all calls.
  var depth = 0
  /// Where errors were found.
  private var guilty: Set<SourceLocation> = []

  init(program: Program, constants: [Constant], initialRules: [InitialRule], log: ReadLog) {
    self.program = program
    self.constants = Dictionary(
      constants.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    (self.initialRules, self.log) = (initialRules, log)
  }

  // MARK: Places and errors

  /// The innermost call. It is changed in place: a copy would copy its names with every assignment.
  var frame: Frame {
    _read { yield frames[frames.count - 1] }
    _modify { yield &frames[frames.count - 1] }
  }

  func location(_ place: SyntaxPosition) -> SourceLocation {
    var location = program.location(place, in: frame.path)
    location.loops = frame.loops
    location.callers = frame.callers
    return location
  }

  func failure(
    _ code: DiagnosticCode, _ message: String, at place: SyntaxPosition,
    suggestion: String? = nil, notes: [Diagnostic.Note] = []
  ) -> Failure {
    let path = instances[frame.instance].path
    return .diagnostic(
      Diagnostic(
        code, message, at: location(place), notes: notes, suggestion: suggestion,
        part: path.isEmpty ? nil : path))
  }

  /// Keeps an error. With more of them than anybody reads, nothing more is elaborated.
  mutating func report(_ failure: Failure) {
    guard case .diagnostic(let diagnostic) = failure else { return }
    diagnostics.append(diagnostic)
    if let place = diagnostic.location { guilty.insert(place.position) }
    if guilty.count >= Diagnostics.limit || diagnostics.count >= Limits.repeatedErrors {
      isAborted = true
    }
  }

  /// Gives up the whole model: a limit was passed.
  mutating func abort(
    _ message: String, as code: DiagnosticCode = .tooLarge, at place: SyntaxPosition,
    suggestion: String? = nil
  ) -> Failure {
    isAborted = true
    return failure(code, message, at: place, suggestion: suggestion)
  }

  /// Runs `work` one level deeper. What is nested is walked by recursion, across calls too.
  mutating func nested<Result>(
    at place: SyntaxPosition, _ work: (inout Elaborator) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    guard depth < Limits.depth else {
      throw abort(
        "more than \(Limits.depth) calls and operators inside each other", as: .tooDeep, at: place,
        suggestion: "give inner values a name")
    }
    depth += 1
    defer { depth -= 1 }
    return try work(&self)
  }

  /// Turns an error of constants into one at a place.
  func constant<Result>(
    at place: SyntaxPosition, _ operation: () throws(ConstantError) -> Result
  ) throws(Failure) -> Result {
    do throws(ConstantError) {
      return try operation()
    } catch {
      throw failure(error.code, error.message, at: place, suggestion: error.suggestion)
    }
  }

  // MARK: Names

  /// The binding of a name, searched from the innermost scope outwards; consts last.
  func binding(_ name: String) -> Binding? {
    for scope in frame.scopes.reversed() { if let found = scope[name] { return found } }
    if let found = instances[frame.instance].names[name] { return found }
    return nil
  }

  func meaning(of name: String, at place: SyntaxPosition) throws(Failure) -> Meaning {
    if let found = binding(name) {
      if case .unknown = found.meaning { throw .followUp }
      return found.meaning
    }
    if let constant = constants[name], program.sees(name, in: frame.path) {
      log.names.insert(name)
      return .constant(constant.value)
    }
    if let size = frame.sizes[name] { return .size(size) }
    throw unknown(name, at: place)
  }

  private func unknown(_ name: String, at place: SyntaxPosition) -> Failure {
    if let end = frame.ended[name] {
      return failure(
        .outOfScope, "'\(name)' ended with the iteration of the loop it was assigned in", at: place,
        suggestion: "assign it before the loop, or index it: \(name)[i]",
        notes: [.init("it was first assigned here", at: end.position)])
    }
    if constants[name] != nil {
      return failure(
        .unknownName, "the library does not see the const '\(name)'", at: place,
        suggestion: "add it to the library's 'needs'")
    }
    if frame.instance != 0, instances[0].names[name] != nil {
      return failure(
        .unknownName, "'\(name)' is not visible in the block \(frame.what)", at: place,
        suggestion: "blocks see constants only: pass it as an input")
    }
    // Of equal errors at one place the first is printed: only it needs the search for what is near.
    guard !guilty.contains(location(place).position) else {
      return failure(.unknownName, "there is no '\(name)' here", at: place)
    }
    if let hint = Hints.name(name) {
      return failure(.unknownName, "there is no '\(name)' here", at: place, suggestion: hint)
    }
    var names = frame.scopes.flatMap(\.keys) + instances[frame.instance].names.keys
    names += constants.keys.filter { program.sees($0, in: frame.path) }
    names += frame.sizes.keys
    let isSize = name.first?.isUppercase ?? false
    return failure(
      .unknownName, "there is no '\(name)' here", at: place,
      suggestion: suggestion(for: name, among: names.sorted())
        ?? (isSize ? "open sizes are bound by the inputs' types" : nil))
  }

  /// Declares a name, which no enclosing scope may hold.
  mutating func declare(
    _ name: SyntaxName, _ meaning: Meaning, _ kind: Binding.Kind, in instance: Int? = nil
  ) throws(Failure) {
    let place = location(name.position)
    var first = binding(name.text).map { ($0.described, $0.place) }
    if first == nil, let constant = constants[name.text], program.sees(name.text, in: frame.path) {
      first = ("a const", constant.location)
    }
    if let (what, where_) = first {
      throw failure(
        .alreadyDeclared, "'\(name.text)' is already declared", at: name.position,
        notes: [.init("it is \(what) here", at: where_.position)])
    }
    let binding = Binding(meaning: meaning, kind: kind, place: place)
    if let instance {
      instances[instance].names[name.text] = binding
    } else {
      frame.scopes[frame.scopes.count - 1][name.text] = binding
    }
  }

  /// An evaluator of constant expressions in the present frame.
  func evaluator() -> ConstantEvaluator {
    ConstantEvaluator(
      path: frame.path, names: { constantNames().sorted() },
      lookup: { name in
        log.names.insert(name)
        if let found = binding(name), case .constant(let value) = found.meaning { return value }
        return program.sees(name, in: frame.path) ? constants[name]?.value : nil
      })
  }

  /// The names that stand for constants in the present frame.
  private func constantNames() -> [String] {
    let bindings = [instances[frame.instance].names] + frame.scopes
    let bound = bindings.joined().filter {
      if case .constant = $0.value.meaning { true } else { false }
    }
    return bound.map(\.key) + constants.keys.filter { program.sees($0, in: frame.path) }
  }

  // MARK: The whole

  /// Elaborates the declarations at the top of the files, then `forward`.
  mutating func run() {
    let top = SourceLocation(path: program.mainPath, line: 1, column: 1)
    instances.append(Instance(block: "", path: "", place: top))
    instances[0].isCalled = true
    var forward: (inputs: [SyntaxInput], type: SyntaxType, body: SyntaxBody, item: LoadedItem)?
    for loaded in program.items {
      switch loaded.item.kind {
      case .statement(let statement):
        frames.append(
          Frame(path: loaded.path, what: "the model", instance: 0, valuePath: "", callers: []))
        gather(statement, topLevel: true)
        frames.removeLast()
      case .forward(let inputs, let type, let body):
        if let first = forward {
          diagnostics.append(
            Diagnostic(
              .badForward, "a model has one forward",
              at: program.location(loaded.item.position, in: loaded.path),
              notes: [
                .init(
                  "the first one is here",
                  at: program.location(first.item.item.position, in: first.item.path))
              ]))
        } else {
          forward = (inputs, type, body, loaded)
        }
      default: break
      }
      if isAborted { return }
    }
    guard let forward else {
      diagnostics.append(
        Diagnostic(
          .badForward, "the model has no forward", at: top,
          suggestion: "write: forward(ids: tokens[B, T]) -> dist[B, T, vocab] { … }"))
      return
    }
    frames.append(
      Frame(
        path: forward.item.path, what: "forward", instance: 0, valuePath: "", callers: []))
    do throws(Failure) {
      try self.forward(forward.inputs, forward.type, forward.body)
    } catch {
      report(error)
    }
    frames.removeLast()
  }

  private mutating func forward(
    _ inputs: [SyntaxInput], _ type: SyntaxType, _ body: SyntaxBody
  ) throws(Failure) {
    guard inputs.count == 1, let input = inputs.first, input.type?.word?.text == "tokens",
      input.value == nil
    else {
      throw failure(
        .badForward, "forward takes one input, of tokens", at: body.open,
        suggestion: "write: forward(ids: tokens[B, T])")
    }
    var shape: [Dim] = []
    for size in input.type?.shape ?? [] { shape.append(try self.size(size, binding: true)) }
    guard shape.count == 2 else {
      throw failure(
        .badForward, "tokens have two axes, rows and positions: tokens[B, T]",
        at: input.name.position)
    }
    forwardPlace = location(input.name.position)
    let value = builder.input(input.name.text, TensorType(.tokens, shape))
    try declare(input.name, .value(value), .input)
    guard let results = run(body) else {
      if diagnostics.isEmpty {
        throw failure(
          .badForward, "forward does not return", at: body.close,
          suggestion: "end it with: return softmax(logits)")
      }
      return
    }
    guard results.meanings.count == 1 else {
      throw failure(
        .badForward, "forward returns one dist, found \(results.meanings.count) values",
        at: results.place)
    }
    if case .unknown = results.meanings[0] { return }
    guard case .value(let result) = results.meanings[0], builder.type(result).kind == .dist else {
      throw failure(
        .badForward, "forward returns a dist, found \(describe(results.meanings[0]))",
        at: results.place, suggestion: "a dist comes from softmax")
    }
    guard type.word?.text == "dist" else {
      throw failure(.badForward, "forward's type is a dist", at: type.word?.position ?? body.open)
    }
    var declared: [Dim] = []
    for size in type.shape { declared.append(try self.size(size, binding: false)) }
    guard declared == builder.type(result).shape else {
      throw failure(
        .shapeMismatch,
        "forward returns \(builder.type(result)), its type says \(TensorType(.dist, declared))",
        at: results.place)
    }
    builder.output("dist", result)
  }

  /// How a message names what an expression stands for.
  func describe(_ meaning: Meaning) -> String {
    switch meaning {
    case .constant(let value): "the constant \(value.text)"
    case .value(let value): "a value of type \(builder.type(value))"
    case .part(let index): "a part (\(instances[index].block))"
    case .family(let what, let members): "a family of \(members.count) \(what)s"
    case .indexed(let entries): "an indexed name with \(entries.count) entries"
    case .several(let meanings): "\(meanings.count) values"
    case .size(let dim): "the open size \(dim)"
    case .unknown: "an unknown value"
    }
  }
}
