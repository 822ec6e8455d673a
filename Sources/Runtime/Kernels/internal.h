// SPDX-License-Identifier: Apache-2.0
// What the dispatcher and the per-ISA bodies share: small products, the table of bodies, the extent
// of tiles. Extents depend on sizes only (and, for products, on the GEMM route), never on threads.
#ifndef GRAPHC_KERNELS_INTERNAL_H
#define GRAPHC_KERNELS_INTERNAL_H

#include "include/CKernels.h"

// One shape of a small product: c[m,n] (+)= a[m,k] b[k,n], row-major. `code` is JIT code, `library` a
// BLAS; with neither, the strips of the ISA compute it.
typedef struct gemm {
  int32_t m, n, k, lda, ldb, ldc, accumulate;
  void (*code)(const float *b, const float *a, float *c);
  void (*library)(const struct gemm *shape, const float *b, const float *a, float *c);
} gemm;

// The shapes one call needs, as one interned array: equal requests share it, it lives for ever.
const gemm *gemm_set(const gemm *shapes, int32_t count);

typedef enum gemm_route { GEMM_BUILT_IN, GEMM_OPENBLAS, GEMM_LIBXSMM } gemm_route;
gemm_route gemm_current_route(void);
void gemm_select(gemm_route route, int32_t isa); // falls back to the next route there is
const char *gemm_name(void);
const char *gemm_jit_name(void);
const char *gemm_blas_name(void);

// What gptq_codes was asked for.
typedef struct gptq_weights {
  int8_t *codes;
  const float *w;
  int64_t rows, columns;
  const double *u;
  const int32_t *order;
  const uint8_t *dead;    // [columns]
  const int32_t *grid_of; // [columns], or NULL
  const gptq_grid *grids;
} gptq_weights;

// What every kernel has for each ISA: a body, which computes one tile, and a layout, which sets the
// tiles of a call and the bytes of scratch that one takes, if any.
typedef void (*kernel_tile)(const kernel_call *call, int64_t tile, void *scratch);
typedef void (*kernel_layout)(kernel_call *call);

typedef struct kernel_table {
  kernel_tile tile[KERNEL_COUNT];
  kernel_layout layout[KERNEL_COUNT];
  void (*scales)(float *scale, float *full, float *clip, const float *w,
                 const quant_scale_args *args, float *work);
  void (*codes)(int8_t *codes, const float *w, const float *scale, const float *clip, int64_t rows,
                int64_t columns, int32_t qmin, int32_t qmax);
  void (*dequantise)(float *w, const int8_t *codes, const float *scale, int64_t rows,
                     int64_t columns);
  void (*orthonormalise)(double *v, int64_t count, int64_t length);
  // Of GPTQ (bodies/gptq.inc).
  void (*subtract)(double *c, int64_t ldc, const double *a, int64_t lda, const double *b,
                   int64_t ldb, int64_t m, int64_t n, int64_t depth);
  int32_t (*solve)(double *x, int64_t ldx, const double *v, int64_t ldv, int64_t m, int64_t n,
                   int32_t pivots);
  void (*gptq)(const gptq_weights *weights, int64_t tile, double *room);
  // Returns FLOPs, or bytes read; NULL where the ISA has no such instruction.
  double (*probe[PROBE_COUNT])(float *out, const float *in, int64_t count);
} kernel_table;

enum isa { ISA_PORTABLE, ISA_AVX2, ISA_AVX512, ISA_AVX512BF16 };
const kernel_table *kernels_table(void);

// Binding of threads to processors, for teams that fill the processors of this process.
int32_t machine_binds(int32_t threads);
void machine_bind(int32_t thread);
void machine_unbind(int32_t thread); // by the system's name; 0: the caller
int32_t machine_thread(void);        // the system's name of the caller

static inline int64_t parts_of(int64_t n, int64_t size) { return (n + size - 1) / size; }
static inline int64_t round_up(int64_t n, int64_t to) { return parts_of(n, to) * to; }
static inline int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }

// Numbers from row to row of GPTQ's matrices. An odd number of lines, so that rows below each other do
// not share a set of the cache.
static inline int64_t gptq_row(int64_t columns) { return round_up(columns, 16) + 8; }

static inline int64_t floats(int64_t n) { return n * (int64_t)sizeof(float); }
static inline int64_t numbers(int64_t n, int32_t bf16) { return n * (bf16 ? 2 : 4); }

