// SPDX-License-Identifier: Apache-2.0
// Training a SentencePiece tokenizer that loses nothing: BPE with byte fallback, no normalisation.

import CSentencePiece
import Foundation

extension Tokenizer {
  /// Smallest vocabulary: 4 special pieces, 256 bytes, the newline, and a few characters.
  public static let smallestVocab = 264

  /// Trains a tokenizer on documents. Equal documents and vocabulary give equal bytes.
  ///
  /// Characters seen in fewer than one of a thousand places become byte pieces (coverage 0.999):
  /// with byte fallback they cost a few more tokens and lose nothing, whereas full coverage lets
  /// one page of foreign script fill a small vocabulary, or fail.
  ///
  /// Documents come one at a time from `next`, until it returns nil. With `caseOperators` the tokenizer
  /// learns from their transformed text and has a piece for each of the four operators.
  public static func train(
    vocab: Int, caseOperators: Bool = false, next: @escaping () throws(FormatError) -> [UInt8]?
  ) throws(FormatError) -> Tokenizer {
    guard (smallestVocab...Vocabulary.mostPieces).contains(vocab) else {
      throw FormatError(
        .usage,
        "a vocabulary of \(vocab) is not possible; choose \(smallestVocab) to "
          + "\(Vocabulary.mostPieces) (256 bytes and a few special pieces need room)")
    }
    let lines = TrainingLines { () throws(FormatError) in
      guard let text = try next() else { return nil }
      return caseOperators ? CaseOperators.transform(text) : text
    }
    let options = options(vocab: vocab, caseOperators: caseOperators)
    var model: UnsafeMutablePointer<UInt8>?
    var count = 0
    var message = graphc_sp_message()
    let isDone = withCStrings(options.map(\.0)) { names in
      withCStrings(options.map(\.1)) { values in
        graphc_sp_train(
          names, values, options.count,
          { context, line, count in
            guard let context, let line, let count else { return 0 }
            let lines = Unmanaged<TrainingLines>.fromOpaque(context).takeUnretainedValue()
            return lines.advance(line, count) ? 1 : 0
          },
          Unmanaged.passUnretained(lines).toOpaque(), &model, &count, &message)
      }
    }
    defer { graphc_sp_release(model) }
    if let failure = lines.failure { throw failure }
    guard isDone == 1, let model else {
      throw FormatError(
        .usage,
        "cannot train a tokenizer of \(vocab) ids on \(lines.byteCount) bytes of text: "
          + reason(SentencePieceModel.words(message)))
    }
    return try Tokenizer(model: Array(UnsafeBufferPointer(start: model, count: count)))
  }

  private static func options(vocab: Int, caseOperators: Bool) -> [(String, String)] {
    // The library gives them the first ids behind the special ones.
    let symbols = (caseOperators ? CaseOperators.characters : []) + [[UInt8(ascii: "\n")]]
    return [
      ("model_type", "bpe"), ("vocab_size", String(vocab)), ("byte_fallback", "true"),
      ("normalization_rule_name", "identity"), ("remove_extra_whitespaces", "false"),
      ("add_dummy_prefix", "false"), ("split_digits", "true"),
      (
        "user_defined_symbols",
        symbols.map { String(decoding: $0, as: UTF8.self) }.joined(separator: ",")
      ),
      ("pad_id", "0"), ("bos_id", "1"), ("eos_id", "2"), ("unk_id", "3"),
      ("character_coverage", "0.999"), ("hard_vocab_limit", "true"),
      // Without this the library silently drops lines longer than 4192 bytes.
      ("max_sentence_length", "1073741824"),
      ("num_threads", "1"), ("minloglevel", "3"),
    ]
  }

  /// What the library's message means for the one who chose the vocabulary.
  ///
  /// It reads `Internal: FILE(LINE) [CONDITION] REASON`; two reasons depend on the text.
  private static func reason(_ message: String) -> String {
    let reason = message.range(of: "] ").map { String(message[$0.upperBound...]) } ?? message
    let numbers = reason.split { !$0.isASCII || !$0.isNumber }.compactMap { Int($0) }
    if reason.contains("size too high"), let most = numbers.last {
      return "it supports at most \(most); give more text or choose a smaller vocabulary"
    }
    if reason.contains("required_chars"), numbers.count > 1 {
      return "its frequent characters alone need at least \(numbers[1]) ids; "
        + "choose a larger vocabulary"
    }
    return "\(reason); give more text or choose another vocabulary"
  }

  private static func withCStrings<Result>(
    _ strings: [String], _ body: (UnsafePointer<UnsafePointer<CChar>?>) -> Result
  ) -> Result {
    let copies = strings.map { text in
      let bytes = text.utf8CString
      let copy = UnsafeMutablePointer<CChar>.allocate(capacity: bytes.count)
      copy.initialize(from: Array(bytes), count: bytes.count)
      return copy
    }
    defer { for copy in copies { copy.deallocate() } }
    return body(copies.map { UnsafePointer($0) })
  }
}

/// Cuts documents into the lines that the trainer sees.
///
/// Lines also end at a tab, a zero byte, U+2581 and U+2585: the trainer keeps these for itself and
/// would drop the whole line without a word. In text they are always encoded as bytes.
private final class TrainingLines {
  private let next: () throws(FormatError) -> [UInt8]?
  private var document: [UInt8] = []
  private var offset = 0
  private var line: UnsafeMutableBufferPointer<UInt8>?
  private(set) var failure: FormatError?
  private(set) var byteCount = 0

  init(_ next: @escaping () throws(FormatError) -> [UInt8]?) { self.next = next }

  deinit { line?.deallocate() }

  /// Points to the next line that is not empty; false at the end or after a failure.
  func advance(
    _ address: UnsafeMutablePointer<UnsafePointer<UInt8>?>, _ count: UnsafeMutablePointer<Int>
  ) -> Bool {
    while true {
      guard offset < document.count || loadDocument() else { return false }
      let start = offset
      let end = endOfLine()
      guard end > start else { continue }
      line?.deallocate()
      let copy = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: end - start)
      _ = copy.initialize(from: document[start..<end])
      line = copy
      address.pointee = UnsafePointer(copy.baseAddress)
      count.pointee = copy.count
      byteCount += copy.count
      return true
    }
  }

  private func loadDocument() -> Bool {
    offset = 0
    do {
      while let next = try next() {
        document = next
        if !next.isEmpty { return true }
      }
    } catch {
      failure = error
    }
    document = []
    return false
  }

  /// End of the line that begins at `offset`, which moves behind the separator.
  private func endOfLine() -> Int {
    var index = offset
    while index < document.count {
      let width = separatorWidth(at: index)
      if width > 0 {
        offset = index + width
        return index
      }
      index += 1
    }
    offset = index
    return index
  }

  private func separatorWidth(at index: Int) -> Int {
    switch document[index] {
    case 0x00, 0x09, 0x0a: return 1
    case 0xe2 where index + 2 < document.count && document[index + 1] == 0x96:
      return document[index + 2] == 0x81 || document[index + 2] == 0x85 ? 3 : 0
    default: return 0
    }
  }
}
