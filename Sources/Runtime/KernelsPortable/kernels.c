// SPDX-License-Identifier: Apache-2.0
// All kernel bodies, compiled with the flags of this target. The code is in Kernels/bodies.
#include "include/KernelsPortable.h"

#define KERNEL_TABLE kernels_portable
#include "../Kernels/bodies/table.inc"
