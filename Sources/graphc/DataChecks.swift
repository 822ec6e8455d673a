// SPDX-License-Identifier: Apache-2.0
// Checks that model and data fit, shared by run and eval.

import Formats
import IR

/// Model and tokenizer must agree on the vocabulary.
func checkVocabulary(_ model: Model, _ data: DataFolder) throws {
  let graph = model.graph
  guard let vocabulary = graph.type(graph.outputs[0].value).shape.last?.number else { return }
  let tokenizer = data.tokenizer.vocabSize
  if vocabulary != tokenizer {
    throw Failure.usage(
      "the model has a vocabulary of \(vocabulary), the tokenizer of \(data.path) one of \(tokenizer); "
        + "prepare the data with --vocab \(vocabulary) or use --set vocab=\(tokenizer)")
  }
}
