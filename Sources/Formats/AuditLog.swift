// SPDX-License-Identifier: Apache-2.0
// The hash-chained log of an evaluation: changing, removing or moving a line is seen.

/// An append-only log of JSON lines in which every line is bound to the one before.
///
/// A line is a canonical JSON object with the event's members, `prev` and `hash`. `prev` is the
/// hash of the line before (64 zeros in the first), `hash` is the SHA-256 of `prev`, a newline and
/// the canonical line without `hash`. The first line is the genesis record with the log's schema.
public final class AuditLog {
  public static let schema = "graphc-audit/2"
  static let genesisHash = String(repeating: "0", count: 64)

  private let file: AppendFile
  /// Hash of the last line.
  public private(set) var lastHash: String

  /// Starts a new log whose genesis record holds `about`. An existing file is refused.
  public init(
    create path: String, about: [String: JSONValue] = [:]
  ) throws(FormatError) {
    guard !Folder.exists(path) else {
      throw FormatError(
        .usage, file: path, "an audit log is here already; it is never overwritten")
    }
    file = try AppendFile(path)
    lastHash = AuditLog.genesisHash
    var record = about
    record["event"] = "genesis"
    record["schema"] = .string(AuditLog.schema)
    try append(event: record)
  }

  /// Opens a log to append to, cut back to the offset that a checkpoint recorded, if given. What
  /// remains is verified.
  public init(resume path: String, atBytes count: Int? = nil) throws(FormatError) {
    guard Folder.exists(path) else {
      throw FormatError(.notFound, file: path, "there is no audit log to resume")
    }
    let bytes = try readFile(path)
    let kept = count ?? bytes.count
    guard kept <= bytes.count, kept >= 0 else {
      throw FormatError(
        .corrupt, file: path, offset: bytes.count,
        "the log has \(bytes.count) bytes, but \(kept) were recorded; it was cut or replaced")
    }
    lastHash = try AuditLog.check(Array(bytes[..<kept]), file: path).lastHash
    file = try AppendFile(path)
    try file.truncate(to: kept)
  }

  public var path: String { file.path }

  /// Bytes in the file; a checkpoint stores this to resume from.
  public var offset: Int { file.offset }

  /// Appends an event and forces it to disk. Members `prev` and `hash` belong to the log.
  public func append(event: [String: JSONValue]) throws(FormatError) {
    guard event["prev"] == nil, event["hash"] == nil else {
      throw FormatError(.usage, file: path, "an event may not have members named prev or hash")
    }
    var line = event
    line["prev"] = .string(lastHash)
    let hash = AuditLog.hash(line, previous: lastHash)
    line["hash"] = .string(hash)
    try file.append(Array((JSONValue.object(line).text + "\n").utf8))
    try file.sync()
    lastHash = hash
  }

  /// The events of a log in order, genesis first, without `prev` and `hash`. Throws at the first
  /// line that does not follow from the one before.
  public static func verify(_ path: String) throws(FormatError) -> [[String: JSONValue]] {
    try check(try readFile(path), file: path).events
  }

  private static func hash(_ line: [String: JSONValue], previous: String) -> String {
    SHA256.hex(previous + "\n" + JSONValue.object(line).text)
  }

  private static func check(
    _ bytes: [UInt8], file: String
  ) throws(FormatError) -> (events: [[String: JSONValue]], lastHash: String) {
    var events: [[String: JSONValue]] = []
    var previous = genesisHash
    for (number, text) in try JSONLines.lines(of: bytes, file: file) {
      func error(_ message: String) -> FormatError {
        FormatError(
          .corrupt, file: file, field: "line \(number)", offset: text.startIndex, message)
      }
      let value = try JSONValue.parse(Array(text), file: file, base: text.startIndex)
      guard var line = value.objectValue, value.text.utf8.elementsEqual(text) else {
        throw error("not a canonical JSON object; the log was edited")
      }
      guard line["prev"]?.stringValue == previous else {
        throw error("prev is not the hash of the line before; a line was changed or removed")
      }
      guard let claimed = line.removeValue(forKey: "hash")?.stringValue,
        claimed == hash(line, previous: previous)
      else { throw error("hash does not match the line; it was changed") }
      line["prev"] = nil
      if number == 1, line["event"] != "genesis" || line["schema"]?.stringValue != schema {
        throw error("expected the genesis record of \(schema)")
      }
      events.append(line)
      previous = claimed
    }
    guard !events.isEmpty else {
      throw FormatError(.corrupt, file: file, field: "line 1", "the log has no genesis record")
    }
    return (events, previous)
  }
}
