// SPDX-License-Identifier: Apache-2.0
// Lays calls out: every kernel knows its own tiles and scratch (in bodies), this asks it. Names of
// kernels and row operations, and sizes of packed operands.
#include <pthread.h>
#include <string.h>

#include "internal.h"

#define KERNEL_NAME(ID, name) #name,
static const char *const kernel_names[] = {KERNELS(KERNEL_NAME)};

#define ROW_ENTRY(ID, name, operands) {#name, operands},
static const struct {
  const char *name;
  int32_t operands;
} row_operations[] = {ROW_OPERATIONS(ROW_ENTRY)};

int32_t kernel_named(const char *name) {
  int32_t i = KERNEL_COUNT - 1;
  while (i >= 0 && strcmp(name, kernel_names[i])) i--;
  return i;
}

int32_t kernel_row_operation(const char *name) {
  int32_t i = ROW_OPERATION_COUNT - 1;
  while (i >= 0 && strcmp(name, row_operations[i].name)) i--;
  return i;
}

int32_t kernel_row_operands(int32_t operation) { return row_operations[operation].operands; }

int64_t kernel_packed_bytes(int64_t n, int64_t k, int32_t transposed, int32_t bf16) {
  const int64_t columns = transposed ? k : n, depth = transposed ? n : k;
  return round_up(columns, panel_unit(columns)) * numbers(bf16 ? round_up(depth, 2) : depth, bf16);
}

int64_t kernel_token_panel_bytes(int64_t m, int64_t n, int32_t bf16) {
  return floats(parts_of(n, TOKEN_PANEL) * token_panel_step(m, bf16));
}

int64_t kernel_extent(const kernel_call *call, int32_t buffer) {
  int64_t bytes[KERNEL_BUFFERS] = {0};
  kernels_table()->extents[call->kernel](call, bytes);
  return bytes[buffer];
}

void kernels_layout(kernel_call *calls, int64_t count) {
  static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  const kernel_table *table = kernels_table();
  // Sets of small products are shared by all plans.
  pthread_mutex_lock(&lock);
  for (int64_t i = 0; i < count; i++) calls[i].scratch = table->layout[calls[i].kernel](&calls[i]);
  pthread_mutex_unlock(&lock);
}
