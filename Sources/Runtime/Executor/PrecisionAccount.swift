// SPDX-License-Identifier: Apache-2.0
// Why each param of an artifact is stored as it is, and what a bit less or more would cost and bring.

import Formats
import IR

/// The stored forms of a model's params, beside the forms next to them.
public struct PrecisionAccount: Sendable, Equatable {
  public static let schema = "graphc-precision/1"
  /// The file of a run directory.
  public static let fileName = "precision.json"

  /// One form of a param.
  public struct Form: Sendable, Equatable {
    public var precision: String
    /// Of codes by their entropy, of everything else as it is before compression.
    public var bytes: Int
    /// Increase of the loss as predicted, in nats a token.
    public var damage: Double
  }

  /// One param.
  public struct Entry: Sendable, Equatable {
    public var path: String
    public var shape: String
    /// The target of the rule that won, or `precision auto`; nil where none stores it.
    public var rule: String?
    /// The file and line of that rule.
    public var place: String?
    public var stored: Form
    /// With a bit less; nil where there is no such form.
    public var fewer: Form?
    /// With a bit more; nil where there is no such form.
    public var more: Form?
  }

  /// In the order of the model.
  public var entries: [Entry]
  /// Bits per byte of held-out text for a nat per token; nil before anything was scored.
  public var bitsPerNat: Double?

  /// The account of what was packed. Matrices alone have forms next to theirs.
  init(
    _ model: Model, _ packed: Packing.Packed, _ search: PrecisionSearch,
    _ sensitivities: [String: Double]
  ) throws {
    entries = try model.graph.parameters.map { parameter in
      let precision = packed.precision[parameter.path] ?? .f32
      let rule = model.settings.quantize?.rule(for: parameter)
      let isFree = model.settings.quantize?.isFree(parameter) ?? false
      func form(_ precision: Precision?) throws -> Form? {
        try precision.map {
          try search.form($0, of: parameter, sensitivities[parameter.path] ?? 0)
        }
      }
      var stored = try form(precision)!
      if let tensor = packed.artifact.tensors[parameter.path] {
        stored.bytes = Int(tensor.streams.reduce(0) { $0 + $1.entropyBytes }.rounded())
      }
      return Entry(
        path: parameter.path,
        shape: parameter.type.sizes.map { "\($0)" }.joined(separator: " x "),
        rule: isFree ? "precision auto" : rule?.target.text,
        place: rule?.location.map { "\($0.path):\($0.line)" },
        stored: stored,
        fewer: try form(parameter.type.rank == 2 ? precision.withBitsLess : nil),
        more: try form(parameter.type.rank == 2 ? precision.withBitsMore : nil))
    }
  }
}

extension Precision {
  /// The form with one bit less, the clip being the same; of floats the next smaller form.
  fileprivate var withBitsLess: Precision? {
    switch self {
    case .f32: return .f16
    case .f16: return .int(Quantizer(bits: 8, clip: .max))
    case .fp8: return .int(Quantizer(bits: 7, clip: .max))
    case .int(let quantizer): return quantizer.with(bits: quantizer.bits - 1)
    }
  }

  /// The form with one bit more, the clip being the same; of floats the next larger form.
  fileprivate var withBitsMore: Precision? {
    switch self {
    case .f32: return nil
    case .f16: return .f32
    case .fp8: return .f16
    case .int(let quantizer): return quantizer.with(bits: quantizer.bits + 1) ?? .f16
    }
  }
}

extension Quantizer {
  fileprivate func with(bits: Int) -> Precision? {
    guard Quantizer.allBits.contains(bits) else { return nil }
    var quantizer = self
    quantizer.bits = bits
    return .int(quantizer)
  }
}

extension PrecisionSearch {
  /// A form of a param. Floats count as without damage.
  fileprivate func form(
    _ precision: Precision, of parameter: Parameter, _ sensitivity: Double
  ) throws -> PrecisionAccount.Form {
    guard case .int(let quantizer) = precision else {
      let bytes = precision.form.streams.reduce(0) { $0 + $1.bytes(of: parameter) }
      return .init(precision: "\(precision)", bytes: bytes, damage: 0)
    }
    let form = try forms(of: parameter, [quantizer])[0]
    return .init(
      precision: "\(precision)", bytes: Int(form.bytes.rounded()),
      damage: sensitivity * form.error)
  }
}

// MARK: JSON

extension PrecisionAccount {
  public var json: JSONValue {
    [
      "schema": .string(Self.schema),
      "bits_per_nat": bitsPerNat.map(JSONValue.double) ?? .null,
      "params": .array(entries.map(\.json)),
    ]
  }

  /// Writes the account of a run, whose scores say how many bits per byte a nat per token is.
  func write(_ scores: EvaluationScores, in directory: String) throws {
    var account = self
    let score = scores.counted
    if let score, score.nllPerToken > 0 {
      account.bitsPerNat = score.bitsPerByte / score.nllPerToken
    }
    try AtomicFile.write(directory + "/" + Self.fileName, account.json.prettyText + "\n")
  }

  /// Reads the account of a run. Throws where the run has none, or it is damaged.
  public init(in directory: String) throws(FormatError) {
    let path = directory + "/" + Self.fileName
    guard Folder.exists(path) else {
      throw FormatError(
        .notFound, file: path,
        "the run has stored nothing yet, or an older graphc did it: 'graphc run --resume' writes it"
      )
    }
    let json = try JSONValue.parse(try readFile(path, limit: 1 << 28), file: path)
    guard let entries = json["params"]?.arrayValue?.compactMap(Entry.init(json:)),
      json["schema"]?.stringValue == Self.schema,
      entries.count == json["params"]?.arrayValue?.count
    else {
      throw FormatError(.corrupt, file: path, field: "params", "no account of stored forms")
    }
    (self.entries, bitsPerNat) = (entries, json["bits_per_nat"]?.doubleValue)
  }
}

extension PrecisionAccount.Entry {
  public var json: JSONValue {
    [
      "path": .string(path), "shape": .string(shape),
      "rule": rule.map(JSONValue.string) ?? .null, "place": place.map(JSONValue.string) ?? .null,
      "stored": stored.json, "fewer": fewer?.json ?? .null, "more": more?.json ?? .null,
    ]
  }

  fileprivate init?(json: JSONValue) {
    guard let path = json["path"]?.stringValue, let shape = json["shape"]?.stringValue,
      let stored = PrecisionAccount.Form(json: json["stored"])
    else { return nil }
    (self.path, self.shape, self.stored) = (path, shape, stored)
    (rule, place) = (json["rule"]?.stringValue, json["place"]?.stringValue)
    fewer = PrecisionAccount.Form(json: json["fewer"])
    more = PrecisionAccount.Form(json: json["more"])
  }
}

extension PrecisionAccount.Form {
  fileprivate var json: JSONValue {
    ["precision": .string(precision), "bytes": .int(bytes), "damage": .double(damage)]
  }

  fileprivate init?(json: JSONValue?) {
    guard let precision = json?["precision"]?.stringValue, let bytes = json?["bytes"]?.intValue,
      let damage = json?["damage"]?.doubleValue
    else { return nil }
    (self.precision, self.bytes, self.damage) = (precision, bytes, damage)
  }
}
