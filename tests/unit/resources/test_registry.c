/* SPDX-License-Identifier: MIT */
#include "resources/registry.h"

#include "tests/unit/resources/fleet.h"

static fb_code_t find(const char *method, const char *path, fb_route_t *route)
{
    fb_error_t error = {0};
    fb_code_t code = fb_registry_route(fb_slice(method), fb_slice(path), route, &error);
    assert_int_equal(code, error.code);
    assert_int_equal(code == FB_OK, route->resource != NULL);
    return code;
}

#define UUID "2ed6657d-e927-568b-95e1-2665a8aea6a2"

/* A path of the pattern with the ids 7 and 4294967295, or that UUID. */
static void fill_path(const char *pattern, char path[100])
{
    fb_buffer_t out = {0};
    fb_registry_put_path(&out, pattern, (const uint32_t[]){7, UINT32_MAX});
    snprintf(path, 100, "%.*s", FB_PRINT(fb_buffer_slice(&out)));
    fb_buffer_dispose(&out);
    char *place = strstr(path, "{uuid}");
    if (place != NULL) /* it is the last segment, wherever there is one */
        snprintf(place, (size_t)(path + 100 - place), "%s", UUID);
}

static unsigned count_ids(const char *pattern)
{
    unsigned count = 0;
    for (const char *at = pattern; (at = strchr(at, '{')) != NULL; at++)
        count += strncmp(at, "{uuid}", 6) != 0;
    return count;
}

static void assert_ids(const fb_route_t *route, const char *pattern)
{
    assert_int_equal(route->id_count, count_ids(pattern));
    if (route->id_count > 0)
        assert_int_equal(route->ids[0], 7);
    if (route->id_count > 1)
        assert_int_equal(route->ids[1], UINT32_MAX);
    assert_string_equal(route->uuid, strstr(pattern, "{uuid}") != NULL ? UUID : "");
}

static void every_view_and_every_command_is_reached_by_its_path(void **state)
{
    (void)state;
    for (unsigned family = 0; family < fb_registry_count(); family++) {
        const fb_resource_t *resource = fb_registry_resource(family);
        char path[100];
        fb_route_t route;
        for (unsigned i = 0; i < resource->view_count; i++) {
            fill_path(resource->views[i].path, path);
            bool is_posted = resource->views[i].source == FB_SOURCE_POSTED;
            assert_int_equal(find(is_posted ? "POST" : "GET", path, &route), FB_OK);
            assert_ptr_equal(route.view, &resource->views[i]);
            assert_ptr_equal(route.resource, resource);
            assert_null(route.command);
            assert_ids(&route, resource->views[i].path);
            if (is_posted) {
                assert_int_equal(find("GET", path, &route), FB_METHOD_NOT_ALLOWED);
                assert_string_equal(route.allow, "POST");
                continue;
            }
            assert_int_equal(find("HEAD", path, &route), FB_OK);
            assert_ptr_equal(route.view, &resource->views[i]);
        }
        for (unsigned i = 0; i < resource->command_count; i++) {
            const fb_command_t *command = &resource->commands[i];
            fill_path(command->path, path);
            assert_int_equal(find(command->method, path, &route), FB_OK);
            assert_ptr_equal(route.command, command);
            assert_ptr_equal(route.resource, resource);
            assert_null(route.view);
            assert_ids(&route, command->path);
        }
    }
}

static void what_is_no_path_is_not_found(void **state)
{
    (void)state;
    static const char *const paths[] = {
        "",
        "/",
        "/v1",
        "/v1/machine",
        "/v1/machines/",
        "/v1/machines/x",
        "/v1/machines/0",
        "/v1/machines/-1",
        "/v1/machines/007",
        "/v1/machines/1x",
        "/v1/machines/1/",
        "/v1/machines/4294967296",
        "/v1/machines/18446744073709551617",
        "/v1/machines//",
        "/v1/machines//maintenance",
        "/v1/machines/1/maintenance/",
        "/v1/machines/1/maintenance/x",
        "/v1/machines/1/maintenance/1/1",
        "/V1/machines",
        "/v1/machines?",
        "/v1//machines",
        "v1/machines",
        "/v1/machines/%31",
        "/v1/machines/{id}",
        "*",
    };
    fb_route_t route;
    for (size_t i = 0; i < FB_COUNT(paths); i++) {
        if (find("GET", paths[i], &route) != FB_NOT_FOUND)
            fail_msg("%s leads to something", paths[i]);
        assert_int_equal(find("BREW", paths[i], &route), FB_NOT_FOUND);
        assert_string_equal(route.allow, "");
    }
}

