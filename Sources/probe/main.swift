import Formats
import Foundation
let arguments = CommandLine.arguments
func seconds(_ name: String, _ body: () throws -> Void) rethrows {
  let start = Date(); try body(); print(name, String(format: "%.3f s", Date().timeIntervalSince(start)))
}
do {
  switch arguments[1] {
  case "prepare":
    let out = NSTemporaryDirectory() + "probe-" + UUID().uuidString
    defer { try? FileManager.default.removeItem(atPath: out) }
    try seconds("prepare") {
      let m = try DataFolder.prepare(texts: Array(arguments[3...]), vocab: Int(arguments[2])!, out: out) { print($0) }
      print(m.tokenizer, m.inputs, m.duplicates, "bytes/token", Double(m.train.bytes)/Double(m.train.tokens), m.validation.tokens)
    }
    let data = try DataFolder.open(out)
    try seconds("inspect") { _ = try data.inspect() }
    let text = try data.validationText().bytes
    try seconds("ordinary") { print(text.count, ordinaryCompressors(text)) }
    print(try SHA256.hex(data.validation().contentHash()), try SHA256.hex(data.train().contentHash()))
    try FileManager.default.removeItem(atPath: out + "/manifest.json")
    try seconds("bare disjoint") { print(try DataFolder.open(out).verifyDisjoint()) }
  case "flip":
    let model = try readFile(arguments[2])
    var generator = SystemRandomNumberGenerator()
    var accepted = 0, rejected = 0
    let text = Array("ﬁne ½ of ＡＢＣ  é 12345 \t日本語 The End.🧿 x₂ ™ e\u{301}".utf8)
    let end = Int(arguments[3])!
    for _ in 0..<Int(arguments[4])! {
      var flipped = model
      let position = Int.random(in: (model.count - end)..<model.count, using: &generator)
      flipped[position] ^= 1 << UInt8.random(in: 0..<8)
      do {
        let t = try Tokenizer(model: flipped)
        _ = t.decode(try t.encodeDocument(text)); accepted += 1
      } catch { rejected += 1 }
    }
    print(accepted, rejected)
  default: break
  }
} catch { print("error: \(error)") }
