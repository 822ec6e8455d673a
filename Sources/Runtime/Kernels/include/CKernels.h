// SPDX-License-Identifier: Apache-2.0
// The contract between the executor and the kernels: every kernel, its buffers in order, its sizes,
// its scalars. Kernels know no graph, allocate nothing while running, and cannot fail: the caller
// checks sizes. All matrices are row-major f32; `ids` and `targets` are int32.
//
// Determinism: a call is cut into tiles whose extent depends on the sizes only, every output
// element is summed in one fixed order inside one tile, and sums across tiles go through a fixed
// tree. Threads only decide who computes a tile, so results do not depend on their number.
//
// bf16 = 1 computes products in bfloat16: both operands are rounded (nearest, ties to even; f32
// denormals become zero), products are summed in f32. With it the GEMM route does not matter. ISA
// avx512bf16 uses its dot product instruction, which adds pairs in its own way and flushes denormal
// sums; the packs of all ISAs, and the products of all others, agree bit by bit (unless a product of
// two numbers underflows).
//
// half names the operands that lie in memory as bf16 (row-major, 2 bytes an element, rounded as
// above), one bit each; the others are f32. Only calls with bf16 = 1, packs of tokens, row programs
// and losses have such operands.
//
// tile_rows, where a size has that name, fixes the rows of a tile; 0 leaves them to the kernel. Calls
// of a chain (below) have it set, so that tile i of each covers the same tokens.
#ifndef GRAPHC_CKERNELS_H
#define GRAPHC_CKERNELS_H

#include <stddef.h>
#include <stdint.h>

enum { KERNEL_BUFFERS = 10, KERNEL_SIZES = 10, KERNEL_SCALARS = 6 };

