// SPDX-License-Identifier: Apache-2.0
// The one symbol of this target: the table of kernel bodies compiled for AVX512BF16.
#ifndef GRAPHC_KERNELS_AVX512BF16_H
#define GRAPHC_KERNELS_AVX512BF16_H

struct kernel_table;
extern const struct kernel_table kernels_avx512bf16;

#endif
