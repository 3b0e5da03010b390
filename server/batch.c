/* SPDX-License-Identifier: MIT */
#include "server/batch.h"

#include <stddef.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/memory.h"
#include "resources/registry.h"
#include "server/fleet_internal.h"
#include "server/problem.h"

#define ENTRIES_MIN 4 /* room at first */

void fb_write_init(fb_write_t *write, const fb_command_t *command)
{
    memset(write, 0, offsetof(fb_write_t, error));
    write->error.code = FB_OK;
    write->command = command;
}

void fb_write_dispose(fb_write_t *write)
{
    fb_args_dispose(&write->args);
    free(write->if_match);
    free(write->key);
    fb_buffer_dispose(&write->body);
    fb_buffer_dispose(&write->location);
}

/* Several at a time, since each question costs as much as the planning of a write. */
static const uint8_t *random_bytes(fb_batch_t *batch)
{
    if (batch->random_left == 0) {
        /* No more than 256 bytes: so it is never cut short (getrandom(2)). */
        fb_assert(getrandom(batch->random, sizeof(batch->random), 0) == sizeof(batch->random));
        batch->random_left = FB_BATCH_RANDOMS;
    }
    return batch->random[--batch->random_left];
}

static void random_command(fb_batch_t *batch, uint32_t author, char command[FB_COMMAND_BYTES + 1])
{
    static const char hex[] = "0123456789abcdef";
    const uint8_t *bytes = random_bytes(batch);
    for (unsigned i = 0; i < FB_AUTHOR_BYTES; i++)
        command[i] = hex[author >> (28 - 4 * i) & 15];
    for (size_t i = 0; i < FB_BATCH_RANDOM_BYTES; i++) {
        command[FB_AUTHOR_BYTES + 2 * i] = hex[bytes[i] >> 4];
        command[FB_AUTHOR_BYTES + 2 * i + 1] = hex[bytes[i] & 15];
    }
    command[FB_COMMAND_BYTES] = '\0';
}

static void reset_answer(fb_write_t *write)
{
    write->error.code = FB_OK;
    write->body.len = 0;
    write->location.len = 0;
    write->etag[0] = '\0';
    write->is_replay = false;
}

/* Of what is in Redis alone there is no validator to compare with. One thing does not change any
 * more, which the plan says, and that comes first (RFC 9110, section 13.2.1); of a list with such
 * rows it is only known that it is there. */
static fb_code_t check_archived(const fb_write_t *write, fb_error_t *error)
{
    error->code = FB_OK;
    if (write->args.id_count > 0 || fb_etag_matches(fb_slice(write->if_match), "*", false))
        return FB_OK;
    return fb_fail(error, FB_PRECONDITION_FAILED,
                   "If-Match cannot be compared: a part of what it names is in Redis alone");
}

/* RFC 9110, section 13.1.1: against the thing as it is just before this write. */
static fb_code_t check_if_match(const fb_snapshot_t *snapshot, const fb_write_t *write,
                                fb_error_t *error)
{
    char etag[FB_ETAG_BYTES + 1];
    fb_buffer_t body = {0};
    if (write->if_match == NULL)
        return FB_OK;
    const fb_view_t *view = write->command->match;
    if (view == NULL)
        return fb_fail(error, FB_PRECONDITION_FAILED, "there is nothing to read at this path");
    fb_args_t args = {.family = write->args.family, .id_count = write->args.id_count};
    memcpy(args.ids, write->args.ids, sizeof(args.ids));
    fb_code_t code = view->render(snapshot, &args, &body, error);
    if (code == FB_OK) {
        fb_etag(fb_buffer_slice(&body), etag);
        if (!fb_etag_matches(fb_slice(write->if_match), etag, false))
            code = fb_fail(error, FB_PRECONDITION_FAILED,
                           "If-Match names another state than the current one, %s", etag);
    } else if (code == FB_ARCHIVED) {
        code = check_archived(write, error);
    }
    fb_buffer_dispose(&body);
    return code;
}

/* For clients of systems that this one took the place of: {"message": "Sprocket created", "id": 7,
 * "sprocket": {...}}. */
static void put_message(fb_write_t *write, uint32_t id)
{
    const fb_resource_t *resource = fb_registry_resource(write->args.family);
    fb_buffer_t body = {0};
    if (resource->noun == NULL)
        return;
    fb_buffer_printf(&body, "{\"message\":\"%s %s\",\"id\":%u,\"%s\":", resource->noun,
                     write->command->answer == FB_ANSWER_CREATED ? "created" : "updated", id,
                     resource->row_name);
    fb_buffer_put_slice(&body, fb_buffer_slice(&write->body));
    fb_buffer_put_char(&body, '}');
    fb_buffer_dispose(&write->body);
    write->body = body;
}

/* Renders what the write leaves behind, as the stage shows it now. What a repeated one has left may
 * have gone since; of what is in Redis alone, only the id is said. */
