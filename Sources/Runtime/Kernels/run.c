// SPDX-License-Identifier: Apache-2.0
// One parallel region over a whole call list. A thread claims tiles of a call until none is left
// and goes on to the next call; only calls marked with a barrier wait for everybody.
//
// One run at a time per process: the counters, the barrier and the scratch are shared, and a lock
// keeps a second caller out until the first is done. A run allocates nothing: what it needs was
// reserved when its calls were bound.
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

#define INLINE static inline __attribute__((always_inline))

enum { MAX_THREADS = 1024, SPINS = 1000, PATIENCE_NANOSECONDS = 300000, IDLE_MILLISECONDS = 2 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
  void *block;
  int64_t bytes;
} scratch[MAX_THREADS];
static atomic_llong *counters; // one a call
static int64_t counters_room;
static _Alignas(64) atomic_int arrived;
static _Alignas(64) atomic_int generation;
static atomic_int sleepers;
static int spins;                 // of this run
static int bound_run;             // whether this run's threads are bound to processors
static atomic_int released;       // whether they were let go
static int32_t releases;          // runs in which they were
static int32_t team[MAX_THREADS]; // as the system names them

static inline void relax(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

// Until the word changes, or for so long (NULL: ever).
static void sleep_while(atomic_int *word, int value, const struct timespec *longest) {
#if defined(__linux__)
  syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, longest, NULL, 0);
#else
  (void)word, (void)value, (void)longest;
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

// A team that is bound to processors lets go once a run when a thread has waited long: other work
// holds the late one's processor, and the waiter's is about to be idle, but a bound thread cannot
// move there. The next run binds again.
static void let_go(int threads) {
  if (!bound_run || atomic_exchange(&released, 1)) return;
  for (int i = 0; i < threads; i++) machine_unbind(team[i]);
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
  const struct timespec patience = {0, PATIENCE_NANOSECONDS};
  atomic_fetch_add(&sleepers, 1);
  sleep_while(&generation, now, &patience);
  if (atomic_load(&generation) == now) let_go(threads);
  while (atomic_load(&generation) == now) sleep_while(&generation, now, NULL);
  atomic_fetch_sub(&sleepers, 1);
}

// Scratch one thread needs: for the kernel that runs, and for what a chain keeps between its calls.
typedef struct room {
  int64_t kernel, chain;
} room;

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

// Where one thread writes its events. What takes one is inlined, so that a run without (NULL) pays
// nothing.
typedef struct recorder {
  _Alignas(64) kernel_event *next;
  int32_t thread;
} recorder;

static int64_t nanoseconds_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

INLINE int64_t start_of(const recorder *to) { return to ? nanoseconds_now() : 0; }

INLINE void record(recorder *to, int64_t call, int64_t tile, int64_t start) {
  if (to) *to->next++ = (kernel_event){(int32_t)call, to->thread, tile, start, nanoseconds_now()};
}

// Tile `tile` of all calls of the chain that begins at `first`; `then` is probably the next one.
INLINE void run_chain(const kernel_table *table, const kernel_call *calls, int64_t first,
                      int64_t tile, int64_t then, void *own, char *local, recorder *to) {
  const int64_t length = chain_length(&calls[first]);
  for (int64_t i = first; i < first + length; i++) {
    const int64_t start = start_of(to);
    fetch_after(&calls[first], length, i - first, tile, then);
    run_tile(table, &calls[i], tile, own, local);
    record(to, i, tile, start);
  }
}

INLINE void walk(const kernel_table *table, const kernel_call *calls, int64_t count, int thread,
                 int threads, room room, recorder *to) {
  char *own = scratch[thread].block;
  for (int64_t i = 0; i < count; i += chain_length(&calls[i])) {
    const kernel_call *call = &calls[i];
    if (call->barrier && i) {
      const int64_t start = start_of(to);
      wait_for_all(threads);
      record(to, i, -1, start);
    }
    while (atomic_load_explicit(&counters[i], memory_order_relaxed) < call->tiles) {
      const int64_t tile = atomic_fetch_add_explicit(&counters[i], 1, memory_order_relaxed);
      if (tile >= call->tiles) break;
      const int64_t then = atomic_load_explicit(&counters[i], memory_order_relaxed);
      run_chain(table, calls, i, tile, then, own, own + room.kernel, to);
    }
  }
}

// The walk of the only thread, which claims nothing.
INLINE void walk_alone(const kernel_table *table, const kernel_call *calls, int64_t count,
                       room room, recorder *to) {
  char *own = scratch[0].block;
  for (int64_t i = 0; i < count; i += chain_length(&calls[i]))
    for (int64_t tile = 0; tile < calls[i].tiles; tile++)
      run_chain(table, calls, i, tile, tile + 1, own, own + room.kernel, to);
}

// Some schedulers leave two threads of a team on one processor for whole seconds. A team as large
// as the machine is therefore bound while it runs; the caller's thread is let go afterwards,
// because threads it starts inherit its binding. OMP_PROC_BIND or KMP_AFFINITY leave it to the
// library.
static void keep_apart(int thread) {
  static _Thread_local int32_t bound;
  static _Thread_local int32_t runs;
  team[thread] = machine_thread();
  if (thread && bound == thread && runs == releases) return;
  machine_bind(thread);
  bound = thread;
  runs = releases;
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

int64_t kernels_scratch(const kernel_call *calls, int64_t count) {
  const room need = room_for(calls, count);
  return round_up(need.kernel + need.chain, 4096);
}

// A block that is large enough stays; pages of a new one come to be near the thread that first
// writes them.
static int reserve_block(int32_t thread, int64_t bytes) {
  if (scratch[thread].bytes >= bytes) return 1;
  void *block = aligned_alloc(64, (size_t)bytes);
  if (!block) return 0;
  free(scratch[thread].block);
  scratch[thread].block = block;
  scratch[thread].bytes = bytes;
  return 1;
}

static int reserve_counters(int64_t count) {
  if (counters_room >= count) return 1;
  atomic_llong *more = malloc(sizeof *more * (size_t)count);
  if (!more) return 0;
  free(counters);
  counters = more;
  counters_room = count;
  return 1;
}

int32_t kernels_reserve(const kernel_call *calls, int64_t count, int32_t threads) {
  const int64_t bytes = kernels_scratch(calls, count);
  for (int64_t i = 0; i < count; i++)
    if (calls[i].scratch < 0) return 0;
  threads = (int32_t)most(1, least(threads, MAX_THREADS));
  pthread_mutex_lock(&lock);
  int has_all = reserve_counters(count);
  for (int32_t i = 0; i < threads && has_all; i++) has_all = reserve_block(i, bytes);
  pthread_mutex_unlock(&lock);
  return has_all;
}

// `recorders`: one a thread, or NULL.
static void run_locked(const kernel_call *calls, int64_t count, int32_t threads,
                       recorder *recorders) {
  const kernel_table *table = kernels_table();
  const room need = room_for(calls, count);
  if (threads > MAX_THREADS) threads = MAX_THREADS;
  if (threads <= 1) {
    if (recorders) walk_alone(table, calls, count, need, recorders);
    else walk_alone(table, calls, count, need, NULL);
    return;
  }
  // With more threads than processors the one waited for may need this core.
  spins = threads > kernels_max_threads() ? 0 : SPINS;
  memset(counters, 0, sizeof *counters * (size_t)count);
  // Workers that wait for the next run should soon give their core back.
  if (kmp_set_blocktime) kmp_set_blocktime(IDLE_MILLISECONDS);
  bound_run = machine_binds(threads);
  releases += atomic_exchange(&released, 0);
#pragma omp parallel num_threads(threads)
  {
    const int thread = omp_get_thread_num();
    if (bound_run) keep_apart(thread);
    if (recorders)
      walk(table, calls, count, thread, omp_get_num_threads(), need, &recorders[thread]);
    else walk(table, calls, count, thread, omp_get_num_threads(), need, NULL);
  }
  if (bound_run) machine_unbind(0);
}

void kernels_run(const kernel_call *calls, int64_t count, int32_t threads) {
  pthread_mutex_lock(&lock);
  run_locked(calls, count, threads, NULL);
  pthread_mutex_unlock(&lock);
}

int64_t kernels_profile_room(const kernel_call *calls, int64_t count) {
  int64_t events = 0;
  for (int64_t i = 0; i < count; i++) events += calls[i].tiles + (calls[i].barrier != 0);
  return events;
}

void kernels_profile(const kernel_call *calls, int64_t count, int32_t threads, kernel_event *events,
                     int64_t room, int64_t *made) {
  static recorder recorders[MAX_THREADS];
  threads = (int32_t)most(1, least(threads, MAX_THREADS));
  pthread_mutex_lock(&lock);
  for (int32_t i = 0; i < threads; i++) recorders[i] = (recorder){events + i * room, i};
  run_locked(calls, count, threads, recorders);
  for (int32_t i = 0; i < threads; i++) made[i] = recorders[i].next - (events + i * room);
  pthread_mutex_unlock(&lock);
}
