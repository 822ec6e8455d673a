// SPDX-License-Identifier: Apache-2.0
// GPTQ: who computes which block. The numbers are made in bodies/gptq.inc, one chain of operations
// each, so neither blocks nor threads can change them.
#include <stdatomic.h>
#include <string.h>

#include "internal.h"

int omp_get_thread_num(void);

enum { STRIP = 64 }; // columns that one thread solves for at a time

int64_t gptq_stride(int64_t columns) { return gptq_row(columns); }
int64_t gptq_room(int64_t columns) { return columns * GPTQ_ROOM; }

// The upper triangle of h in the reversed order, its diagonal replaced: the lower factor of that is
// the upper one of h.
static void reversed(double *to, int64_t ld, const double *h, const double *diagonal,
                     const int32_t *order, int64_t k, int64_t row) {
  const int64_t a = order[k - 1 - row];
  memset(to + row * ld, 0, sizeof *to * (size_t)ld);
  to[row * ld + row] = diagonal[a];
  for (int64_t j = row + 1; j < k; j++) {
    const int64_t b = order[k - 1 - j];
    to[row * ld + j] = a < b ? h[a * k + b] : h[b * k + a];
  }
}

// The strip of columns from j on of the inverse of vᵀ, lower triangular.
static void invert_strip(const kernel_table *table, double *z, const double *v, int64_t ld,
                         int64_t k, int64_t j) {
  const int64_t width = least(STRIP, round_up(k, 16) - j), above = j / GPTQ_BLOCK * GPTQ_BLOCK;
  for (int64_t i = 0; i < k; i++)
    for (int64_t c = j; c < j + width; c++) z[i * ld + c] = i == c;
  for (int64_t b = above; b < k; b += GPTQ_BLOCK) {
    const int64_t rows = least(GPTQ_BLOCK, k - b);
    double *to = z + b * ld + j;
    for (int64_t p = above; p < b; p += GPTQ_BLOCK)
      table->subtract(to, ld, v + p * ld + b, ld, z + p * ld + j, ld, rows, width, GPTQ_BLOCK);
    table->solve(to, ld, v + b * ld + b, ld, rows, width, 0);
  }
}

// Row `row` of the upper factor: the inverse with rows and columns turned around.
static void turn_row(double *u, const double *z, int64_t ld, int64_t k, int64_t row) {
  const double *from = z + (k - 1 - row) * ld + k - 1;
  for (int64_t j = 0; j < ld; j++) u[j] = j >= row && j < k ? from[-j] : 0;
}

// Turns of a loop that the threads of a team claim; `next` is 0 when it begins. The library's own loops
// with dynamic schedules need a newer library than the compiler's pragmas.
#define TURNS(i, next, count)                                                                      \
  for (int64_t i = atomic_fetch_add(&next, 1); i < (count); i = atomic_fetch_add(&next, 1))

// The factor's blocks that are to the right of a diagonal block and below.
static void update_block(const kernel_table *table, double *v, int64_t ld, int64_t k, int64_t b,
                         int64_t i, int64_t j) {
  const int64_t begin = b * GPTQ_BLOCK, row = i * GPTQ_BLOCK, column = j * GPTQ_BLOCK;
  if (j < i) return;
  table->subtract(v + row * ld + column, ld, v + begin * ld + row, ld, v + begin * ld + column, ld,
                  least(GPTQ_BLOCK, k - row), least(GPTQ_BLOCK, round_up(k, 16) - column),
                  GPTQ_BLOCK);
}

