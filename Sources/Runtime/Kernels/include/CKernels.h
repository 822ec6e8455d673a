// SPDX-License-Identifier: Apache-2.0
// The contract between the executor and the kernels; what each of them computes of which buffers is
// in KernelArguments.h. Kernels know no graph, allocate nothing while running, and cannot fail: the caller
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
// Operands named in x_bf16 and its like lie in memory as bf16 (row-major, 2 bytes an element, rounded
// as above); the others are f32.
//
// tile_rows fixes the rows of a tile; 0 leaves them to the kernel. Calls
// of a chain (below) have it set, so that tile i of each covers the same tokens.
#ifndef GRAPHC_CKERNELS_H
#define GRAPHC_CKERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "KernelArguments.h"

// ---- Kernels --------------------------------------------------------------------------------------
#define KERNEL_ID(ID, name) KERNEL_##ID,
typedef enum kernel_id { KERNELS(KERNEL_ID) KERNEL_COUNT } kernel_id;
#undef KERNEL_ID

#define ARGUMENT_FIELD(type, name) type name;
#define ARGUMENT_STRUCT(ID, name)                                                                  \
  typedef struct name##_args {                                                                     \
    ID##_ARGUMENTS(ARGUMENT_FIELD)                                                                 \
  } name##_args;
KERNELS(ARGUMENT_STRUCT)
#undef ARGUMENT_FIELD
#undef ARGUMENT_STRUCT

#define WORD_ID(ID, word) ID,
typedef enum quantiser_clip { QUANTISER_CLIPS(WORD_ID) } quantiser_clip;
typedef enum quantiser_mode { QUANTISER_MODES(WORD_ID) } quantiser_mode;
#undef WORD_ID

// The number of a word of plans, a clip or a mode; -1 if there is none.
int32_t kernel_word(const char *word);
// The kernel of that name, -1 if there is none.
int32_t kernel_named(const char *name);
// How many arguments a kernel has.
int32_t kernel_arguments(int32_t kernel);

// ---- Row programs -------------------------------------------------------------------------------
// A tiny vector machine: one fused region over a [rows, width] space. Registers are either bound to
// a buffer of the call or temporary. A tile runs in blocks of rows, each instruction over the whole
// block before the next one, so temporaries stay in L1. A row's numbers do not depend on the rows
// beside it.
typedef enum row_shape {
  ROW_FULL,     // [rows, width]
  ROW_VECTOR,   // [width], the same for every row
  ROW_SCALAR,   // [rows], one number a row
  ROW_PERIODIC, // [period], one number a row, index row % period
  ROW_CONSTANT, // [1]
  ROW_TABLE     // [positions, dims] of KERNEL_ROPE_TABLE, always a buffer;
                // row r has index (r / period) % positions
} row_shape;

