/* SPDX-License-Identifier: MIT */
/* The yardstick: the least that a server on libh2o can do. One loop, one handler, and every request
 * is answered with the same prebuilt status, headers and body, whatever it asks for.
 *
 *     bare_h2o --listen PORT [--server NAME] [--status CODE] [--reason TEXT]
 *              [--header NAME:VALUE]... [--body FILE]
 *
 * Listens at 127.0.0.1 (port 0: any free one) and says so on stdout as fleetbit does. What libh2o
 * adds by itself, it adds here too: Date, Connection, Server and, with a body, Content-Length. */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <h2o.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench/yardstick.h"

#define HEADERS_MAX    16
#define ACCEPTS_A_TURN 32

static struct {
    unsigned port;
    const char *server;
    int status;
    const char *reason;
    h2o_header_t headers[HEADERS_MAX];
    size_t header_count;
    h2o_iovec_t body;
    size_t content_length; /* SIZE_MAX: there is no body */
} answer = {.server = "bare", .status = 200, .reason = "OK", .content_length = SIZE_MAX};

static h2o_accept_ctx_t accepting;

/* ---- What is answered ---------------------------------------------------------------------- */

static void add_header(char *line)
{
    char *colon = strchr(line, ':');
    if (colon == NULL || colon == line || answer.header_count == HEADERS_MAX)
        yardstick_fail("no header, or one too many", line);
    h2o_header_t *header = &answer.headers[answer.header_count++];
    size_t len = (size_t)(colon - line);
    const h2o_token_t *token = h2o_lookup_token(line, len);
    h2o_iovec_t *own = h2o_mem_alloc(sizeof(*own));
    *own = h2o_iovec_init(line, len);
    /* The library knows a token by its address, and it only reads the name. */
    header->name = token != NULL ? (h2o_iovec_t *)(uintptr_t)&token->buf : own;
    header->orig_name = NULL;
    header->value = h2o_iovec_init(colon + 1, strlen(colon + 1));
}

static void read_body(const char *name)
{
    struct stat info;
    FILE *file = fopen(name, "rb");
    if (file == NULL || fstat(fileno(file), &info) != 0)
        yardstick_fail("cannot read", name);
    answer.content_length = (size_t)info.st_size;
    answer.body = h2o_iovec_init(h2o_mem_alloc(answer.content_length + 1), answer.content_length);
    if (fread(answer.body.base, 1, answer.body.len, file) != answer.body.len)
        yardstick_fail("cannot read", name);
    fclose(file);
}

static void read_arguments(int argc, char **argv)
{
    static const struct option options[] = {
        {"listen", required_argument, NULL, 'l'},
        {"server", required_argument, NULL, 'n'},
        {"status", required_argument, NULL, 's'},
        {"reason", required_argument, NULL, 'r'},
        {"header", required_argument, NULL, 'h'},
        {"body", required_argument, NULL, 'b'},
        {NULL, 0, NULL, 0},
    };
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (option == 'l')
            answer.port = (unsigned)yardstick_number(optarg, 65535);
        else if (option == 'n')
            answer.server = optarg;
        else if (option == 's')
            answer.status = (int)yardstick_number(optarg, 999);
        else if (option == 'r')
            answer.reason = optarg;
        else if (option == 'h')
            add_header(optarg);
        else if (option == 'b')
            read_body(optarg);
        else
            exit(2);
    }
    if (optind < argc)
        yardstick_fail("unexpected argument", argv[optind]);
}

/* ---- Answering ----------------------------------------------------------------------------- */

static int on_request(h2o_handler_t *handler, h2o_req_t *req)
{
    static h2o_generator_t generator = {NULL, NULL};
    (void)handler;
    req->res.status = answer.status;
    req->res.reason = answer.reason;
    req->res.content_length = answer.content_length;
    h2o_vector_reserve(&req->pool, &req->res.headers, HEADERS_MAX);
    memcpy(req->res.headers.entries, answer.headers, answer.header_count * sizeof(h2o_header_t));
    req->res.headers.size = answer.header_count;
    h2o_start_response(req, &generator);
    h2o_send(req, &answer.body, answer.body.len > 0 ? 1 : 0, H2O_SEND_STATE_FINAL);
    return 0;
}

static void on_accept(h2o_socket_t *listener, const char *error)
{
    if (error != NULL)
        return;
    for (int i = 0; i < ACCEPTS_A_TURN; i++) {
        h2o_socket_t *accepted = h2o_evloop_socket_accept(listener);
        if (accepted == NULL)
            return;
        h2o_accept(&accepting, accepted);
    }
}

int main(int argc, char **argv)
{
    h2o_globalconf_t config;
    h2o_context_t context;
    signal(SIGPIPE, SIG_IGN);
    read_arguments(argc, argv);
    h2o_config_init(&config);
    config.server_name = h2o_iovec_init(answer.server, strlen(answer.server));
    h2o_hostconf_t *host =
        h2o_config_register_host(&config, h2o_iovec_init(H2O_STRLIT("bare")), 65535);
    h2o_pathconf_t *path = h2o_config_register_path(host, "/", 0);
    h2o_create_handler(path, sizeof(h2o_handler_t))->on_req = on_request;
    h2o_context_init(&context, h2o_evloop_create(), &config);
    accepting = (h2o_accept_ctx_t){.ctx = &context, .hosts = config.hosts};
    h2o_socket_t *listener = h2o_evloop_socket_create(context.loop, yardstick_listen(answer.port),
                                                      H2O_SOCKET_FLAG_DONT_READ);
    h2o_socket_read_start(listener, on_accept);
    for (;;)
        h2o_evloop_run(context.loop, INT32_MAX);
}
