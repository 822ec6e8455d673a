// SPDX-License-Identifier: Apache-2.0
// exp, exp2, log, tanh and the logistic function on sixteen lanes: no branches, no tables. Relative
// error about 1e-7, at worst 3e-7 for tanh (tested). Where there is no rounding instruction (SSE2),
// adding and subtracting 1.5 * 2^23 rounds.
#ifndef GRAPHC_VEC_MATH_H
#define GRAPHC_VEC_MATH_H

#include "vector.h"

INLINE v16i bits_of(v16 x) {
  v16i b;
  memcpy(&b, &x, sizeof b);
  return b;
}

INLINE v16 float_of(v16i b) {
  v16 x;
  memcpy(&x, &b, sizeof x);
  return x;
}

// p(r) of Cephes' expf: e^r for |r| <= ln 2 / 2.
INLINE v16 exp_reduced(v16 r) {
  v16 p = splat(1.9875691500e-4f);
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  return p * (r * r) + r + 1.0f;
}

// 2^n * p(r). Far below the range it gives 0, above it inf; the limits are written so that NaN
// stays NaN and each is one instruction.
#if defined(__AVX512F__)
INLINE v16 exp16(v16 x) {
  x = -120.0f > x ? splat(-120.0f) : x;
  x = 120.0f < x ? splat(120.0f) : x;
  const v16 n = (v16)_mm512_roundscale_ps((__m512)(x * 1.44269504f), 8);
  v16 r = x - n * 0.693359375f;
  r = r - n * -2.12194440e-4f;
  return (v16)_mm512_scalef_ps((__m512)exp_reduced(r), (__m512)n);
}
#else
INLINE v16 exp16(v16 x) {
  const float magic = 12582912.0f;
  v16 clamped = -87.33f > x ? splat(-87.33f) : x;
  clamped = 88.37f < clamped ? splat(88.37f) : clamped;
  v16 shifted = clamped * 1.44269504f + magic;
  v16 n = shifted - magic;
  v16 r = clamped - n * 0.693359375f;
  r = r - n * -2.12194440e-4f;
  v16 y = exp_reduced(r) * float_of((bits_of(shifted) - 0x4B400000 + 127) << 23);
  y = x < -87.33f ? splat(0.0f) : y;
  return x > 88.72f ? splat(__builtin_inff()) : y;
}
#endif

// Cephes' exp2f: 2^r for |r| <= 1/2.
INLINE v16 exp2_reduced(v16 r) {
  v16 p = splat(1.535336188319500e-4f);
  p = p * r + 1.339887440266574e-3f;
  p = p * r + 9.618437357674640e-3f;
  p = p * r + 5.550332471162809e-2f;
  p = p * r + 2.402264791363012e-1f;
  p = p * r + 6.931472028550421e-1f;
  return p * r + 1.0f;
}

// 2^x for x <= 127, 0 from about -126 down; NaN stays NaN.
INLINE v16 exp2_16(v16 x) {
  const v16 clamped = -160.0f > x ? splat(-160.0f) : x;
#if defined(__AVX512F__)
  const v16 n = (v16)_mm512_roundscale_ps((__m512)clamped, 8);
  return (v16)_mm512_scalef_ps((__m512)exp2_reduced(clamped - n), (__m512)n);
#else
  const float magic = 12582912.0f;
  const v16 shifted = clamped + magic;
  const v16 power = float_of((bits_of(shifted) - 0x4B400000 + 127) << 23);
  const v16 y = exp2_reduced(clamped - (shifted - magic)) * power;
  return x < -126.0f ? splat(0.0f) : y;
#endif
}

// 2^r for |r| <= 1/2, minimax among those with 2^0 = 1: relative error 1e-4, a twentieth of what
// rounding to bf16 may add.
INLINE v16 exp2_reduced_coarse(v16 r) {
  v16 p = splat(5.5009058e-2f);
  p = p * r + 2.42210975e-1f;
  p = p * r + 6.93282898e-1f;
  return p * r + 1.0f;
}

