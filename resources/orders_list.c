/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "base/assert.h"
#include "base/json.h"
#include "base/memory.h"
#include "resources/cursor.h"
#include "resources/listing.h"
#include "resources/orders_internal.h"

#define LOOKS_MAX  10000 /* rows of the snapshot that one page looks at */
#define LOOKS_STEP 512   /* of them at a time */

const fb_field_t fb_orders_query[FB_ORDERS_QUERY] = {
    [FB_ORDERS_STATUS] = {"status",
                          "only orders in this state: PENDING, PROCESSING, COMPLETED, REJECTED or "
                          "CANCELLED",
                          1, 16, FB_KIND_TEXT, 0},
    [FB_ORDERS_USER] = {"user_id", "only those of this user, a number or a text", 1, 100,
                        FB_KIND_TEXT, 0},
    [FB_ORDERS_LIMIT] = {"limit",
                         "the most orders on a page, 100 if not given; one for which many had to "
                         "be looked at may have fewer, or none, and a `next` all the same",
                         1, FB_PAGE_ROWS_MAX, FB_KIND_INTEGER, 0},
    [FB_ORDERS_CURSOR] = FB_CURSOR_FIELD,
};

/* --- the question ------------------------------------------------------------------------- */

static fb_code_t check_status(const fb_value_t *status, fb_error_t *error)
{
    for (unsigned i = 0; i < FB_ORDER_STATES; i++) {
        if (!status->given || fb_slice_is(status->text, fb_order_states[i]))
            return FB_OK;
    }
    return fb_fail_field(error, FB_INVALID, FB_SLICE("status"),
                         "must be PENDING, PROCESSING, COMPLETED, REJECTED or CANCELLED");
}

/* The newest order that may be on the page; 0 where there is none. */
static fb_code_t read_from(const fb_snapshot_t *snapshot, const fb_args_t *args, uint32_t *from,
                           fb_error_t *error)
{
    uint64_t before;
    fb_code_t code = check_status(&args->values[FB_ORDERS_STATUS], error);
    if (code == FB_OK)
        code = fb_cursor_read(fb_orders_query, FB_ORDERS_QUERY, fb_order_views[FB_ORDER_LIST].path,
                              args, &before, error);
    if (code != FB_OK)
        return code;
    uint32_t newest = snapshot->families[FB_ORDERS].last_id;
    *from = before > 0 && before <= newest ? (uint32_t)before - 1 : newest;
    return FB_OK;
}

static size_t limit_of(const fb_args_t *args)
{
    return fb_cursor_limit(fb_orders_query, FB_ORDERS_QUERY, args);
}

/* Those that are archived are at their end. */
static bool may_be_archived(const fb_args_t *args)
{
    fb_slice_t status = args->values[FB_ORDERS_STATUS].text;
    return !fb_slice_is(status, fb_order_states[FB_ORDER_IS_PENDING]) &&
           !fb_slice_is(status, fb_order_states[FB_ORDER_IS_PROCESSING]);
}

/* `wanted` is the JSON of a text, or empty: a number that is written so is meant as well. */
static bool is_of_user(fb_slice_t wanted, fb_slice_t user)
{
    return wanted.len == 0 || fb_slice_equal(user, wanted) ||
           fb_slice_equal(user, (fb_slice_t){wanted.at + 1, wanted.len - 2});
}

static void put_wanted_user(const fb_args_t *args, fb_buffer_t *wanted)
{
    if (args->values[FB_ORDERS_USER].given)
        fb_json_put_string(wanted, args->values[FB_ORDERS_USER].text);
}

/* The newest order from `id` down to `floor` that has left the snapshot; 0 where there is none. */
static uint32_t next_archived(const fb_snapshot_t *snapshot, uint32_t id, uint32_t floor)
{
    return fb_bitmap_gap(&snapshot->families[FB_ORDERS].exists, &id) && id >= floor ? id : 0;
}

/* --- the page, as far as the snapshot has it ----------------------------------------------- */

typedef struct {
    const fb_row_t *rows[FB_PAGE_ROWS_MAX]; /* the newest first */
    size_t count;
    uint32_t floor; /* the rows from the newest down to this id are on the page, if they fit it */
    bool more;      /* below may be more */
} page_t;

static const fb_bitmap_t *rows_asked_for(const fb_snapshot_t *snapshot, const fb_args_t *args)
{
    const fb_value_t *status = &args->values[FB_ORDERS_STATUS];
    static const fb_bitmap_t no_orders = {0};
    if (!status->given)
        return &snapshot->families[FB_ORDERS].exists;
    const fb_bitmap_t *rows = fb_snapshot_facet(snapshot, FB_ORDERS, FB_ORDER_STATUS, status->text);
    return rows != NULL ? rows : &no_orders;
}

