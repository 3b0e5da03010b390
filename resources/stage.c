/* SPDX-License-Identifier: MIT */
#include "resources/stage.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/memory.h"
#include "resources/checksum.h"
#include "resources/index.h"
#include "resources/registry.h"

struct fb_stage {
    fb_build_t *build;
    fb_snapshot_t *next;
    fb_event_t *event; /* the last one of the change that is being applied; NULL: none yet */
};

fb_snapshot_t *fb_snapshot_create(const fb_rules_t *rules, uint64_t hash_seed, fb_day_t today)
{
    fb_snapshot_t *snapshot = fb_alloc_zero(1, sizeof(*snapshot));
    snapshot->serial = 1;
    snapshot->today = today;
    snapshot->today_changed = 1;
    snapshot->hash_seed = hash_seed;
    snapshot->rules = rules;
    return snapshot;
}

fb_stage_t *fb_stage_begin(const fb_snapshot_t *current)
{
    fb_stage_t *stage = fb_alloc(sizeof(*stage));
    stage->build = fb_build_create();
    stage->event = NULL;
    stage->next = fb_alloc(sizeof(*stage->next));
    *stage->next = *current;
    stage->next->serial++;
    return stage;
}

void fb_stage_abort(fb_stage_t **stage)
{
    fb_build_abort(&(*stage)->build);
    free((*stage)->next);
    free(*stage);
    *stage = NULL;
}

fb_snapshot_t *fb_stage_seal(fb_stage_t **stage, void ***garbage, size_t *garbage_count)
{
    fb_snapshot_t *next = (*stage)->next;
    fb_build_seal(&(*stage)->build, garbage, garbage_count);
    free(*stage);
    *stage = NULL;
    return next;
}

const fb_snapshot_t *fb_stage_view(const fb_stage_t *stage)
{
    return stage->next;
}

void fb_stage_set_position(fb_stage_t *stage, const fb_position_t *position)
{
    stage->next->position = *position;
}

void fb_stage_set_today(fb_stage_t *stage, fb_day_t today)
{
    stage->next->today = today;
    stage->next->today_changed = stage->next->serial;
}

void fb_stage_raise_last_id(fb_stage_t *stage, unsigned family, uint32_t id)
{
    fb_family_t *rows = &stage->next->families[family];
    if (id <= rows->last_id)
        return;
    rows->sum += fb_checksum_last_id(id) - fb_checksum_last_id(rows->last_id);
    rows->last_id = id;
}

void fb_stage_put(fb_stage_t *stage, unsigned family, uint32_t id, const fb_value_t *values)
{
    const fb_resource_t *resource = fb_registry_resource(family);
    fb_snapshot_t *next = stage->next;
    fb_family_t *rows = &next->families[family];
    const fb_row_t *before = fb_table_get(&rows->rows, id);
    const fb_row_t *row =
        fb_row_create(stage->build, fb_resource_id_name(resource), resource->fields,
                      resource->field_count, resource->computed_at, id, values, next->serial);
    /* The index finds texts in the rows: the old row must be there while it is taken out, and the
     * new one before it is put in. */
    if (before != NULL) {
        fb_index_remove(next, stage->build, family, before);
        rows->sum -= fb_checksum_row(before, resource->field_count);
    }
    rows->sum += fb_checksum_row(row, resource->field_count);
    fb_table_put(&rows->rows, stage->build, id, row);
    fb_index_add(next, stage->build, family, row);
    fb_build_retire(stage->build, before);
    fb_bitmap_put(&rows->exists, stage->build, id, true);
    rows->changed = next->serial;
    fb_stage_raise_last_id(stage, family, id);
}

static void delete_row(fb_stage_t *stage, unsigned family, uint32_t id)
{
    fb_snapshot_t *next = stage->next;
    fb_family_t *rows = &next->families[family];
    const fb_row_t *before = fb_table_get(&rows->rows, id);
    fb_stage_raise_last_id(stage, family, id);
    if (before == NULL)
        return;
    fb_index_remove(next, stage->build, family, before);
    rows->sum -= fb_checksum_row(before, fb_registry_resource(family)->field_count);
    fb_table_put(&rows->rows, stage->build, id, NULL);
    fb_build_retire(stage->build, before);
    fb_bitmap_put(&rows->exists, stage->build, id, false);
    rows->changed = next->serial;
}

/* The block of a day, which may be written. */
static fb_plane_day_t *own_day(fb_stage_t *stage, fb_plane_id_t plane, fb_day_t day)
{
    fb_table_t *days = &stage->next->planes[plane];
    const fb_plane_day_t *before = fb_table_get(days, (uint32_t)day);
    fb_plane_day_t *own;
    if (before == NULL) {
        own = fb_build_alloc(stage->build, sizeof(*own));
        *own = (fb_plane_day_t){0};
    } else {
        own = fb_build_own(stage->build, before, sizeof(*own));
    }
    if (own != before)
        fb_table_put(days, stage->build, (uint32_t)day, own);
    own->changed = stage->next->serial;
    return own;
}

/* The sum takes off a page before its first bit changes, and adds it behind the last one: machines
 * of one order mostly are on one page. */