typedef enum kernel_id {
  // out[rows,width]; table[vocab,width], ids[rows] | sizes rows, width, vocab, tile_rows
  KERNEL_EMBED,
  // dtable[vocab,width] overwritten; dy[rows,width], ids[rows] | rows, width, vocab
  KERNEL_EMBED_BACKWARD,
  // packed; w[n,k] | n, k, transposed, bf16(0|1). transposed 0: for y[.,n] = x[.,k] wᵀ; 1: for
  // dx[.,k] = dy[.,n] w
  KERNEL_PACK,
  // y[m,n]; x[m,k], packed | m, n, k, ldy, ldx, accumulate(0|1), bf16(0|1), half (1: x, 2: y),
  // tile_rows. packed holds an [n,k] operand in the panel layout of KERNEL_PACK with the same bf16
  // (for the transposed pack the roles of n and k are already exchanged). With tile_rows a tile is
  // that many rows of all columns. y in bf16 cannot accumulate.
  KERNEL_MATMUL,
  // packed; x[m,n] | m, n, ldx, half (1: x; only if bf16), tile_rows (even), bf16(0|1). The operand
  // of a weight gradient: panels of 16 columns, each contiguous over all tokens: [m][16] f32, or in bf16
  // [ceil(m/2)][16] words of two numbers, the earlier token low. Missing columns, and what follows an
  // odd last token, are zero. From one panel to the next are 16 times the words, made odd.
  KERNEL_PACK_TOKENS,
  // dw[n,k]; dy[m,n], x[m,k], both packed by KERNEL_PACK_TOKENS | m, n, k, accumulate(0|1),
  // bf16(0|1). dw = dyᵀ x.
  KERNEL_MATMUL_WEIGHT,
  // A row program (struct row_program): buffers are named by the program. | rows, width, rows_per_tile
  // The plan chooses the rows of a tile, because they fix the order of its sums: ROW_SUM_* write one
  // part a tile.
  KERNEL_ROWS,
  // out[n]; partial[parts,n] | n, parts. Fixed tree over parts; out is overwritten.
  KERNEL_SUM_PARTIALS,
  // table[positions, dims] (dims/2 cosines, then dims/2 sines per position)
  // | positions, dims | base, train_length (0: none), ramp_from, ramp_factor
  // inv_freq_i = base^(-2i/dims); if positions > train_length > 0 the base becomes
  // base * (positions/train_length)^(dims/(dims-2)); with ramp_factor != 1: t = clamp((2i/dims -
  // ramp_from)/(1 - ramp_from), 0, 1), inv_freq_i /= t (ramp_factor - 1) + 1. Computed in double.
  KERNEL_ROPE_TABLE,
  // y[b,n,h,d], lse[b,h,n]; q[b,n,h,d], k[b,t,g,d], v[b,t,g,d] | b, t, h, g, d, bf16(0|1), n | scale
  // Causal; query head i reads kv head i / (h/g). lse is the natural log of the sum of exp. The n
  // queries are those of the last n positions; 0 stands for t. With bf16 everything but lse lies in
  // memory as bf16, the products are bf16 with f32 sums, and scale is positive.
  KERNEL_ATTENTION,
  // dq, dk, dv; q, k, v, y, lse, dy | b, t, h, g, d, bf16(0|1) | scale. n is t.
  KERNEL_ATTENTION_BACKWARD,
  // nll[rows], lse[rows]; z[rows,vocab], targets[rows] | rows, vocab, tile_rows | cap. Logits are
  // cap*tanh(z/cap), or z itself where cap is 0.
  KERNEL_CROSS_ENTROPY,
  // dz; z, targets, lse, dnll[rows] | rows, vocab, tile_rows, half (1: dz) | cap. dz may be z if both
  // are f32.
  KERNEL_CROSS_ENTROPY_BACKWARD,
  // out[1]; a[n], b[n] | n.  Fixed-tree sum of a*b (accumulated in double, stored f32).
  KERNEL_DOT,
  // factor[1], norm[1]; parts[n] | n | limit.  norm = sqrt(sum parts), factor = min(1,
  // limit/(norm+1e-6)); limit 0: factor 1.
  KERNEL_CLIP_FACTOR,
  // w, m, v updated in place; g, lr[1], factor[1], step[1] | n | beta1, beta2, eps, decay
  // g is multiplied by factor first; m, v moments with bias correction (step counts from 1);
  // w = (1 - lr decay) w - lr mhat/(sqrt(vhat)+eps).
  KERNEL_ADAMW,
  // w, m in place; g, lr[1], factor[1] | n | momentum, decay.  m = momentum m + factor g; w = (1-lr
  // decay) w - lr m.
  KERNEL_SGD,
  // w, m in place; g, lr[1], factor[1], momentum[1], coefficients[steps,3] | rows, cols, steps,
  // row_normalise, bf16(0|1: the products of the steps) | decay
  // m = mu m + g; u = g + mu m; optional row L2 normalise (max(norm,1e-7)); X = u/(|u|_F+1e-7),
  // transposed if rows > cols; steps: A = X Xᵀ, X = aX + (bA + cA²)X;
  // w = (1 - lr decay) w - lr sqrt(max(1, rows/cols)) X.  One call is one tile.
  KERNEL_MUON,
  // scale[rows]; w[rows,cols] | rows, cols, clip(0 max,1 quantile,2 sdclip), qmax | parameter(q or
  // k), floor, half_floor An optional size[4] != 0 leaves the scale unrounded (QAT, "codes_from
  // full"). scale = max(clip/qmax, floor), rounded to f16, then raised to half_floor. quantile:
  // linear interpolation at q(n-1) of |w|; sdclip: k * standard deviation with n-1.
  KERNEL_QUANT_SCALE,
  // out[rows,cols]; w, scale[rows], alpha[1] | rows, cols, qmin, qmax, mode
  // alpha <= 0: out = w (off). Mode 0, straight-through: code*scale. Soft modes, with y = w/scale and
  // r = y - floor y, times scale and clamped to +-qmax: 1: floor y + 1/2 + tanh(alpha (r - 1/2)) /
  // (2 tanh(alpha/2)); 2: floor y + logistic(alpha (r - 1/2)).
  KERNEL_FAKE_QUANT,
  // dw; dy, w, scale, alpha | as KERNEL_FAKE_QUANT. Straight-through: dw = dy. Soft: dy * slope, 0
  // where clamped.
  KERNEL_FAKE_QUANT_BACKWARD,
  // out[outer, count*inner]; x[outer, extent*inner] | outer, extent, inner, start, count, half (1:
  // both)
  KERNEL_SLICE,
  // out[outer, extent*inner] zero elsewhere; y[outer, count*inner] | outer, extent, inner, start,
  // count, half (1: both)
  KERNEL_UNSLICE,
  KERNEL_COUNT
} kernel_id;

// ---- Row programs -------------------------------------------------------------------------------
// A tiny vector machine: one fused region over a [rows, width] space. Registers are either bound to
// a buffer of the call or temporary. A tile runs in blocks of rows, each instruction over the whole
// block before the next one, so temporaries stay in L1. A row's numbers do not depend on the rows
// beside it.
typedef enum row_shape {
  ROW_FULL,                               // [rows, width]
  ROW_VECTOR,                             // [width], the same for every row
  ROW_SCALAR,                             // [rows], one number a row
  ROW_PERIODIC,                           // [period], one number a row, index row % period
  ROW_CONSTANT,                           // [1]
  ROW_TABLE                               // [positions, dims] of KERNEL_ROPE_TABLE, always a buffer;
                                          // row r has index (r / period) % positions
} row_shape;

