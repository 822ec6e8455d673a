// SPDX-License-Identifier: Apache-2.0
// What makes a model's scores legal, claim by claim, and how each claim is established.

import Formats
import IR
import Language

/// The twelve invariants of a legal score, I1 to I12, for one model: each with what establishes it.
///
/// It holds no opinion: a claim names the pass or check behind it, and turns into an assumption when
/// that is switched off (`Safeguard`). The same model always has the same certificate.
public struct Certificate: Sendable, Equatable {
  public enum How: String, Sendable {
    /// Nothing else can be written down or called.
    case type
    /// A pass showed it for this model, whatever the weights and the text are.
    case proof
    /// A check that ends the run, or an event that the audit compares.
    case run = "run time"
    /// Nobody here checks it; a reviewer has to look.
    case assumed
  }

  public struct Invariant: Sendable, Equatable {
    public var id: String
    public var how: How
    /// The pass, type or check; for an assumption what to look at.
    public var by: String
    public var claim: String
  }

  public var model: String
  /// SHA-256 of the canonical text of the model, without places in files.
  public var graph: String
  public var invariants: [Invariant]

  /// Proves and lists. Throws the diagnostics of a leak.
  public init(of model: Model) throws {
    self.model = model.name
    graph = SHA256.hex(model.withoutLocations.printed())
    let errors = model.variants.flatMap { $0.graph.causalityErrors() }
    if !errors.isEmpty { throw Diagnostics(errors, sources: model.sources) }
    invariants =
      Certificate.predictions(model) + Certificate.order(model) + Certificate.provenance(model)
  }

  // MARK: Claims

  private static func entry(
    _ id: String, _ how: How, _ safeguard: Safeguard, _ claim: String, otherwise look: String
  ) -> Invariant {
    safeguard.isOn
      ? Invariant(id: id, how: how, by: safeguard.rawValue, claim: claim)
      : Invariant(id: id, how: .assumed, by: look, claim: claim)
  }

  /// I1, I2: what a probability may depend on, and what it is.
  private static func predictions(_ model: Model) -> [Invariant] {
    let count = model.variants.count
    let scope = count > 1 ? " (in each of \(count) variants)" : ""
    return [
      entry(
        "I1", .proof, .causality,
        "the distribution at position t of row r depends on tokens of row r up to t alone\(scope)",
        otherwise: "the ops of forward, and graphc audit --probe"),
      entry(
        "I2", .type, .distribution,
        "what is scored is the softmax over the whole vocabulary of \(model.vocabulary); targets have "
          + "no name in forward", otherwise: "the last op of forward, and graphc audit --sum"),
    ]
  }

  /// I3 to I6: in which order tokens are scored and learnt.
  private static func order(_ model: Model) -> [Invariant] {
    var entries: [Invariant] = []
    switch model.settings.ttt?.mode {
    case nil:
      entries.append(
        Invariant(
          id: "I3", how: .type, by: "section ttt",
          claim: "nothing is learnt at test time: the ttt section is off"))
    case .scoreFirst?:
      entries.append(
        entry(
          "I3", .run, .scoreBeforeUpdate,
          "an update reads tokens that were all scored before; events score and update are in that "
            + "order", otherwise: "Adaptation, and the order of events in audit.jsonl"))
    case .adaptFirst?:
      entries.append(
        Invariant(
          id: "I3", how: .assumed, by: "section ttt adapt_first",
          claim: "does not hold for the adapted score, which is therefore labelled not a score"))
    }
    return entries + [
      entry(
        "I4", .run, .scoreOnce,
        "each target of a pass is scored once and its nll never overwritten",
        otherwise: "Scorer and the windows of each evaluation"),
      entry(
        "I5", .run, .coverage,
        "a pass scores every target of the validation text; plain windows leave out the tail that "
          + "fills none, and the result says how many were scored",
        otherwise: "tokens in result.json against the validation text"),
      entry(
        "I6", .run, .lastChunk,
        "nothing is learnt after the last score, and learning changes a copy of the artifact's weights",
        otherwise: "the last events of audit.jsonl"),
    ]
  }

  /// I7 to I12: which bytes may be read when, and how they are counted.
  private static func provenance(_ model: Model) -> [Invariant] {
    let budget = model.settings.quantize?.budget
    let bytes =
      budget.map {
        entry(
          "I9", .run, .budget,
          "artifact and declared code have at most \($0) bytes, else the run exits with 6",
          otherwise: "the size of artifact.gca")
      }
      ?? Invariant(
        id: "I9", how: .assumed, by: "the size of artifact.gca",
        claim: "artifact and code fit the rules' budget: the file declares none")
    return [
      entry(
        "I7", .run, .readOnlyScorer,
        "before the artifact is sealed, validation text reaches functions that change no parameter: "
          + "it is scored for display, and no decision reads the score",
        otherwise: "the functions that Scorer loads"),
      Invariant(
        id: "I8", how: .type, by: "type Evaluator",
        claim: "evaluation and test-time training hold the validation text and no training data"),
      bytes,
      Invariant(
        id: "I9", how: .assumed, by: "seconds in result.json, on the machine that the rules name",
        claim: "training and evaluation keep to the rules' time"),
      entry(
        "I10", .run, .bytes,
        "the bytes of a score are compared with those of the documents, as far as the data folder "
          + "records them", otherwise: "bytes and bytes_original in result.json"),
      entry(
        "I11", .run, .disjoint,
        "no validation document is a training document: the documents in the shards are hashed",
        otherwise: "the documents of both splits, near duplicates too"),
      entry(
        "I12", .proof, .causality,
        "what stands before a document in its row was scored before it or stands at earlier positions "
          + "of the same row", otherwise: "the ops of forward that reach over a document's begin"),
    ]
  }

  /// The document of `check --legal --json` and of certificate.json.
  public var json: JSONValue {
    [
      "schema": "graphc-certificate/1", "model": .string(model), "graph": .string(graph),
      "invariants": .array(
        invariants.map {
          [
            "id": .string($0.id), "how": .string($0.how.rawValue), "by": .string($0.by),
            "claim": .string($0.claim),
          ]
        }),
    ]
  }
}