/* Adds a row that fits; false where the page was full already. */
static bool add_row(page_t *page, size_t limit, const fb_row_t *row)
{
    page->more = page->count == limit;
    if (!page->more)
        page->rows[page->count++] = row;
    return !page->more;
}

static void walk_rows(const fb_snapshot_t *snapshot, const fb_args_t *args, uint32_t from,
                      fb_slice_t user, page_t *page)
{
    const fb_bitmap_filter_t filter = {.all = rows_asked_for(snapshot, args)};
    size_t found = LOOKS_STEP, limit = limit_of(args);
    uint32_t ids[LOOKS_STEP];
    for (size_t looks = 0; from > 0 && found == LOOKS_STEP && looks < LOOKS_MAX; looks += found) {
        found = fb_bitmap_select_down(&filter, from, ids, LOOKS_STEP);
        for (size_t i = 0; i < found; i++) {
            const fb_row_t *row = fb_snapshot_row(snapshot, FB_ORDERS, ids[i]);
            if (is_of_user(user, fb_order_value(row, FB_ORDER_USER).text) &&
                !add_row(page, limit, row))
                return;
            from = ids[i] - 1;
        }
    }
    page->floor = found == LOOKS_STEP ? from + 1 : 1;
    page->more = page->floor > 1;
}

static void find_page(const fb_snapshot_t *snapshot, const fb_args_t *args, uint32_t from,
                      page_t *page)
{
    fb_buffer_t user = {0};
    put_wanted_user(args, &user);
    page->count = 0;
    page->more = false;
    walk_rows(snapshot, args, from, fb_buffer_slice(&user), page);
    fb_buffer_dispose(&user);
    if (page->count < limit_of(args))
        return;
    /* It is full: what is below its last row is for another one. */
    page->floor = page->rows[page->count - 1]->id;
    page->more |= may_be_archived(args) && next_archived(snapshot, page->floor, 1) > 0;
}

static void put_end(const fb_args_t *args, bool more, uint32_t floor, fb_buffer_t *body)
{
    fb_buffer_put_literal(body, "],\"next\":");
    if (more)
        fb_cursor_put(body, fb_orders_query, FB_ORDERS_QUERY, fb_order_views[FB_ORDER_LIST].path,
                      args, floor);
    else
        fb_buffer_put_literal(body, "null");
    fb_buffer_put_char(body, '}');
}

fb_code_t fb_orders_render(const fb_snapshot_t *snapshot, const fb_args_t *args, fb_buffer_t *body,
                           fb_error_t *error)
{
    page_t page;
    uint32_t from;
    fb_code_t code = read_from(snapshot, args, &from, error);
    if (code != FB_OK)
        return code;
    find_page(snapshot, args, from, &page);
    if (may_be_archived(args) && next_archived(snapshot, from, page.floor) > 0)
        return fb_fail(error, FB_ARCHIVED, "some of these orders are in the archive");
    fb_buffer_put_literal(body, "{\"orders\":[");
    for (size_t i = 0; i < page.count; i++) {
        fb_buffer_put_text(body, i > 0 ? "," : "");
        fb_put_row(snapshot, FB_ORDERS, page.rows[i], body);
    }
    put_end(args, page.more, page.floor, body);
    return FB_OK;
}

/* --- with rows of the archive -------------------------------------------------------------- */

/* What is kept of the snapshot: this, the user that is wanted as JSON, and the rows. */
typedef struct {
    size_t user_len;
    size_t next; /* where the first row is that is not in the body yet; of all: an id, a length and
                    its JSON */
    uint32_t floor, last; /* the last row in the body; 0: there is none */
    bool more;
} kept_t;

static void keep_row(const fb_snapshot_t *snapshot, const fb_row_t *row, fb_buffer_t *kept)
{
    size_t at = kept->len;
    uint32_t place[2] = {row->id, 0};
    fb_buffer_put(kept, place, sizeof(place));
    fb_put_row(snapshot, FB_ORDERS, row, kept);
    place[1] = (uint32_t)(kept->len - at - sizeof(place));
    memcpy(kept->at + at, place, sizeof(place));
}

