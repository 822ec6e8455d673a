// SPDX-License-Identifier: Apache-2.0
// Codes of quantised matrices through the binary range coder.
//
// How far a code spreads is expected to be mean |code| of its column so far, times a factor: what the
// row's codes so far are of what their columns let expect. The spread, in steps of 1/6 octave, chooses
// the probabilities of the decisions that a code is made of: the length of |code| in bits, the bits
// below the highest, the sign. A row that resembles an earlier one names it, and codes are distances.
#include <stdlib.h>

#include "CRangeCoder.h"
#include "code_model.h"

#define CODE(state, bit) code_bit(mode, coder, &model->rates, state, bit)
#define CONSTANT_MODE __attribute__((always_inline)) static inline

/// Codes one number of a known spread.
CONSTANT_MODE int code_number(enum coder_mode mode, binary_coder *coder, code_model *model,
                              int spread, adaptive_bit *sign, int number, int longest) {
  adaptive_bit *decision = model->decision[spread], *reaches = decision + LENGTH;
  const int size = number < 0 ? -number : number;
  const int size_length = size ? 32 - __builtin_clz((unsigned)size) : 0;
  int length = model->first_length[spread];
  if (CODE(reaches + length, size_length >= length)) {
    while (length < longest && CODE(reaches + length + 1, size_length > length)) length++;
  } else {
    do { length--; } while (length > 0 && !CODE(reaches + length, size_length >= length));
    if (length == 0) return 0;
  }
  adaptive_bit *bits = bits_below(decision, length);
  int value = 1;
  for (int place = length - 2; place >= 0; place--) {
    value = 2 * value + CODE(bits + value, size >> place & 1);
  }
  return CODE(sign, number < 0) ? -value : value;
}

/// Codes which earlier row a row resembles; 0 unless there is no such row.
CONSTANT_MODE int code_resemblance(enum coder_mode mode, binary_coder *coder, code_model *model,
                                   int64_t row, int was_like, resemblance *like) {
  if (!CODE(&model->is_like[was_like], like->eighths > 0)) {
    like->eighths = 0;
    return 0;
  }
  int node = 1;
  for (int place = 2; place >= 0; place--) {
    node = 2 * node + CODE(model->likeness + node, (like->eighths - 1) >> place & 1);
  }
  like->eighths = node - 7;
  const uint32_t distance = (uint32_t)(row - like->row);
  const int distance_length = mode == DECODE ? 0 : 32 - __builtin_clz(distance);
  int length = 1;
  while (length < 31 && CODE(model->distance + length, distance_length > length)) length++;
  int64_t value = 1;
  for (int place = length - 2; place >= 0; place--) {
    adaptive_bit even = EVEN;
    value = 2 * value + CODE(&even, (int)(distance >> place & 1));
  }
  like->row = (int32_t)(row - value);
  return value > row ? RANGE_CODER_DAMAGED : 0;
}

