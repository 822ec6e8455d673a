// SPDX-License-Identifier: Apache-2.0
// The arguments and buffers of every kernel, and the list of all kernels. What they have in common
// stands in CKernels.h, which includes this.
#ifndef GRAPHC_KERNEL_ARGUMENTS_H
#define GRAPHC_KERNEL_ARGUMENTS_H

#include <stdint.h>

// After what it computes from what, one list a kernel: types and names, by which plans give the
// values. The struct NAME_args is made of it (below). Buffers stand in the order in which a call
// holds them, outputs first, and are numbered in the enum behind the list.

enum { KERNEL_BUFFERS = 24 };

// out[rows,width] = table[ids[r]]; table[vocab,width], ids[rows].
#define EMBED_ARGUMENTS(X)                                                                         \
  X(int64_t, rows) X(int64_t, width) X(int64_t, vocab) X(int64_t, tile_rows)
enum { EMBED_OUT, EMBED_TABLE, EMBED_IDS };

// dtable[vocab,width] overwritten; dy[rows,width], ids[rows].
#define EMBED_BACKWARD_ARGUMENTS(X) X(int64_t, rows) X(int64_t, width) X(int64_t, vocab)
enum { EMBED_BACKWARD_DTABLE, EMBED_BACKWARD_DY, EMBED_BACKWARD_IDS };

// packed; w[n,k]. transposed 0: for y[.,n] = x[.,k] wᵀ; 1: for dx[.,k] = dy[.,n] w. Columns and depth
// of packed are n, k, or k, n for the transposed pack: panels of 64 columns (32 if there are at most
// 32), 64-byte aligned, the last one padded. A panel is [depth][panel] f32, or in bf16
// [depth/2][panel][2], the depth rounded up to even; padding is zero.
#define PACK_ARGUMENTS(X) X(int64_t, n) X(int64_t, k) X(int32_t, transposed) X(int32_t, bf16)
enum { PACK_PACKED, PACK_W };

// y[m,n]; x[m,k], packed. packed holds an [n,k] operand in the panel layout of KERNEL_PACK with the
// same bf16 (for the transposed pack the roles of n and k are already exchanged). With tile_rows a
// tile is that many rows of all columns.
#define MATMUL_ARGUMENTS(X)                                                                        \
  X(int64_t, m)                                                                                    \
  X(int64_t, n)                                                                                    \
  X(int64_t, k) X(int64_t, tile_rows) X(int32_t, bf16) X(int32_t, x_bf16) X(int32_t, y_bf16)
enum { MATMUL_Y, MATMUL_X, MATMUL_PACKED };

// packed; x[m,n]. The operand of a weight gradient: panels of 16 columns, each contiguous over all
// tokens: [m][16] f32, or in bf16 [ceil(m/2)][16] words of two numbers, the earlier token low.
// Missing columns, and what follows an odd last token, are zero. From one panel to the next are 16
// times the words, made odd. x_bf16 only if bf16; tile_rows is even.
#define PACK_TOKENS_ARGUMENTS(X)                                                                   \
  X(int64_t, m) X(int64_t, n) X(int64_t, tile_rows) X(int32_t, bf16) X(int32_t, x_bf16)
enum { PACK_TOKENS_PACKED, PACK_TOKENS_X };

// dw[n,k] = dyᵀ x; dy[m,n], x[m,k], both packed by KERNEL_PACK_TOKENS.
#define MATMUL_WEIGHT_ARGUMENTS(X) X(int64_t, m) X(int64_t, n) X(int64_t, k) X(int32_t, bf16)
enum { MATMUL_WEIGHT_DW, MATMUL_WEIGHT_DY, MATMUL_WEIGHT_X };

// A row program (below), which names its buffers. The plan chooses the rows of a tile, because they
// fix the order of its sums: ROW_SUM_* write one part a tile.
#define ROWS_ARGUMENTS(X)                                                                          \
  X(int64_t, rows) X(int64_t, width) X(int64_t, tile_rows) X(const struct row_program *, program)

