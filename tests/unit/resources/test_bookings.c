/* SPDX-License-Identifier: MIT */
#include "resources/bookings.h"

#include "resources/checksum.h"
#include "resources/listing.h"
#include "tests/unit/resources/order_model.h"

/* A random program of orders, held against plain arrays: no machine is ever booked twice on a day,
 * whatever is taken together, and all instances that apply the changes show the same. */

/* The instance that plans, one that follows the log, and what Redis has: there nothing is archived.
 */
typedef struct {
    history_t histories[3];
    fb_stage_t *stages[3];
    order_model_t *model;
    chance_t chance;
    written_t written;
    char path[80];
    fb_buffer_t body;
} world_t;

enum { PLANNER, FOLLOWER, REDIS };

static const fb_snapshot_t *view(const world_t *world, unsigned which)
{
    return fb_stage_view(world->stages[which]);
}

/* What the planner has written comes to the others. */
static void follow(world_t *world)
{
    fb_change_t change = {0}, all = {0};
    fb_error_t error = {0};
    fb_slice_t payload = fb_buffer_slice(&world->written.payload);
    if (fb_change_decode(&change, payload, &error) != FB_OK ||
        fb_change_decode(&all, payload, &error) != FB_OK)
        fail_msg("%.*s: %s", FB_PRINT(payload), error.detail);
    fb_stage_apply(world->stages[FOLLOWER], &change);
    size_t kept = 0;
    for (size_t i = 0; i < all.count; i++) {
        if (all.ops[i].kind != FB_OP_ARCHIVE)
            all.ops[kept++] = all.ops[i];
    }
    all.count = kept;
    fb_stage_apply(world->stages[REDIS], &all);
    fb_change_dispose(&change);
    fb_change_dispose(&all);
    assert_true(fb_snapshot_sum(view(world, PLANNER)) == fb_snapshot_sum(view(world, FOLLOWER)));
}

static void settle(world_t *world, fb_code_t code, fb_code_t expected)
{
    if (code != expected)
        fail_msg("%s %.*s: %s, not %s: %s", world->path, FB_PRINT(fb_buffer_slice(&world->body)),
                 fb_code_name(code), fb_code_name(expected), world->written.error.detail);
    if (code == FB_OK)
        follow(world);
}

/* A request, of which the model knows how it ends. */
static void request(world_t *world, const char *method, fb_code_t expected)
{
    fb_buffer_put_char(&world->body, '\0');
    fb_code_t code = fleet_write(world->stages[PLANNER], world->model->now, method, world->path,
                                 world->body.at, &world->written);
    settle(world, code, expected);
}

static void ask(world_t *world, const fb_command_t *command, const uint32_t *ids, unsigned count,
                bool changes)
{
    fb_code_t code =
        orders_ask(world->stages[PLANNER], command, world->model->now, ids, count, &world->written);
    snprintf(world->path, sizeof(world->path), "%s", command->about);
    settle(world, code, changes ? FB_OK : FB_CONFLICT);
}

static uint32_t below(world_t *world, uint32_t bound)
{
    return chance_below(&world->chance, bound);
}

/* --- steps -------------------------------------------------------------------------------- */

static void put_days(world_t *world, fb_day_t start, fb_day_t end)
{
    fb_buffer_put_literal(&world->body, ",\"start_date\":");
    fb_json_put_day(&world->body, start);
    fb_buffer_put_literal(&world->body, ",\"end_date\":");
    fb_json_put_day(&world->body, end);
}

static void step_machine(world_t *world)
{
    order_model_t *model = world->model;
    if (model->machine_count == MACHINES_MAX)
        return;
    model->exists[++model->machine_count] = true;
    snprintf(world->path, sizeof(world->path), "/v1/machines");
    fb_buffer_printf(&world->body, "{\"label\":\"m\",\"inventory_id\":\"%u\",\"type\":\"crane\"}",
                     model->machine_count);
    request(world, "POST", FB_OK);
}

