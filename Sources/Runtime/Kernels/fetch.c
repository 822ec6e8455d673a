// SPDX-License-Identifier: Apache-2.0
// What a product asks memory for while it multiplies: what the calls after it in the chain read and
// write, up to the next product, which does the same.
//
// Row programs and packings touch a line once or twice, in pieces too short for the machine to see
// coming, so alone they wait for memory most of their time; a product leaves memory idle.
#include "internal.h"

_Thread_local fetch_list fetching;

// `count` pieces, `step` bytes from one to the next; nothing if the buffer is the chain's own.
static void fetch_add(const kernel_call *call, int32_t buffer, int64_t offset, int64_t bytes,
                      int64_t step, int64_t count) {
  if (call->local >> buffer & 1 || fetching.count == FETCH_PIECES || bytes <= 0) return;
  if (step == bytes) bytes *= count, count = 1;
  const char *at = (const char *)call->buffer[buffer] + offset;
  fetching.piece[fetching.count++] = (fetch_piece){at, bytes, step, count};
}

static void fetch_rows(const kernel_call *call, int64_t tile) {
  const row_program *program = call->rows.program;
  const tile_range rows = range_of(call, tile, call->rows.rows);
  for (int32_t i = 0; i < program->registers; i++) {
    const row_register *r = &program->reg[i];
    if (r->buffer < 0 || r->shape != ROW_FULL) continue;
    const int64_t row = numbers(call->rows.width, r->bf16);
    fetch_add(call, r->buffer, rows.begin * row, (rows.end - rows.begin) * row, 0, 1);
  }
}

static void fetch_packed_tokens(const kernel_call *call, int64_t tile) {
  const pack_tokens_args *a = &call->pack_tokens;
  const tile_range rows = range_of(call, tile, a->m);
  fetch_add(call, PACK_TOKENS_PACKED, token_words(rows.begin, a->bf16) * FETCH_LINE,
            token_words(rows.end - rows.begin, a->bf16) * FETCH_LINE,
            floats(token_panel_step(a->m, a->bf16)), parts_of(a->n, TOKEN_PANEL));
}

static void fetch_product(const kernel_call *call, int64_t tile) {
  const matmul_args *a = &call->matmul;
  const int64_t first = tile * a->tile_rows, rows = least(a->tile_rows, a->m - first);
  const int64_t y = numbers(a->n, a->y_bf16), x = numbers(a->k, a->x_bf16);
  fetch_add(call, MATMUL_Y, first * y, rows * y, 0, 1);
  fetch_add(call, MATMUL_X, first * x, rows * x, 0, 1);
}

// Returns whether the call is a product. Embedding and losses, of which a step has one each, are left
// alone.
static int32_t fetch_call(const kernel_call *call, int64_t tile) {
  switch (call->kernel) {
  case KERNEL_ROWS: fetch_rows(call, tile); return 0;
  case KERNEL_PACK_TOKENS: fetch_packed_tokens(call, tile); return 0;
  case KERNEL_MATMUL: fetch_product(call, tile); return 1;
  default: return 0;
  }
}

void fetch_after(const kernel_call *chain, int64_t length, int64_t i, int64_t tile, int64_t then) {
  fetching.count = 0;
  fetching.next = fetching.at = fetching.repeat = 0;
  if (length == 1 || chain[i].kernel != KERNEL_MATMUL) return;
  // Neither the JIT nor a BLAS asks for anything.
  if (!chain[i].matmul.bf16 && gemm_current_route() != GEMM_BUILT_IN) return;
  for (int64_t next = i + 1; next < length; next++)
    if (fetch_call(&chain[next], tile)) return;
  if (then >= chain->tiles) return;
  for (int64_t next = 0; next <= i; next++)
    if (fetch_call(&chain[next], then)) return;
}
