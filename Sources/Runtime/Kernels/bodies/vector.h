// SPDX-License-Identifier: Apache-2.0
// Sixteen floats as one value, on every ISA: the compiler splits them into what the machine has.
// All reductions use the same lanes and the same tree, so their order is one for all positions.
#ifndef GRAPHC_VECTOR_H
#define GRAPHC_VECTOR_H

#include <stdint.h>
#include <string.h>
#if defined(__AVX512F__)
#include <immintrin.h>
#endif

// Every function with such arguments is static, so their calling convention does not matter.
#pragma clang diagnostic ignored "-Wpsabi"

typedef float v16 __attribute__((ext_vector_type(16)));
typedef int32_t v16i __attribute__((ext_vector_type(16)));
typedef uint16_t v16h __attribute__((ext_vector_type(16)));
typedef float v8 __attribute__((ext_vector_type(8)));
typedef float v4 __attribute__((ext_vector_type(4)));
typedef double v8d __attribute__((ext_vector_type(8)));
typedef double v16d __attribute__((ext_vector_type(16)));

#define INLINE static inline __attribute__((always_inline, unused))

// Eight doubles.
INLINE v8d load8(const double *p) {
  v8d x;
  memcpy(&x, p, sizeof x);
  return x;
}

INLINE void store8(double *p, v8d x) { memcpy(p, &x, sizeof x); }

INLINE v16 splat(float x) { return (v16)x; }

// Loads and stores of `part` lanes; the others read as zero. `part` is the constant 16 in hot
// loops.
INLINE v16 load(const float *p, int64_t part) {
  v16 x;
  if (part == 16) {
    memcpy(&x, p, sizeof x);
    return x;
  }
#if defined(__AVX512F__)
  return (v16)_mm512_maskz_loadu_ps((__mmask16)((1u << part) - 1), p);
#else
  float lanes[16] __attribute__((aligned(64))) = {0};
  for (int64_t i = 0; i < part; i++) lanes[i] = p[i];
  memcpy(&x, lanes, sizeof x);
  return x;
#endif
}

INLINE void store(float *p, v16 x, int64_t part) {
  if (part == 16) {
    memcpy(p, &x, sizeof x);
    return;
  }
#if defined(__AVX512F__)
  _mm512_mask_storeu_ps(p, (__mmask16)((1u << part) - 1), (__m512)x);
#else
  float lanes[16] __attribute__((aligned(64)));
  memcpy(lanes, &x, sizeof x);
  for (int64_t i = 0; i < part; i++) p[i] = lanes[i];
#endif
}

// Lanes below `part` from x, the others from y.
INLINE v16 first_lanes(v16 x, v16 y, int64_t part) {
  const v16i lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  return lane < (v16i)(int32_t)part ? x : y;
}

INLINE float sum_lanes(v16 x) {
  v8 a = x.lo + x.hi;
  v4 b = a.lo + a.hi;
  return (b.x + b.z) + (b.y + b.w);
}

// Lanes of a and b by turns: of their first halves, and of their second ones.
INLINE v16 interleave_low(v16 a, v16 b) {
  return __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
}

INLINE v16 interleave_high(v16 a, v16 b) {
  return __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15,
                                 31);
}

// Lane r: sum_lanes(x[r]). `x` is overwritten.
INLINE v16 sum_rows(v16 *x) {
#pragma clang loop unroll(full)
  for (int half = 8; half; half /= 2)
#pragma clang loop unroll(full)
    for (int i = 0; i < half; i++)
      x[i] = interleave_low(x[i], x[i + half]) + interleave_high(x[i], x[i + half]);
  return x[0];
}

INLINE double sum_lanes_double(v16d x) {
  v8d a = x.lo + x.hi;
  return ((a.s0 + a.s4) + (a.s2 + a.s6)) + ((a.s1 + a.s5) + (a.s3 + a.s7));
}

// max that lets a NaN of either side through, so that broken numbers stay visible.
INLINE v16 max_lanes(v16 a, v16 b) { return ((a > b) | (a != a)) ? a : b; }

INLINE float max_of_lanes(v16 x) {
  float best = x[0];
  for (int i = 1; i < 16; i++) best = x[i] > best || x[i] != x[i] ? x[i] : best;
  return best;
}

INLINE v16d widen(v16 x) { return __builtin_convertvector(x, v16d); }

// Runs the body for i = 0, 16, 32 ... with part = 16, then once for what is left.
#define VECTORS(n, ...)                                                                            \
  do {                                                                                             \
    const int64_t count_ = (n);                                                                    \
    int64_t i = 0;                                                                                 \
    for (; i + 16 <= count_; i += 16) {                                                            \
      enum { part = 16 };                                                                          \
      __VA_ARGS__                                                                                  \
    }                                                                                              \
    if (i < count_) {                                                                              \
      const int64_t part = count_ - i;                                                             \
      __VA_ARGS__                                                                                  \
    }                                                                                              \
  } while (0)

#endif
