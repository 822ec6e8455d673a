// SPDX-License-Identifier: Apache-2.0
// Where small products in f32 come from: the strips of the ISA, JIT code of libxsmm, or OpenBLAS with
// one thread. Shapes are looked up once, when a plan is prepared.
#include <cblas.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

// libxsmm exists on amd64 only. GRAPHC_NO_LIBXSMM: header present, library not.
#if defined(__x86_64__) && !defined(GRAPHC_NO_LIBXSMM) && __has_include(<libxsmm.h>)
#include <libxsmm.h>
#define HAVE_LIBXSMM 1
#else
#define HAVE_LIBXSMM 0
#endif

static gemm_route route = GEMM_BUILT_IN;
static char name[96] = "built-in";
static int32_t epoch; // raised when JIT code was thrown away: sets found before are void

gemm_route gemm_current_route(void) { return route; }
const char *gemm_name(void) { return name; }

const char *gemm_jit_name(void) {
#if HAVE_LIBXSMM
  static char text[48];
  snprintf(text, sizeof text, "libxsmm %d.%d, not in use", LIBXSMM_VERSION_MAJOR,
           LIBXSMM_VERSION_MINOR);
  return route == GEMM_LIBXSMM ? name : text;
#else
  return "none";
#endif
}

static void openblas_product(const gemm *g, const float *b, const float *a, float *c) {
  cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, g->m, g->n, g->k, 1.0f, a, g->lda, b,
              g->ldb, g->accumulate ? 1.0f : 0.0f, c, g->ldc);
}

// The environment may name a core that is not this machine's, at half the speed. The library reads
// the variable when it is loaded, but can be made to choose again. Other builds lack these symbols.
extern void gotoblas_dynamic_quit(void) __attribute__((weak));
extern void gotoblas_dynamic_init(void) __attribute__((weak));

static int32_t picked_isa = -1; // of the latest choice, whoever multiplies

static void openblas_pick(int32_t isa) {
  if (gotoblas_dynamic_quit && gotoblas_dynamic_init) {
    static const char *const core[] = {"Nehalem", "Haswell", "SkylakeX", NULL};
    const char *before = getenv("OPENBLAS_CORETYPE");
    char *saved = before ? strdup(before) : NULL;
    if (isa >= 0 && core[isa]) setenv("OPENBLAS_CORETYPE", core[isa], 1);
    else unsetenv("OPENBLAS_CORETYPE");
    gotoblas_dynamic_quit();
    gotoblas_dynamic_init();
    if (saved) setenv("OPENBLAS_CORETYPE", saved, 1);
    else unsetenv("OPENBLAS_CORETYPE");
    free(saved);
  }
  openblas_set_num_threads(1);
}

const char *gemm_blas_name(void) {
  static const char *const flavour[] = {"serial", "pthreads", "OpenMP"};
  static char text[96];
  char version[24] = "";
  openblas_pick(picked_isa);
  sscanf(openblas_get_config(), "OpenBLAS %23s", version);
  snprintf(text, sizeof text, "OpenBLAS %s, core %s, %s", version, openblas_get_corename(),
           flavour[openblas_get_parallel()]);
  return text;
}

// Some cores of OpenBLAS sum a row differently according to its place in the block (AVX2: six rows
// one way, six another). Then a sequence's result would depend on where it is in the batch, so such
// a core is not used. Tried with equal rows, which must give equal bits.
static int32_t openblas_treats_rows_alike(void) {
  enum { ROWS = BLAS_ROWS, COLUMNS = 256, DEPTH = 131 };
  static float a[ROWS * DEPTH], b[DEPTH * COLUMNS], c[ROWS * COLUMNS];
  const gemm shape = {ROWS, COLUMNS, DEPTH, DEPTH, COLUMNS, COLUMNS, 0, NULL, NULL};
  for (int i = 0; i < ROWS * DEPTH; i++) a[i] = 1.0f / (float)(i % DEPTH + 3);
  for (int i = 0; i < DEPTH * COLUMNS; i++) b[i] = 1.0f / (float)(i % 1009 + 7) - 0.01f;
  openblas_product(&shape, b, a, c);
  for (int r = 1; r < ROWS; r++)
    if (memcmp(c, c + r * COLUMNS, sizeof(float) * COLUMNS)) return 0;
  return 1;
}

