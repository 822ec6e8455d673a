// SPDX-License-Identifier: Apache-2.0
// All kernel bodies, compiled with the flags of this target. The code is in Kernels/bodies.
#include "include/KernelsAVX512BF16.h"

#define KERNEL_TABLE kernels_avx512bf16
#include "../Kernels/bodies/table.inc"
