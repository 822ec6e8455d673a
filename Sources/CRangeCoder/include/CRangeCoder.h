// SPDX-License-Identifier: Apache-2.0
// An adaptive range coder for matrices of quantised weights.
//
// Integers only: equal codes give equal bytes on every machine.
#pragma once
#include <stdint.h>

/// A matrix of codes, row after row, each of them in qmin ..< qmax + 1.
///
/// 1 <= columns <= RANGE_CODER_COLUMNS, 0 <= rows < 2^31, -128 <= qmin <= 0 <= qmax <= 127.
typedef struct {
  int64_t rows, columns;
  int32_t qmin, qmax;
} code_matrix;

/// Most columns that a matrix may have: what is learnt of each column takes memory.
enum { RANGE_CODER_COLUMNS = 65536 };

/// What a call ended with, where it is not a size.
enum {
  RANGE_CODER_DAMAGED = -1,   // the stream was not made from such matrices
  RANGE_CODER_TOO_LARGE = -2, // more than the capacity
  RANGE_CODER_NO_MEMORY = -3,
};

/// Writes the stream of matrices that follow each other in `codes` and share statistics; its bytes,
/// or one of the above. `costs`, if not null, takes the share of each matrix in 1/256 bits.
int64_t codes_encode(uint8_t *stream, int64_t capacity, const int8_t *codes,
                     const code_matrix *matrices, int64_t count, int64_t *costs);

/// Reads the codes of a stream of `size` bytes, all of which must be used; 0 or one of the above.
int64_t codes_decode(int8_t *codes, const code_matrix *matrices, int64_t count,
                     const uint8_t *stream, int64_t size, int64_t *costs);

/// The bytes that `codes_encode` would write, within 8, and the share of each matrix.
int64_t codes_cost(const int8_t *codes, const code_matrix *matrices, int64_t count, int64_t *costs);
