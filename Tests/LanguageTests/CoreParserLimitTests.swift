// SPDX-License-Identifier: Apache-2.0
// Core text and sections with sizes that no compiler should follow end in messages.

import IR
import Language
import TestSupport
import Testing

@Suite struct CoreParserLimitTests {
  private static let core = """
    core 1 "m"

    function forward
    param @table : f32[8, 4] {group=embedding, init=uniform}
    param @gain : f32[4] {group=scalar, init=ones}
    param @spare : f32[4] {group=scalar, init=zeros}
    input %ids : tokens[B, T]
    %x = embed(@table, %ids) : f32[B, T, 4]
    %y = mul(%x, @gain) : f32[B, T, 4]
    %h = split_heads(%y) {heads=2} : f32[B, T, 2, 2]
    %r = rope(%h) {base=10000, dims=2, ramp_factor=1, ramp_from=1, start=0, train=0} : f32[B, T, 2, 2]
    %m = merge_heads(%r) : f32[B, T, 4]
    %z = linear(%m, @table) {compute=f32} : f32[B, T, 8]
    %dist = softmax(%z) : dist[B, T, 8]
    return dist = %dist

    """

  private func message(_ text: String) -> String? {
    do throws(Diagnostics) {
      _ = try Model.parse(path: "m.core", text: text)
      return nil
    } catch {
      return error.all.map(\.message).joined(separator: "; ")
    }
  }

  @Test func theTextItselfIsRead() {
    #expect(message(Self.core) == nil)
  }

  @Test(arguments: [
    ("@spare : f32[4]", "@spare : f32[T]", "params are tensors of known sizes"),
    ("@spare : f32[4]", "@spare : tokens[4]", "params are tensors"),
    ("@gain : f32[4]", "@gain : f32[0]", "size 0 is out of range"),
    ("param @gain", "state @gain", "forward keeps no state"),
    ("start=0", "start=3000000000", "start cannot be 3000000000"),
    ("start=0", "start=2000000000", "start is from 0 to 16777216"),
    ("start=0", "start=-1", "start is from 0 to 16777216"),
    ("base=10000", "base=nan", "expected a number"),
    ("init=ones", "init=constant(inf)", "expected a number"),
  ])
  func sizesThatCannotBeAreRefused(_ old: String, _ new: String, _ expected: String) {
    let text = Self.core.replacing(old, with: new)
    #expect(message(text)?.contains(expected) == true, "\(message(text) ?? "accepted")")
  }

  @Test func variantsOfCoreTextHaveTheParamsOfTheBase() {
    let function = Self.core.split(separator: "\n").dropFirst().joined(separator: "\n")
    let variant = "variant other from 0.5 of training\n" + function
    #expect(message(Self.core + variant + "\n") == nil)
    let changed = variant.replacing("init=ones", with: "init=zeros")
    #expect(message(Self.core + changed + "\n")?.contains("'other'") == true)
  }

  @Test(arguments: ["4294967296", "1_000_000_000", "101", "0"])
  func newtonSchulzStepsHaveABound(_ steps: String) {
    let text = """
      model m
      param table [8, 4]  group embedding
      forward(ids: tokens[B, T]) -> dist[B, T, 8] { return softmax(linear(embed(table, ids), table)) }
      train {
        read 2 rows of 8
        stop at 10 steps
        optimizer default muon(lr: 0.1, newton_schulz: \(steps))
      }
      """
    let error = #expect(throws: Diagnostics.self) { try Repository.model(text: text) }
    #expect(error?.all.map(\.code) == [.valueRange])
    #expect(error?.rendered().contains("from 1 to 100") == true)
  }
}
