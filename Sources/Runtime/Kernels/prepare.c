// SPDX-License-Identifier: Apache-2.0
// Cuts every call into tiles, measures its scratch and finds its products. Tile sizes come from the
// sizes of the call and the GEMM route only.
#include <pthread.h>
#include <string.h>

#include "internal.h"

int64_t kernel_packed_bytes(int64_t n, int64_t k, int32_t transposed) {
  const int64_t columns = transposed ? k : n, depth = transposed ? n : k;
  return round_up(columns, panel_unit(columns)) * depth * (int64_t)sizeof(float);
}

int64_t kernel_packed_bytes_bf16(int64_t n, int64_t k, int32_t transposed) {
  const int64_t columns = transposed ? k : n, depth = transposed ? n : k;
  return round_up(columns, panel_unit(columns)) * round_up(depth, 2) * 2;
}

int64_t kernel_token_panel_bytes(int64_t m, int64_t n, int32_t bf16) {
  return parts_of(n, TOKEN_PANEL) * token_panel_step(m, bf16) * (int64_t)sizeof(float);
}

static int64_t floats(int64_t n) { return n * (int64_t)sizeof(float); }

static gemm product(int64_t m, int64_t n, int64_t k, int64_t lda, int64_t ldb, int64_t ldc,
                    int32_t accumulate) {
  return (gemm){(int32_t)m,   (int32_t)n,   (int32_t)k, (int32_t)lda, (int32_t)ldb,
                (int32_t)ldc, accumulate, 0,          0};
}

static void prepare_pack(kernel_call *call) {
  const int32_t transposed = (int32_t)call->size[2];
  const int64_t n = call->size[transposed ? 1 : 0], k = call->size[transposed ? 0 : 1];
  if (call->size[3]) {
    call->tiles = parts_of(n, panel_unit(n)) * parts_of(k, PACK_DEPTH);
    call->scratch = floats(panel_unit(n) * PACK_DEPTH / 2);
    return;
  }
  const int64_t width = panel_width(n, gemm_current_route());
  call->jit[1] = (void *)(intptr_t)width;
  call->tiles = parts_of(n, width) * parts_of(k, PACK_DEPTH);
}

static void prepare_matmul_bf16(kernel_call *call) {
  const int64_t m = call->size[0], n = call->size[1], k = call->size[2], asked = call->size[8];
  const int64_t panels = parts_of(n, panel_unit(n));
  const int64_t height = asked ? asked : least(m >= 2048 ? 128 : 64, m);
  // Every group of panels converts its rows of x again; small products rather have more tiles.
  const int64_t some = most(1, least(least(panels, BF16_PANELS), parts_of(m, height) * panels / 16));
  const int64_t group = asked ? panels : some;
  call->jit[0] = (void *)(intptr_t)height;
  call->jit[1] = (void *)(intptr_t)group;
  call->tiles = parts_of(m, height) * parts_of(panels, group);
  call->scratch = bf16_rows_are_words(call) ? 0 : floats(height * bf16_row_step(bf16_pairs(k)));
}

static void prepare_matmul(kernel_call *call) {
  const int64_t m = call->size[0], n = call->size[1], k = call->size[2];
  const int64_t ldy = call->size[3], ldx = call->size[4], asked = call->size[8];
  const int32_t accumulate = call->size[5] != 0;
  const gemm_route route = gemm_current_route();
  const int64_t width = panel_width(n, route), panels = parts_of(n, width);
  const int64_t last = round_up(n - (panels - 1) * width, panel_unit(n));
  // High tiles read each panel less often; low ones share small products among more threads.
  int64_t height = m >= 2048 ? 128 : 64;
  if (route == GEMM_OPENBLAS) height = BLAS_ROWS;
  else height = asked ? asked : least(height, m);
  // A group of panels reads the rows of x from near cache; small products rather have more tiles.
  const int64_t blocks = parts_of(m, height) * panels;
  const int64_t some = route == GEMM_OPENBLAS ? 1 : most(1, least(4, blocks / 16));
  const int64_t group = asked ? panels : some, tile_height = asked ? asked : height;
  const int64_t rest = m % height;
  const gemm shapes[] = {
    product(height, width, k, ldx, width, ldy, accumulate),
    product(rest, width, k, ldx, width, ldy, accumulate),
    product(height, last, k, ldx, last, last, 0),
    product(rest, last, k, ldx, last, last, 0),
    product(height, width, k, ldx, width, width, 0),
  };
  call->jit[0] = (void *)gemm_set(shapes, route == GEMM_OPENBLAS ? 5 : 4);
  call->jit[1] = (void *)(intptr_t)group;
  call->jit[2] = (void *)(intptr_t)tile_height;
  call->tiles = parts_of(m, tile_height) * parts_of(panels, group);
  call->scratch = floats(height * width + (route == GEMM_OPENBLAS ? height * ldx : 0));
}

// The tile of a weight gradient. Large tiles read their operands less often, but there should be
// eight tiles to share.
static void weight_tile(int64_t n, int64_t k, int64_t *high, int64_t *wide) {
  enum { TILES = 8, MOST = 256 };
  int64_t h = TOKEN_PANEL, w = WEIGHT_BLOCK;
  for (;;) {
    const int32_t taller = h < MOST && h < n && parts_of(n, 2 * h) * parts_of(k, w) >= TILES;
    const int32_t wider = w < MOST && w < k && parts_of(n, h) * parts_of(k, 2 * w) >= TILES;
    if (taller && (h <= w || !wider)) h *= 2;
    else if (wider) w *= 2;
    else break;
  }
  *high = h;
  *wide = w;
}

