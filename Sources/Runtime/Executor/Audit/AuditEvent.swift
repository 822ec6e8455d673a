// SPDX-License-Identifier: Apache-2.0
// The events of an audit log, written and read by one definition each.

import Formats
import IR

/// One line of an audit log behind the genesis record. Everything that plain checks and a replay
/// need stands in it.
public enum AuditEvent: Sendable, Equatable {
  case artifact(ArtifactEvent)
  case evaluation(EvaluationEvent)
  case begin(AdaptationBegin)
  case adaptFirst(AdaptFirstEvent)
  case score(ScoreEvent)
  case update(UpdateEvent)
  case end(AdaptationEnd)
  case stop(StopEvent)
  case result(ResultEvent)

  var record: any AuditRecord {
    switch self {
    case .artifact(let event): event
    case .evaluation(let event): event
    case .begin(let event): event
    case .adaptFirst(let event): event
    case .score(let event): event
    case .update(let event): event
    case .end(let event): event
    case .stop(let event): event
    case .result(let event): event
    }
  }

  /// The event as the log holds it.
  public var json: [String: JSONValue] { record.members }

  /// What another order of summation does to a member of this key.
  func rounding(of key: String) -> Rounding { type(of: record).rounding(of: key) }

  /// Reads an event. The message says which member is missing, unknown or out of its range.
  public init(json members: [String: JSONValue]) throws(AuditEventError) {
    switch members["event"]?.stringValue {
    case ArtifactEvent.name: self = .artifact(try ArtifactEvent(members: members))
    case EvaluationEvent.name: self = .evaluation(try EvaluationEvent(members: members))
    case AdaptationBegin.name: self = .begin(try AdaptationBegin(members: members))
    case AdaptFirstEvent.name: self = .adaptFirst(try AdaptFirstEvent(members: members))
    case ScoreEvent.name: self = .score(try ScoreEvent(members: members))
    case UpdateEvent.name: self = .update(try UpdateEvent(members: members))
    case AdaptationEnd.name: self = .end(try AdaptationEnd(members: members))
    case StopEvent.name: self = .stop(try StopEvent(members: members))
    case ResultEvent.name: self = .result(try ResultEvent(members: members))
    default:
      throw AuditEventError(message: "unknown event \(members["event"]?.text ?? "without a name")")
    }
  }
}

/// Why a line is no event.
public struct AuditEventError: Error, Sendable {
  public let message: String
}

/// The record that a log begins with: what the run was started with.
public struct AuditGenesis: AuditRecord {
  public static let name = "genesis"
  static let manifestKey = "manifest"

  public var schema = AuditLog.schema
  /// Hash of manifest.json.
  public var manifest = ""
  /// Hash of certificate.json, where there is one.
  public var certificate: String?

  public init() {}

  public init(manifest: String, certificate: String?) {
    (self.manifest, self.certificate) = (manifest, certificate)
  }

  static let fields: [AuditField<Self>] = [
    .text("schema", \.schema), .hash(manifestKey, \.manifest), .hash("certificate", \.certificate),
  ]

  /// The members that a new log is given.
  var about: [String: JSONValue] { members }
}

/// The artifact was written and its bytes are known. Nothing is scored before.
public struct ArtifactEvent: AuditRecord {
  public static let name = "artifact"

  public var bytes = 1
  /// Bytes of code that count against the budget.
  public var codeBytes = 0
  /// Hash of the file.
  public var sha256 = ""

  public init() {}

  public init(bytes: Int, codeBytes: Int, sha256: String) {
    (self.bytes, self.codeBytes, self.sha256) = (bytes, codeBytes, sha256)
  }

  static let fields: [AuditField<Self>] = [
    .whole("bytes", \.bytes, from: 1), .whole("code_bytes", \.codeBytes, from: 0),
    .hash("sha256", \.sha256),
  ]
}

/// One entry of the evaluate section, scored.
public struct EvaluationEvent: AuditRecord {
  public static let name = "evaluation"
  /// Targets of a block: the sums are kept for each, so that a forged total can be located.
  public static let blockTargets = 4096

  /// The entry's name.
  public var entry = ""
  public var window = 1
  /// nil: windows do not overlap.
  public var stride: Int?
  public var on = ScoredWeights.quantized
  /// Hash of the weights.
  public var weights = ""
  /// Targets of the stream. Plain windows leave out a tail that does not fill one.
  public var targets = 1
  /// Targets that were scored, the stream's first.
  public var tokens = 1
  public var bytes = 1
  /// Summed in the order of the stream.
  public var nats = 0.0
  /// The same sum over every `blockTargets` targets.
  public var blocks: [Double] = []

  public init() {}

  static let fields: [AuditField<Self>] = [
    .text("name", \.entry), .whole("window", \.window, from: 1),
    .whole("stride", \.stride, from: 1),
    .choice("on", \.on), .hash("weights", \.weights), .whole("targets", \.targets, from: 1),
    .whole("tokens", \.tokens, from: 1), .whole("bytes", \.bytes, from: 1),
    .nats("nats", \.nats), .nats("blocks", \.blocks),
  ]
}

