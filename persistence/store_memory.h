/* SPDX-License-Identifier: MIT */
#pragma once

#include "persistence/store.h"

/* The contract in the memory of this process, for tests and bench: nothing is durable. The log
 * keeps the last `log_length` entries (0: all), and a history so many, for so many milliseconds (0:
 * all, for ever). The caller owns the store (its destroy). */
fb_store_t *fb_store_memory_create(uint64_t log_length, uint64_t history_length,
                                   uint64_t history_age_ms);