// out[n] overwritten; partial[parts,n]. Fixed tree over parts.
#define SUM_PARTIALS_ARGUMENTS(X) X(int64_t, n) X(int64_t, parts)
enum { SUM_PARTIALS_OUT, SUM_PARTIALS_PARTIAL };

// table[positions, dims] (dims/2 cosines, then dims/2 sines per position).
// inv_freq_i = base^(-2i/dims); if positions > train_length > 0 the base becomes
// base * (positions/train_length)^(dims/(dims-2)); with ramp_factor != 1: t = clamp((2i/dims -
// ramp_from)/(1 - ramp_from), 0, 1), inv_freq_i /= t (ramp_factor - 1) + 1. Computed in double;
// train_length 0 is none.
#define ROPE_TABLE_ARGUMENTS(X)                                                                    \
  X(int64_t, positions)                                                                            \
  X(int64_t, dims)                                                                                 \
  X(double, base) X(double, train_length) X(double, ramp_from) X(double, ramp_factor)
enum { ROPE_TABLE_TABLE };

// y[b,n,h,d], lse[b,h,n]; q[b,n,h,d], k[b,t,g,d], v[b,t,g,d], where b, n, t, h, g, d are batch,
// queries, positions, heads, groups, width. Causal; query head i reads kv head i / (h/g). lse is the
// natural log of the sum of exp. The n queries are those of the last n positions. With bf16
// everything but lse lies in memory as bf16, the products are bf16 with f32 sums, and scale is
// positive. With documents, docs[b,t] is the position of the first key that query t sees.
#define ATTENTION_ARGUMENTS(X)                                                                     \
  X(int64_t, batch)                                                                                \
  X(int64_t, positions)                                                                            \
  X(int64_t, queries)                                                                              \
  X(int64_t, heads)                                                                                \
  X(int64_t, groups) X(int64_t, width) X(int32_t, has_documents) X(int32_t, bf16) X(double, scale)
enum { ATTENTION_Y, ATTENTION_LSE, ATTENTION_Q, ATTENTION_K, ATTENTION_V, ATTENTION_DOCS };

// dq, dk, dv; q, k, v, y, lse, dy, all positions being queries.
#define ATTENTION_BACKWARD_ARGUMENTS ATTENTION_ARGUMENTS
enum {
  ATTENTION_BACKWARD_DQ,
  ATTENTION_BACKWARD_DK,
  ATTENTION_BACKWARD_DV,
  ATTENTION_BACKWARD_Q,
  ATTENTION_BACKWARD_K,
  ATTENTION_BACKWARD_V,
  ATTENTION_BACKWARD_Y,
  ATTENTION_BACKWARD_LSE,
  ATTENTION_BACKWARD_DY,
  ATTENTION_BACKWARD_DOCS
};

// z[rows,h,d]; y[rows,h,d], v[rows,g,d]: z = y - (y.u) u with u = v/max(|v|,1e-12); head i reads the
// value of head i / (h/g).
#define EXCLUDE_SELF_ARGUMENTS(X)                                                                  \
  X(int64_t, rows)                                                                                 \
  X(int64_t, heads)                                                                                \
  X(int64_t, groups)                                                                               \
  X(int64_t, width) X(int64_t, tile_rows) X(int32_t, z_bf16) X(int32_t, y_bf16) X(int32_t, v_bf16)
enum { EXCLUDE_SELF_Z, EXCLUDE_SELF_Y, EXCLUDE_SELF_V };

// dy, dv; dz, y, v. dy = dz - (dz.u) u; dv = -(w - (w.u) u)/|v|, w the sum of (y.u) dz + (dz.u) y over
// the heads that read v.
#define EXCLUDE_SELF_BACKWARD_ARGUMENTS(X)                                                         \
  X(int64_t, rows)                                                                                 \
  X(int64_t, heads)                                                                                \
  X(int64_t, groups)                                                                               \
  X(int64_t, width)                                                                                \
  X(int64_t, tile_rows)                                                                            \
  X(int32_t, dy_bf16)                                                                              \
  X(int32_t, dv_bf16) X(int32_t, dz_bf16) X(int32_t, y_bf16) X(int32_t, v_bf16)