static void choose_items(world_t *world, model_order_t *order)
{
    const order_model_t *model = world->model;
    uint32_t first = 1 + below(world, model->machine_count);
    order->item_count = 1 + below(world, ITEMS_MAX);
    for (unsigned i = 0; i < order->item_count; i++)
        order->items[i] = (first + i * 7) % model->machine_count + 1;
    /* Steps of 7 meet again in a fleet that is a multiple of it. */
    for (unsigned i = 1; i < order->item_count; i++) {
        for (unsigned j = 0; j < i; j++) {
            if (order->items[i] == order->items[j])
                order->item_count = i;
        }
    }
}

static fb_code_t expected_of_new(world_t *world, const model_order_t *order, bool is_held)
{
    for (unsigned i = 0; order->has_dates && i < order->item_count; i++) {
        if (!world->model->exists[order->items[i]])
            return FB_INVALID;
    }
    return is_held && !model_can_book(world->model, order) ? FB_CONFLICT : FB_OK;
}

static void step_create(world_t *world)
{
    order_model_t *model = world->model;
    model_order_t order = {.created = model->now, .user = below(world, 6)};
    bool is_held = false;
    assert_true(model->order_count < ORDERS_MAX);
    choose_items(world, &order);
    fb_buffer_printf(&world->body, "{\"user_id\":%s%u%s,\"total_amount\":%u.%02u,\"item_ids\":[",
                     order.user % 2 ? "\"" : "", order.user / 2, order.user % 2 ? "\"" : "",
                     below(world, 1000), below(world, 100));
    for (unsigned i = 0; i < order.item_count; i++)
        fb_buffer_printf(&world->body, "%s%u", i > 0 ? "," : "", order.items[i]);
    fb_buffer_put_char(&world->body, ']');
    if (below(world, 5) > 0) {
        order.has_dates = true;
        order.start = model->today + (fb_day_t)below(world, 12);
        order.end = order.start + (fb_day_t)below(world, 5);
        put_days(world, order.start, order.end);
        is_held = below(world, 3) == 0;
    }
    if (is_held) {
        uint32_t seconds = 1 + below(world, 900);
        order.hold_until = model->now + (fb_instant_t)seconds * 1000;
        fb_buffer_printf(&world->body, ",\"hold_seconds\":%u", seconds);
    }
    fb_buffer_put_char(&world->body, '}');
    fb_code_t expected = expected_of_new(world, &order, is_held);
    snprintf(world->path, sizeof(world->path), below(world, 2) ? "/v1/orders" : "/create_order");
    request(world, "POST", expected);
    if (expected != FB_OK)
        return;
    model->orders[++model->order_count] = order;
    if (is_held)
        model_book(model, model->order_count, true);
    assert_int_equal(world->written.ids[0], model->order_count);
}

static uint32_t choose_order(world_t *world)
{
    uint32_t count = world->model->order_count, recent = count < 40 ? count : 40;
    return below(world, 4) == 0 ? 1 + below(world, count) : count - below(world, recent);
}

/* Up to 12 orders, some of them perhaps twice, none of them, or archived. */
static unsigned choose_orders(world_t *world, uint32_t ids[12])
{
    unsigned count = 1 + below(world, 12);
    for (unsigned i = 0; i < count; i++)
        ids[i] = choose_order(world);
    if (below(world, 20) == 0)
        ids[0] = world->model->order_count + 5;
    return count;
}

static void step_take(world_t *world)
{
    order_model_t *model = world->model;
    uint32_t ids[12];
    unsigned count = choose_orders(world, ids);
    bool changes = false;
    for (uint32_t id = 1; id <= model->order_count; id++) { /* the oldest first */
        model_order_t *order = &model->orders[id];
        bool is_asked = false;
        for (unsigned i = 0; i < count; i++)
            is_asked |= ids[i] == id;
        if (!is_asked || order->state != FB_ORDER_IS_PENDING || order->hold_until > 0)
            continue;
        changes = true;
        if (!order->has_dates || model_has_days(order) || model_can_book(model, order))
            model_start(model, id, true);
        else
            model_end(model, id, FB_ORDER_IS_REJECTED);
    }
    ask(world, &fb_orders_take, ids, count, changes);
}

