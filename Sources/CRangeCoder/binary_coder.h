// SPDX-License-Identifier: Apache-2.0
// A range coder of binary decisions (Martin 1979) and the adaptive probabilities that it codes by.
//
// One body encodes, decodes and counts: `mode` is a constant where it is called, so that each is
// compiled for itself and none can differ from the others.
#pragma once
#include <stdint.h>

enum coder_mode { ENCODE, DECODE, COUNT };

/// The interval is [low, low + range) while encoding; decoding keeps `value`, the stream minus low.
/// 2^32 <= range < 2^64 before each decision, so that 16 bits of probability lose nothing.
typedef struct {
  uint64_t range, low, value;
  /// Bits that the interval was shifted by.
  int64_t shifted;
  uint8_t *out, *out_start, *out_end;
  /// Bytes from `in_end` on are read as zeros; `missing` counts them.
  const uint8_t *in, *in_end;
  int64_t missing;
  int is_full;
} binary_coder;

/// An adaptive probability that a decision is 1: 22 bits of it, and 10 that count decisions.
typedef uint32_t adaptive_bit;

enum {
  COUNT_LIMIT = 1000, // decisions after which old ones are forgotten
  FIRST_COUNT = 12,   // decisions that a first guess is worth
  EVEN = 1u << 31,    // the probability 1/2 of a decision that nothing is learnt of
};

/// Reciprocals of counts in 1/65536: a decision moves a probability by a share of 1 / (count + 1.6).
typedef struct {
  uint16_t share[1024];
} adaptation;

static inline void adaptation_init(adaptation *rates) {
  for (int n = 0; n < 1024; n++) rates->share[n] = (uint16_t)(655360 / (10 * n + 16));
}

/// The state for a first guess of `part` in `whole`.
static inline adaptive_bit adaptive_guess(uint64_t part, uint64_t whole) {
  const uint64_t least = 1 << 13, most = (1 << 22) - least;
  uint64_t p = whole ? (part << 22) / whole : 1 << 21;
  p = p < least ? least : p > most ? most : p;
  return (adaptive_bit)p << 10 | FIRST_COUNT;
}

static inline void coder_shift_out(binary_coder *coder) {
  if (coder->out_end - coder->out < 4) {
    coder->is_full = 1;
  } else {
    for (int i = 0; i < 4; i++) *coder->out++ = (uint8_t)(coder->low >> (56 - 8 * i));
  }
  coder->low <<= 32;
}

/// The interval reached beyond 2^64: one more in the bytes that were written.
static inline void coder_carry(binary_coder *coder) {
  for (uint8_t *byte = coder->out; byte > coder->out_start && ++*--byte == 0;) {}
}

static inline uint32_t coder_byte(binary_coder *coder) {
  if (coder->in < coder->in_end) return *coder->in++;
  coder->missing++;
  return 0;
}

static inline void coder_shift_in(binary_coder *coder) {
  uint32_t word = 0;
  if (coder->in_end - coder->in >= 4) {
    for (int i = 0; i < 4; i++) word = word << 8 | coder->in[i];
    coder->in += 4;
  } else {
    for (int i = 0; i < 4; i++) word = word << 8 | coder_byte(coder);
  }
  coder->value = coder->value << 32 | word;
}

/// Codes one decision by `state`, which learns it; the decision.
__attribute__((always_inline)) static inline int code_bit(enum coder_mode mode, binary_coder *coder,
                                                          const adaptation *rates,
                                                          adaptive_bit *state, int bit) {
  const uint64_t bound = (coder->range >> 16) * (*state >> 16 | 1);
  const uint64_t rest = coder->range - bound;
  if (mode == DECODE) {
    bit = coder->value < bound;
    coder->value = bit ? coder->value : coder->value - bound;
  } else if (mode == ENCODE && !bit) {
    coder->low += bound;
    if (coder->low < bound) coder_carry(coder);
  }
  coder->range = bit ? bound : rest;
  if (mode == COUNT) {
    const int zeros = __builtin_clzll(coder->range);
    coder->shifted += zeros;
    coder->range <<= zeros;
  } else if (coder->range >> 32 == 0) {
    if (mode == ENCODE) coder_shift_out(coder);
    if (mode == DECODE) coder_shift_in(coder);
    coder->shifted += 32;
    coder->range <<= 32;
  }
  const uint32_t count = *state & 1023;
  const int64_t p = *state >> 10, goal = bit ? (1 << 22) - 1 : 0;
  const uint32_t moved = (uint32_t)(p + ((goal - p) * rates->share[count] >> 16));
  *state = moved << 10 | (count + (count < COUNT_LIMIT));
  return bit;
}

static inline void coder_start(binary_coder *coder) {
  coder->range = ~0ull;
  for (int i = 0; coder->in && i < 8; i++) coder->value = coder->value << 8 | coder_byte(coder);
}

/// The fewest bytes that name the interval when zeros follow; `name` takes them, highest first.
static inline int coder_name(uint64_t low, uint64_t range, uint64_t *name) {
  for (int bytes = 0; bytes < 8; bytes++) {
    const uint64_t below = bytes == 0 ? ~0ull : ~0ull >> (8 * bytes);
    *name = (low + below) & ~below;
    if (*name - low < range) return bytes;
  }
  *name = low;
  return 8;
}

static inline void coder_finish(binary_coder *coder) {
  uint64_t name;
  const int bytes = coder_name(coder->low, coder->range, &name);
  if (name < coder->low) coder_carry(coder);
  if (coder->out_end - coder->out < bytes) {
    coder->is_full = 1;
    return;
  }
  for (int i = 0; i < bytes; i++) *coder->out++ = (uint8_t)(name >> (56 - 8 * i));
}

/// Whether a stream that was decoded to its end is as long as, and ends like, an encoder's.
static inline int coder_ended(const binary_coder *coder, const uint8_t *stream, int64_t size) {
  const int64_t start = coder->shifted / 8;
  uint64_t window = 0, name;
  for (int64_t i = start; i < start + 8; i++) window = window << 8 | (i < size ? stream[i] : 0);
  const int bytes = coder_name(window - coder->value, coder->range, &name);
  return coder->value < coder->range && window == name && size == start + bytes;
}