/// Codes one row, which resembles a row `like` unless it is null; 0 unless the stream is damaged.
CONSTANT_MODE int code_row(enum coder_mode mode, binary_coder *coder, code_model *model,
                           int8_t *row, const code_matrix *matrix, const int8_t *like,
                           int eighths) {
  const int64_t columns = matrix->columns;
  const int largest = matrix->qmax > -matrix->qmin ? matrix->qmax : -matrix->qmin;
  const int longest_code = 32 - __builtin_clz((unsigned)largest | 1);
  const int longest = like && longest_code < LONGEST ? longest_code + 1 : longest_code;
  int64_t all = 0;
  for (int64_t j = 0; j < columns; j++) all += model->size[j];
  // Sums of sizes: of the row so far, and what its columns let expect. Both begin like ROW_START codes.
  int64_t expected = all * ROW_START / columns, sizes = expected * model->factor[eighths] / ONE;
  const int64_t expected_start = expected, sizes_start = sizes;
  for (int64_t from = 0; from < columns; from += PART) {
    const int64_t to = from + PART < columns ? from + PART : columns;
    const int32_t factor = STEPS * (log2_256(model->logarithm, (uint64_t)sizes) -
                                    log2_256(model->logarithm, (uint64_t)expected));
    for (int64_t j = from; j < to; j++) {
      int32_t spread = (model->spread[j] + factor) >> 8;
      spread = spread < 0 ? 0 : spread >= SPREADS ? SPREADS - 1 : spread;
      adaptive_bit even = EVEN | COUNT_LIMIT;
      adaptive_bit *sign = like ? &even : model->sign + model->tendency[j];
      const int known = like ? (like[j] * eighths + 4) >> 3 : 0;
      const int given = mode == DECODE ? 0 : row[j] - known;
      const int number = code_number(mode, coder, model, spread, sign, given, longest);
      if (mode == DECODE) {
        if (number + known < matrix->qmin || number + known > matrix->qmax) {
          return RANGE_CODER_DAMAGED;
        }
        row[j] = (int8_t)(number + known);
      }
      sizes += (number < 0 ? -number : number) * UNIT;
      expected += model->size[j];
    }
  }
  const int64_t now = (sizes - sizes_start) * ONE / (expected - expected_start);
  const int64_t next = model->factor[eighths] + (now - model->factor[eighths]) / 8;
  model->factor[eighths] = (int32_t)(next < 1 ? 1 : next);
  return 0;
}

// MARK: Columns

/// Nothing is known of columns yet.
static void forget_columns(code_model *model, int64_t columns) {
  model->columns = columns;
  for (int64_t j = 0; j < columns; j++) {
    model->size[j] = 2 * UNIT;
    model->mean[j] = 0;
    model->spread[j] = (1 - LEAST) * STEPS * 256;
    model->tendency[j] = TENDENCIES / 2;
  }
}

/// Takes what a row says of its columns. `number` is how many rows of the matrix came before it.
static void learn_columns(code_model *model, const int8_t *row, int64_t number, int is_first) {
  const int64_t columns = model->columns;
  int64_t sum = 0;
  for (int64_t j = 0; j < columns; j++) sum += row[j] < 0 ? -row[j] : row[j];
  const int32_t average = (int32_t)(sum * UNIT / columns);
  const int64_t count = number + COLUMN_START + 1;
  const int32_t rate = (int32_t)(65536 / (count < COLUMN_LIMIT ? count : COLUMN_LIMIT));
  for (int64_t j = 0; j < columns; j++) {
    const int32_t code = row[j] * UNIT, size = code < 0 ? -code : code;
    // The first row says more of all columns together than of any one.
    const int32_t before = is_first ? average : model->size[j];
    const int32_t after = before + (((size - before) * rate + 32768) >> 16);
    model->size[j] = after < UNIT / 64 ? UNIT / 64 : after;
    model->mean[j] += ((code - model->mean[j]) * rate + 32768) >> 16;
  }
  // Logarithms take as long as decisions; what is well known may wait for them.
  if (number >= 64 && number % 4 != 0) return;
  for (int64_t j = 0; j < columns; j++) {
    const int32_t size = log2_256(model->logarithm, (uint64_t)model->size[j]);
    model->spread[j] = (size - (10 + LEAST) * 256) * STEPS;
    const int32_t tendency = TENDENCIES / 2 + model->mean[j] * (TENDENCIES / 2) / model->size[j];
    model->tendency[j] = (uint8_t)(tendency < 0             ? 0
                                   : tendency >= TENDENCIES ? TENDENCIES - 1
                                                            : tendency);
  }
}

// MARK: Matrices

/// Where the coder stands, in 1/256 bits.
static int64_t position(const binary_coder *coder, const code_model *model) {
  return 256 * (coder->shifted + 64) - log2_256(model->logarithm, coder->range);
}

