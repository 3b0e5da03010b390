/* SPDX-License-Identifier: MIT */
#pragma once

#include <sys/types.h>

/* The parser of HTTP/1 within libh2o 2.2.5: what the library exports, and Debian has no header for.
 */
struct phr_header {
    const char *name; /* as it was sent */
    size_t name_len;
    const char *value;
    size_t value_len;
};
struct phr_chunked_decoder;

int phr_parse_request(const char *buf, size_t len, const char **method, size_t *method_len,
                      const char **path, size_t *path_len, int *minor_version,
                      struct phr_header *headers, size_t *num_headers, size_t last_len);
ssize_t phr_decode_chunked(struct phr_chunked_decoder *decoder, char *buf, size_t *bufsz);