// Every operation: its identifier, its name in plans, how many operands it has. Elementwise ones take
// any shapes that broadcast into dst's.
#define ROW_ELEMENTWISE_OPERATIONS(X)                                                              \
  X(COPY, copy, 1)                                                                                 \
  X(ADD, add, 2)                                                                                   \
  X(SUB, sub, 2)                                                                                   \
  X(MUL, mul, 2)                                                                                   \
  X(MULTIPLY_ADD, multiply_add, 3) /* a * b + c */                                                 \
  X(SCALE, scale, 1)               /* a * immediate */                                             \
  X(OFFSET, offset, 1)             /* a + immediate */                                             \
  X(SQUARE, square, 1)                                                                             \
  X(SIGMOID, sigmoid, 1)                                                                           \
  X(TANH, tanh, 1)                                                                                 \
  X(LEAKY_RELU, leaky_relu, 1)                   /* a > 0 ? a : immediate * a */                   \
  X(LEAKY_RELU_BACKWARD, leaky_relu_backward, 2) /* a = dy, b = x: x > 0 ? dy : immediate * dy */  \
  X(SQUARED_LEAKY_RELU, squared_leaky_relu, 1)   /* the square of LEAKY_RELU */                    \
  /* a = dy, b = x: dy * x * (x > 0 ? 2 : 2 immediate^2) */                                        \
  X(SQUARED_LEAKY_RELU_BACKWARD, squared_leaky_relu_backward, 2)                                   \
  X(SOFTCAP, softcap, 1)                   /* immediate * tanh(a / immediate) */                   \
  X(SOFTCAP_BACKWARD, softcap_backward, 2) /* a = dy, b = softcap(x): dy (1 - (b/immediate)^2) */  \
  X(LERP, lerp, 3)                         /* a + c (b - a) */                                     \
  X(SOFTCAP_QUINTIC, softcap_quintic, 1)   /* immediate * the series of tanh, clamped */           \
  X(SOFTCAP_QUINTIC_BACKWARD, softcap_quintic_backward, 2) /* a = dy, b = x */                     \
  X(CAP_OF_SIGN, cap_of_sign, 3)                           /* a > 0 ? b : c */                     \
  X(SOFTCAP_ASYMMETRIC, softcap_asymmetric, 3)             /* s tanh(a / s), s = a > 0 ? b : c */  \
  X(SOFTCAP_BY_BACKWARD, softcap_by_backward, 3) /* a = dy, b = y, c = s: dy (1 - (y/s)^2) */      \
  /* a = dy, b = x, c = s: dy (t - u (1 - t^2)), u = x/s, t = tanh u */                            \
  X(SOFTCAP_BY_BACKWARD_CAP, softcap_by_backward_cap, 3)                                           \
  X(FLOAT8, float8, 2) /* b > 0 ? a rounded to E4M3 : a */
#define ROW_OPERATIONS(X)                                                                            \
  ROW_ELEMENTWISE_OPERATIONS(X)                                                                      \
  X(RMS_NORM, rms_norm, 1) /* a * r, r = 1/sqrt(mean(a^2) + immediate); all full */                  \
  /* a = dy, b = x: r dy - x r^3 (dy . x) / width; all full */                                       \
  X(RMS_NORM_BACKWARD, rms_norm_backward, 2)                                                         \
  X(RMS_NORM_BACKWARD_ADD, rms_norm_backward_add, 3) /* the same + c */                              \
  /* full a, table b: (u,w) -> (u cos + w sin, w cos - u sin), halves of the first `dims`; the     \
     rest is copied */ \
  X(ROPE, rope, 2)                                                                                   \
  X(ROPE_INVERSE, rope_inverse, 2) /* turns back */                                                  \
  X(DOT, dot, 2)                   /* dst scalar = sum over width of full a * full b */              \
  X(SUM_ROW, sum_row, 1)           /* dst scalar = sum over width of full a */                       \
  X(SUM_COLUMNS, sum_columns, 1)   /* dst partial[tiles, width]: full a over the tile's rows */      \
  X(SUM_COLUMNS_PRODUCT, sum_columns_product, 2) /* the same of full a * full b */                   \
  X(SUM_PERIODIC, sum_periodic, 1) /* dst partial[tiles, period]: scalar a by row % period */        \
  X(SUM_ALL, sum_all, 1)           /* dst partial[tiles, 1]: sum of a (full or scalar) */

#define ROW_ID(ID, name, operands) ROW_##ID,
typedef enum row_op { ROW_OPERATIONS(ROW_ID) ROW_OPERATION_COUNT } row_op;
#undef ROW_ID

// The row operation of that name, -1 if there is none, and how many operands one has.
int32_t kernel_row_operation(const char *name);
int32_t kernel_row_operands(int32_t operation);

typedef struct row_register {
  int32_t shape;  // row_shape; for the dst of a ROW_SUM_* it is ignored (a partial)
  int32_t buffer; // index into the call's buffers, or -1: temporary
  int32_t period; // ROW_PERIODIC and ROW_SUM_PERIODIC; of a ROW_TABLE the rows of a position
  int32_t bf16;   // the buffer holds bf16; ROW_FULL only
  int32_t positions, dims; // ROW_TABLE only
} row_register;

typedef struct row_instruction {
  int32_t op, dst, a, b, c; // those beyond an op's operands are ignored
  float immediate;
} row_instruction;

enum { ROW_REGISTERS = 64, ROW_INSTRUCTIONS = 64 };

