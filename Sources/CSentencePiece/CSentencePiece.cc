// SPDX-License-Identifier: Apache-2.0
// C face of the SentencePiece library. Every function catches what the library may throw.
#include "CSentencePiece.h"

#include <sentencepiece_processor.h>
#include <sentencepiece_trainer.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

struct graphc_sp {
  sentencepiece::SentencePieceProcessor processor;
};

namespace {

void say(graphc_sp_message *message, const char *text) {
  if (message) std::snprintf(message->text, sizeof message->text, "%s", text);
}

// Runs body; an exception becomes the fallback value and a message.
template <typename Result, typename Body>
Result guarded(graphc_sp_message *message, Result fallback, Body body) {
  try {
    return body();
  } catch (const std::exception &error) { say(message, error.what()); } catch (...) {
    say(message, "unknown failure inside the tokenizer library");
  }
  return fallback;
}

// Copies into memory that C callers can free.
template <typename Element> Element *copied(const Element *source, size_t count) {
  auto *memory = static_cast<Element *>(std::malloc(count ? count * sizeof(Element) : 1));
  if (!memory) throw std::bad_alloc();
  if (count) std::memcpy(memory, source, count * sizeof(Element));
  return memory;
}

// Feeds the trainer from a C callback.
class CallbackLines : public sentencepiece::SentenceIterator {
public:
  CallbackLines(graphc_sp_next_line next, void *context) : next_(next), context_(context) {
    Next();
  }
  bool done() const override { return done_; }
  void Next() override {
    const uint8_t *line = nullptr;
    size_t count = 0;
    done_ = next_(context_, &line, &count) == 0;
    if (!done_) value_.assign(reinterpret_cast<const char *>(line), count);
  }
  const std::string &value() const override { return value_; }
  sentencepiece::util::Status status() const override { return sentencepiece::util::Status(); }

private:
  graphc_sp_next_line next_;
  void *context_;
  std::string value_;
  bool done_ = false;
};

} // namespace

graphc_sp *graphc_sp_load(const uint8_t *model, size_t count, graphc_sp_message *message) {
  return guarded<graphc_sp *>(message, nullptr, [&]() -> graphc_sp * {
    auto result = std::make_unique<graphc_sp>();
    const auto status = result->processor.LoadFromSerializedProto(
        absl::string_view(reinterpret_cast<const char *>(model), count));
    if (!status.ok()) {
      say(message, status.ToString().c_str());
      return nullptr;
    }
    return result.release();
  });
}

void graphc_sp_free(graphc_sp *processor) { delete processor; }

int32_t graphc_sp_vocab_size(const graphc_sp *processor) {
  return guarded<int32_t>(nullptr, 0, [&] { return processor->processor.GetPieceSize(); });
}

int32_t graphc_sp_bos_id(const graphc_sp *processor) {
  return guarded<int32_t>(nullptr, -1, [&] { return processor->processor.bos_id(); });
}

int graphc_sp_encode(const graphc_sp *processor, const uint8_t *text, size_t count, int32_t **ids,
                     size_t **boundaries, size_t *id_count, graphc_sp_message *message) {
  return guarded<int>(message, 0, [&] {
    const absl::string_view view(reinterpret_cast<const char *>(text), count);
    std::vector<int> result;
    std::vector<size_t> places;
    sentencepiece::util::Status status;
    if (boundaries) {
      sentencepiece::ImmutableSentencePieceText proto;
      status = processor->processor.Encode(view, proto.mutable_proto());
      for (const auto &piece : proto.pieces()) {
        if (places.empty()) places.push_back(piece.begin());
        result.push_back(static_cast<int>(piece.id()));
        places.push_back(piece.end());
      }
      if (places.empty()) places.push_back(0);
    } else {
      status = processor->processor.Encode(view, &result);
    }
    if (!status.ok()) {
      say(message, status.ToString().c_str());
      return 0;
    }
    static_assert(sizeof(int) == sizeof(int32_t), "ids are copied as 32-bit numbers");
    std::unique_ptr<int32_t, decltype(&std::free)> copy(
        copied<int32_t>(result.data(), result.size()), std::free);
    if (boundaries) *boundaries = copied(places.data(), places.size());
    *ids = copy.release();
    *id_count = result.size();
    return 1;
  });
}

int graphc_sp_train(const char *const *names, const char *const *values, size_t options,
                    graphc_sp_next_line next, void *context, uint8_t **model, size_t *count,
                    graphc_sp_message *message) {
  return guarded<int>(message, 0, [&] {
    std::unordered_map<std::string, std::string> arguments;
    for (size_t i = 0; i < options; ++i) arguments[names[i]] = values[i];
    CallbackLines lines(next, context);
    std::string serialised;
    const auto status = sentencepiece::SentencePieceTrainer::Train(arguments, &lines, &serialised);
    if (!status.ok()) {
      say(message, status.ToString().c_str());
      return 0;
    }
    *model = copied(reinterpret_cast<const uint8_t *>(serialised.data()), serialised.size());
    *count = serialised.size();
    return 1;
  });
}

void graphc_sp_release(void *memory) { std::free(memory); }