typedef enum row_op {
  ROW_COPY, ROW_ADD, ROW_SUB, ROW_MUL,    // any shapes that broadcast into dst's
  ROW_MULTIPLY_ADD,                       // a * b + c, likewise
  ROW_SCALE, ROW_OFFSET,                  // a * immediate, a + immediate
  ROW_SQUARE, ROW_SIGMOID, ROW_TANH,      // elementwise
  ROW_LEAKY_RELU,                         // a > 0 ? a : immediate * a
  ROW_LEAKY_RELU_BACKWARD,                // a = dy, b = x: x > 0 ? dy : immediate * dy
  ROW_SQUARED_LEAKY_RELU,                 // the square of ROW_LEAKY_RELU
  ROW_SQUARED_LEAKY_RELU_BACKWARD,        // a = dy, b = x: dy * x * (x > 0 ? 2 : 2 immediate^2)
  ROW_SOFTCAP,                            // immediate * tanh(a / immediate)
  ROW_SOFTCAP_BACKWARD,                   // a = dy, b = y = softcap(x): dy * (1 - (y/immediate)^2)
  ROW_RMS_NORM,                           // a * r, r = 1/sqrt(mean(a^2) + immediate); all full
  ROW_RMS_NORM_BACKWARD,                  // a = dy, b = x: r dy - x r^3 (dy . x) / width; all full
  ROW_RMS_NORM_BACKWARD_ADD,              // the same + c
  ROW_ROPE,                               // full a, table b: (u,w) -> (u cos + w sin, w cos - u sin),
                                          // halves of the first `dims`; the rest is copied
  ROW_ROPE_INVERSE,                       // turns back
  ROW_DOT,                                // dst scalar = sum over width of full a * full b
  ROW_SUM_COLUMNS,                        // dst partial[tiles, width]: full a over the tile's rows
  ROW_SUM_COLUMNS_PRODUCT,                // the same of full a * full b
  ROW_SUM_PERIODIC,                       // dst partial[tiles, period]: scalar a by row % period
  ROW_SUM_ALL                             // dst partial[tiles, 1]: sum of a (full or scalar)
} row_op;

typedef struct row_register {
  int32_t shape;   // row_shape; for the dst of a ROW_SUM_* it is ignored (a partial)
  int32_t buffer;  // index into the call's buffers, or -1: temporary
  int32_t period;  // ROW_PERIODIC and ROW_SUM_PERIODIC; of a ROW_TABLE the rows of a position
  int32_t half;    // the buffer holds bf16; ROW_FULL only
  int32_t positions, dims;  // ROW_TABLE only
} row_register;

typedef struct row_instruction {
  int32_t op, dst, a, b, c;  // those beyond an op's operands are ignored
  float immediate;
} row_instruction;

enum { ROW_BUFFERS = 24, ROW_REGISTERS = 64, ROW_INSTRUCTIONS = 64 };

typedef struct row_program {
  int32_t registers, instructions;
  row_register reg[ROW_REGISTERS];
  row_instruction code[ROW_INSTRUCTIONS];
} row_program;

// ---- Calls and execution ------------------------------------------------------------------------
typedef struct kernel_call {
  int32_t kernel;                       // kernel_id
  int32_t barrier;                      // nonzero: every tile of all earlier calls is done first
  // Calls in the chain that begins here; 0 or 1: none. The calls of a chain have equally many tiles,
  // tile i of each reads and writes the same rows, and one thread runs tile i of all of them, one
  // call after the other, before it claims another: what one writes is still in cache for the next.
  int32_t chain;
  // Bit b: buffer b lives in thread-private scratch. buffer[b] is its offset there, and advance[b]
  // the bytes of one tile, so that row r of the whole lies where it would in memory.
  uint32_t local;
  int32_t advance[ROW_BUFFERS];
  void *buffer[ROW_BUFFERS];            // in the order written beside the kernel: outputs first
  int64_t size[KERNEL_SIZES];
  double scalar[KERNEL_SCALARS];
  const row_program *program;           // KERNEL_ROWS only
  // Filled by kernels_prepare:
  int64_t tiles;
  int64_t scratch;                      // bytes of thread-private scratch one tile needs
  void *jit[4];                         // code for the tile shapes of this call
} kernel_call;

// Bytes of the packed form of w[n,k] (64-byte aligned panels 64 wide, or 32, padded).
int64_t kernel_packed_bytes(int64_t n, int64_t k, int32_t transposed);