static void prepare_matmul_weight(kernel_call *call) {
  const int64_t n = call->size[1], k = call->size[2];
  int64_t high, wide;
  weight_tile(n, k, &high, &wide);
  call->jit[0] = (void *)(intptr_t)high;
  call->jit[1] = (void *)(intptr_t)wide;
  call->tiles = parts_of(n, high) * parts_of(k, wide);
  call->scratch = floats(high * wide);
}

static void prepare_rows(kernel_call *call) {
  const row_program *program = call->program;
  const int64_t rows = call->size[0], width = call->size[1];
  const int64_t block = least(row_block(width), call->size[2]);
  int64_t room = 0;
  for (int32_t r = 0; r < program->registers; r++)
    room += row_register_room(&program->reg[r], block, width);
  call->scratch = floats(room);
  call->tiles = parts_of(rows, call->size[2]);
}

// The parts of the scratch are documented beside the bodies.
static void prepare_attention(kernel_call *call, int32_t backward) {
  enum { B = ATTENTION_BLOCK };
  const int64_t keys = round_up(call->size[1], B), d = call->size[4];
  const int64_t word = call->size[5] ? 2 : 1, width = round_up(d, 16);
  const int64_t row = word == 1 ? width : bf16_pairs(d), turned = B * round_up(d, 2);
  call->tiles = call->size[0] * call->size[3];
  if (!backward) {
    call->tiles *= attention_parts(call);
    call->scratch = floats(keys * row + keys / word * width + 2 * B * row + turned + B * B + 4 * B);
  } else {
    const int64_t deep = word == 1 ? 0 : B * B / word + keys / word * width;
    call->scratch = floats(2 * keys * (row + width) + B * (3 * row + 2 * width / word) + turned +
                           B * B / 4 + 2 * B * B / word + 3 * B + deep);
  }
}

static void prepare_muon(kernel_call *call) {
  const int64_t rows = call->size[0], cols = call->size[1];
  const int64_t r = round_up(least(rows, cols), 64), c = round_up(most(rows, cols), 64);
  call->tiles = 1;
  if (call->size[4]) {
    const int64_t wide = muon_is_wide(r, c), more = 2 * r * r + r * bf16_row_step(r / 2);
    call->scratch = floats(2 * r * c + 2 * r * r + wide * more + r * bf16_row_step(c / 2) +
                           64 * c / 2);
    return;
  }
  const int32_t library = gemm_current_route() == GEMM_OPENBLAS;
  const int64_t height = library ? r : 64, gram = library ? r : 64, wide = library ? c : 64;
  const gemm shapes[] = {
    product(height, gram, c, c, gram, r, 0),
    product(height, gram, r, r, gram, r, 0),
    product(height, wide, r, r, wide, c, 1),
  };
  call->jit[0] = (void *)gemm_set(shapes, 3);
  call->scratch = floats(3 * r * c + 2 * r * r);
}

static void prepare_call(kernel_call *call) {
  const int64_t *size = call->size;
  call->scratch = 0;
  memset(call->jit, 0, sizeof call->jit);
  switch (call->kernel) {
  case KERNEL_PACK: prepare_pack(call); break;
  case KERNEL_MATMUL: (size[6] ? prepare_matmul_bf16 : prepare_matmul)(call); break;
  case KERNEL_MATMUL_WEIGHT: prepare_matmul_weight(call); break;
  case KERNEL_PACK_TOKENS: call->tiles = parts_of(size[0], token_tile_rows(call)); break;
  case KERNEL_ROWS: prepare_rows(call); break;
  case KERNEL_ATTENTION: prepare_attention(call, 0); break;
  case KERNEL_ATTENTION_BACKWARD: prepare_attention(call, 1); break;
  case KERNEL_MUON: prepare_muon(call); break;
  case KERNEL_EMBED: call->tiles = parts_of(size[0], tile_rows(size[3], size[1])); break;
  case KERNEL_CROSS_ENTROPY:
    call->tiles = parts_of(size[0], tile_rows(size[2], size[1]));
    call->scratch = call->scalar[0] > 0 ? floats(size[1]) : 0;
    break;
  case KERNEL_CROSS_ENTROPY_BACKWARD:
    call->tiles = parts_of(size[0], tile_rows(size[2], size[1]));
    break;
  case KERNEL_FAKE_QUANT:
  case KERNEL_FAKE_QUANT_BACKWARD: call->tiles = parts_of(size[0], rows_per_tile(size[1])); break;
  case KERNEL_QUANT_SCALE:
    call->tiles = parts_of(size[0], rows_per_tile(size[1]));
    call->scratch = floats(size[1]);
    break;
  case KERNEL_EMBED_BACKWARD: call->tiles = parts_of(size[1], EMBED_COLUMNS); break;
  case KERNEL_SUM_PARTIALS: call->tiles = parts_of(size[0], SUM_COLUMNS); break;
  case KERNEL_ROPE_TABLE: call->tiles = parts_of(size[0], rows_per_tile(size[1] * 16)); break;
  case KERNEL_ADAMW:
  case KERNEL_SGD: call->tiles = parts_of(size[0], TILE_ELEMENTS); break;
  case KERNEL_SLICE: call->tiles = parts_of(size[0], rows_per_tile(size[4] * size[2])); break;
  case KERNEL_UNSLICE: call->tiles = parts_of(size[0], rows_per_tile(size[1] * size[2])); break;
  default: call->tiles = 1; break;  // KERNEL_DOT, KERNEL_CLIP_FACTOR
  }
}

void kernels_prepare(kernel_call *calls, int64_t count) {
  static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  kernels_init();
  pthread_mutex_lock(&lock);
  for (int64_t i = 0; i < count; i++) prepare_call(&calls[i]);
  pthread_mutex_unlock(&lock);
}
