// SPDX-License-Identifier: Apache-2.0
// What is learnt of codes while they are coded, and how it begins: as a normal distribution.
#pragma once
#include "CRangeCoder.h"
#include "binary_coder.h"

enum {
  STEPS = 6, // of spread an octave
  SPREADS = 12 * STEPS,
  LEAST = -5,            // log2 of the least spread
  UNIT = 1024,           // 1 in means of a column
  ONE = 4096,            // 1 in a row's factor
  ROW_START = 32,        // codes that a row's beginning counts like
  COLUMN_START = 32,     // rows that a column's beginning counts like
  COLUMN_LIMIT = 128,    // rows after which a column forgets
  PART = 16,             // codes of a row between two looks at its factor
  TENDENCIES = 16,       // kinds of columns, by mean code over mean |code|
  LIKENESSES = 9,        // eighths of an earlier row that a row resembles; 0 is no row
  LONGEST = 8,           // bits of a number: of |code|, or of its distance from another code
  LENGTH = 1 << LONGEST, // behind the decisions on bits: whether the length reaches 1 ... LONGEST
};

typedef struct {
  adaptation rates;
  /// log2(1 + i / 2048) in 1/256.
  uint8_t logarithm[2048];
  adaptive_bit decision[SPREADS][LENGTH + LONGEST + 1];
  /// The length in bits that is asked for first: that of the median.
  uint8_t first_length[SPREADS];
  adaptive_bit sign[TENDENCIES];
  adaptive_bit is_like[2], likeness[8], distance[32];
  /// The factor that a row of each likeness begins with, in 1/ONE.
  int32_t factor[LIKENESSES];
  /// Of each column: mean |code| and mean code in 1/UNIT, spread in 1/256 steps, tendency.
  int32_t size[RANGE_CODER_COLUMNS], mean[RANGE_CODER_COLUMNS], spread[RANGE_CODER_COLUMNS];
  uint8_t tendency[RANGE_CODER_COLUMNS];
  /// Columns of the matrix before, 0 if there was none.
  int64_t columns;
} code_model;

void code_model_init(code_model *model);

/// The decisions on the bits of a number below its highest, as a tree that begins at 1.
static inline adaptive_bit *bits_below(adaptive_bit *decision, int length) {
  return decision + (1 << (length - 1)) - 1;
}

/// log2 in 1/256.
static inline int32_t log2_256(const uint8_t *logarithm, uint64_t value) {
  const int exponent = 63 - __builtin_clzll(value | 1);
  const uint64_t mantissa = exponent >= 11 ? value >> (exponent - 11) : value << (11 - exponent);
  return exponent * 256 + logarithm[mantissa & 2047];
}

/// The earlier row that a row resembles: it is near eighths / 8 of it. 0 eighths: there is none.
typedef struct {
  int32_t row, eighths;
} resemblance;

/// Finds for each row the earlier one that saves most; 0, or RANGE_CODER_NO_MEMORY.
int find_resemblances(resemblance *found, const int8_t *codes, const code_matrix *matrix,
                      const uint8_t *logarithm);
