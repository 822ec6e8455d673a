// SPDX-License-Identifier: Apache-2.0
// The stored forms that a run chose while it trained.

import Formats
import IR

/// What QAT rounds to from a step on, where the file leaves the forms to the compiler.
struct ChosenPrecision {
  /// Steps that were done when it was chosen.
  let step: Int
  /// Of each free matrix.
  let forms: [(path: String, precision: Precision)]

  init(step: Int, forms: [(path: String, precision: Precision)]) {
    (self.step, self.forms) = (step, forms)
  }

  /// What a checkpoint says of it.
  init(_ saved: JSONValue, in checkpoint: Checkpoint) throws {
    func corrupt(_ what: String) -> FormatError {
      FormatError(.corrupt, file: checkpoint.path, field: "precision", what)
    }
    guard let step = saved["step"]?.intValue, let forms = saved["forms"]?.objectValue else {
      throw corrupt("step or forms is missing")
    }
    self.step = step
    self.forms = try forms.sorted { $0.key < $1.key }.map { path, form in
      guard let text = form.stringValue else { throw corrupt("the form of \(path) is no text") }
      return (path, try Precision(reading: text, path: checkpoint.path))
    }
  }

  var json: JSONValue {
    [
      "step": .int(step),
      "forms": .object(
        Dictionary(uniqueKeysWithValues: forms.map { ($0.path, .string("\($0.precision)")) })),
    ]
  }
}
