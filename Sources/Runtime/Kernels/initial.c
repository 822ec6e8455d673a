// SPDX-License-Identifier: Apache-2.0
// Initial values that are more than random numbers.
#include "internal.h"

void kernels_orthonormalise(double *v, int64_t count, int64_t length) {
  kernels_table()->orthonormalise(v, count, length);
}
