// SPDX-License-Identifier: Apache-2.0
// Why params are stored as they are: what `graphc explain precision` prints.

import Formats
import IR
import Runtime

/// The account of some params of a run.
struct PrecisionExplanation {
  static let topic = "precision"

  private let account: PrecisionAccount

  /// The params of a run whose paths match the pattern. Throws where none does.
  init(run: String, pattern: String?) throws {
    var account = try PrecisionAccount(in: run)
    if let pattern {
      guard let glob = Glob(pattern) else {
        throw Failure.usage("'\(pattern)' is no pattern of paths; such as '*.mlp.proj'")
      }
      let paths = account.entries.map(\.path)
      account.entries.removeAll { !glob.matches($0.path) }
      guard !account.entries.isEmpty else {
        let hint = suggestion(for: pattern, among: paths).map { "; " + $0 } ?? ""
        throw Failure.usage("no param of \(run) matches '\(pattern)'\(hint)")
      }
    }
    self.account = account
  }

  var json: JSONValue { account.json }

  /// A row a param: its rule and form, and the change of bytes and of bits per byte by a bit.
  var text: String {
    let head = [
      "param", "rule", "stored as", "bytes", "bpb", "less", "bytes", "bpb", "more", "bytes", "bpb",
    ]
    let rows = account.entries.map { entry in
      [entry.path, rule(of: entry), entry.stored.precision, grouped(entry.stored.bytes)]
        + [damage(entry.stored.damage)]
        + [entry.fewer, entry.more].flatMap { change(to: $0, from: entry.stored) }
    }
    return textTable([head] + rows, right: [3, 4, 6, 7, 9, 10]) + "\n\n" + legend
  }

  private var legend: String {
    let unit = account.bitsPerNat == nil ? "nats per token" : "bits per byte of held-out text"
    return
      "bpb: what the form adds to the loss, in \(unit), as predicted from how training text reacts to "
      + "an error of that matrix.\nless, more: the form with one bit less or more, and what it changes. "
      + "Bytes are those before the last coder: codes by their entropy."
  }

  private func rule(of entry: PrecisionAccount.Entry) -> String {
    guard let rule = entry.rule else { return "none" }
    return entry.place.map { "\(rule) (\($0))" } ?? rule
  }

  private func damage(_ nats: Double) -> String { fixed(nats * (account.bitsPerNat ?? 1), 5) }

  private func change(
    to form: PrecisionAccount.Form?, from stored: PrecisionAccount.Form
  ) -> [String] {
    guard let form else { return ["", "", ""] }
    let (bytes, nats) = (form.bytes - stored.bytes, form.damage - stored.damage)
    let name = form.precision.prefix { $0 != " " }
    return [
      String(name), (bytes < 0 ? "-" : "+") + grouped(abs(bytes)),
      (nats < 0 ? "" : "+") + damage(nats),
    ]
  }
}