static fb_code_t render_answer(const fb_snapshot_t *snapshot, fb_write_t *write,
                               const uint32_t *ids)
{
    const fb_command_t *command = write->command;
    fb_args_t args = {.family = write->args.family, .id_count = FB_PATH_IDS_MAX};
    memcpy(args.ids, ids, sizeof(args.ids));
    memcpy(write->ids, ids, sizeof(write->ids));
    write->position = snapshot->position;
    if (command->answer == FB_ANSWER_EMPTY)
        return FB_OK;
    fb_error_t error;
    error.code = FB_OK; /* without a code, its texts say nothing */
    fb_code_t code = command->shows->render(snapshot, &args, &write->body, &error);
    if (code == FB_OK)
        fb_etag(fb_buffer_slice(&write->body), write->etag);
    else if (code == FB_ARCHIVED)
        fb_buffer_printf(&write->body, "{\"id\":%u}", ids[0]);
    else
        return (write->error = error).code;
    put_message(write, ids[0]);
    if (command->answer == FB_ANSWER_CREATED || command->answer == FB_ANSWER_ACCEPTED)
        fb_registry_put_path(&write->location, command->shows->path, ids);
    return FB_OK;
}

static void count_ops(fb_batch_t *batch, const fb_change_t *change)
{
    for (size_t i = 0; i < change->count; i++) {
        if (change->ops[i].kind == FB_OP_DAYS)
            batch->days += change->ops[i].days;
        else
            batch->rows++;
    }
}

bool fb_batch_is_full(const fb_batch_t *batch)
{
    return batch->days >= FB_BATCH_DAYS_MAX || batch->rows >= FB_BATCH_ROWS_MAX ||
           batch->bytes >= FB_BATCH_BYTES_MAX;
}

static void make_room(fb_batch_t *batch)
{
    if (batch->count < batch->capacity)
        return;
    batch->capacity = batch->capacity == 0 ? ENTRIES_MIN : batch->capacity * 2;
    batch->entries = fb_realloc(batch->entries, batch->capacity * sizeof(*batch->entries));
    batch->payloads = fb_realloc(batch->payloads, batch->capacity * sizeof(*batch->payloads));
}

/* The stage goes on to the next revision, whose change is to be added in parts. */
static void begin_revision(fb_batch_t *batch)
{
    fb_position_t position = fb_stage_view(batch->stage)->position;
    position.revision++;
    fb_stage_set_position(batch->stage, &position);
    make_room(batch);
    batch->payloads[batch->count] = (fb_buffer_t){0};
    fb_buffer_put_char(&batch->payloads[batch->count], '[');
}

/* Its texts may be borrowed from the rows that it replaces: so they are written before. */
static void add_part(fb_batch_t *batch, const fb_change_t *part)
{
    fb_buffer_t *payload = &batch->payloads[batch->count];
    if (payload->len > 1 && part->count > 0)
        fb_buffer_put_char(payload, ',');
    fb_change_encode_ops(part, payload);
    count_ops(batch, part);
    fb_stage_apply_part(batch->stage, part);
}

static void end_revision(fb_batch_t *batch, uint32_t author)
{
    fb_position_t position = fb_stage_view(batch->stage)->position;
    fb_entry_t *entry = &batch->entries[batch->count];
    fb_buffer_t *payload = &batch->payloads[batch->count];
    batch->count++;
    fb_buffer_put_char(payload, ']');
    batch->bytes += payload->len;
    random_command(batch, author, entry->command);
    entry->payload = fb_buffer_slice(payload);
    entry->revision = position.revision;
    fb_chain_next(position.chain, entry->command, entry->payload, entry->chain);
    memcpy(position.chain, entry->chain, sizeof(position.chain));
    fb_stage_apply_end(batch->stage);
    fb_fleet_sum_text(fb_stage_view(batch->stage), entry->sum);
    memcpy(position.sum, entry->sum, sizeof(position.sum));
    fb_stage_set_position(batch->stage, &position);
}

static void plan_one(fb_batch_t *batch, uint32_t author, fb_write_t *write)
{
    const fb_snapshot_t *snapshot = fb_stage_view(batch->stage);
    fb_plan_t plan = {0};
    if (write->command->plan(snapshot, &write->args, &plan, &write->error) == FB_OK) {
        if (write->key != NULL)
            fb_idempotency_put(snapshot, write->key, plan.ids, write->args.now, &plan.change);
        begin_revision(batch);
        add_part(batch, &plan.change);
        end_revision(batch, author);
        fb_assert(render_answer(snapshot, write, plan.ids) == FB_OK);
    }
    fb_change_dispose(&plan.change);
}

/* --- a write of many items ----------------------------------------------------------------- */