static void begin_list(const fb_snapshot_t *snapshot, fb_archive_ask_t *ask)
{
    page_t page;
    uint32_t from = 0, id;
    fb_error_t error = {0};
    fb_assert(read_from(snapshot, &ask->args, &from, &error) == FB_OK);
    find_page(snapshot, &ask->args, from, &page);
    ask->ids = fb_alloc(FB_ARCHIVE_READS_MAX * sizeof(*ask->ids));
    for (id = from; ask->id_count < FB_ARCHIVE_READS_MAX; id--) {
        id = next_archived(snapshot, id, page.floor);
        if (id == 0)
            break;
        ask->ids[ask->id_count++] = id;
    }
    if (ask->id_count == FB_ARCHIVE_READS_MAX) {
        page.floor = ask->ids[ask->id_count - 1];
        page.more = page.floor > 1;
    }
    ask->wanted = (unsigned)limit_of(&ask->args);
    kept_t kept = {.floor = page.floor, .more = page.more};
    fb_buffer_put(&ask->kept, &kept, sizeof(kept));
    put_wanted_user(&ask->args, &ask->kept);
    kept.next = ask->kept.len;
    kept.user_len = kept.next - sizeof(kept);
    memcpy(ask->kept.at, &kept, sizeof(kept));
    for (size_t i = 0; i < page.count && page.rows[i]->id >= page.floor; i++)
        keep_row(snapshot, page.rows[i], &ask->kept);
    fb_buffer_put_literal(&ask->body, "{\"orders\":[");
}

static void put_separator(fb_archive_ask_t *ask, kept_t *kept, uint32_t id)
{
    fb_buffer_put_text(&ask->body, kept->last > 0 ? "," : "");
    kept->last = id;
    ask->wanted--;
}

/* Puts the rows of the snapshot that are newer than `id`. */
static void put_kept(fb_archive_ask_t *ask, kept_t *kept, uint32_t id)
{
    uint32_t place[2];
    while (ask->wanted > 0 && kept->next < ask->kept.len) {
        const char *at = ask->kept.at + kept->next;
        memcpy(place, at, sizeof(place));
        if (place[0] < id)
            break;
        put_separator(ask, kept, place[0]);
        fb_buffer_put(&ask->body, at + sizeof(place), place[1]);
        kept->next += sizeof(place) + place[1];
    }
}

static void add_to_list(fb_archive_ask_t *ask, uint32_t id, const fb_value_t *values)
{
    kept_t kept;
    const fb_value_t *status = &ask->args.values[FB_ORDERS_STATUS];
    memcpy(&kept, ask->kept.at, sizeof(kept));
    put_kept(ask, &kept, id);
    fb_slice_t user = {ask->kept.at + sizeof(kept), kept.user_len};
    if (ask->wanted > 0 && is_of_user(user, values[FB_ORDER_USER].text) &&
        (!status->given || fb_slice_equal(status->text, values[FB_ORDER_STATUS].text))) {
        put_separator(ask, &kept, id);
        fb_row_put_json(&ask->body, "id", fb_order_fields, FB_ORDER_FIELDS, id, values);
    }
    memcpy(ask->kept.at, &kept, sizeof(kept));
}

static void end_list(fb_archive_ask_t *ask)
{
    kept_t kept;
    memcpy(&kept, ask->kept.at, sizeof(kept));
    put_kept(ask, &kept, 0);
    if (ask->wanted == 0) {
        kept.more |= kept.next < ask->kept.len || ask->ids[ask->id_count - 1] < kept.last;
        kept.floor = kept.last;
    }
    put_end(&ask->args, kept.more, kept.floor, &ask->body);
}

static bool is_list(const fb_archive_ask_t *ask)
{
    return ask->view == &fb_order_views[FB_ORDER_LIST];
}

static void begin(const fb_snapshot_t *snapshot, fb_archive_ask_t *ask)
{
    if (is_list(ask)) {
        begin_list(snapshot, ask);
        return;
    }
    ask->ids = fb_alloc(sizeof(*ask->ids));
    ask->ids[0] = ask->args.ids[0];
    ask->id_count = ask->wanted = 1;
}

static void add(fb_archive_ask_t *ask, uint32_t id, const fb_value_t *values)
{
    if (is_list(ask)) {
        add_to_list(ask, id, values);
        return;
    }
    fb_row_put_json(&ask->body, "id", fb_order_fields, FB_ORDER_FIELDS, id, values);
    ask->wanted = 0;
}

static fb_code_t end(fb_archive_ask_t *ask, fb_error_t *error)
{
    if (is_list(ask))
        end_list(ask);
    else if (ask->wanted > 0)
        return fb_fail(error, FB_NOT_FOUND, "there is no order %u", ask->ids[0]);
    return FB_OK;
}

const fb_archive_t fb_order_archive = {begin, add, end};
