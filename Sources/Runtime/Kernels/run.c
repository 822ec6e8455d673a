// SPDX-License-Identifier: Apache-2.0
// One parallel region over a whole call list. A thread claims tiles of a call until none is left
// and goes on to the next call; only calls marked with a barrier wait for everybody.
//
// One run at a time per process: the counters, the barrier and the scratch are shared, and a lock
// keeps a second caller out until the first is done.
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#if defined(__linux__)
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "internal.h"

// The OpenMP library is linked without its header, which the toolchain does not ship.
int omp_get_thread_num(void);
int omp_get_num_threads(void);
extern void kmp_set_blocktime(int milliseconds) __attribute__((weak));

enum { MAX_THREADS = 1024, SPINS = 1000, IDLE_MILLISECONDS = 2 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct { void *block; int64_t bytes; } scratch[MAX_THREADS];
static atomic_llong *counters;
static int64_t counters_room;
static _Alignas(64) atomic_int arrived;
static _Alignas(64) atomic_int generation;
static atomic_int sleepers;
static int spins;  // of this run

static inline void relax(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

static void sleep_while(atomic_int *word, int value) {
#if defined(__linux__)
  syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
#else
  (void)word, (void)value;
  sched_yield();
#endif
}

static void wake_all(atomic_int *word) {
#if defined(__linux__)
  syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1 << 30, NULL, NULL, 0);
#else
  (void)word;
#endif
}

// Spins for some 50 microseconds, then sleeps: when other work holds a core, spinning would only
// keep the late thread from running.
static void wait_for_all(int threads) {
  const int now = atomic_load(&generation);
  if (atomic_fetch_add(&arrived, 1) + 1 == threads) {
    atomic_store(&arrived, 0);
    atomic_fetch_add(&generation, 1);
    if (atomic_load(&sleepers)) wake_all(&generation);
    return;
  }
  for (int i = 0; i < spins; i++) {
    if (atomic_load_explicit(&generation, memory_order_acquire) != now) return;
    relax();
  }
  atomic_fetch_add(&sleepers, 1);
  while (atomic_load(&generation) == now) sleep_while(&generation, now);
  atomic_fetch_sub(&sleepers, 1);
}

// Grown by the thread that uses it, before its first tile, so that the pages are near it.
static void *scratch_for(int thread, int64_t bytes) {
  if (scratch[thread].bytes < bytes) {
    free(scratch[thread].block);
    scratch[thread].block = aligned_alloc(64, (size_t)round_up(bytes, 4096));
    if (!scratch[thread].block) abort();
    scratch[thread].bytes = round_up(bytes, 4096);
  }
  return scratch[thread].block;
}

// Scratch one thread needs: for the kernel that runs, and for what a chain keeps between its calls.
typedef struct room { int64_t kernel, chain; } room;

static inline int64_t chain_length(const kernel_call *call) { return most(1, call->chain); }

// One tile of one call. `own` is the scratch of the kernel, `local` that of the chain.
static void run_tile(const kernel_table *table, const kernel_call *call, int64_t tile, void *own,
                     char *local) {
  if (!call->local) {
    table->tile[call->kernel](call, tile, own);
    return;
  }
  kernel_call here = *call;
  for (uint32_t left = call->local; left; left &= left - 1) {
    const int b = __builtin_ctz(left);
    here.buffer[b] = local + (intptr_t)call->buffer[b] - tile * call->advance[b];
  }
  table->tile[call->kernel](&here, tile, own);
}

// Tile `tile` of all calls of a chain.
static void run_chain(const kernel_table *table, const kernel_call *calls, int64_t tile, void *own,
                      char *local) {
  const int64_t length = chain_length(calls);
  for (int64_t i = 0; i < length; i++) run_tile(table, &calls[i], tile, own, local);
}

static void walk(const kernel_table *table, const kernel_call *calls, int64_t count, int thread,
                 int threads, room room) {
  char *own = scratch_for(thread, room.kernel + room.chain);
  for (int64_t i = 0; i < count; i += chain_length(&calls[i])) {
    const kernel_call *call = &calls[i];
    if (call->barrier && i) wait_for_all(threads);
    while (atomic_load_explicit(&counters[i], memory_order_relaxed) < call->tiles) {
      const int64_t tile = atomic_fetch_add_explicit(&counters[i], 1, memory_order_relaxed);
      if (tile >= call->tiles) break;
      run_chain(table, call, tile, own, own + room.kernel);
    }
  }
}

// Some schedulers leave two threads of a team on one processor for whole seconds. A team as large
// as the machine is therefore bound while it runs; the caller's thread is let go afterwards,
// because threads it starts inherit its binding. OMP_PROC_BIND or KMP_AFFINITY leave it to the
// library.
static void keep_apart(int thread) {
  static _Thread_local int32_t bound;
  if (thread && bound == thread) return;
  machine_bind(thread);
  bound = thread;
}

static room room_for(const kernel_call *calls, int64_t count) {
  room need = {64, 0};
  for (int64_t i = 0; i < count; i++) {
    need.kernel = most(need.kernel, round_up(calls[i].scratch, 64));
    for (uint32_t left = calls[i].local; left; left &= left - 1) {
      const int b = __builtin_ctz(left);
      need.chain = most(need.chain, (intptr_t)calls[i].buffer[b] + calls[i].advance[b]);
    }
  }
  return need;
}

static void run_locked(const kernel_call *calls, int64_t count, int32_t threads) {
  const kernel_table *table = kernels_table();
  const room need = room_for(calls, count);
  if (threads > MAX_THREADS) threads = MAX_THREADS;
  if (threads <= 1) {
    char *own = scratch_for(0, need.kernel + need.chain);
    for (int64_t i = 0; i < count; i += chain_length(&calls[i]))
      for (int64_t tile = 0; tile < calls[i].tiles; tile++)
        run_chain(table, &calls[i], tile, own, own + need.kernel);
    return;
  }
  if (counters_room < count) {
    free(counters);
    counters = malloc(sizeof *counters * (size_t)count);
    if (!counters) abort();
    counters_room = count;
  }
  // With more threads than processors the one waited for may need this core.
  spins = threads > kernels_max_threads() ? 0 : SPINS;
  memset(counters, 0, sizeof *counters * (size_t)count);
  // Workers that wait for the next run should soon give their core back.
  if (kmp_set_blocktime) kmp_set_blocktime(IDLE_MILLISECONDS);
  const int32_t bind = machine_binds(threads);
#pragma omp parallel num_threads(threads)
  {
    const int thread = omp_get_thread_num();
    if (bind) keep_apart(thread);
    walk(table, calls, count, thread, omp_get_num_threads(), need);
  }
  if (bind) machine_unbind();
}

void kernels_run(const kernel_call *calls, int64_t count, int32_t threads) {
  pthread_mutex_lock(&lock);
  run_locked(calls, count, threads);
  pthread_mutex_unlock(&lock);
}

static double nanoseconds_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

void kernels_profile(kernel_call *calls, int64_t count, int32_t threads) {
  pthread_mutex_lock(&lock);
  for (int64_t i = 0; i < count; i += chain_length(&calls[i])) {
    const double start = nanoseconds_now();
    run_locked(&calls[i], chain_length(&calls[i]), threads);
    calls[i].nanoseconds += nanoseconds_now() - start;
  }
  pthread_mutex_unlock(&lock);
}
