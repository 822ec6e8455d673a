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
void gemm_select(gemm_route route, int32_t isa);  // falls back to the next route there is
const char *gemm_name(void);
const char *gemm_jit_name(void);
const char *gemm_blas_name(void);

typedef void (*kernel_tile)(const kernel_call *call, int64_t tile, void *scratch);

typedef struct kernel_table {
  kernel_tile tile[KERNEL_COUNT];
  void (*scales)(float *scale, float *full, float *clip, const float *w, int64_t rows, int64_t cols,
                 int32_t rule, int32_t qmax, double parameter, double floor, double half_floor);
  void (*codes)(int8_t *codes, const float *w, const float *scale, const float *clip, int64_t rows,
                int64_t cols, int32_t qmin, int32_t qmax);
  void (*dequantise)(float *w, const int8_t *codes, const float *scale, int64_t rows, int64_t cols);
  // Returns FLOPs, or bytes read; NULL where the ISA has no such instruction.
  double (*probe[PROBE_COUNT])(float *out, const float *in, int64_t count);
} kernel_table;

enum isa { ISA_PORTABLE, ISA_AVX2, ISA_AVX512, ISA_AVX512BF16 };
const kernel_table *kernels_table(void);

// Binding of threads to processors, for teams that fill the processors of this process.
int32_t machine_binds(int32_t threads);
void machine_bind(int32_t thread);
void machine_unbind(int32_t thread);  // by the system's name; 0: the caller
int32_t machine_thread(void);         // the system's name of the caller

static inline int64_t parts_of(int64_t n, int64_t size) { return (n + size - 1) / size; }
static inline int64_t round_up(int64_t n, int64_t to) { return parts_of(n, to) * to; }
static inline int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }

// Elementwise tiles: 64 KiB of one operand, a few microseconds of work.
enum { TILE_ELEMENTS = 16384 };
static inline int64_t rows_per_tile(int64_t width) {
  return most(1, TILE_ELEMENTS / most(width, 1));
}

// The rows of a tile: what the call asks for, or as many as make a tile of that width.
static inline int64_t tile_rows(int64_t asked, int64_t width) {
  return asked > 0 ? asked : rows_per_tile(width);
}

// A tile of a row program runs in blocks this large, so that several temporaries share L1.
enum { ROW_BLOCK_ELEMENTS = 4096 };
static inline int64_t row_block(int64_t width) {
  return most(1, ROW_BLOCK_ELEMENTS / most(width, 1));
}

// Floats of scratch that a register takes: a temporary, or a periodic operand written out.
static inline int64_t row_register_room(const row_register *r, int64_t block, int64_t width) {
  if (r->buffer >= 0) return r->shape == ROW_PERIODIC ? round_up(block + r->period, 16) : 0;
  const int64_t size = r->shape == ROW_FULL       ? block * width
                       : r->shape == ROW_VECTOR   ? width
                       : r->shape == ROW_SCALAR   ? block
                       : r->shape == ROW_PERIODIC ? r->period : 1;
  return round_up(size, 16);
}

enum { EMBED_COLUMNS = 32, SUM_COLUMNS = 256, PACK_DEPTH = 256 };
enum { ATTENTION_BLOCK = 64 };

// Of the queries of an attention call perhaps only those of the last n positions are wanted: the
// first block that has one.
static inline int64_t attention_queries(const kernel_call *call) {
  return call->size[6] ? call->size[6] : call->size[1];
}
static inline int64_t attention_start(const kernel_call *call) {
  return (call->size[1] - attention_queries(call)) / ATTENTION_BLOCK;
}
// The blocks of one sequence and kv head go to so many tiles. Each packs keys and values again, so
// there are more than one only where there would be few tiles.
static inline int64_t attention_parts(const kernel_call *call) {
  enum { TILES = 16 };
  const int64_t blocks = parts_of(call->size[1], ATTENTION_BLOCK) - attention_start(call);
  return least(blocks, parts_of(TILES, call->size[0] * call->size[3]));
}

// Panels of a packed operand: 64 columns for strips and JIT code, wider where a BLAS packs again
// by itself. The last panel is narrower: only what is left, rounded up to the unit.
static inline int64_t panel_unit(int64_t n) { return n <= 32 ? 32 : 64; }
static inline int64_t panel_width(int64_t n, gemm_route route) {
  return route == GEMM_OPENBLAS ? least(256, round_up(n, panel_unit(n))) : panel_unit(n);
}

// Height of a tile that a BLAS computes: a multiple of all its register blocks.
enum { BLAS_ROWS = 96 };

// Products in bfloat16: two numbers that follow each other in depth are one word. A row of x is
// converted once for at most so many panels.
enum { BF16_PANELS = 8 };
static inline int64_t bf16_pairs(int64_t depth) { return parts_of(depth, 2); }
// Words from one converted row to the next: rows a power of two apart would share cache sets.
static inline int64_t bf16_row_step(int64_t pairs) { return round_up(pairs, 16) + 16; }

// Newton-Schulz in bfloat16 takes two steps at once where that is cheaper, in more scratch. In small
// matrices errors average out less, and there is little to win.
static inline int32_t muon_is_wide(int64_t rows, int64_t cols) {
  return rows >= 256 && 2 * cols >= 3 * rows;
}

// Weight gradients take panels sixteen columns wide, a line of cache for each word of the depth, so
// many words at a time, and are computed in blocks 64 columns wide.
enum { TOKEN_PANEL = 16, WEIGHT_DEPTH = 128, WEIGHT_BLOCK = 64 };
// Words of so many tokens, and words from one panel to the next: an odd number of lines, so no power
// of two.
static inline int64_t token_words(int64_t m, int64_t bf16) { return bf16 ? bf16_pairs(m) : m; }
static inline int64_t token_panel_step(int64_t m, int64_t bf16) {
  return (token_words(m, bf16) | 1) * TOKEN_PANEL;
}
// Rows of a tile, even because a pair is a word.
static inline int64_t token_tile_rows(const kernel_call *call) {
  return call->size[4] ? call->size[4] : 96;
}

// Whether a bf16 product takes x as it lies. With an odd depth the last word of a row would hold the
// first number of the next, and NaN times the padding of the operand is not zero.
static inline int32_t bf16_rows_are_words(const kernel_call *call) {
  return (call->size[7] & 1) && call->size[2] % 2 == 0 && call->size[4] % 2 == 0;
}

// Memory to be fetched by the product that runs: the pieces, and how far it came (fetch.c).
typedef struct fetch_piece {
  const char *at;
  int64_t bytes, step, count;  // `count` times `bytes`, each `step` behind the one before
} fetch_piece;
enum { FETCH_PIECES = 64, FETCH_LINE = 64 };
typedef struct fetch_list {
  int32_t count;
  int64_t next, repeat, at;  // piece, which of its repetitions, byte in it
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
