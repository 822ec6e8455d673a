// SPDX-License-Identifier: Apache-2.0
// The stable codes of the surface language and of texts that graphc writes, and the list of all codes.

import IR

extension DiagnosticCode {
  // Lexer and parser.
  public static let unexpectedCharacter = DiagnosticCode(
    "E0101", "A character that begins no token.")
  public static let malformedNumber = DiagnosticCode(
    "E0102", "Numbers have a digit on both sides of the point: 16_000_000, 0.5, 1e-4.")
  public static let unterminatedString = DiagnosticCode(
    "E0103", "A string begins and ends on one line.")
  public static let unclosedDelimiter = DiagnosticCode(
    "E0104", "Every ( [ { needs its closing partner.")
  public static let unexpectedToken = DiagnosticCode(
    "E0105", "The grammar has no such continuation. A statement ends with its line.")
  public static let pipeNeedsCall = DiagnosticCode(
    "E0106", "After |> stands a call and nothing else: a |> f(b) is f(a, b).")
  public static let reservedWord = DiagnosticCode(
    "E0107", "Reserved words cannot be used as names.")
  public static let tooDeep = DiagnosticCode(
    "E0108", "An expression or body is nested more deeply than the compiler reads.")

  // Names, constants and types.
  public static let unknownName = DiagnosticCode(
    "E0201", "A name must be declared in this scope or one around it. Blocks see constants only.")
  public static let alreadyDeclared = DiagnosticCode(
    "E0202", "A name declared here or in an enclosing scope may not be declared again.")
  public static let notAssignable = DiagnosticCode(
    "E0203", "Consts, options, params, parts and loop names keep their value.")
  public static let shapeMismatch = DiagnosticCode(
    "E0204",
    "The op does not take these shapes or numbers. Shapes align at the right; only 1 stretches.")
  public static let notWhole = DiagnosticCode(
    "E0205", "Sizes, indices and counts are whole numbers. / divides exactly, // rounds down.")
  public static let badArithmetic = DiagnosticCode(
    "E0206", "The operation has no result for these constants.")
  public static let includeFailed = DiagnosticCode(
    "E0207", "An included file cannot be read, or includes itself.")
  public static let needsMissing = DiagnosticCode(
    "E0208", "A library's needs are consts that the including file declares above the include.")
  public static let outOfScope = DiagnosticCode(
    "E0209", "A name first assigned in a for loop ends with the iteration.")
  public static let notConstant = DiagnosticCode(
    "E0210", "if, for, sizes, indices and attributes are decided before the run, from constants.")
  public static let unknownCall = DiagnosticCode(
    "E0212", "A name before ( is a part in scope, an op or a function of constants.")
  public static let wrongArguments = DiagnosticCode(
    "E0213", "The call's arguments do not match the definition's.")
  public static let unread = DiagnosticCode(
    "E0214", "A const, option, part or param that nobody reads is a mistake or dead weight.")
  public static let badIndex = DiagnosticCode(
    "E0215", "An index outside of the list, family or axis, or an entry assigned twice.")
  public static let badOverride = DiagnosticCode(
    "E0216", "--set names a const of the file and gives it a constant.")

  // Declarations.
  public static let incompleteParam = DiagnosticCode(
    "E0301", "Params of rank 0 and 1 state their init and group; rank 2 and up have defaults.")
  public static let badInit = DiagnosticCode("E0302", "No such init, or not for this shape.")
  public static let badPart = DiagnosticCode(
    "E0303", "A part is an instance of a block, with its options; a block cannot contain itself.")
  public static let misplaced = DiagnosticCode(
    "E0304", "This statement is not allowed here.")
  public static let badVariant = DiagnosticCode(
    "E0307", "A variant replaces consts; all variants have the same params with the same shapes.")
  public static let expectation = DiagnosticCode(
    "E0308", "What the expect section states does not hold.")
  public static let zeroProduct = DiagnosticCode(
    "E0309", "Two factors of one product both start at zero, so neither would ever train.")

  // Sections.
  public static let unknownEntry = DiagnosticCode(
    "E0401", "No such entry in this section; `graphc explain SECTION` lists them.")
  public static let malformedEntry = DiagnosticCode(
    "E0402", "The entry's words or arguments do not follow its pattern.")
  public static let valueRange = DiagnosticCode(
    "E0403", "The value lies outside of what the entry accepts.")
  public static let matchesNothing = DiagnosticCode(
    "E0404", "A pattern, group or size rule that matches no parameter has no effect.")
  public static let neverWins = DiagnosticCode(
    "E0405", "The last matching rule wins; this one is overruled for every parameter it matches.")
  public static let emptyWindow = DiagnosticCode(
    "E0406", "The feature would not be live in any step.")
  public static let misaligned = DiagnosticCode(
    "E0407", "Chunk, window and stride must fit, so that each target is scored exactly once.")
  public static let duplicateEntry = DiagnosticCode(
    "E0408", "The section, entry or name is given twice.")
  public static let missingEntry = DiagnosticCode(
    "E0409", "The section lacks an entry that has no default.")

  // Known limits and warnings.
  public static let notSupported = DiagnosticCode(
    "E0501", "Known to the language, but not compiled by this version.")
  public static let tooLarge = DiagnosticCode(
    "E0502", "The model or a list in it is larger than the compiler accepts.")
  public static let partHidesOp = DiagnosticCode(
    "W0101", "A part has the name of an op; before ( the part is meant.")
  public static let idleWork = DiagnosticCode(
    "W0102", "The entry holds, but part of what it asks for has no effect.")

  // Texts that graphc writes.
  public static let badPlan = DiagnosticCode(
    "E0701", "A plan is the text that graphc compile wrote, whole and for this version.")

  /// All codes, in order.
  public static let all: [DiagnosticCode] =
    (language + [badCore, badPlan, readsTheFuture, readsOtherRows]).sorted {
      $0.rawValue < $1.rawValue
    }

  /// All codes of the surface language, in order.
  public static let language: [DiagnosticCode] = [
    unexpectedCharacter, malformedNumber, unterminatedString, unclosedDelimiter, unexpectedToken,
    pipeNeedsCall, reservedWord, tooDeep,
    unknownName, alreadyDeclared, notAssignable, shapeMismatch, notWhole, badArithmetic,
    includeFailed, needsMissing, outOfScope, notConstant, wrongKind, unknownCall, wrongArguments,
    unread, badIndex, badOverride,
    incompleteParam, badInit, badPart, misplaced, badForward, openSize, badVariant, expectation,
    zeroProduct,
    unknownEntry, malformedEntry, valueRange, matchesNothing, neverWins, emptyWindow, misaligned,
    duplicateEntry, missingEntry,
    notSupported, tooLarge, partHidesOp, idleWork,
  ]
}