static void a_path_says_which_methods_it_takes(void **state)
{
    (void)state;
    static const struct {
        const char *path, *allow;
    } samples[] = {
        {"/v1/machines", "GET, HEAD, POST"},
        {"/v1/machines/1", "GET, HEAD, PUT, PATCH, DELETE"},
        {"/v1/machines/1/maintenance", "GET, HEAD, POST"},
        {"/v1/machines/1/maintenance/2", "GET, HEAD, DELETE"},
        {"/v1/machines/1/calendar", "GET, HEAD"},
        {"/v1/availability", "GET, HEAD"},
    };
    static const char *const methods[] = {"BREW", "", "get", "GETS", "GE", "OPTIONS"};
    fb_route_t route;
    for (size_t i = 0; i < FB_COUNT(samples); i++) {
        for (size_t m = 0; m < FB_COUNT(methods); m++) {
            assert_int_equal(find(methods[m], samples[i].path, &route), FB_METHOD_NOT_ALLOWED);
            assert_string_equal(route.allow, samples[i].allow);
        }
    }
    assert_int_equal(find("POST", "/v1/availability", &route), FB_METHOD_NOT_ALLOWED);
    assert_int_equal(find("PUT", "/v1/machines", &route), FB_METHOD_NOT_ALLOWED);
    assert_int_equal(find("POST", "/v1/machines/1", &route), FB_METHOD_NOT_ALLOWED);
}

static void a_path_takes_its_ids(void **state)
{
    (void)state;
    char path[100];
    fill_path("/v1/machines", path);
    assert_string_equal(path, "/v1/machines");
    fill_path("/v1/machines/{id}", path);
    assert_string_equal(path, "/v1/machines/7");
    fill_path("/v1/machines/{id}/maintenance/{window}", path);
    assert_string_equal(path, "/v1/machines/7/maintenance/4294967295");
}

static void a_long_path_is_cut_in_its_error(void **state)
{
    (void)state;
    char path[5000];
    fb_route_t route;
    fb_error_t error = {0};
    memset(path, 'a', sizeof(path));
    path[0] = '/';
    assert_int_equal(
        fb_registry_route(FB_SLICE("GET"), (fb_slice_t){path, sizeof(path)}, &route, &error),
        FB_NOT_FOUND);
    assert_true(strlen(error.detail) < 250);
}

/* --- what a descriptor must be ------------------------------------------------------------ */

static void check_fields(const fb_field_t *fields, unsigned count)
{
    assert_true(count <= FB_FIELDS_MAX);
    for (unsigned f = 0; f < count; f++) {
        assert_true(fields[f].name != NULL && fields[f].name[0] != '\0');
        assert_true(fields[f].about != NULL && fields[f].about[0] != '\0');
        assert_true(fields[f].min <= fields[f].max);
        assert_true(fields[f].kind != FB_KIND_TEXT || fields[f].min >= 0);
        assert_true(!(fields[f].flags & FB_MULTILINE) || fields[f].kind == FB_KIND_TEXT);
        assert_true(!(fields[f].flags & (FB_UNIQUE | FB_FACET)) || fields[f].kind == FB_KIND_TEXT);
        assert_true(!(fields[f].flags & FB_PARENT) || fields[f].kind == FB_KIND_INTEGER ||
                    fields[f].kind == FB_KIND_NUMBERS || fields[f].kind == FB_KIND_DATE);
        assert_true(!(fields[f].flags & (FB_GIVEN | FB_OMITTED)) ||
                    (fields[f].flags & FB_NULLABLE));
        assert_int_equal(fb_field_find(fields, count, fb_slice(fields[f].name)), f);
    }
}

/* The view that is read at that path; NULL where there is none. */
static const fb_view_t *view_at(const char *path)
{
    char filled[100];
    fb_route_t route;
    fill_path(path, filled);
    return find("GET", filled, &route) == FB_OK ? route.view : NULL;
}

static void check_command(const fb_command_t *command)
{
    check_fields(command->body, command->body_count);
    assert_non_null(command->plan);
    /* What is answered is read, or at least found, at the path of the Location. */
    if (command->answer != FB_ANSWER_EMPTY)
        assert_string_equal(view_at(command->shows->path)->path, command->shows->path);
    /* If-Match is held against what is read at its own path, or of the thing that it acts on. */
    if (command->match == NULL) {
        assert_null(view_at(command->path));
        return;
    }
    size_t len = strlen(command->match->path);
    assert_ptr_equal(view_at(command->match->path), command->match);
    assert_int_equal(strncmp(command->match->path, command->path, len), 0);
    assert_true(command->path[len] == '\0' ||
                (command->path[len] == '/' && view_at(command->path) == NULL));
}

static void every_descriptor_is_whole(void **state)
{
    (void)state;
    for (unsigned family = 0; family < fb_registry_count(); family++) {
        const fb_resource_t *resource = fb_registry_resource(family);
        assert_true(resource->name != NULL && resource->name[0] != '\0');
        check_fields(resource->fields, resource->field_count);
        check_fields(resource->computed, resource->computed_count);
        assert_int_equal(resource->row_name != NULL, resource->field_count > 0);
        assert_int_equal(resource->put_computed != NULL, resource->computed_count > 0);
        assert_true(resource->computed_at <= resource->field_count);
        bool is_owner =
            resource->noun != NULL || resource->alias != NULL || resource->body_bytes > 0;
        assert_true(!is_owner || resource->path != NULL);
        for (unsigned i = 0; i < resource->view_count; i++) {
            const fb_view_t *view = &resource->views[i];
            check_fields(view->query, view->query_count);
            bool is_pure = view->source == FB_SOURCE_SNAPSHOT;
            assert_true((view->stamp != NULL) == is_pure);
            assert_true((view->render != NULL) == (is_pure || view->source == FB_SOURCE_POSTED));
            assert_true(count_ids(view->path) <= FB_PATH_IDS_MAX);
            /* A page that goes on has a size, too. */
            assert_int_equal(fb_field_find(view->query, view->query_count, FB_SLICE("cursor")) >= 0,
                             fb_field_find(view->query, view->query_count, FB_SLICE("limit")) >= 0);
        }
        for (unsigned i = 0; i < resource->command_count; i++)
            check_command(&resource->commands[i]);
    }
}