typedef struct row_program {
  int32_t registers, instructions;
  row_register reg[ROW_REGISTERS];
  row_instruction code[ROW_INSTRUCTIONS];
} row_program;

// ---- Calls and execution ------------------------------------------------------------------------

// What a layout chose for products: extents of tiles, and their small products in f32.
typedef struct matmul_tiles {
  int64_t height, group;     // rows and panels of a tile
  const struct gemm *shapes; // f32 only
} matmul_tiles;
typedef struct matmul_weight_tiles {
  int64_t height, width;
} matmul_weight_tiles;

typedef struct kernel_call {
  int32_t kernel;  // kernel_id
  int32_t barrier; // nonzero: every tile of all earlier calls is done first
  // Calls in the chain that begins here; 0 or 1: none. The calls of a chain have equally many tiles,
  // tile i of each reads and writes the same rows, and one thread runs tile i of all of them, one
  // call after the other, before it claims another: what one writes is still in cache for the next.
  int32_t chain;
  // Bit b: buffer b lives in thread-private scratch. buffer[b] is its offset there, and advance[b]
  // the bytes of one tile, so that row r of the whole lies where it would in memory.
  uint32_t local;
  int32_t advance[KERNEL_BUFFERS];
  void *buffer[KERNEL_BUFFERS];
#define ARGUMENT_MEMBER(ID, name) name##_args name;
  union {
    KERNELS(ARGUMENT_MEMBER)
  };
#undef ARGUMENT_MEMBER
  // Filled by kernels_layout:
  int64_t tiles;
  int64_t
      scratch; // bytes of thread-private scratch that one tile needs; -1: no memory to lay it out
  union {
    int64_t tile_extent; // rows, columns or elements of a tile, where it has one extent
    int64_t pack_width;  // columns of a panel
    matmul_tiles matmul_tiles;
    matmul_weight_tiles matmul_weight_tiles;
    const struct gemm *muon_shapes; // f32 only
  };
} kernel_call;

// Sets the argument of that name, to `real` if it is a double; 0 if the kernel has none.
int32_t kernel_set(kernel_call *call, const char *name, int64_t whole, double real);

// Cuts calls into tiles and measures their scratch. Once per plan and machine, before they run.
void kernels_layout(kernel_call *calls, int64_t count);

// Bytes of scratch that each thread needs to run calls that were laid out.
int64_t kernels_scratch(const kernel_call *calls, int64_t count);

// Makes room for runs of these calls by so many threads, for ever; 0 if the system has no memory.
int32_t kernels_reserve(const kernel_call *calls, int64_t count, int32_t threads);

// Runs calls for which room was made in one parallel region; threads claim tiles. `barrier` is the
// only order between calls.
void kernels_run(const kernel_call *calls, int64_t count, int32_t threads);

