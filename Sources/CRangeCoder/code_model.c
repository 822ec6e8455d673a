// SPDX-License-Identifier: Apache-2.0
// First guesses of all probabilities, from a normal distribution in integers.
#include <string.h>

#include "code_model.h"

/// The share of a normal distribution beyond i / 16 standard deviations, on both sides, in 2^-24:
/// round(2^24 erfc(i / 16 / sqrt(2))).
static const uint32_t normal_tail[] = {
    16777216, 15941118, 15108278, 14281918, 13465181, 12661103, 11872573, 11102302, 10352802,
    9626354,  8924993,  8250493,  7604352,  6987791,  6401748,  5846884,  5323587,  4831985,
    4371959,  3943157,  3545018,  3176791,  2837555,  2526246,  2241678,  1982568,  1747558,
    1535237,  1344162,  1172878,  1019933,  883895,   763368,   656998,   563490,   481607,
    410185,   348130,   294423,   248122,   208362,   174351,   145373,   120778,   99984,
    82473,    67785,    55511,    45295,    36825,    29831,    24077,    19362,    15513,
    12384,    9850,     7806,     6163,     4848,     3800,     2967,     2308,     1789,
    1381,     1063,     815,      622,      473,      359,      271,      204,      153,
    114,      85,       63,       46,       34,       25,       18,       13,       10,
};

enum { ALL = 1 << 24, LAST = sizeof normal_tail / sizeof *normal_tail - 1 };

/// The share of codes with |code| >= least where the standard deviation is `deviation` / 4096.
static uint64_t tail(int least, uint64_t deviation) {
  if (least <= 0) return ALL;
  // 1/256 of a place in the table.
  const uint64_t place = ((uint64_t)(2 * least - 1) << 23) / deviation;
  if (place >> 8 >= LAST) return 0;
  const uint32_t *at = normal_tail + (place >> 8);
  return at[0] - ((at[0] - at[1]) * (place & 255) >> 8);
}

static void guess_decisions(adaptive_bit *decision, uint8_t *first_length, uint64_t deviation) {
  int first = 1;
  while (first < LONGEST && 2 * tail(1 << first, deviation) > ALL) first++;
  *first_length = (uint8_t)first;
  for (int length = 1; length <= LONGEST; length++) {
    const uint64_t reached = tail(1 << (length - 1), deviation);
    // Lengths beyond the first are asked for upwards, those before it downwards.
    const uint64_t longer = length < first ? tail(1 << length, deviation) : 0;
    const uint64_t whole = length > first ? tail(1 << (length - 2), deviation) : ALL;
    decision[LENGTH + length] = adaptive_guess(reached - longer, whole - longer);
    adaptive_bit *bits = bits_below(decision, length);
    for (int depth = 0; depth < length - 1; depth++) {
      const int half = 1 << (length - 2 - depth);
      for (int node = 1 << depth; node < 2 << depth; node++) {
        const uint64_t low = tail(2 * node * half, deviation);
        const uint64_t high = tail((2 * node + 1) * half, deviation);
        const uint64_t end = tail((2 * node + 2) * half, deviation);
        bits[node] = adaptive_guess(high - end, low - end);
      }
    }
  }
}

void code_model_init(code_model *model) {
  memset(model, 0, sizeof *model);
  adaptation_init(&model->rates);
  for (int i = 0; i < 2048; i++) {
    // Squaring doubles a logarithm, which brings out one more bit of it.
    uint64_t x = (uint64_t)(2048 + i) << 20;
    for (int bit = 0; bit < 8; bit++) {
      x = x * x >> 31;
      const uint64_t carry = x >> 32;
      x >>= carry;
      model->logarithm[i] = (uint8_t)(model->logarithm[i] << 1 | carry);
    }
  }
  for (int spread = 0; spread < SPREADS; spread++) {
    // 2^((i + 1/2) / 6) / mean |x| of a normal distribution, in 1/4096.
    static const uint64_t step[STEPS] = {5439, 6105, 6852, 7692, 8634, 9691};
    guess_decisions(model->decision[spread], model->first_length + spread,
                    step[spread % STEPS] << (spread / STEPS) >> -LEAST);
  }
  for (int i = 0; i < TENDENCIES; i++) model->sign[i] = EVEN | FIRST_COUNT;
  for (int i = 0; i < 2; i++) model->is_like[i] = adaptive_guess(1, 16);
  for (int i = 0; i < 8; i++) model->likeness[i] = EVEN;
  for (int i = 0; i < 32; i++) model->distance[i] = EVEN;
  // Where i / 8 of a normal number are known, sqrt(1 - (i / 8)^2) of its deviation are left.
  static const int32_t left[LIKENESSES] = {4096, 4064, 3966, 3797, 3547, 3197, 2709, 1983, 700};
  memcpy(model->factor, left, sizeof left);
}
