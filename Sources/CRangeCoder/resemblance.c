// SPDX-License-Identifier: Apache-2.0
// Rows that resemble earlier ones: embeddings of tokens that training saw too rarely to tell apart.
#include <stdlib.h>

#include "code_model.h"

enum {
  OVERHEAD = 6 * 256, // of naming a row, besides its distance, in 1/256 bits
  SAMPLES = 64,       // rows that show whether a search is worth its time
};

static int32_t product(const int16_t *a, const int16_t *b, int64_t columns) {
  int32_t sum = 0;
  for (int64_t j = 0; j < columns; j++) sum += (int32_t)a[j] * b[j];
  return sum;
}

/// The best earlier row for `row`, by the logarithm of the squares that it leaves.
static resemblance best(const int16_t *codes, const int32_t *squares, int64_t row, int64_t columns,
                        const uint8_t *logarithm) {
  resemblance result = {0};
  // Rounding adds 1/12 to every square.
  const int64_t rounding = 64 * columns / 12 + 1;
  const int32_t own = log2_256(logarithm, (uint64_t)(64 * (int64_t)squares[row] + rounding));
  const int32_t naming = log2_256(logarithm, (uint64_t)row) + OVERHEAD;
  int64_t most = naming;
  // What is left is at least squares[row] - inner^2 / squares[i]. It must be less than a share 2^-y of
  // all, y = 2 naming / columns, and 1 - 2^-y is at least y / 2 up to 1.
  int64_t least = squares[row] / 2;
  if (naming < 128 * columns) least = (int64_t)squares[row] * naming / (256 * columns);
  for (int64_t i = 0; i < row; i++) {
    const int64_t inner = product(codes + row * columns, codes + i * columns, columns);
    if (inner <= 0 || inner * inner <= squares[i] * least) continue;
    int64_t eighths = (8 * inner + squares[i] / 2) / squares[i];
    eighths = eighths > 8 ? 8 : eighths;
    const int64_t left = 64 * (int64_t)squares[row] - 16 * eighths * inner +
                         eighths * eighths * (int64_t)squares[i];
    const int64_t saved = (own - log2_256(logarithm, (uint64_t)(left + rounding))) * columns / 2;
    if (eighths == 0 || saved <= most) continue;
    most = saved;
    least = (int64_t)squares[row] - left / 64 - rounding / 64 - 1;
    least = least < 0 ? 0 : least;
    result = (resemblance){.row = (int32_t)i, .eighths = (int32_t)eighths};
  }
  return result;
}

int find_resemblances(resemblance *found, const int8_t *codes, const code_matrix *matrix,
                      const uint8_t *logarithm) {
  const int64_t rows = matrix->rows, columns = matrix->columns;
  // Products of 16 bits add up in vectors of 32.
  int16_t *wide = malloc((size_t)(rows * columns) * sizeof *wide);
  int32_t *squares = malloc((size_t)rows * sizeof *squares);
  const int is_short = !wide || !squares;
  if (!is_short) {
    for (int64_t i = 0; i < rows * columns; i++) wide[i] = codes[i];
    for (int64_t i = 0; i < rows; i++) {
      squares[i] = product(wide + i * columns, wide + i * columns, columns);
    }
    int64_t step = rows > SAMPLES ? rows / SAMPLES : 1;
    int is_worth = 0;
    for (int64_t i = rows - 1; i > 0 && !is_worth; i -= step) {
      is_worth = best(wide, squares, i, columns, logarithm).eighths > 0;
    }
    for (int64_t i = 1; i < rows && is_worth; i++) {
      found[i] = best(wide, squares, i, columns, logarithm);
    }
  }
  free(wide);
  free(squares);
  return is_short ? RANGE_CODER_NO_MEMORY : 0;
}