// Elementwise tiles: 64 KiB of one operand, a few microseconds of work.
enum { TILE_ELEMENTS = 16384 };
static inline int64_t rows_per_tile(int64_t width) {
  return most(1, TILE_ELEMENTS / most(width, 1));
}

// Cuts n rows (columns, elements) into tiles of so many.
static inline void cut(kernel_call *call, int64_t n, int64_t extent) {
  call->tile_extent = extent;
  call->tiles = parts_of(n, extent);
}

// Cuts rows into tiles as high as the call asks, or as make a tile of that width.
static inline void cut_rows(kernel_call *call, int64_t rows, int64_t asked, int64_t width) {
  cut(call, rows, asked > 0 ? asked : rows_per_tile(width));
}

// The rows of a tile of a call that was cut so.
typedef struct tile_range {
  int64_t begin, end;
} tile_range;
static inline tile_range range_of(const kernel_call *call, int64_t tile, int64_t n) {
  const int64_t begin = tile * call->tile_extent;
  return (tile_range){begin, least(n, begin + call->tile_extent)};
}

// Takes pieces of a tile's scratch, one after the other. Without a base it only measures: what a
// layout reserves and what a body takes are one computation.
typedef struct carver {
  char *base;
  int64_t used;
} carver;
static inline float *carve(carver *room, int64_t count) {
  float *at = room->base ? (float *)(room->base + room->used) : NULL;
  room->used += round_up(floats(count), 64);
  return at;
}

// Panels of a packed operand: 64 columns for strips and JIT code, wider where a BLAS packs again
// by itself. The last panel is narrower: only what is left, rounded up to the unit.
static inline int64_t panel_unit(int64_t n) { return n <= 32 ? 32 : 64; }
static inline int64_t panel_width(int64_t n, gemm_route route) {
  return route == GEMM_OPENBLAS ? least(256, round_up(n, panel_unit(n))) : panel_unit(n);
}

// Height of a tile that a BLAS computes: a multiple of all its register blocks.
enum { BLAS_ROWS = 96 };

// Products in bfloat16: two numbers that follow each other in depth are one word.
static inline int64_t bf16_pairs(int64_t depth) { return parts_of(depth, 2); }

// Weight gradients take panels sixteen columns wide, a line of cache for each word of the depth.
enum { TOKEN_PANEL = 16 };
// Words of so many tokens, and words from one panel to the next: an odd number of lines, so no power
// of two.
static inline int64_t token_words(int64_t m, int64_t bf16) { return bf16 ? bf16_pairs(m) : m; }
static inline int64_t token_panel_step(int64_t m, int64_t bf16) {
  return (token_words(m, bf16) | 1) * TOKEN_PANEL;
}
// Memory to be fetched by the product that runs: the pieces, and how far it came (fetch.c).
typedef struct fetch_piece {
  const char *at;
  int64_t bytes, step, count; // `count` times `bytes`, each `step` behind the one before
} fetch_piece;
enum { FETCH_PIECES = 64, FETCH_LINE = 64 };
typedef struct fetch_list {
  int32_t count;
  int64_t next, repeat, at; // piece, which of its repetitions, byte in it
  fetch_piece piece[FETCH_PIECES];
} fetch_list;
extern _Thread_local fetch_list fetching;

// Lists what follows call i of a chain in this tile, or what begins the chain in tile `then`, the
// likely next one of this thread.
void fetch_after(const kernel_call *chain, int64_t length, int64_t i, int64_t tile, int64_t then);

// The next lines to fetch, at most `lines`, and the number of the last one; `otherwise` and 0 if
// there are none.
static inline const char *fetch_some(int64_t lines, const void *otherwise, int64_t *last) {
  fetch_list *f = &fetching;
  *last = 0;
  if (f->next == f->count) return otherwise;
  const fetch_piece *piece = &f->piece[f->next];
  const char *some = piece->at + f->repeat * piece->step + f->at;
  *last = least(lines, parts_of(piece->bytes - f->at, FETCH_LINE)) - 1;
  f->at += lines * FETCH_LINE;
  if (f->at < piece->bytes) return some;
  f->at = 0;
  if (++f->repeat < piece->count) return some;
  f->repeat = 0;
  f->next++;
  return some;
}

#endif