enum {
  EXCLUDE_SELF_BACKWARD_DY,
  EXCLUDE_SELF_BACKWARD_DV,
  EXCLUDE_SELF_BACKWARD_DZ,
  EXCLUDE_SELF_BACKWARD_Y,
  EXCLUDE_SELF_BACKWARD_V
};

// nll[rows], lse[rows]; z[rows,vocab], targets[rows]. Logits are cap*tanh(z/cap), or z itself where
// cap is 0.
#define CROSS_ENTROPY_ARGUMENTS(X)                                                                 \
  X(int64_t, rows) X(int64_t, vocab) X(int64_t, tile_rows) X(double, cap)
enum { CROSS_ENTROPY_NLL, CROSS_ENTROPY_LSE, CROSS_ENTROPY_Z, CROSS_ENTROPY_TARGETS };

// dz; z, targets, lse, dnll[rows], and dlse[rows] where there is one. dz may be z if both are f32.
#define CROSS_ENTROPY_BACKWARD_ARGUMENTS(X)                                                        \
  X(int64_t, rows)                                                                                 \
  X(int64_t, vocab) X(int64_t, tile_rows) X(double, cap) X(int32_t, dz_bf16) X(int32_t, has_dlse)
enum {
  CROSS_ENTROPY_BACKWARD_DZ,
  CROSS_ENTROPY_BACKWARD_Z,
  CROSS_ENTROPY_BACKWARD_TARGETS,
  CROSS_ENTROPY_BACKWARD_LSE,
  CROSS_ENTROPY_BACKWARD_DNLL,
  CROSS_ENTROPY_BACKWARD_DLSE
};

// out[1]; a[n], b[n]. Fixed-tree sum of a*b (accumulated in double, stored f32).
#define DOT_ARGUMENTS(X) X(int64_t, n)
enum { DOT_OUT, DOT_A, DOT_B };

// factor[1], norm[1]; parts[n]. norm = sqrt(sum parts), factor = min(1, limit/(norm+1e-6)); limit 0:
// factor 1.
#define CLIP_FACTOR_ARGUMENTS(X) X(int64_t, n) X(double, limit)
enum { CLIP_FACTOR_FACTOR, CLIP_FACTOR_NORM, CLIP_FACTOR_PARTS };

// w, m, v updated in place; g, lr[1], factor[1], step[1]. g is multiplied by factor first; m, v
// moments with bias correction (step counts from 1); w = (1 - lr decay) w - lr mhat/(sqrt(vhat)+eps).
#define ADAMW_ARGUMENTS(X)                                                                         \
  X(int64_t, n) X(double, beta1) X(double, beta2) X(double, epsilon) X(double, decay)
enum { ADAMW_W, ADAMW_M, ADAMW_V, ADAMW_G, ADAMW_LR, ADAMW_FACTOR, ADAMW_STEP };

// w, m in place; g, lr[1], factor[1]. m = momentum m + factor g; w = (1 - lr decay) w - lr u, u = m or
// with nesterov factor g + momentum m.
#define SGD_ARGUMENTS(X) X(int64_t, n) X(int32_t, nesterov) X(double, momentum) X(double, decay)
enum { SGD_W, SGD_M, SGD_G, SGD_LR, SGD_FACTOR };

// w, m in place; g, lr[1], factor[1], momentum[1], taper[1], coefficients[steps,3]. m = mu m + g; u = g + mu m;
// optional row L2 normalise (max(norm,1e-7)); X = u/(|u|_F+1e-7), transposed if rows > columns; steps:
// A = X Xᵀ, X = aX + (bA + cA²)X; w = (1 - lr decay taper) w - lr sqrt(max(1, rows/columns)) X. bf16: the
// products of the steps. One call is one tile.
#define MUON_ARGUMENTS(X)                                                                          \
  X(int64_t, rows)                                                                                 \
  X(int64_t, columns)                                                                              \
  X(int64_t, steps) X(int32_t, normalises_rows) X(int32_t, bf16) X(double, decay)
