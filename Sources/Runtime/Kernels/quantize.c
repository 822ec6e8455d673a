// SPDX-License-Identifier: Apache-2.0
// The quantiser's direct entries. Half precision is converted bit by bit: no ISA flag is needed.
#include <math.h>
#include <string.h>

#include "internal.h"

void quantise_scales(float *scale, float *full, float *clip, const float *w,
                     const quant_scale_args *args, float *work) {
  kernels_table()->scales(scale, full, clip, w, args, work);
}

void quantise_codes(int8_t *codes, const float *w, const float *scale, const float *clip,
                    int64_t rows, int64_t columns, int32_t qmin, int32_t qmax) {
  kernels_table()->codes(codes, w, scale, clip, rows, columns, qmin, qmax);
}

void quantise_dequantise(float *w, const int8_t *codes, const float *scale, int64_t rows,
                         int64_t columns) {
  kernels_table()->dequantise(w, codes, scale, rows, columns);
}

uint16_t quantise_half(double x) {
  const uint16_t sign = signbit(x) ? 0x8000 : 0;
  const double size = fabs(x);
  if (x != x) return sign | 0x7E00;
  if (size == 0) return sign;
  if (size >= 65520.0) return sign | 0x7C00;
  int exponent;
  frexp(size, &exponent);
  const int least_exponent = exponent < -13 ? -13 : exponent;
  // The rounded number of steps: its carry into the exponent field is the right one.
  const uint16_t steps = (uint16_t)nearbyint(ldexp(size, 11 - least_exponent));
  const int normal = least_exponent > -13 || steps >= 1024;
  return sign | (uint16_t)(normal ? ((least_exponent + 13) << 10) + steps : steps);
}

uint8_t quantise_float8(float x) {
  const uint8_t sign = signbit(x) ? 0x80 : 0;
  const double size = fabs((double)x);
  if (x != x) return sign | 0x7F;
  if (size >= 448.0) return sign | 0x7E;
  if (size == 0) return sign;
  int exponent;
  frexp(size, &exponent);
  const int least_exponent = exponent < -5 ? -5 : exponent;
  // As above: three bits of fraction.
  const uint8_t steps = (uint8_t)nearbyint(ldexp(size, 4 - least_exponent));
  const int normal = least_exponent > -5 || steps >= 8;
  return sign | (uint8_t)(normal ? ((least_exponent + 5) << 3) + steps : steps);
}

float quantise_from_float8(uint8_t bits) {
  const int exponent = bits >> 3 & 15, fraction = bits & 7;
  const float sign = bits & 0x80 ? -1.0f : 1.0f;
  if ((bits & 0x7F) == 0x7F) return NAN;
  return sign * ldexpf((float)(exponent ? fraction + 8 : fraction), (exponent ? exponent : 1) - 10);
}

float quantise_from_half(uint16_t bits) {
  const int exponent = bits >> 10 & 31, fraction = bits & 1023;
  const float sign = bits & 0x8000 ? -1.0f : 1.0f;
  if (exponent == 31) return fraction ? NAN : sign * INFINITY;
  return sign *
         ldexpf((float)(exponent ? fraction + 1024 : fraction), (exponent ? exponent : 1) - 25);
}
