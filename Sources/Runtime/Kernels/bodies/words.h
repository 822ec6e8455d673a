// SPDX-License-Identifier: Apache-2.0
// Words, of which products are made: an f32, or two bf16 that follow each other in the depth of the
// product, the earlier one in the low half, kept in the bits of a float.
//
// Conversion rounds to nearest, ties to even, and flushes f32 denormals to zero on every ISA, so
// packed bits are the same everywhere. Sums are not: the dot product instruction adds the two
// products of a pair in its own way and flushes denormal sums; elsewhere the two products, which
// f32 holds exactly, are added one after the other.
#ifndef GRAPHC_WORDS_H
#define GRAPHC_WORDS_H

#include "vector.h"

// Numbers in a word.
enum { WORD_F32 = 1, WORD_BF16 = 2 };

#if !defined(__AVX512BF16__)
// bf16 in the high half of each lane, the low half zero.
INLINE v16i bf16_round(v16 x) {
  const v16i bits = (v16i)x, size = bits & 0x7fffffff;
  const v16i rounded = bits + 0x7fff + ((bits >> 16) & 1);
  v16i out = size < 0x00800000 ? bits & INT32_MIN : rounded;
  out = size > 0x7f800000 ? bits | 0x00400000 : out;
  return out & (v16i)(int32_t)0xffff0000;
}
#endif

INLINE v16h bf16_load(const uint16_t *p, int64_t part) {
  v16h x = {0};
  if (part == 16) {
    memcpy(&x, p, sizeof x);
    return x;
  }
#if defined(__AVX512F__)
  return (v16h)_mm256_maskz_loadu_epi16((__mmask16)((1u << part) - 1), p);
#else
  for (int64_t i = 0; i < part; i++) x[i] = p[i];
  return x;
#endif
}

INLINE v16 bf16_widen(v16h x) { return (v16)(__builtin_convertvector(x, v16i) << 16); }

INLINE void bf16_store(uint16_t *p, v16 x, int64_t part) {
#if defined(__AVX512BF16__)
  const v16h y = (v16h)_mm512_cvtneps_pbh((__m512)x);
#else
  const v16h y = __builtin_convertvector((bf16_round(x) >> 16) & 0xffff, v16h);
#endif
  if (part == 16) {
    memcpy(p, &y, sizeof y);
    return;
  }
#if defined(__AVX512F__)
  _mm256_mask_storeu_epi16(p, (__mmask16)((1u << part) - 1), (__m256i)y);
#else
  for (int64_t i = 0; i < part; i++) p[i] = y[i];
#endif
}

// Lane i: first[i] and second[i].
INLINE v16 bf16_zip(v16 first, v16 second) {
#if defined(__AVX512BF16__)
  const __m512i order = (__m512i)(v16i){0x100000, 0x110001, 0x120002, 0x130003, 0x140004, 0x150005,
                                        0x160006, 0x170007, 0x180008, 0x190009, 0x1a000a, 0x1b000b,
                                        0x1c000c, 0x1d000d, 0x1e000e, 0x1f000f};
  const __m512i both = (__m512i)_mm512_cvtne2ps_pbh((__m512)second, (__m512)first);
  return (v16)_mm512_permutexvar_epi16(order, both);
#else
  return (v16)(((bf16_round(first) >> 16) & 0xffff) | bf16_round(second));
#endif
}

INLINE v16 bf16_interleave(v16h first, v16h second) {
  return (v16)(__builtin_convertvector(first, v16i) | __builtin_convertvector(second, v16i) << 16);
}

// Lane i: elements 2i and 2i + 1 of the 32 given.
INLINE v16 bf16_join(v16 low, v16 high) {
#if defined(__AVX512BF16__)
  return (v16)_mm512_cvtne2ps_pbh((__m512)high, (__m512)low);
#else
  const v16 even = __builtin_shufflevector(low, high, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24,
                                           26, 28, 30);
  const v16 odd = __builtin_shufflevector(low, high, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25,
                                          27, 29, 31);
  return bf16_zip(even, odd);
#endif
}

INLINE v16 bf16_dot(v16 sum, v16 a, v16 b) {
#if defined(__AVX512BF16__)
  return (v16)_mm512_dpbf16_ps((__m512)sum, (__m512bh)a, (__m512bh)b);
#else
  const v16i low_a = (v16i)a << 16, low_b = (v16i)b << 16;
  const v16i mask = (v16i)(int32_t)0xffff0000;
  sum = (v16)low_a * (v16)low_b + sum;
  return (v16)((v16i)a & mask) * (v16)((v16i)b & mask) + sum;
#endif
}

// sum + a b, lane by lane.
INLINE v16 word_dot(v16 sum, v16 a, v16 b, const int word) {
  return word == WORD_BF16 ? bf16_dot(sum, a, b) : a * b + sum;
}

#endif
