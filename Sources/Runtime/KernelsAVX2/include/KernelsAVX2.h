// SPDX-License-Identifier: Apache-2.0
// The one symbol of this target: the table of kernel bodies compiled for AVX2.
#ifndef GRAPHC_KERNELS_AVX2_H
#define GRAPHC_KERNELS_AVX2_H

struct kernel_table;
extern const struct kernel_table kernels_avx2;

#endif
