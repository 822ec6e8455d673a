// SPDX-License-Identifier: Apache-2.0
// Makes the system's liblzma visible to Swift, with what is a macro there.
#include <lzma.h>

static const uint32_t graphc_lzma_preset_9e = 9u | LZMA_PRESET_EXTREME;
static const lzma_vli graphc_lzma_filter_lzma2 = LZMA_FILTER_LZMA2;
static const lzma_vli graphc_lzma_vli_unknown = LZMA_VLI_UNKNOWN;
