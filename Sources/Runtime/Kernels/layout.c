// SPDX-License-Identifier: Apache-2.0
// Lays calls out: every kernel knows its own tiles and scratch (in bodies), this asks it. Names of
// kernels, their arguments and row operations.
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

// The arguments of each kernel, in the order of its struct; a missing name ends the list.
typedef struct argument {
  const char *name;
  int32_t bytes, is_real;
} argument;
#define ARGUMENT(type, name) {#name, sizeof(type), _Generic((type)0, double : 1, default : 0)},
#define ARGUMENTS(ID, name)                                                                        \
  static const argument name##_arguments[] = {ID##_ARGUMENTS(ARGUMENT){0}};
KERNELS(ARGUMENTS)
#define ARGUMENT_LIST(ID, name) name##_arguments,
static const argument *const arguments[] = {KERNELS(ARGUMENT_LIST)};

int32_t kernel_named(const char *name) {
  int32_t i = KERNEL_COUNT - 1;
  while (i >= 0 && strcmp(name, kernel_names[i])) i--;
  return i;
}

int32_t kernel_word(const char *word) {
#define WORD(ID, name)                                                                             \
  if (!strcmp(word, #name)) return ID;
  QUANTISER_CLIPS(WORD)
  QUANTISER_MODES(WORD)
#undef WORD
  return -1;
}

int32_t kernel_arguments(int32_t kernel) {
  int32_t count = 0;
  while (arguments[kernel][count].name) count++;
  return count;
}

int32_t kernel_set(kernel_call *call, const char *name, int64_t whole, double real) {
  int64_t offset = 0;
  for (const argument *a = arguments[call->kernel]; a->name; a++) {
    offset = round_up(offset, a->bytes);
    if (!strcmp(name, a->name)) {
      // All structs of the union begin with its first one. A word of four bytes is a flag or a code.
      char *at = (char *)&call->embed + offset;
      const int32_t word = (int32_t)whole;
      memcpy(at, a->is_real ? (void *)&real : a->bytes == 4 ? (void *)&word : &whole, a->bytes);
      return 1;
    }
    offset += a->bytes;
  }
  return 0;
}

int32_t kernel_row_operation(const char *name) {
  int32_t i = ROW_OPERATION_COUNT - 1;
  while (i >= 0 && strcmp(name, row_operations[i].name)) i--;
  return i;
}

int32_t kernel_row_operands(int32_t operation) { return row_operations[operation].operands; }

void kernels_layout(kernel_call *calls, int64_t count) {
  static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  const kernel_table *table = kernels_table();
  // Sets of small products are shared by all plans.
  pthread_mutex_lock(&lock);
  for (int64_t i = 0; i < count; i++) {
    calls[i].scratch = 0;
    table->layout[calls[i].kernel](&calls[i]);
  }
  pthread_mutex_unlock(&lock);
}