static void put_failure(const fb_write_t *write, const fb_args_t *item, const fb_error_t *error,
                        fb_buffer_t *body)
{
    const fb_value_t *id = &item->values[0];
    fb_buffer_printf(body, "{\"%s\":", write->args.items.fields[0].name);
    if (id->given)
        fb_buffer_put_i64(body, id->number);
    else
        fb_buffer_put_literal(body, "null");
    fb_buffer_put_literal(body, ",\"error\":");
    fb_problem_put_part(body, error);
    fb_buffer_put_char(body, '}');
}

static void put_success(const fb_snapshot_t *snapshot, const fb_command_t *command,
                        const fb_args_t *item, const fb_plan_t *plan, fb_buffer_t *body)
{
    fb_args_t shown = {.family = item->family, .id_count = FB_PATH_IDS_MAX};
    fb_error_t error;
    error.code = FB_OK;
    memcpy(shown.ids, plan->ids, sizeof(shown.ids));
    fb_assert(command->shows->render(snapshot, &shown, body, &error) == FB_OK);
}

/* The key of the whole request is the last part of its change. */
static void add_key(fb_batch_t *batch, const fb_write_t *write)
{
    static const uint32_t none[FB_PATH_IDS_MAX];
    fb_change_t change = {0};
    if (write->key == NULL)
        return;
    fb_idempotency_put(fb_stage_view(batch->stage), write->key, none, write->args.now, &change);
    add_part(batch, &change);
    fb_change_dispose(&change);
}

/* All items that can be planned are one change; where there are none, nothing is committed. Each
 * result is what the item leaves behind, before the next one comes. The plans of a request that was
 * done before only say what each item is about: its result is what that is now. */
static void plan_items(fb_batch_t *batch, uint32_t author, fb_write_t *write)
{
    const fb_snapshot_t *snapshot = fb_stage_view(batch->stage);
    fb_plan_t plan = {0};
    fb_args_t item = {0};
    bool begun = false;
    fb_buffer_put_literal(&write->body, "{\"results\":[");
    for (unsigned i = 0; i < write->args.items.count; i++) {
        fb_error_t error;
        error.code = FB_OK; /* without a code, its texts say nothing */
        plan.change.count = 0;
        fb_code_t code = fb_args_item(&write->args, i, &item, &error);
        if (code == FB_OK)
            code = write->command->plan(snapshot, &item, &plan, &error);
        fb_buffer_put_text(&write->body, i > 0 ? "," : "");
        if (code != FB_OK) {
            put_failure(write, &item, &error, &write->body);
            continue;
        }
        if (!write->is_replay) {
            if (!begun)
                begin_revision(batch);
            begun = true;
            add_part(batch, &plan.change);
        }
        put_success(snapshot, write->command, &item, &plan, &write->body);
    }
    fb_buffer_put_literal(&write->body, "]}");
    if (begun) {
        add_key(batch, write);
        end_revision(batch, author);
    }
    write->position = snapshot->position;
    fb_change_dispose(&plan.change);
}

/* A key that is known wins over If-Match: the thing has changed by the very write that is repeated.
 */
static void plan_write(fb_batch_t *batch, uint32_t author, fb_write_t *write)
{
    const fb_snapshot_t *snapshot = fb_stage_view(batch->stage);
    uint32_t ids[FB_PATH_IDS_MAX];
    reset_answer(write);
    write->position = snapshot->position;
    if (write->key != NULL && fb_idempotency_find(snapshot, write->key, write->args.now,
                                                  &write->is_replay, ids, &write->error) != FB_OK)
        return;
    if (!write->is_replay && check_if_match(snapshot, write, &write->error) != FB_OK)
        return;
    if (write->command->body_mode == FB_BODY_EACH)
        plan_items(batch, author, write);
    else if (write->is_replay)
        render_answer(snapshot, write, ids);
    else
        plan_one(batch, author, write);
}

void fb_batch_begin(fb_batch_t *batch, const fb_snapshot_t *base)
{
    *batch = (fb_batch_t){
        .serial = base->serial,
        .expected = base->position,
        .stage = fb_stage_begin(base),
    };
}

size_t fb_batch_add(fb_batch_t *batch, uint32_t author, fb_write_t *const *writes, size_t count)
{
    fb_instant_t now = fb_clock_now();
    size_t taken = 0;
    while (taken < count && !fb_batch_is_full(batch)) {
        fb_write_t *write = writes[taken++];
        if (batch->planned++ == 0)
            batch->first = write;
        write->args.now = now;
        plan_write(batch, author, write);
    }
    return taken;
}

void fb_batch_dispose(fb_batch_t *batch)
{
    if (batch->stage != NULL)
        fb_stage_abort(&batch->stage);
    for (size_t i = 0; i < batch->count; i++)
        fb_buffer_dispose(&batch->payloads[i]);
    free(batch->payloads);
    free(batch->entries);
    *batch = (fb_batch_t){0};
}

bool fb_batch_holds(const fb_batch_t *batch, const fb_snapshot_t *current,
                    fb_write_t *const *writes, size_t count)
{
    return batch->serial == current->serial && batch->planned == count && batch->first == writes[0];
}