static void apply_day(fb_stage_t *stage, const fb_op_t *ops, size_t count, fb_day_t day)
{
    unsigned plane = ops->subject;
    uint64_t *sum = &stage->next->plane_sums[plane];
    fb_plane_day_t *own = NULL;
    uint32_t last = 0; /* the machine whose page is taken off the sum; 0: none */
    for (size_t i = 0; i < count; i++) {
        uint32_t id = ops[i].id;
        if (fb_snapshot_has_day(stage->next, plane, day, id) == ops[i].set)
            continue;
        if (own == NULL)
            own = own_day(stage, plane, day);
        if (last == 0 || last / FB_BITMAP_PAGE_BITS != id / FB_BITMAP_PAGE_BITS) {
            *sum += last != 0 ? fb_checksum_page(&own->machines, day, last) : 0;
            *sum -= fb_checksum_page(&own->machines, day, id);
        }
        fb_bitmap_put(&own->machines, stage->build, id, ops[i].set);
        last = id;
    }
    *sum += last != 0 ? fb_checksum_page(&own->machines, day, last) : 0;
}

/* Operations that say the same of the same days. */
static void apply_days(fb_stage_t *stage, const fb_op_t *ops, size_t count)
{
    for (fb_day_t day = ops->from; day < ops->from + (fb_day_t)ops->days; day++)
        apply_day(stage, ops, count, day);
}

/* The row of an operation was put, or went. */
static void add_event(fb_stage_t *stage, const fb_op_t *op)
{
    fb_snapshot_t *next = stage->next;
    if (fb_registry_resource(op->subject)->topic == NULL)
        return;
    fb_event_t event = {
        .revision = next->position.revision,
        .changed = next->serial,
        .place = stage->event != NULL ? stage->event->place + 1 : 1,
        .id = op->id,
        .family = (uint8_t)op->subject,
        .deleted = op->kind == FB_OP_DELETE,
    };
    fb_buffer_t text = {0};
    fb_event_put(next, op->subject, op->id, event.revision, event.place, &text);
    stage->event = fb_events_add(&next->events, stage->build, &event, fb_buffer_slice(&text));
    fb_buffer_dispose(&text);
}

void fb_stage_apply_end(fb_stage_t *stage)
{
    fb_event_t *last = stage->event;
    if (last == NULL)
        return;
    last->is_last = true;
    fb_events_shorten(&stage->next->events, last, fb_event_end_revision(last->text, last->len));
    stage->event = NULL;
}

void fb_stage_apply(fb_stage_t *stage, const fb_change_t *change)
{
    fb_stage_apply_part(stage, change);
    fb_stage_apply_end(stage);
}

void fb_stage_begin_events(fb_stage_t *stage, uint64_t revision)
{
    fb_events_clear(&stage->next->events, stage->build);
    stage->next->events.from_revision = revision;
}

void fb_stage_apply_part(fb_stage_t *stage, const fb_change_t *part)
{
    size_t count = 1;
    for (size_t i = 0; i < part->count; i += count) {
        const fb_op_t *op = &part->ops[i];
        count = op->kind == FB_OP_DAYS ? fb_change_group(part, i) : 1;
        switch (op->kind) {
        case FB_OP_PUT:
            fb_stage_put(stage, op->subject, op->id, op->values);
            add_event(stage, op);
            break;
        case FB_OP_DELETE:
            delete_row(stage, op->subject, op->id);
            add_event(stage, op);
            break;
        case FB_OP_DAYS:
            apply_days(stage, op, count);
            break;
        case FB_OP_ARCHIVE:
            delete_row(stage, op->subject, op->id);
            break;
        case FB_OP_QUEUE:
            break;
        }
    }
}

void fb_stage_load_day(fb_stage_t *stage, fb_plane_id_t plane, fb_day_t day, fb_slice_t bytes)
{
    fb_plane_day_t *own = own_day(stage, plane, day);
    uint64_t *sum = &stage->next->plane_sums[plane];
    *sum -= fb_checksum_day(&own->machines, day);
    fb_bitmap_clear(&own->machines, stage->build);
    fb_bitmap_load(&own->machines, stage->build, (const uint8_t *)bytes.at, bytes.len);
    *sum += fb_checksum_day(&own->machines, day);
}

/* A build can retire all that a snapshot shows; what it then seals is an empty one. */
static void retire_family(fb_stage_t *stage, unsigned family)
{
    fb_family_t *rows = &stage->next->families[family];
    const fb_row_t *row;
    fb_index_clear(stage->next, stage->build, family);
    /* No id is 0: that is what follows upon the last one that there can be. */
    for (uint32_t id = 1; id != 0 && (row = fb_table_next(&rows->rows, &id)) != NULL; id++)
        fb_build_retire(stage->build, row);
    fb_table_clear(&rows->rows, stage->build);
    fb_bitmap_clear(&rows->exists, stage->build);
}

static void retire_plane(fb_stage_t *stage, fb_table_t *days)
{
    uint32_t day = 0;
    const fb_plane_day_t *found;
    for (; (found = fb_table_next(days, &day)) != NULL; day++) {
        fb_bitmap_t machines = found->machines;
        fb_bitmap_clear(&machines, stage->build);
        fb_build_retire(stage->build, found);
    }
    fb_table_clear(days, stage->build);
}

void fb_snapshot_blocks(const fb_snapshot_t *snapshot, void ***blocks, size_t *count)
{
    fb_stage_t *stage = fb_stage_begin(snapshot);
    for (unsigned family = 0; family < fb_registry_count(); family++)
        retire_family(stage, family);
    for (int plane = 0; plane < FB_PLANE_COUNT; plane++)
        retire_plane(stage, &stage->next->planes[plane]);
    fb_events_clear(&stage->next->events, stage->build);
    free(fb_stage_seal(&stage, blocks, count));
}

void fb_snapshot_destroy(fb_snapshot_t **snapshot)
{
    void **blocks;
    size_t count;
    fb_snapshot_blocks(*snapshot, &blocks, &count);
    for (size_t i = 0; i < count; i++)
        free(blocks[i]);
    free(blocks);
    free(*snapshot);
    *snapshot = NULL;
}