CONSTANT_MODE int code_matrix_rows(enum coder_mode mode, binary_coder *coder, code_model *model,
                                   int8_t *codes, const code_matrix *matrix,
                                   const resemblance *found) {
  const int64_t columns = matrix->columns;
  const int is_new = model->columns != columns;
  if (is_new) forget_columns(model, columns);
  int was_like = 0;
  for (int64_t i = 0; i < matrix->rows; i++) {
    int8_t *row = codes + i * columns;
    resemblance like = {0};
    if (mode != DECODE) like = found[i];
    if (i > 0 && code_resemblance(mode, coder, model, i, was_like, &like)) {
      return RANGE_CODER_DAMAGED;
    }
    was_like = like.eighths > 0;
    const int status = was_like ? code_row(mode, coder, model, row, matrix,
                                           codes + like.row * columns, like.eighths)
                                : code_row(mode, coder, model, row, matrix, NULL, 0);
    if (status) return status;
    // A stream may not make more codes than it holds: 8 bytes are the coder's own.
    if (mode == DECODE && coder->missing > 8) return RANGE_CODER_DAMAGED;
    if (mode == ENCODE && coder->is_full) return RANGE_CODER_TOO_LARGE;
    learn_columns(model, row, i, is_new && i == 0);
  }
  return 0;
}

CONSTANT_MODE int code_matrices(enum coder_mode mode, binary_coder *coder, int8_t *codes,
                                const code_matrix *matrices, int64_t count, int64_t *costs) {
  code_model *model = malloc(sizeof *model);
  if (!model) return RANGE_CODER_NO_MEMORY;
  code_model_init(model);
  coder_start(coder);
  int status = 0;
  int64_t before = 0;
  for (int64_t m = 0; m < count && status == 0; m++) {
    resemblance *found = NULL;
    if (mode != DECODE && matrices[m].rows > 0) {
      found = calloc((size_t)matrices[m].rows, sizeof *found);
      status = found ? find_resemblances(found, codes, matrices + m, model->logarithm)
                     : RANGE_CODER_NO_MEMORY;
    }
    if (status == 0) { status = code_matrix_rows(mode, coder, model, codes, matrices + m, found); }
    free(found);
    codes += matrices[m].rows * matrices[m].columns;
    const int64_t now = position(coder, model);
    if (costs) costs[m] = now - before;
    before = now;
  }
  free(model);
  return status;
}

int64_t codes_encode(uint8_t *stream, int64_t capacity, const int8_t *codes,
                     const code_matrix *matrices, int64_t count, int64_t *costs) {
  binary_coder coder = {.out = stream, .out_start = stream, .out_end = stream + capacity};
  const int status = code_matrices(ENCODE, &coder, (int8_t *)codes, matrices, count, costs);
  if (status) return status;
  coder_finish(&coder);
  return coder.is_full ? RANGE_CODER_TOO_LARGE : coder.out - stream;
}

int64_t codes_decode(int8_t *codes, const code_matrix *matrices, int64_t count,
                     const uint8_t *stream, int64_t size, int64_t *costs) {
  binary_coder coder = {.in = stream, .in_end = stream + size};
  const int status = code_matrices(DECODE, &coder, codes, matrices, count, costs);
  if (status) return status;
  return coder_ended(&coder, stream, size) ? 0 : RANGE_CODER_DAMAGED;
}

int64_t codes_cost(const int8_t *codes, const code_matrix *matrices, int64_t count,
                   int64_t *costs) {
  binary_coder coder = {0};
  int64_t *own = costs ? costs : malloc((size_t)(count + 1) * sizeof *own);
  if (!own) return RANGE_CODER_NO_MEMORY;
  const int status = code_matrices(COUNT, &coder, (int8_t *)codes, matrices, count, own);
  int64_t sum = 0;
  for (int64_t m = 0; m < count && status == 0; m++) sum += own[m];
  if (!costs) free(own);
  return status ? status : (sum + 8 * 256 - 1) / (8 * 256);
}
