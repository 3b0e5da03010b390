/* SPDX-License-Identifier: MIT */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* What a fuzzer defines: takes one input, returns 0, and aborts on what must not be. libFuzzer
 * calls it, or replay.c for every file of the corpus. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
