// SPDX-License-Identifier: Apache-2.0
// Token ids, byte tables and byte counts of published tokenizers against the reference data.

import Formats
import Testing

@Suite struct PieceTableTests {
  @Test func reproducesThePublishedByteAccounting() throws {
    let (folder, models) = (fixture("bytes"), fixture("tokenizers"))
    let config = try JSONValue.parse(try readFile("\(folder)/config.json"))
    let expected = try SafeTensors.read("\(folder)/expected.safetensors")
    for entry in try #require(config["tokenizers"]?.arrayValue) {
      let file = try #require(entry["file"]?.stringValue)
      let name = String(file.dropLast(".model".count))
      let tokenizer = try Tokenizer(path: "\(models)/\(file)")
      let table = ByteTable(tokenizer)
      #expect(tokenizer.vocabSize == entry["vocab"]?.intValue)
      #expect(!tokenizer.isExact)
      let bytePieces = (0..<tokenizer.vocabSize).count { tokenizer.type($0) == .byte }
      #expect(bytePieces == entry["byte_pieces"]?.intValue)

      let hashes = table.sha256
      #expect(hashes.baseBytes == entry["sha256"]?["base_bytes_int16le"]?.stringValue)
      #expect(hashes.leadingSpace == entry["sha256"]?["leading_space_u8"]?.stringValue)
      #expect(hashes.boundary == entry["sha256"]?["boundary_u8"]?.stringValue)
      #expect(try expected["\(name).base_bytes"]?.int32s() == table.baseBytes.map(Int32.init))
      #expect(try expected["\(name).boundary"]?.int32s() == table.boundary.map { $0 ? 1 : 0 })
      #expect(
        try expected["\(name).leading_space"]?.int32s() == table.leadingSpace.map { $0 ? 1 : 0 })

      var stream: [Int32] = []
      var original: [Int] = []
      for document in try #require(entry["documents"]?.arrayValue) {
        let text = try #require(document["text"]?.stringValue)
        if let transformed = document["transformed"]?.stringValue {
          #expect(CaseOperators.transform(Array(text.utf8)) == Array(transformed.utf8))
        }
        let ids = try tokenizer.encodeDocument(Array(text.utf8))
        #expect(ids.first == 1)
        if let listed = document["ids"]?.arrayValue {
          #expect(ids.dropFirst().map(Int.init) == listed.compactMap(\.intValue))
        }
        let decoded = document["decoded"]?.stringValue.map { Array($0.utf8) }
        let isTransformed = tokenizer.hasCaseOperators
        #expect(
          tokenizer.decode(ids) == (isTransformed ? decoded.map(CaseOperators.inverse) : decoded))
        if let listed = document["original_bytes"]?.arrayValue {
          let (again, bytes) = try tokenizer.encodeDocumentWithBytes(Array(text.utf8))
          #expect(again == ids)
          #expect(bytes.map(Int.init) == [0] + listed.compactMap(\.intValue))
          original += bytes.map(Int.init)
        }
        #expect(table.bytes(of: ids.map { UInt16($0) }) == document["bytes"]?.intValue)
        stream += ids
      }
      stream.append(1)
      #expect(try expected["\(name).stream"]?.int32s() == stream)
      #expect(stream.count == entry["stream_tokens"]?.intValue)
      #expect(stream.count - 1 == entry["stream_targets"]?.intValue)
      let targets = zip(stream.dropFirst(), stream).map {
        Int32(table.bytes(target: Int($0), previous: Int($1)))
      }
      #expect(Int(targets.reduce(0, +)) == entry["stream_bytes"]?.intValue)
      #expect(try expected["\(name).target_bytes"]?.int32s() == targets)
      // With case operators the original bytes are others than those of the table.
      let wanted = entry["stream_original_bytes"]?.intValue
      #expect(tokenizer.hasCaseOperators == (wanted != nil))
      #expect(original.reduce(0, +) == wanted ?? 0)
    }
  }
}
