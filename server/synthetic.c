/* SPDX-License-Identifier: MIT */
#include "server/synthetic.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/random.h"
#include "resources/machines.h"

#define ONE_IN_MAINTENANCE 8 /* one machine in so many has windows */
#define WINDOW_DAYS_MAX    21

static const char *const makers[] = {
    "Northfield", "Haldane", "Okerstrom", "Brandt & Lowe", "Tessaro", "Kivela",
    "Marchetti",  "Dunmore", "Yarrow",    "Castellan",     "Ostrava", "Pellworm",
};
static const char *const depots[] = {
    "Harbour depot", "North yard", "East yard", "Quarry site", "Airport depot", "Mill Lane",
};
static const char *const reasons[] = {
    "yearly inspection", "oil and filters", "hydraulic leak", "worn tracks", "recalibration",
};
static const char *const reporters[] = {"line 1", "line 2", "night shift", "pi-04", "pi-11"};

static uint32_t below(uint64_t *state, uint32_t bound)
{
    return (uint32_t)(fb_random_next(state) % bound);
}

static uint64_t stream(uint32_t n, uint32_t purpose)
{
    return (uint64_t)n << 8 | purpose;
}

/* The command of the registry that takes this method and path, so that a synthetic machine passes
 * the same checks as any other. */
static void set_command(fb_write_t *write, const char *method, const char *path, fb_buffer_t *body)
{
    fb_route_t route;
    fb_error_t error = {0};
    fb_code_t code = fb_registry_route(fb_slice(method), fb_slice(path), &route, &error);
    fb_assert(code == FB_OK && route.command != NULL);
    write->command = route.command;
    fb_registry_begin_args(&route, &write->args);
    code = fb_registry_read_body(&route, fb_buffer_slice(body), &write->args, &error);
    fb_assert(code == FB_OK);
    fb_buffer_dispose(body);
}

/* "mini_excavator" as people write it: "Mini excavator". */
static void put_type_title(fb_buffer_t *out, const char *type)
{
    for (size_t i = 0; type[i] != '\0'; i++) {
        bool first = i == 0 && type[i] >= 'a' && type[i] <= 'z';
        char c = type[i] == '_' ? ' ' : type[i];
        fb_buffer_put_char(out, first ? (char)(c - 'a' + 'A') : c);
    }
}

void fb_synthetic_machine(const fb_synthetic_t *synthetic, uint32_t n, fb_write_t *write)
{
    uint64_t state = stream(n, 1);
    fb_buffer_t body = {0}, label = {0};
    const fb_rules_t *rules = synthetic->rules;
    const char *type = rules->machine_types[below(&state, rules->machine_type_count)];
    const char *maker = makers[below(&state, FB_COUNT(makers))];
    uint32_t model = 100 + 5 * below(&state, 160);
    put_type_title(&label, type);
    fb_buffer_printf(&label, " %s %u", maker, model);
    fb_buffer_put_literal(&body, "{\"label\":");
    fb_json_put_string(&body, fb_buffer_slice(&label));
    fb_buffer_printf(&body, ",\"inventory_id\":\"FB-%07u\",\"type\":\"%s\"", n, type);
    if (below(&state, 50) > 0) {
        uint32_t price = 2500 + 50 * below(&state, 2000);
        fb_buffer_printf(&body, ",\"price_per_day\":%u.%02u", price / 100, price % 100);
    }
    if (below(&state, 3) > 0)
        fb_buffer_printf(&body, ",\"description\":\"%s, built %u\"",
                         depots[below(&state, FB_COUNT(depots))], 2005 + below(&state, 21));
    fb_buffer_put_char(&body, '}');
    fb_buffer_dispose(&label);
    set_command(write, "POST", "/v1/machines", &body);
}

unsigned fb_synthetic_windows(const fb_synthetic_t *synthetic, uint32_t n)
{
    uint64_t state = stream(n, 2);
    if (synthetic->days == 0 || below(&state, ONE_IN_MAINTENANCE) > 0)
        return 0;
    return 1 + below(&state, FB_SYNTHETIC_WINDOWS_MAX);
}

void fb_synthetic_window(const fb_synthetic_t *synthetic, uint32_t n, unsigned k, uint32_t id,
                         fb_write_t *write)
{
    uint64_t state = stream(n, 3 + k);
    fb_buffer_t body = {0};
    char path[64], start[FB_DAY_TEXT_BYTES];
    uint32_t length = 1 + below(&state, WINDOW_DAYS_MAX);
    fb_day_format(synthetic->today + (fb_day_t)below(&state, synthetic->days), start);
    fb_buffer_printf(&body, "{\"start_date\":\"%.*s\",\"duration_days\":%u,\"reason\":\"%s\"}",
                     FB_DAY_TEXT_BYTES, start, length, reasons[below(&state, FB_COUNT(reasons))]);
    snprintf(path, sizeof(path), "/v1/machines/%u/maintenance", id);
    set_command(write, "POST", path, &body);
}

