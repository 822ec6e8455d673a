// SPDX-License-Identifier: Apache-2.0
// Measures what this machine reaches at most, with as many threads as a run would have.
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "internal.h"

int omp_get_thread_num(void);
int omp_get_num_threads(void);

// A slice is shorter than a turn of the scheduler: with other work on the machine some slices still
// have all processors, and the best slice counts. Reading needs longer ones to leave the caches.
enum { ROUNDS = 2000, PIECE_FLOATS = 1 << 16, REPEATS_AT_LEAST = 5 };
static const double COMPUTE_SLICE = 2e-3, MEMORY_SLICE = 10e-3;

// All threads together read so many bytes again and again: far more than a last-level cache holds.
static const int64_t MEMORY_BYTES = 512 << 20;

static double seconds_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

// One thread's part of the memory: products in registers need only where they begin. Written,
// because pages nobody wrote are all one page.
typedef struct region {
  float *block;
  int64_t floats, at;
} region;

static region region_for(kernel_probe kind, int32_t threads) {
  const int64_t floats = kind == PROBE_MEMORY
                             ? round_up(MEMORY_BYTES / (int64_t)sizeof(float) / threads,
                                        PIECE_FLOATS)
                             : 16;
  region place = {aligned_alloc(64, (size_t)floats * sizeof(float)), floats, 0};
  if (!place.block) abort();
  memset(place.block, 0, (size_t)floats * sizeof(float));
  return place;
}

// Work a second of this thread until `end`, by its own clock.
static double rate_until(double end, kernel_probe kind, region *place) {
  _Alignas(64) float out[16];
  const double start = seconds_now();
  double work = 0, now;
  do {
    const int64_t count = kind == PROBE_MEMORY ? PIECE_FLOATS : ROUNDS;
    work += kernels_table()->probe[kind](out, place->block + place->at, count);
    if (kind == PROBE_MEMORY) place->at = (place->at + PIECE_FLOATS) % place->floats;
    now = seconds_now();
  } while (now < end);
  return work / (now - start);
}

double kernels_peak(kernel_probe kind, int32_t threads, double seconds) {
  if (!kernels_table()->probe[kind]) return 0;
  threads = threads < 1 ? 1 : threads;
  const double slice = kind == PROBE_MEMORY ? MEMORY_SLICE : COMPUTE_SLICE;
  const int64_t repeats = most(REPEATS_AT_LEAST, (int64_t)(seconds / slice));
  const int32_t bind = machine_binds(threads);
  double best = 0, sum = 0, end = 0;
#pragma omp parallel num_threads(threads)
  {
    if (bind) machine_bind(omp_get_thread_num());
    region place = region_for(kind, omp_get_num_threads());
    for (int64_t i = 0; i < repeats; i++) {
#pragma omp barrier
#pragma omp single
      {
        sum = 0;
        end = seconds_now() + slice;
      }
      const double rate = rate_until(end, kind, &place);
#pragma omp critical
      sum += rate;
#pragma omp barrier
#pragma omp single
      best = sum > best ? sum : best;
    }
    free(place.block);
  }
  if (bind) machine_unbind(0);
  return best;
}