enum { MUON_W, MUON_M, MUON_G, MUON_LR, MUON_FACTOR, MUON_MOMENTUM, MUON_TAPER, MUON_COEFFICIENTS };

// scale[rows]; w[rows,columns]. scale = max(clip/qmax, floor), rounded to f16, then raised to
// half_floor. The clip of a row: the largest |w|; linear interpolation at p (n-1) of |w|; p times the
// standard deviation with n-1; p is parameter_0. A search takes the quantile among the first `parameters` ones whose
// codes leave the least squared error of the row, of equal ones the first. qmin and unrounded (codes
// come from the scale before rounding, of clipped weights) matter to that alone.
// clip is a quantiser_clip, after its word in plans.
#define QUANTISER_CLIPS(X)                                                                         \
  X(CLIP_MAX, max)                                                                                 \
  X(CLIP_QUANTILE, quantile) X(CLIP_DEVIATIONS, sdclip) X(CLIP_SEARCH, search) X(CLIP_MEAN, mean)
#define QUANT_SCALE_ARGUMENTS(X)                                                                   \
  X(int64_t, rows)                                                                                 \
  X(int64_t, columns)                                                                              \
  X(int32_t, clip)                                                                                 \
  X(int32_t, qmin)                                                                                 \
  X(int32_t, qmax)                                                                                 \
  X(int32_t, unrounded)                                                                            \
  X(int32_t, parameters)                                                                           \
  X(double, floor)                                                                                 \
  X(double, half_floor)                                                                            \
  X(double, parameter_0)                                                                           \
  X(double, parameter_1)                                                                           \
  X(double, parameter_2)                                                                           \
  X(double, parameter_3)                                                                           \
  X(double, parameter_4) X(double, parameter_5) X(double, parameter_6) X(double, parameter_7)
enum { QUANT_SCALE_SCALE, QUANT_SCALE_W };

// out[rows,columns]; w, scale[rows], alpha[1]. alpha <= 0: out = w (off). Straight-through: code*scale.
// Soft modes, with y = w/scale and r = y - floor y, times scale and clamped to +-qmax: soft: floor y
// + 1/2 + tanh(alpha (r - 1/2)) / (2 tanh(alpha/2)); logistic: floor y + logistic(alpha (r - 1/2)).
// rounding is a quantiser_mode, after its word in plans.
#define QUANTISER_MODES(X)                                                                         \
  X(MODE_STRAIGHT_THROUGH, straight_through)                                                       \
  X(MODE_SOFT, soft_round) X(MODE_LOGISTIC, soft_round_logistic)
#define FAKE_QUANT_ARGUMENTS(X)                                                                    \
  X(int64_t, rows) X(int64_t, columns) X(int32_t, qmin) X(int32_t, qmax) X(int32_t, rounding)
enum { FAKE_QUANT_OUT, FAKE_QUANT_W, FAKE_QUANT_SCALE, FAKE_QUANT_ALPHA };

// dw; dy, w, scale, alpha. Straight-through: dw = dy. Soft: dy * slope, 0 where clamped.
#define FAKE_QUANT_BACKWARD_ARGUMENTS FAKE_QUANT_ARGUMENTS
enum {
  FAKE_QUANT_BACKWARD_DW,
  FAKE_QUANT_BACKWARD_DY,
  FAKE_QUANT_BACKWARD_W,
  FAKE_QUANT_BACKWARD_SCALE,
  FAKE_QUANT_BACKWARD_ALPHA
};

// out[outer, count*inner]; x[outer, extent*inner], both bf16 or both f32.
#define SLICE_ARGUMENTS(X)                                                                         \
  X(int64_t, outer)                                                                                \
  X(int64_t, extent)                                                                               \
  X(int64_t, inner) X(int64_t, start) X(int64_t, count) X(int64_t, tile_rows) X(int32_t, bf16)