int32_t gptq_factor(double *u, double *work, const double *h, const double *diagonal,
                    const int32_t *order, int64_t k, int32_t threads) {
  const kernel_table *table = kernels_table();
  const int64_t ld = gptq_row(k), width = round_up(k, 16), blocks = parts_of(k, GPTQ_BLOCK);
  const int32_t bind = machine_binds(threads);
  int32_t has_factor = 1;
  atomic_llong next = 0;
#pragma omp parallel num_threads(threads)
  {
    if (bind) machine_bind(omp_get_thread_num());
    TURNS(row, next, k) reversed(u, ld, h, diagonal, order, k, row);
    for (int64_t b = 0; b < blocks; b++) {
      const int64_t begin = b * GPTQ_BLOCK, rows = least(GPTQ_BLOCK, k - begin);
      const int64_t across = round_up(rows, 16);
      double *pivots = u + begin * ld + begin;
#pragma omp barrier
#pragma omp single
      {
        has_factor = table->solve(pivots, ld, pivots, ld, rows, across, 1);
        next = 0;
      }
      if (!has_factor) break;
      TURNS(strip, next, parts_of(width - begin - across, STRIP)) {
        const int64_t j = begin + across + strip * STRIP;
        table->solve(u + begin * ld + j, ld, pivots, ld, rows, least(STRIP, width - j), 0);
      }
#pragma omp barrier
#pragma omp single
      next = 0;
      const int64_t rest = blocks - b - 1;
      TURNS(pair, next, rest * rest)
      update_block(table, u, ld, k, b, b + 1 + pair / rest, b + 1 + pair % rest);
    }
#pragma omp barrier
#pragma omp single
    next = 0;
    if (has_factor) TURNS(strip, next, parts_of(width, STRIP))
    invert_strip(table, work, u, ld, k, strip * STRIP);
#pragma omp barrier
#pragma omp single
    next = 0;
    if (has_factor) TURNS(row, next, k) turn_row(u + row * ld, work, ld, k, row);
  }
  if (bind) machine_unbind(0);
  return has_factor;
}

void gptq_codes(int8_t *codes, const float *w, int64_t rows, int64_t columns, const double *u,
                const int32_t *order, const uint8_t *dead, const int32_t *grid_of,
                const gptq_grid *grids, double *room, int32_t threads) {
  const kernel_table *table = kernels_table();
  const gptq_weights weights = {codes, w, rows, columns, u, order, dead, grid_of, grids};
  const int32_t bind = machine_binds(threads);
  atomic_llong next = 0;
#pragma omp parallel num_threads(threads)
  {
    const int thread = omp_get_thread_num();
    if (bind) machine_bind(thread);
    TURNS(tile, next, parts_of(rows, GPTQ_LANES))
    table->gptq(&weights, tile, room + thread * gptq_room(columns));
  }
  if (bind) machine_unbind(0);
}

// A block of out, its sign still turned.
static void product_block(const kernel_table *table, double *out, const double *a, const double *b,
                          int64_t depth, int64_t m, int64_t n, int64_t i, int64_t j) {
  const int64_t lda = gptq_row(m), ldb = gptq_row(n);
  const int64_t height = least(GPTQ_BLOCK, m - i), width = least(GPTQ_BLOCK, round_up(n, 16) - j);
  for (int64_t p = 0; p < depth; p += GPTQ_BLOCK)
    table->subtract(out + i * ldb + j, ldb, a + p * lda + i, lda, b + p * ldb + j, ldb, height,
                    width, least(GPTQ_BLOCK, depth - p));
}

void gptq_product(double *out, const double *a, const double *b, int64_t depth, int64_t m,
                  int64_t n, int32_t threads) {
  const kernel_table *table = kernels_table();
  const int64_t columns = parts_of(n, GPTQ_BLOCK), blocks = parts_of(m, GPTQ_BLOCK) * columns;
  const int64_t all = m * gptq_row(n);
  const int32_t bind = machine_binds(threads);
  atomic_llong next = 0;
  memset(out, 0, sizeof *out * (size_t)all);
#pragma omp parallel num_threads(threads)
  {
    if (bind) machine_bind(omp_get_thread_num());
    TURNS(block, next, blocks)
    product_block(table, out, a, b, depth, m, n, block / columns * GPTQ_BLOCK,
                  block % columns * GPTQ_BLOCK);
  }
  if (bind) machine_unbind(0);
  for (int64_t i = 0; i < all; i++) out[i] = -out[i];
}
