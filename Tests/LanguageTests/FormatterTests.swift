// SPDX-License-Identifier: Apache-2.0
// The formatter keeps meaning and comments, and formatting twice changes nothing.

import Foundation
import IR
import Language
import TestSupport
import Testing

@Suite struct FormatterTests {
  static let files = Repository.files(in: "graphs") + ElaborateTests.files

  @Test(arguments: files)
  func formattingIsStableAndKeepsTheTree(path: String) throws {
    let source = try Repository.source(path)
    guard let tree = try? parseGraph(source) else { return }
    let text = try formatGraph(source)
    let formatted = SourceFile(path: path, text: text)
    var again = try parseGraph(formatted)
    // Comments may move to lines of their own, but none is lost.
    #expect(again.comments.map(\.text).sorted() == tree.comments.map(\.text).sorted())
    again.comments = tree.comments
    #expect(again == tree)
    #expect(try formatGraph(formatted) == text)
    #expect(text.split(separator: "\n").allSatisfy { $0.count <= 100 || $0.contains("#") })
  }

  @Test(arguments: Repository.files(in: "graphs"))
  func modelsAreFormatted(path: String) throws {
    #expect(try formatGraph(Repository.source(path)) == Repository.text(path))
  }

  @Test func layoutIsCanonical() throws {
    let text = """
      # head
      model m;const a=1,b = [1,2 ,3]   # both


      block B(x:[B,T,a],d=0){option s=0.5;if s>0 {x=x*s} else{
      x = x + # why
        d}
      # last
      return x|>f(s, k:-1)[0] }
      train{read a rows of b   # r
      # tail
      }
      for i in 0..<a{}
      """
    let wanted = """
      # head
      model m
      const a = 1, b = [1, 2, 3]  # both

      block B(x: [B, T, a], d = 0) {
        option s = 0.5
        if s > 0 {
          x = x * s
        } else {
          # why
          x = x + d
        }
        # last
        return x |> f(s, k: -1)
      }
      train {
        read a rows of b  # r
        # tail
      }
      for i in 0 ..< a {}

      """
    let source = SourceFile(path: "m", text: text.replacingOccurrences(of: ")[0]", with: ")"))
    #expect(try formatGraph(source) == wanted)
  }

  @Test func longStatementsBreakAfterCommas() throws {
    let names = (0..<20).map { "a_long_name_\($0) = \($0)" }.joined(separator: ", ")
    let text = try formatGraph(SourceFile(path: "m", text: "const \(names)\n"))
    let lines = text.split(separator: "\n")
    #expect(lines.count > 3)
    #expect(lines.allSatisfy { $0.count <= 100 })
    #expect(lines.dropFirst().allSatisfy { $0.hasPrefix("    a_long") })
    #expect(try formatGraph(SourceFile(path: "m", text: text)) == text)
  }
}
