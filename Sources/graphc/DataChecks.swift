// SPDX-License-Identifier: Apache-2.0
// Checks that model and data fit, shared by the commands that read both.

import Formats
import IR

/// Model and tokenizer must agree on the vocabulary. An artifact has its own for good; a graph may
/// have another one by --set, if `isGraph`.
func checkVocabulary(_ model: Model, _ data: DataFolder, isGraph: Bool = false) throws {
  try checkVocabulary(model, data.tokenizer, of: data.path, isGraph: isGraph)
}

/// The same for a tokenizer that was loaded from `path`.
func checkVocabulary(
  _ model: Model, _ tokenizer: Tokenizer, of path: String, isGraph: Bool = false
) throws {
  let graph = model.graph
  guard let vocabulary = graph.type(graph.outputs[0].value).shape.last?.number else { return }
  let size = tokenizer.vocabSize
  if vocabulary != size {
    throw Failure.usage(
      "the model has a vocabulary of \(vocabulary), the tokenizer of \(path) one of \(size); "
        + "prepare the data with --vocab \(vocabulary)"
        + (isGraph ? " or use --set vocab=\(size)" : ", or give the data that it was trained on"))
  }
}