// What one thread did: a tile of a call, or (tile -1) its wait at the barrier before that call.
typedef struct kernel_event {
  int32_t call, thread; // call: index into the list
  int64_t tile;
  int64_t start, end; // nanoseconds on the steady clock
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
const char *kernels_isa(void);      // "portable", "avx2", "avx512", "avx512bf16", "neon"
const char *kernels_best_isa(void); // the same, of this CPU, whatever was chosen
const char *kernels_gemm(void); // "built-in", "libxsmm 1.17 (hsw)", "openblas 0.3.21 (Cooperlake)"
const char *kernels_machine(void); // "x86_64" or "aarch64"
int32_t kernels_max_threads(void); // processors this process may use
const char *kernels_jit(void);     // "libxsmm 1.17 (hsw)", "libxsmm 1.17, not in use", "none"
// "OpenBLAS 0.3.21, core Cooperlake, pthreads": with the core that graphc would use.
const char *kernels_blas(void);

// The most this machine reaches with so many threads, measured for about so many seconds: FLOPs a
// second of f32 multiply-adds or bf16 dot products that stay in registers, bytes a second read from
// memory. 0 where the ISA has no bf16 dot product. PROBE_MEMORY takes half a gigabyte meanwhile.
typedef enum kernel_probe { PROBE_F32, PROBE_BF16, PROBE_MEMORY, PROBE_COUNT } kernel_probe;
double kernels_peak(kernel_probe kind, int32_t threads, double seconds);

// For tests and replays: the same choice by name, at any time between runs; NULL takes that of kernels_init.
// Calls must be laid out (and weights packed) again afterwards. Returns 1 if both were available.
int32_t kernels_select(const char *isa, const char *gemm);

// ---- Quantiser ----------------------------------------------------------------------------------
// The definitions behind KERNEL_QUANT_SCALE and KERNEL_FAKE_QUANT, serial, for export.
// scale[rows]: rounded to f16 and raised to half_floor; full[rows]: before that; clip[rows]: the
// limit itself. Each of the three may be NULL. work[columns] is for quantiles and NULL for others.
void quantise_scales(float *scale, float *full, float *clip, const float *w,
                     const quant_scale_args *args, float *work);
// codes = clamp(half-even(w / scale), qmin, qmax); with `clip` (may be NULL) w is clamped to it
// first; scale 0 gives codes 0. Pass `full` as scale where codes come from the unrounded scale.
void quantise_codes(int8_t *codes, const float *w, const float *scale, const float *clip,
                    int64_t rows, int64_t columns, int32_t qmin, int32_t qmax);
// w = code * scale.
void quantise_dequantise(float *w, const int8_t *codes, const float *scale, int64_t rows,
                         int64_t columns);
// Makes the rows of v [count, length] orthonormal. Both sizes are multiples of eight: the last rows and
// columns may be zeros, and stay so.
void kernels_orthonormalise(double *v, int64_t count, int64_t length);

uint16_t quantise_half(double x); // to f16 bits, nearest, ties to even
float quantise_from_half(uint16_t bits);
// E4M3 without infinities: nearest, half to even, what is larger than 448 becomes that.
uint8_t quantise_float8(float x);
float quantise_from_float8(uint8_t bits);

// ---- GPTQ -----------------------------------------------------------------------------------------
// Codes of rows whose errors are taken over by the columns that follow. All in double, every number by
// one chain of unfused operations: the same bits on every ISA, with any number of threads.
enum { GPTQ_BLOCK = 128, GPTQ_LANES = 64, GPTQ_ROOM = GPTQ_LANES + 8 };

// Numbers from one row of a factor [columns, columns] to the next.
int64_t gptq_stride(int64_t columns);
// Numbers that one thread of gptq_codes needs.
int64_t gptq_room(int64_t columns);

// u, upper triangular with inverse(g) = uᵀu, where g[i,j] = h[order[i], order[j]] off the diagonal and
// diagonal[order[i]] on it. Of h[k,k] the upper triangle is read. u and work hold k * stride numbers.
// 0 if g is not positive definite.
int32_t gptq_factor(double *u, double *work, const double *h, const double *diagonal,
                    const int32_t *order, int64_t k, int32_t threads);

// A grid of codes: clamp(half-even(w / step), qmin, qmax), w clamped to ±limit first, stands for code *
// scale; a step of 0 gives codes 0. `lines` are three arrays of a number a row: scale, step, limit.
typedef struct gptq_grid {
  const float *lines; // [3, rows]
  int32_t qmin, qmax;
} gptq_grid;

// codes[rows,columns] of w[rows,columns]. Columns are taken in the order of u: e = (w - code * scale) /
// u[c,c], and the columns j behind c lose e u[c,j]. Dead columns count as zeros. Column c has the grid
// grids[grid_of[c]], the first one where grid_of is NULL. `room` holds threads * gptq_room(columns)
// numbers.
void gptq_codes(int8_t *codes, const float *w, int64_t rows, int64_t columns, const double *u,
                const int32_t *order, const uint8_t *dead, const int32_t *grid_of,
                const gptq_grid *grids, double *room, int32_t threads);

// out[m,n] = aᵀ b of a[depth,m] and b[depth,n], each by gptq_stride of its columns. Behind the columns
// operands have zeros.
void gptq_product(double *out, const double *a, const double *b, int64_t depth, int64_t m,
                  int64_t n, int32_t threads);

#endif