static void step_finish(world_t *world)
{
    uint32_t ids[12];
    unsigned count = choose_orders(world, ids);
    bool changes = false;
    for (unsigned i = 0; i < count; i++) {
        model_order_t *order = &world->model->orders[ids[i]];
        if (order->state != FB_ORDER_IS_PROCESSING || !order->has_worker)
            continue;
        model_end(world->model, ids[i], FB_ORDER_IS_COMPLETED);
        changes = true;
    }
    ask(world, &fb_orders_finish, ids, count, changes);
}

static void step_expire(world_t *world)
{
    uint32_t ids[12];
    unsigned count = choose_orders(world, ids);
    bool changes = false;
    for (unsigned i = 0; i < count; i++) {
        model_order_t *order = &world->model->orders[ids[i]];
        if (order->hold_until == 0 || order->hold_until > world->model->now)
            continue;
        model_end(world->model, ids[i], FB_ORDER_IS_CANCELLED);
        changes = true;
    }
    ask(world, &fb_orders_expire, ids, count, changes);
}

static void step_archive(world_t *world)
{
    uint32_t ids[12];
    unsigned count = choose_orders(world, ids);
    bool changes = false;
    for (unsigned i = 0; i < count; i++) {
        model_order_t *order = &world->model->orders[ids[i]];
        bool is_there = ids[i] <= world->model->order_count && !order->is_archived;
        bool holds = model_has_days(order) && order->end >= world->model->today;
        if (!is_there || model_is_open(order) || holds)
            continue;
        order->is_archived = changes = true;
    }
    ask(world, &fb_orders_archive, ids, count, changes);
}

static void step_requeue(world_t *world)
{
    uint32_t ids[12];
    unsigned count = choose_orders(world, ids);
    bool changes = false;
    for (unsigned i = 0; i < count; i++) {
        const model_order_t *order = &world->model->orders[ids[i]];
        changes |= ids[i] <= world->model->order_count && order->state == FB_ORDER_IS_PENDING &&
                   order->hold_until == 0;
    }
    ask(world, &fb_orders_requeue, ids, count, changes);
}

/* What a client or a worker outside does with one order. */
static void step_one(world_t *world)
{
    static const char *const verbs[] = {"/start", "/complete", "/reject", "/confirm", ""};
    order_model_t *model = world->model;
    uint32_t id = choose_order(world), what = below(world, FB_COUNT(verbs));
    model_order_t *order = &model->orders[id];
    bool is_pending = order->state == FB_ORDER_IS_PENDING;
    bool is_over = order->hold_until > 0 && order->hold_until <= model->now;
    snprintf(world->path, sizeof(world->path), "/v1/orders/%u%s", id, verbs[what]);
    const char *method = what == 4 ? "DELETE" : "POST";
    bool may = model_is_open(order);
    if (what == 0)
        may = is_pending && !is_over &&
              (!order->has_dates || model_has_days(order) || model_can_book(model, order));
    else if (what == 1)
        may = order->state == FB_ORDER_IS_PROCESSING;
    else if (what == 3)
        may = is_pending && order->hold_until > 0 && !is_over;
    request(world, method, may ? FB_OK : FB_CONFLICT);
    if (!may)
        return;
    static const fb_order_state_t ends[] = {0, FB_ORDER_IS_COMPLETED, FB_ORDER_IS_REJECTED, 0,
                                            FB_ORDER_IS_CANCELLED};
    if (what == 0) {
        model_start(model, id, false);
    } else if (what == 3) {
        order->confirmed = model_not_before(model, order);
        order->is_confirmed = true;
        order->hold_until = 0;
    } else {
        model_end(model, id, ends[what]);
    }
}