/// Test-time training begins.
public struct AdaptationBegin: AuditRecord {
  public static let name = "ttt begin"

  public var mode = TTTSettings.Mode.scoreFirst
  /// Targets of a chunk.
  public var chunk = 1
  public var window = 1
  public var stride = 1
  public var epochs = 0
  /// Targets of the stream, all of which will be scored.
  public var targets = 1
  /// Hash of the weights that it begins with.
  public var weights = ""

  public init() {}

  static let fields: [AuditField<Self>] = [
    .choice("protocol", \.mode), .whole("chunk", \.chunk, from: 1),
    .whole("window", \.window, from: 1), .whole("stride", \.stride, from: 1),
    .whole("epochs", \.epochs, from: 0), .whole("targets", \.targets, from: 1),
    .hash("weights", \.weights),
  ]
}

/// Weights were adapted to the whole text before it was scored: what follows is no score.
public struct AdaptFirstEvent: AuditRecord {
  public static let name = "adapt_first"

  /// Hash of the adapted weights.
  public var weights = ""
  public var legal = false

  public init() {}

  static let fields: [AuditField<Self>] = [
    .learntHash("weights", \.weights), .flag("legal", \.legal),
  ]
}

/// A chunk was scored.
public struct ScoreEvent: AuditRecord {
  public static let name = "score"

  public var chunk = 0
  /// The targets first ..< end were scored.
  public var first = 0
  public var end = 0
  public var nats = 0.0
  /// Hash of the weights.
  public var weights = ""

  public init() {}

  static let fields: [AuditField<Self>] = [
    .whole("chunk", \.chunk, from: 0), .whole("first", \.first, from: 0),
    .whole("end", \.end, from: 0), .nats("nats", \.nats),
    .learntHash("weights", \.weights),
  ]
}

/// Weights were changed by a chunk.
public struct UpdateEvent: AuditRecord {
  public static let name = "update"

  public var chunk = 0
  /// Targets first ..< end are those of the chunk.
  public var first = 0
  public var end = 0
  public var epochs = 1
  /// Multiplier of the learning rate.
  public var rate = 1.0
  /// Hashes of the weights.
  public var before = ""
  public var after = ""

  public init() {}

  static let fields: [AuditField<Self>] = [
    .whole("chunk", \.chunk, from: 0), .whole("first", \.first, from: 0),
    .whole("end", \.end, from: 0), .whole("epochs", \.epochs, from: 1),
    .number("rate", \.rate, in: 0...1), .learntHash("before", \.before),
    .learntHash("after", \.after),
  ]
}

/// Test-time training ends.
public struct AdaptationEnd: AuditRecord {
  public static let name = "ttt end"

  public var tokens = 1
  public var bytes = 1
  public var nats = 0.0
  public var legal = true

  public init() {}

  static let fields: [AuditField<Self>] = [
    .whole("tokens", \.tokens, from: 1), .whole("bytes", \.bytes, from: 1), .nats("nats", \.nats),
    .flag("legal", \.legal),
  ]
}

/// The file's limit of seconds ended an evaluation or test-time training; nothing is scored behind it.
public struct StopEvent: AuditRecord {
  public static let name = "stop"

  /// The entry of the evaluate section, or `ttt`.
  public var entry = ""

  public init() {}

  public init(_ entry: String) { self.entry = entry }

  static let fields: [AuditField<Self>] = [.text("name", \.entry)]
}

/// Everything is done: the hash of result.json but for what differs from one run to its repetition,
/// times and places, so that equal runs have equal logs.
public struct ResultEvent: AuditRecord {
  public static let name = "result"
  public static let fileName = "result.json"
  static let unhashedMembers: Set = ["seconds", "tokens_per_second", "path"]

  public var sha256 = ""

  public init() {}

  public init(_ result: JSONValue) { sha256 = SHA256.hex(Self.repeatable(result).text) }

  private static func repeatable(_ value: JSONValue) -> JSONValue {
    switch value {
    case .array(let values): .array(values.map(repeatable))
    case .object(let members):
      .object(members.filter { !unhashedMembers.contains($0.key) }.mapValues(repeatable))
    default: value
    }
  }

  static let fields: [AuditField<Self>] = [.hash("sha256", \.sha256)]
}

/// What hears the events of an evaluation in their order: a log, or a comparison with one.
public protocol AuditSink {
  func append(_ event: AuditEvent) throws
}

extension AuditLog: AuditSink {
  public func append(_ event: AuditEvent) throws(FormatError) { try append(event: event.json) }

  /// Closes the log with the result and writes it into the directory.
  func finish(_ result: JSONValue, in directory: String) throws(FormatError) {
    try append(.result(ResultEvent(result)))
    try AtomicFile.write(directory + "/" + ResultEvent.fileName, result.prettyText + "\n")
  }
}
