// SPDX-License-Identifier: Apache-2.0
// What the machine offers and what is used of it: ISA, table of bodies, GEMM route, processors.
#define _GNU_SOURCE
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "KernelsPortable.h"
#include "internal.h"
#if defined(__x86_64__)
#include "KernelsAVX2.h"
#include "KernelsAVX512.h"
#include "KernelsAVX512BF16.h"
#endif

static const kernel_table *table;
static int32_t isa = -1;

static const char *const isa_names[] = {
#if defined(__aarch64__)
    "neon",
#else
    "portable",
#endif
    "avx2",
    "avx512",
    "avx512bf16",
};

const char *kernels_isa(void) { return isa < 0 ? "none" : isa_names[isa]; }
const char *kernels_gemm(void) { return gemm_name(); }
const char *kernels_jit(void) { return gemm_jit_name(); }
const char *kernels_blas(void) { return gemm_blas_name(); }

const char *kernels_machine(void) {
#if defined(__x86_64__)
  return "x86_64";
#else
  return "aarch64";
#endif
}

static int32_t best_isa(void) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("x86-64-v4"))
    return __builtin_cpu_supports("avx512bf16") ? ISA_AVX512BF16 : ISA_AVX512;
  if (__builtin_cpu_supports("x86-64-v3")) return ISA_AVX2;
#endif
  return ISA_PORTABLE;
}

const char *kernels_best_isa(void) { return isa_names[best_isa()]; }

static const kernel_table *table_for(int32_t wanted) {
#if defined(__x86_64__)
  if (wanted == ISA_AVX512BF16) return &kernels_avx512bf16;
  if (wanted == ISA_AVX512) return &kernels_avx512;
  if (wanted == ISA_AVX2) return &kernels_avx2;
#endif
  (void)wanted;
  return &kernels_portable;
}

int32_t kernels_select(const char *wanted_isa, const char *wanted_gemm) {
  if (!wanted_isa) wanted_isa = getenv("GRAPHC_ISA");
  if (!wanted_gemm) wanted_gemm = getenv("GRAPHC_GEMM");
  const int32_t best = best_isa();
  int32_t chosen = best, found = 1;
  if (wanted_isa && *wanted_isa) {
    int32_t i = ISA_AVX512BF16;
    while (i > 0 && strcmp(wanted_isa, isa_names[i])) i--;
    found = i <= best &&
            (i > 0 || !strcmp(wanted_isa, isa_names[0]) || !strcmp(wanted_isa, "portable"));
    chosen = i < best ? i : best;
  }
  isa = chosen;
  table = table_for(chosen);
  // On AVX-512 the strips are as fast as the JIT, and what fetches ahead meanwhile gains from them.
  gemm_route route = chosen == ISA_AVX2 ? GEMM_LIBXSMM : GEMM_BUILT_IN;
  if (wanted_gemm && *wanted_gemm) {
    static const char *const names[] = {"built-in", "openblas", "libxsmm"};
    int32_t i = GEMM_LIBXSMM;
    while (i >= 0 && strcmp(wanted_gemm, names[i])) i--;
    if (i < 0) found = 0;
    else route = (gemm_route)i;
  }
  gemm_select(route, chosen == best ? -1 : chosen);
  return found && (!wanted_gemm || !*wanted_gemm || gemm_current_route() == route);
}

void kernels_init(void) {
  kernels_max_threads();
  if (!table) kernels_select(NULL, NULL);
}

const kernel_table *kernels_table(void) {
  kernels_init();
  return table;
}

static cpu_set_t allowed;
static int32_t processors, binds;

// Asked once, by kernels_init: the OpenMP library may bind threads later, this one among them.
int32_t kernels_max_threads(void) {
  if (processors) return processors;
  CPU_ZERO(&allowed);
  processors = sched_getaffinity(0, sizeof allowed, &allowed) ? 1 : CPU_COUNT(&allowed);
  binds = processors > 1 && !getenv("OMP_PROC_BIND") && !getenv("KMP_AFFINITY");
  return processors = processors > 0 ? processors : 1;
}

int32_t machine_binds(int32_t threads) { return binds && threads == processors; }

void machine_bind(int32_t thread) {
  cpu_set_t one;
  CPU_ZERO(&one);
  for (int32_t cpu = 0, seen = 0; cpu < CPU_SETSIZE; cpu++)
    if (CPU_ISSET(cpu, &allowed) && seen++ == thread) CPU_SET(cpu, &one);
  sched_setaffinity(0, sizeof one, &one);
}

void machine_unbind(int32_t thread) { sched_setaffinity(thread, sizeof allowed, &allowed); }

int32_t machine_thread(void) { return (int32_t)gettid(); }