static void a_family_is_found_by_the_name_of_its_rows(void **state)
{
    (void)state;
    assert_int_equal(fb_registry_family(FB_SLICE("machine")), FB_MACHINES);
    assert_int_equal(fb_registry_family(FB_SLICE("window")), FB_MAINTENANCE);
    assert_int_equal(fb_registry_family(FB_SLICE("machines")), -1);
    assert_int_equal(fb_registry_family(FB_SLICE("availability")), -1);
    assert_int_equal(fb_registry_family(FB_SLICE("")), -1);
    for (unsigned family = 0; family < fb_registry_count(); family++) {
        const char *name = fb_registry_resource(family)->row_name;
        assert_true(name == NULL || fb_registry_family(fb_slice(name)) == (int)family);
        const char *queue = fb_registry_resource(family)->queue;
        assert_true(queue == NULL || fb_registry_queue(fb_slice(queue)) == (int)family);
    }
    assert_int_equal(fb_registry_queue(FB_SLICE("orders")), FB_ORDERS);
    assert_int_equal(fb_registry_queue(FB_SLICE("order")), -1);
    assert_int_equal(fb_registry_queue(FB_SLICE("")), -1);
}

static void an_alias_is_the_path_by_another_name(void **state)
{
    (void)state;
    fb_route_t own, other;
    assert_int_equal(find("GET", "/v1/sprockets", &own), FB_OK);
    assert_int_equal(find("GET", "/v1/sprocket", &other), FB_OK);
    assert_ptr_equal(own.view, other.view);
    assert_int_equal(other.family, FB_SPROCKETS);
    assert_int_equal(find("PUT", "/v1/sprocket/7", &other), FB_OK);
    assert_int_equal(other.ids[0], 7);
    assert_string_equal(other.command->path, "/v1/sprockets/{id}");
    assert_int_equal(find("DELETE", "/v1/sprocket/7", &other), FB_METHOD_NOT_ALLOWED);
    assert_string_equal(other.allow, "GET, HEAD, PUT");
    static const char *const paths[] = {
        "/v1/sprocketx",   "/v1/sprocke",           "/v1/sprocket/",  "/v1/sprocket//7",
        "/v1/sprocket/7/", "/v1/sprocket/sprocket", "/v1/sprocket/0", "/v1/sprockets/x"};
    for (size_t i = 0; i < FB_COUNT(paths); i++)
        assert_int_equal(find("GET", paths[i], &other), FB_NOT_FOUND);
    char path[600] = "/v1/sprocket/";
    memset(path + strlen(path), '1', sizeof(path) - strlen(path) - 1);
    path[sizeof(path) - 1] = '\0';
    assert_int_equal(find("GET", path, &other), FB_NOT_FOUND);
}

static void a_target_belongs_to_the_family_at_its_beginning(void **state)
{
    (void)state;
    static const struct {
        const char *target;
        const fb_resource_t *owner;
    } samples[] = {
        {"/v1/sprockets", &fb_sprockets},
        {"/v1/sprocket", &fb_sprockets},
        {"/v1/sprocket/x", &fb_sprockets},
        {"/v1/sprocket?limit=1", &fb_sprockets},
        {"/v1/factories", &fb_factories},
        {"/v1/factories/1?x", &fb_factories},
        {"/v1/factory", NULL},
        {"/v1/sprocketss", NULL},
        {"/v1/machines/1", NULL},
        {"/v1", NULL},
        {"", NULL},
        {"/x/v1/sprockets", NULL},
    };
    for (size_t i = 0; i < FB_COUNT(samples); i++)
        assert_ptr_equal(fb_registry_owner(fb_slice(samples[i].target)), samples[i].owner);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_view_and_every_command_is_reached_by_its_path),
        cmocka_unit_test(what_is_no_path_is_not_found),
        cmocka_unit_test(a_path_says_which_methods_it_takes),
        cmocka_unit_test(a_path_takes_its_ids),
        cmocka_unit_test(a_long_path_is_cut_in_its_error),
        cmocka_unit_test(every_descriptor_is_whole),
        cmocka_unit_test(a_family_is_found_by_the_name_of_its_rows),
        cmocka_unit_test(an_alias_is_the_path_by_another_name),
        cmocka_unit_test(a_target_belongs_to_the_family_at_its_beginning),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