// 2^x for results that are rounded to bf16. Limits and NaN as in exp16, except that -inf gives NaN.
#if defined(__AVX512F__)
INLINE v16 exp2_coarse(v16 x) {
  const v16 n = (v16)_mm512_roundscale_ps((__m512)x, 8);
  return (v16)_mm512_scalef_ps((__m512)exp2_reduced_coarse(x - n), (__m512)n);
}
#else
INLINE v16 exp2_coarse(v16 x) {
  const float magic = 12582912.0f;
  v16 clamped = -126.0f > x ? splat(-126.0f) : x;
  clamped = 128.0f < clamped ? splat(128.0f) : clamped;
  const v16 shifted = clamped + magic, n = shifted - magic;
  const v16 y = exp2_reduced_coarse(clamped - n) *
                float_of((bits_of(shifted) - 0x4B400000 + 127) << 23);
  return x < -126.0f ? splat(0.0f) : y;
}
#endif

// Cephes' logf for positive normal numbers; NaN, infinity and what is not positive give NaN.
INLINE v16 log16(v16 x) {
  const v16i bits = bits_of(x);
  // x = 2^n m with sqrt(1/2) <= m < sqrt(2), whose bits begin with 0x3f3504f3.
  const v16i n = (bits - 0x3f3504f3) >> 23;
  const v16 m = float_of(bits - (n << 23)) - 1.0f, z = m * m;
  const v16 e = __builtin_convertvector(n, v16);
  v16 p = splat(7.0376836292e-2f);
  p = p * m + -1.1514610310e-1f;
  p = p * m + 1.1676998740e-1f;
  p = p * m + -1.2420140846e-1f;
  p = p * m + 1.4249322787e-1f;
  p = p * m + -1.6668057665e-1f;
  p = p * m + 2.0000714765e-1f;
  p = p * m + -2.4999993993e-1f;
  p = p * m + 3.3333331174e-1f;
  p = p * m * z + -2.12194440e-4f * e - 0.5f * z;
  const v16 y = m + p + 0.693359375f * e;
  return ((x > 0.0f) & (x < __builtin_inff())) ? y : splat(__builtin_nanf(""));
}

// x P(x^2) / Q(x^2), the rational approximation of Eigen's float tanh; 1 from |x| = 9 on.
INLINE v16 tanh16(v16 x) {
  x = -9.0f > x ? splat(-9.0f) : x;
  x = 9.0f < x ? splat(9.0f) : x;
  const v16 z = x * x;
  v16 p = splat(-2.76076847742355e-16f);
  p = p * z + 2.00018790482477e-13f;
  p = p * z + -8.60467152213735e-11f;
  p = p * z + 5.12229709037114e-08f;
  p = p * z + 1.48572235717979e-05f;
  p = p * z + 6.37261928875436e-04f;
  p = p * z + 4.89352455891786e-03f;
  v16 q = splat(1.19825839466702e-06f);
  q = q * z + 1.18534705686654e-04f;
  q = q * z + 2.26843463243900e-03f;
  q = q * z + 4.89352518554385e-03f;
  return x * p / q;
}

INLINE v16 sigmoid16(v16 x) { return 1.0f / (1.0f + exp16(-x)); }

// u (1 - u^2/3 + u^4/15) with |u| at most 2, clamped to 1.
INLINE v16 quintic(v16 u) {
  u = u > 2.0f ? splat(2.0f) : u < -2.0f ? splat(-2.0f) : u;
  const v16 square = u * u, y = u * (1.0f + square * (square * (1.0f / 15) - 1.0f / 3));
  return y > 1.0f ? splat(1.0f) : y < -1.0f ? splat(-1.0f) : y;
}

INLINE v16 quintic_slope(v16 u) {
  const v16 square = u * u, y = u * (1.0f + square * (square * (1.0f / 15) - 1.0f / 3));
  const v16 slope = 1.0f + square * (square * (1.0f / 3) - 1.0f);
  const v16 inside = square < 4.0f ? slope : splat(0.0f);
  return y * y < 1.0f ? inside : splat(0.0f);
}

// E4M3: half to even, at most 448. Four significant bits are what is left of x when x times 2^20 + 1 loses
// the rest; below 2^-6 steps are 2^-9.
INLINE v16 float8(v16 x) {
#pragma clang fp contract(off)
  x = x > 448.0f ? splat(448.0f) : x;
  x = x < -448.0f ? splat(-448.0f) : x;
  const v16 wide = x * 1048577.0f, magic = splat(1.5f * (1 << 14));
  const v16 small = (x + magic) - magic, normal = wide - (wide - x);
  return __builtin_elementwise_abs(x) < 0.015625f ? small : normal;
}

// d(s tanh(x/s))/ds with u = x/s.
INLINE v16 slope_of_cap(v16 u) {
  const v16 t = tanh16(u);
  return t - u * (1.0f - t * t);
}

#endif