/* --- batches ----------------------------------------------------------------------------- */

typedef struct {
    fb_write_t *writes; /* FB_SYNTHETIC_BATCH of them */
    fb_write_t *pointers[FB_SYNTHETIC_BATCH];
    size_t count;
    fb_synthetic_commit_t commit;
    void *context;
} batch_t;

static fb_write_t *add_write(batch_t *batch)
{
    fb_write_t *write = &batch->writes[batch->count];
    memset(write, 0, sizeof(*write));
    batch->pointers[batch->count++] = write;
    return write;
}

static void clear(batch_t *batch)
{
    for (size_t i = 0; i < batch->count; i++)
        fb_write_dispose(&batch->writes[i]);
    batch->count = 0;
}

/* Commits what is in the batch; the first write that failed is the error of all. */
static fb_code_t commit(batch_t *batch, fb_error_t *error)
{
    if (batch->count == 0)
        return FB_OK;
    fb_code_t code = batch->commit(batch->context, batch->pointers, batch->count, error);
    for (size_t i = 0; code == FB_OK && i < batch->count; i++) {
        code = batch->writes[i].error.code;
        if (code != FB_OK)
            *error = batch->writes[i].error;
    }
    return code;
}

/* The windows of the machines of one batch, whose ids are known now. */
static fb_code_t create_windows(const fb_synthetic_t *synthetic, uint32_t first,
                                const uint32_t *ids, size_t count, batch_t *batch,
                                fb_error_t *error)
{
    fb_code_t code = FB_OK;
    for (size_t i = 0; code == FB_OK && i < count; i++) {
        uint32_t n = first + (uint32_t)i;
        unsigned windows = fb_synthetic_windows(synthetic, n);
        if (batch->count + windows > FB_SYNTHETIC_BATCH) {
            code = commit(batch, error);
            clear(batch);
        }
        for (unsigned k = 0; code == FB_OK && k < windows; k++)
            fb_synthetic_window(synthetic, n, k, ids[i], add_write(batch));
    }
    if (code == FB_OK)
        code = commit(batch, error);
    clear(batch);
    return code;
}

static const char *state_of(uint32_t n)
{
    uint64_t state = stream(n, 3 + FB_SYNTHETIC_WINDOWS_MAX);
    uint32_t of_twenty = below(&state, 20);
    return of_twenty == 0 ? "red" : of_twenty < 4 ? "yellow" : "green";
}

/* The machines of one batch report their states, all in one write. */
static fb_code_t report_states(uint32_t first, const uint32_t *ids, size_t count, batch_t *batch,
                               fb_error_t *error)
{
    fb_buffer_t body = {0};
    for (size_t i = 0; i < count; i++) {
        uint32_t n = first + (uint32_t)i;
        fb_buffer_printf(&body, "%c{\"machine_id\":%u,\"status\":\"%s\",\"updated_by\":\"%s\"}",
                         i == 0 ? '[' : ',', ids[i], state_of(n),
                         reporters[n % FB_COUNT(reporters)]);
    }
    fb_buffer_put_char(&body, ']');
    set_command(add_write(batch), "POST", "/v1/status", &body);
    fb_code_t code = commit(batch, error);
    clear(batch);
    return code;
}

fb_code_t fb_synthetic_create(const fb_synthetic_t *synthetic, uint32_t first, uint32_t count,
                              fb_synthetic_commit_t commit_batch,
                              void (*on_progress)(void *context, uint32_t done), void *context,
                              fb_error_t *error)
{
    fb_code_t code = FB_OK;
    uint32_t ids[FB_SYNTHETIC_BATCH];
    batch_t batch = {.writes = fb_alloc(FB_SYNTHETIC_BATCH * sizeof(fb_write_t)),
                     .commit = commit_batch,
                     .context = context};
    for (uint32_t done = 0; code == FB_OK && done < count;) {
        uint32_t left = count - done;
        uint32_t size = left < FB_SYNTHETIC_BATCH ? left : FB_SYNTHETIC_BATCH;
        for (uint32_t i = 0; i < size; i++)
            fb_synthetic_machine(synthetic, first + done + i, add_write(&batch));
        code = commit(&batch, error);
        for (uint32_t i = 0; i < size; i++)
            ids[i] = batch.writes[i].ids[0];
        clear(&batch);
        if (code == FB_OK)
            code = create_windows(synthetic, first + done, ids, size, &batch, error);
        if (code == FB_OK && synthetic->has_states)
            code = report_states(first + done, ids, size, &batch, error);
        done += size;
        if (code == FB_OK && on_progress != NULL)
            on_progress(context, done);
    }
    free(batch.writes);
    return code;
}
