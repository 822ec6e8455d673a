// SPDX-License-Identifier: Apache-2.0
// Verifies the evidence of a run or an evaluation: what its files must agree on.

import Formats
import Glibc
import IR

/// What an audit needs from outside.
public struct AuditInputs {
  /// The data that the run was scored on.
  public var data: DataFolder?
  /// Reads a model's files again, main file first, with the arguments of --preset and --set.
  public var elaborate: Elaborate

  public typealias Elaborate = (
    _ files: [SourceFile], _ preset: String?, _ overrides: [String]
  ) throws -> Model

  public init(
    data: DataFolder?, elaborate: @escaping Elaborate
  ) {
    (self.data, self.elaborate) = (data, elaborate)
  }
}

/// One audit of a directory. Rules that the evidence breaks are a `LegalityError` that names the
/// place, a log that is not what was written is a corrupt `FormatError`; all else is in the report.
///
/// Without data this shows consistency alone: whoever wrote all files could have invented them.
public struct Audit {
  public let directory: String
  /// The log's events in order.
  public let chain: AuditChain
  /// As the log began with it.
  public let manifest: [String: JSONValue]
  /// nil: it is missing.
  public let artifact: Artifact?
  public var report = AuditReport()
  /// What the run's graph declares; nil where its text is missing, and of an evaluation.
  var declared: Model?
  /// Evaluations that could not be scored, by name.
  var leftOut: [String] = []
  /// Bytes of the documents behind all targets, where data was given.
  var originalBytes: Int??

  /// Reads the evidence and checks the log by itself.
  public init(_ directory: String) throws {
    self.directory = directory
    guard access(directory, F_OK) == 0 else {
      throw FormatError(.notFound, file: directory, "there is no such run directory")
    }
    let path = directory + "/audit.jsonl"
    let events = try AuditLog.verify(path)
    chain = try AuditChain(events, path: path)
    report.events = events.count
    report.add(
      .consistent, "hash chain: no line of \(events.count) was changed, removed or moved")
    let manifestPath = directory + "/" + RunManifest.fileName
    let document = try JSONValue.parse(try readFile(manifestPath), file: manifestPath)
    guard let members = document.objectValue, chain.genesis.manifest == SHA256.hex(document.text)
    else { throw chain.violation(1, "\(manifestPath) is not the manifest that the log began with") }
    manifest = members
    let artifactPath = directory + "/" + RunManifest.artifactName
    artifact = access(artifactPath, F_OK) == 0 ? try Artifact.read(artifactPath) : nil
  }

  /// Compares everything with everything else; with data, counts targets and bytes again.
  public mutating func check(_ inputs: AuditInputs) throws {
    try checkManifest()
    try checkGraph(inputs)
    try checkCertificate()
    try checkArtifact()
    try checkEvaluations()
    try checkData(inputs.data)
    try checkResult()
  }

  /// The certificate is the one that the log began with, and the model's.
  private mutating func checkCertificate() throws {
    let path = directory + "/" + RunManifest.certificateName
    let isHere = access(path, F_OK) == 0
    guard let hash = chain.genesis.certificate else {
      guard !isHere else {
        throw chain.violation(1, "the log began without a certificate, but \(path) is here")
      }
      return report.add(.missing, "certificate: the log began without one")
    }
    guard isHere else {
      return report.add(.missing, "certificate: \(RunManifest.certificateName) is not here")
    }
    let document = try JSONValue.parse(try readFile(path), file: path)
    guard SHA256.hex(document.text) == hash else {
      throw chain.violation(1, "\(path) is not the certificate that the log began with")
    }
    // Of an evaluation the artifact is all that there is of the model.
    guard let model = isEvaluation ? artifact?.model : declared else {
      return report.add(.consistent, "certificate: it is the one that the log began with")
    }
    guard try Certificate(of: model).json.text == document.text else {
      throw LegalityError(description: "\(path): the model's certificate is another one")
    }
    report.add(.consistent, "certificate: it is the log's, and what the model's proofs say again")
  }
}