static void step_window(world_t *world)
{
    order_model_t *model = world->model;
    uint32_t machine = 1 + below(world, model->machine_count);
    fb_day_t start = model->today + (fb_day_t)below(world, 12), end = start + 1;
    bool override = below(world, 3) == 0, is_booked = false;
    for (fb_day_t day = start; day <= end; day++)
        is_booked |= model->booked[machine][day - FIRST_DAY] != 0;
    fb_buffer_printf(&world->body, "{\"override\":%s", override ? "true" : "false");
    put_days(world, start, end);
    fb_buffer_put_char(&world->body, '}');
    snprintf(world->path, sizeof(world->path), "/v1/machines/%u/maintenance", machine);
    fb_code_t expected = !model->exists[machine]  ? FB_NOT_FOUND
                         : is_booked && !override ? FB_CONFLICT
                                                  : FB_OK;
    request(world, "POST", expected);
    if (expected != FB_OK)
        return;
    model->window_count++;
    for (fb_day_t day = start; day <= end; day++)
        model->maintenance[machine][day - FIRST_DAY] = true;
}

static void step_retire(world_t *world)
{
    order_model_t *model = world->model;
    uint32_t machine = 1 + below(world, model->machine_count);
    bool is_needed = false;
    for (uint32_t id = 1; id <= model->order_count; id++) {
        const model_order_t *order = &model->orders[id];
        for (unsigned i = 0; i < order->item_count && model_has_days(order); i++)
            is_needed |=
                order->items[i] == machine && (order->end >= model->today || model_is_open(order));
    }
    snprintf(world->path, sizeof(world->path), "/v1/machines/%u", machine);
    request(world, "DELETE",
            !model->exists[machine] ? FB_NOT_FOUND
            : is_needed             ? FB_CONFLICT
                                    : FB_OK);
    if (!model->exists[machine] || is_needed)
        return;
    model->exists[machine] = false;
    memset(model->maintenance[machine], 0, sizeof(model->maintenance[machine]));
}

/* The clock goes on, and sometimes back. */
static void step_clock(world_t *world)
{
    order_model_t *model = world->model;
    static const uint32_t widths[] = {7, 200, 4000, 90000, 400000};
    uint32_t ms = below(world, widths[below(world, FB_COUNT(widths))]);
    if (below(world, 10) == 0)
        model->now -= ms / 4;
    else
        model->now += ms;
    if (below(world, 8) > 0 || model->today + 20 >= FIRST_DAY + DAYS_MAX)
        return;
    model->today++;
    for (unsigned i = 0; i < 3; i++)
        fb_stage_set_today(world->stages[i], model->today);
}

/* --- checks ------------------------------------------------------------------------------- */

static bool is_asked_for(const model_order_t *order, unsigned state, unsigned user)
{
    return (state >= FB_ORDER_STATES || order->state == state) &&
           (user >= 3 || order->user / 2 == user);
}

/* Is there an order from that one down that the list asks for? */
static bool is_left(const order_model_t *model, uint32_t id, unsigned state, unsigned user)
{
    for (; id > 0; id--) {
        if (is_asked_for(&model->orders[id], state, user))
            return true;
    }
    return false;
}

