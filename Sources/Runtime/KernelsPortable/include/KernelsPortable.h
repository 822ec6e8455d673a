// SPDX-License-Identifier: Apache-2.0
// The one symbol of this target: the table of kernel bodies compiled for Portable.
#ifndef GRAPHC_KERNELS_Portable_H
#define GRAPHC_KERNELS_Portable_H

struct kernel_table;
extern const struct kernel_table kernels_portable;

#endif