// The same for a bf16 pack: panels of 64 columns (32 if there are at most 32), the last one padded,
// depth rounded up to even: round_up(columns, panel) * round_up(depth, 2) * 2 bytes, with columns,
// depth = n, k, or k, n for a transposed pack. A panel is [depth/2][panel][2] bf16; padding is zero.
int64_t kernel_packed_bytes_bf16(int64_t n, int64_t k, int32_t transposed);

// Bytes of the operand of a weight gradient that KERNEL_PACK_TOKENS makes of x[m,n].
int64_t kernel_token_panel_bytes(int64_t m, int64_t n, int32_t bf16);

// Fills tiles, scratch and jit. Once per plan and machine; not thread safe.
void kernels_prepare(kernel_call *calls, int64_t count);

// Runs the calls in one parallel region; threads claim tiles. `barrier` is the only order between
// calls.
void kernels_run(const kernel_call *calls, int64_t count, int32_t threads);

// What one thread did: a tile of a call, or (tile -1) its wait at the barrier before that call.
typedef struct kernel_event {
  int32_t call, thread;  // call: index into the list
  int64_t tile;
  int64_t start, end;    // nanoseconds on the steady clock
} kernel_event;

// Events that one thread makes at most when the calls run.
int64_t kernels_profile_room(const kernel_call *calls, int64_t count);

// Runs as kernels_run does, and records. Thread i writes made[i] events, in order of time, from
// events + i * room; both arrays are the caller's, for `threads` threads (at most 1024).
void kernels_profile(const kernel_call *calls, int64_t count, int32_t threads, kernel_event *events,
                     int64_t room, int64_t *made);

// ---- Machine ------------------------------------------------------------------------------------
// Called once before anything else: picks the ISA (GRAPHC_ISA=portable|avx2|avx512|avx512bf16
// overrides, never above what the CPU has), the GEMM route (GRAPHC_GEMM=libxsmm|openblas|built-in
// overrides; libxsmm on AVX2 where it exists, else built-in). For openblas it re-picks the core, sets
// one thread, and falls back to built-in where that core does not give a row the same bits at every
// place.
void kernels_init(void);
const char *kernels_isa(void);          // "portable", "avx2", "avx512", "avx512bf16", "neon"
const char *kernels_best_isa(void);     // the same, of this CPU, whatever was chosen
const char *kernels_gemm(void); // "built-in", "libxsmm 1.17 (hsw)", "openblas 0.3.21 (Cooperlake)"
const char *kernels_machine(void);      // "x86_64" or "aarch64"
int32_t kernels_max_threads(void);      // processors this process may use
const char *kernels_jit(void);          // "libxsmm 1.17 (hsw)", "libxsmm 1.17, not in use", "none"
// "OpenBLAS 0.3.21, core Cooperlake, pthreads": with the core that graphc would use.
const char *kernels_blas(void);

// The most this machine reaches with so many threads, measured for about so many seconds: FLOPs a
// second of f32 multiply-adds or bf16 dot products that stay in registers, bytes a second read from
// memory. 0 where the ISA has no bf16 dot product. PROBE_MEMORY takes half a gigabyte meanwhile.
typedef enum kernel_probe { PROBE_F32, PROBE_BF16, PROBE_MEMORY, PROBE_COUNT } kernel_probe;
double kernels_peak(kernel_probe kind, int32_t threads, double seconds);

// For tests and replays: the same choice by name, at any time between runs; NULL takes that of kernels_init.
// Calls must be prepared (and weights packed) again afterwards. Returns 1 if both were available.
int32_t kernels_select(const char *isa, const char *gemm);

// ---- Quantiser ----------------------------------------------------------------------------------
// The definitions behind KERNEL_QUANT_SCALE and KERNEL_FAKE_QUANT, serial, for export.
// scale[rows]: rounded to f16 and raised to half_floor; full[rows]: before that; clip[rows]: the
// limit itself. Each of the three may be NULL. `rule` and `parameter` as in KERNEL_QUANT_SCALE.
void quantise_scales(float *scale, float *full, float *clip, const float *w, int64_t rows,
                     int64_t cols, int32_t rule, int32_t qmax, double parameter, double floor,
                     double half_floor);
// codes = clamp(half-even(w / scale), qmin, qmax); with `clip` (may be NULL) w is clamped to it
// first; scale 0 gives codes 0. Pass `full` as scale where codes come from the unrounded scale.
void quantise_codes(int8_t *codes, const float *w, const float *scale, const float *clip,
                    int64_t rows, int64_t cols, int32_t qmin, int32_t qmax);
// w = code * scale.
void quantise_dequantise(float *w, const int8_t *codes, const float *scale, int64_t rows,
                         int64_t cols);
uint16_t quantise_half(double x);      // to f16 bits, nearest, ties to even
float quantise_from_half(uint16_t bits);

#endif