enum { SLICE_OUT, SLICE_X };

// out[outer, extent*inner], zero elsewhere; y[outer, count*inner].
#define UNSLICE_ARGUMENTS SLICE_ARGUMENTS
enum { UNSLICE_OUT, UNSLICE_Y };

// out[rows,width]: row t of a sequence of `positions` rows is row t - by of x; zero if there is none.
#define SHIFT_ARGUMENTS(X)                                                                         \
  X(int64_t, rows) X(int64_t, width) X(int64_t, positions) X(int64_t, by) X(int64_t, tile_rows)
enum { SHIFT_OUT, SHIFT_X };

// out[rows] = 0.0 where ids = except, else 1.0.
#define TOKEN_MASK_ARGUMENTS(X) X(int64_t, rows) X(int64_t, except) X(int64_t, tile_rows)
enum { TOKEN_MASK_OUT, TOKEN_MASK_IDS };

// out[rows], int32: (36313 ids[r] ^ 27191 ids[r-1] ^ (order 3) 51497 ids[r-2]) mod (buckets - 1), and
// buckets - 1 for the first order - 1 rows of a sequence. With sum: (92821 ids[r-1] + ids[r]) mod
// buckets, and 0 for an id before the sequence.
#define HASH_TOKENS_ARGUMENTS(X)                                                                   \
  X(int64_t, rows)                                                                                 \
  X(int64_t, positions)                                                                            \
  X(int64_t, order) X(int64_t, buckets) X(int64_t, tile_rows) X(int32_t, sum)
enum { HASH_TOKENS_OUT, HASH_TOKENS_IDS };

// out[batch,positions], int32: the position of the document of each token. Documents begin at position
// 0, at ids = start, and after `limit` tokens of one (0: no limit).
#define DOCUMENTS_ARGUMENTS(X)                                                                     \
  X(int64_t, batch) X(int64_t, positions) X(int64_t, start) X(int64_t, limit)
enum { DOCUMENTS_OUT, DOCUMENTS_IDS };

// Every kernel: its identifier, and its name in plans, which begins the names of its functions (a
// body and a layout, in Kernels/bodies). Whatever lists kernels is made of this.
#define KERNELS(X)                                                                                 \
  X(EMBED, embed)                                                                                  \
  X(EMBED_BACKWARD, embed_backward)                                                                \
  X(PACK, pack)                                                                                    \
  X(MATMUL, matmul)                                                                                \
  X(PACK_TOKENS, pack_tokens)                                                                      \
  X(MATMUL_WEIGHT, matmul_weight)                                                                  \
  X(ROWS, rows)                                                                                    \
  X(SUM_PARTIALS, sum_partials)                                                                    \
  X(ROPE_TABLE, rope_table)                                                                        \
  X(ATTENTION, attention)                                                                          \
  X(ATTENTION_BACKWARD, attention_backward)                                                        \
  X(CROSS_ENTROPY, cross_entropy)                                                                  \
  X(CROSS_ENTROPY_BACKWARD, cross_entropy_backward)                                                \
  X(DOT, dot)                                                                                      \
  X(CLIP_FACTOR, clip_factor)                                                                      \
  X(ADAMW, adamw)                                                                                  \
  X(SGD, sgd)                                                                                      \
  X(MUON, muon)                                                                                    \
  X(QUANT_SCALE, quant_scale)                                                                      \
  X(FAKE_QUANT, fake_quant)                                                                        \
  X(FAKE_QUANT_BACKWARD, fake_quant_backward)                                                      \
  X(SLICE, slice)                                                                                  \
  X(UNSLICE, unslice)                                                                              \
  X(SHIFT, shift)                                                                                  \
  X(TOKEN_MASK, token_mask)                                                                        \
  X(HASH_TOKENS, hash_tokens)                                                                      \
  X(DOCUMENTS, documents)                                                                          \
  X(EXCLUDE_SELF, exclude_self)                                                                    \
  X(EXCLUDE_SELF_BACKWARD, exclude_self_backward)

#endif
