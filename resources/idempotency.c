/* SPDX-License-Identifier: MIT */
#include "resources/registry.h"

const fb_resource_t fb_idempotency = {.name = "idempotency"};