static int32_t openblas_select(int32_t isa) {
  openblas_pick(isa);
  if (!openblas_treats_rows_alike()) return 0;
  char version[24] = "";
  sscanf(openblas_get_config(), "OpenBLAS %23s", version);
  snprintf(name, sizeof name, "openblas %s (%s)", version, openblas_get_corename());
  route = GEMM_OPENBLAS;
  return 1;
}

#if HAVE_LIBXSMM
int omp_get_max_threads(void);

// libxsmm asks the OpenMP library, through the environment, to bind threads to processors. Then two
// processes share some processors and leave others idle, and threads started later inherit the
// binding of the main one. Binding stays the user's choice.
static void libxsmm_start(void) {
  const int32_t set = getenv("OMP_PROC_BIND") != NULL;
  libxsmm_init();
  if (!set) unsetenv("OMP_PROC_BIND");
}
#endif

// isa < 0: whatever the library finds. A forced ISA forces the JIT too.
void gemm_select(gemm_route wanted, int32_t isa) {
  picked_isa = isa;
#if HAVE_LIBXSMM
  if (wanted == GEMM_LIBXSMM && isa != ISA_PORTABLE) {
    static int32_t target = -1, started;
    // The library deletes its thread key when it is finalised and again at exit. The OpenMP library
    // must have its own key before that, or it gets the deleted one and aborts at exit.
    omp_get_max_threads();
    if (!started || isa != target) {
      // JIT code is made for the target at its first use, so a new target needs a fresh registry.
      // The old code is freed, so calls must be prepared again.
      if (started) libxsmm_finalize();
      libxsmm_start();
      libxsmm_set_target_arch(isa == ISA_AVX2 ? "hsw" : isa == ISA_AVX512 ? "skx" : NULL);
      started = 1;
      target = isa;
      epoch++;
    }
    snprintf(name, sizeof name, "libxsmm %d.%d (%s)", LIBXSMM_VERSION_MAJOR, LIBXSMM_VERSION_MINOR,
             libxsmm_get_target_arch());
    route = GEMM_LIBXSMM;
    return;
  }
#endif
  if (wanted == GEMM_OPENBLAS && openblas_select(isa)) return;
  snprintf(name, sizeof name, "built-in");
  route = GEMM_BUILT_IN;
}

static void bind(gemm *g) {
  g->code = NULL;
  g->library = NULL;
  if (g->m < 1 || g->n < 1 || g->k < 1) return;
#if HAVE_LIBXSMM
  if (route == GEMM_LIBXSMM) {
    const float alpha = 1.0f, beta = g->accumulate ? 1.0f : 0.0f;
    const libxsmm_blasint lda = g->ldb, ldb = g->lda, ldc = g->ldc;
    const int flags = 0;
    g->code = (void (*)(const float *, const float *, float *))libxsmm_smmdispatch(
        g->n, g->m, g->k, &lda, &ldb, &ldc, &alpha, &beta, &flags, NULL);
  }
#endif
  if (route == GEMM_OPENBLAS) g->library = openblas_product;
}

typedef struct entry {
  struct entry *next;
  char route[sizeof name];
  int32_t epoch, count;
  gemm shape[];
} entry;

// Plans ask for the same few sets again and again; nothing is ever removed, so pointers stay good. NULL
// if the system has no memory.
const gemm *gemm_set(const gemm *shapes, int32_t count) {
  static entry *entries;
  const size_t compared = offsetof(gemm, code);
  for (entry *e = entries; e; e = e->next) {
    int32_t same = e->count == count && e->epoch == epoch && !strcmp(e->route, name);
    for (int32_t i = 0; same && i < count; i++) same = !memcmp(&e->shape[i], &shapes[i], compared);
    if (same) return e->shape;
  }
  entry *e = calloc(1, sizeof(entry) + (size_t)count * sizeof(gemm));
  if (!e) return NULL;
  e->count = count;
  e->epoch = epoch;
  strcpy(e->route, name);
  memcpy(e->shape, shapes, (size_t)count * sizeof(gemm));
  for (int32_t i = 0; i < count; i++) bind(&e->shape[i]);
  e->next = entries;
  entries = e;
  return e->shape;
}
