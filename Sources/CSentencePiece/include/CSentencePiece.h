// SPDX-License-Identifier: Apache-2.0
// C face of the SentencePiece library: load, encode, train. No C++ type and no exception crosses it.
#ifndef GRAPHC_CSENTENCEPIECE_H
#define GRAPHC_CSENTENCEPIECE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// A loaded tokenizer model. Encoding does not change it, so threads may share one.
typedef struct graphc_sp graphc_sp;

/// Receives the reason of a failure, cut to its size and closed with a zero.
typedef struct {
  char text[512];
} graphc_sp_message;

/// Loads a serialised model; NULL on failure.
graphc_sp *graphc_sp_load(const uint8_t *model, size_t count, graphc_sp_message *message);

/// Frees what graphc_sp_load returned.
void graphc_sp_free(graphc_sp *processor);

/// Pieces in the vocabulary.
int32_t graphc_sp_vocab_size(const graphc_sp *processor);

/// Id of the begin-of-document piece, or -1.
int32_t graphc_sp_bos_id(const graphc_sp *processor);

/// Encodes UTF-8 text. On success returns 1 and arrays to be freed with graphc_sp_release.
///
/// boundaries may be NULL, which is faster. Else it becomes id_count + 1 byte offsets in the text:
/// token i stands for the bytes from boundary i to boundary i + 1. What normalisation drops at either
/// end lies outside of all; the bytes of a character in several byte pieces belong to its last one.
int graphc_sp_encode(const graphc_sp *processor, const uint8_t *text, size_t count, int32_t **ids,
                     size_t **boundaries, size_t *id_count, graphc_sp_message *message);

/// Gives the next training line: returns 1 and the line, or 0 at the end. The line must stay
/// readable until the next call.
typedef int (*graphc_sp_next_line)(void *context, const uint8_t **line, size_t *count);

/// Trains a model from lines with the library's options given as names and values. On success
/// returns 1 and the serialised model, to be freed with graphc_sp_release.
int graphc_sp_train(const char *const *names, const char *const *values, size_t options,
                    graphc_sp_next_line next, void *context, uint8_t **model, size_t *count,
                    graphc_sp_message *message);

/// Frees an array handed out by this header.
void graphc_sp_release(void *memory);

#ifdef __cplusplus
}
#endif

#endif
