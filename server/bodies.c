/* SPDX-License-Identifier: MIT */
#include "server/bodies.h"

#include <stdatomic.h>

#include "resources/registry.h"
#include "server/compat/picohttpparser.h"
#include "server/library.h"

static struct {
    __typeof__(&phr_parse_request) parse_request;
    __typeof__(&phr_decode_chunked) decode_chunked;
} library;

/* Bytes of large bodies. */
static atomic_size_t receiving, waiting;

static __thread h2o_globalconf_t *own_config; /* NULL on threads that are no loops of the server */
static __thread size_t own_usual;
static __thread const h2o_req_t *without_room; /* whose head was the last to be read */

static bool keep(atomic_size_t *total, size_t bytes)
{
    if (atomic_fetch_add(total, bytes) + bytes <= FB_BODIES_LARGE_MAX)
        return true;
    atomic_fetch_sub(total, bytes);
    return false;
}

size_t fb_bodies_max(const fb_resource_t *resource, size_t usual)
{
    return resource != NULL && resource->body_bytes > usual ? resource->body_bytes : usual;
}

size_t fb_bodies_max_at(const h2o_req_t *req, size_t usual)
{
    h2o_iovec_t target = req->input.path;
    h2o_url_t url;
    /* A target in absolute form (RFC 9112, section 3.2.2) may not have been cut to its path yet. */
    if (target.len > 0 && target.base[0] != '/' &&
        h2o_url_parse(target.base, target.len, &url) == 0)
        target = url.path;
    return fb_bodies_max(fb_registry_owner((fb_slice_t){target.base, target.len}), usual);
}

/* --- being received ---------------------------------------------------------------------- */

void fb_bodies_init(h2o_globalconf_t *config, size_t usual)
{
    own_config = config;
    /* One more, since the library refuses a chunked body of just this size. */
    own_usual = usual + 1;
    config->max_request_entity_size = own_usual;
}

size_t fb_bodies_usual(const h2o_globalconf_t *config)
{
    return config == own_config ? own_usual : config->max_request_entity_size;
}

static void on_request_gone(void *chunk)
{
    atomic_fetch_sub(&receiving, *(size_t *)chunk);
}

size_t fb_bodies_bound(h2o_req_t *req, size_t declared)
{
    size_t usual = fb_bodies_usual(req->conn->ctx->globalconf);
    without_room = NULL;
    if (own_config == NULL || declared == SIZE_MAX || declared <= usual ||
        declared > fb_bodies_max_at(req, usual))
        return usual;
    if (!keep(&receiving, declared)) {
        without_room = req;
        return usual;
    }
    size_t *kept = h2o_mem_alloc_shared(&req->pool, sizeof(*kept), on_request_gone);
    *kept = declared;
    return declared;
}

bool fb_bodies_lacks_room(const h2o_req_t *req)
{
    return without_room == req;
}

/* SIZE_MAX where none is declared; a body in chunks has no other length. */
static size_t declared_length(const struct phr_header *headers, size_t count)
{
    size_t length = SIZE_MAX;
    for (size_t i = 0; i < count; i++) {
        const struct phr_header *header = &headers[i];
        if (h2o_lcstris(header->name, header->name_len, H2O_STRLIT("transfer-encoding")))
            return SIZE_MAX;
        if (length == SIZE_MAX &&
            h2o_lcstris(header->name, header->name_len, H2O_STRLIT("content-length")))
            length = h2o_strtosize(header->value, header->value_len);
    }
    return length;
}

/* In HTTP/1, just before the library compares the length that is declared; it reads into the
 * request itself. */
int phr_parse_request(const char *buf, size_t len, const char **method, size_t *method_len,
                      const char **path, size_t *path_len, int *minor_version,
                      struct phr_header *headers, size_t *num_headers, size_t last_len)
{
    int ret = library.parse_request(buf, len, method, method_len, path, path_len, minor_version,
                                    headers, num_headers, last_len);
    if (ret > 0 && own_config != NULL) {
        h2o_req_t *req = H2O_STRUCT_FROM_MEMBER(h2o_req_t, input.method.base, method);
        own_config->max_request_entity_size =
            fb_bodies_bound(req, declared_length(headers, *num_headers));
    }
    return ret;
}

/* ... and of a body in chunks, just before it compares what has come. */
ssize_t phr_decode_chunked(struct phr_chunked_decoder *decoder, char *buf, size_t *bufsz)
{
    if (own_config != NULL)
        own_config->max_request_entity_size = own_usual;
    return library.decode_chunked(decoder, buf, bufsz);
}

__attribute__((constructor)) static void replace(void)
{
    *(void **)&library.parse_request =
        fb_library_replace("phr_parse_request", (const void *)phr_parse_request);
    *(void **)&library.decode_chunked =
        fb_library_replace("phr_decode_chunked", (const void *)phr_decode_chunked);
}

/* --- waiting ----------------------------------------------------------------------------- */

fb_code_t fb_bodies_wait(size_t bytes, size_t usual, size_t *kept, fb_error_t *error)
{
    *kept = bytes > usual ? bytes : 0;
    if (*kept == 0 || keep(&waiting, *kept))
        return FB_OK;
    *kept = 0;
    return fb_fail(error, FB_QUEUE_FULL, "too many large bodies wait to be written");
}

void fb_bodies_leave(size_t kept)
{
    atomic_fetch_sub(&waiting, kept);
}