/* Walks a list to its end, and holds it against all orders that there ever were. */
static void check_list(world_t *world)
{
    const order_model_t *model = world->model;
    const fb_snapshot_t *redis = view(world, REDIS);
    unsigned state = below(world, FB_ORDER_STATES + 2), user = below(world, 8);
    uint32_t limit = 1 + below(world, 60);
    fb_buffer_t target = {0}, body = {0}, expected = {0}, cursor = {0};
    fb_error_t error;
    uint32_t id = model->order_count;
    for (bool more = true; more;) {
        target.len = expected.len = 0;
        fb_buffer_printf(&target, "/v1/orders?limit=%u%.*s", limit,
                         FB_PRINT(fb_buffer_slice(&cursor)));
        if (state < FB_ORDER_STATES)
            fb_buffer_printf(&target, "&status=%s", fb_order_states[state]);
        if (user < 3)
            fb_buffer_printf(&target, "&user_id=%u", user);
        fb_buffer_put_char(&target, '\0');
        assert_int_equal(orders_read(view(world, PLANNER), redis, target.at, &body, &error), FB_OK);
        fb_buffer_put_literal(&expected, "{\"orders\":[");
        for (uint32_t shown = 0; id > 0 && shown < limit; id--) {
            if (!is_asked_for(&model->orders[id], state, user))
                continue;
            fb_buffer_put_text(&expected, shown++ > 0 ? "," : "");
            fb_put_row(redis, FB_ORDERS, fb_snapshot_row(redis, FB_ORDERS, id), &expected);
        }
        assert_true(body.len > expected.len);
        assert_memory_equal(body.at, expected.at, expected.len);
        fb_slice_t next = page_cursor(fb_buffer_slice(&body));
        more = next.len > 0;
        assert_true(more || !is_left(model, id, state, user));
        cursor.len = 0;
        fb_buffer_printf(&cursor, "&cursor=%.*s", FB_PRINT(next));
    }
    fb_buffer_dispose(&target);
    fb_buffer_dispose(&body);
    fb_buffer_dispose(&expected);
    fb_buffer_dispose(&cursor);
}

static void check_all(world_t *world)
{
    for (unsigned i = 0; i < 2; i++) {
        const fb_snapshot_t *snapshot = view(world, i);
        check_days(snapshot, world->model);
        check_totals(snapshot, world->model);
        for (uint32_t id = 1; id <= world->model->order_count; id++)
            check_order(snapshot, world->model, id);
        assert_true(fb_checksum_family(snapshot, FB_ORDERS) == snapshot->families[FB_ORDERS].sum);
        assert_true(fb_checksum_plane(snapshot, FB_PLANE_BOOKED) ==
                    snapshot->plane_sums[FB_PLANE_BOOKED]);
    }
    check_list(world);
}

static void step(world_t *world)
{
    static void (*const steps[])(world_t *) = {
        step_create, step_create, step_create, step_create, step_create, step_create,
        step_take,   step_take,   step_take,   step_finish, step_finish, step_expire,
        step_expire, step_one,    step_one,    step_one,    step_one,    step_archive,
        step_window, step_clock,  step_clock,  step_clock,  step_clock,  step_requeue};
    world->body.len = 0;
    if (world->model->machine_count < 6 || below(world, 200) == 0)
        step_machine(world);
    else if (world->model->order_count == 0)
        step_create(world);
    else if (below(world, 100) == 0)
        step_retire(world);
    else
        steps[below(world, FB_COUNT(steps))](world);
}

static void a_random_program_never_books_a_machine_twice(void **state)
{
    (void)state;
    enum { STEPS = 12000, A_SNAPSHOT = 25, A_CHECK = 80 };
    world_t world = {.chance = chance_init()};
    world.model = calloc(1, sizeof(*world.model));
    world.model->today = FIRST_DAY;
    world.model->now = NOON;
    for (unsigned i = 0; i < 3; i++) {
        world.histories[i] = history_create(2);
        world.stages[i] = fb_stage_begin(history_now(&world.histories[i]));
    }
    for (int n = 1; n <= STEPS; n++) {
        step(&world);
        if (n % A_CHECK == 0)
            check_all(&world);
        for (unsigned i = 0; i < 3 && n % A_SNAPSHOT == 0; i++) {
            history_push(&world.histories[i], &world.stages[i]);
            world.stages[i] = fb_stage_begin(history_now(&world.histories[i]));
        }
    }
    print_message("%u orders, %u windows\n", world.model->order_count, world.model->window_count);
    for (unsigned i = 0; i < 3; i++) {
        history_push(&world.histories[i], &world.stages[i]);
        history_dispose(&world.histories[i]);
    }
    fb_buffer_dispose(&world.written.payload);
    fb_buffer_dispose(&world.body);
    free(world.model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_random_program_never_books_a_machine_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
