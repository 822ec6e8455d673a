// SPDX-License-Identifier: Apache-2.0
// Makes the system's liblzma visible to Swift, with the one preset that is a macro.
#include <lzma.h>

static const uint32_t graphc_lzma_preset_9e = 9u | LZMA_PRESET_EXTREME;
