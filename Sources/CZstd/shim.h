// SPDX-License-Identifier: Apache-2.0
// Makes the system's zstd visible to Swift.
#include <zstd.h>
