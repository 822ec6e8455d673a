// SPDX-License-Identifier: Apache-2.0
// Makes the system's libcrypto visible to Swift: message digests alone.
#include <openssl/evp.h>
