/* SPDX-License-Identifier: MIT */
#include "server/head.h"

#include "tests/unit/random.h"

#define DATE     "Sun, 06 Nov 1994 08:49:37 GMT"
#define ETAG     "\"0123456789abcdef\""
#define REVISION "deadbeef.42"

static void make(fb_heads_t *heads, fb_head_tail_t tails[FB_HEAD_PROTOCOLS], size_t body_bytes)
{
    fb_heads_write(heads, 784111777, DATE, 7, fb_slice(REVISION));
    fb_head_tails_write(tails, body_bytes, ETAG);
}

static void a_whole_answer_in_http1_has_every_field(void **state)
{
    static const char expected[] = "HTTP/1.1 200 OK\r\n"
                                   "Date: " DATE "\r\n"
                                   "Connection: keep-alive\r\n"
                                   "Server: fleetbit\r\n"
                                   "fleetbit-revision: " REVISION "\r\n"
                                   "cache-control: no-cache\r\n"
                                   "content-type: application/json\r\n"
                                   "x-request-id: abc\r\n"
                                   "Content-Length: 6234\r\n"
                                   "etag: " ETAG "\r\n\r\n";
    fb_heads_t heads;
    fb_head_tail_t tails[FB_HEAD_PROTOCOLS];
    char head[FB_HEAD_BYTES_MAX];
    (void)state;
    make(&heads, tails, 6234);
    size_t len = fb_head_write(head, &heads, FB_HEAD_HTTP1, false, fb_slice("abc"), tails);
    assert_int_equal(len, sizeof(expected) - 1);
    assert_memory_equal(head, expected, len);
    assert_int_equal(heads.date_s, 784111777);
    assert_int_equal(heads.serial, 7);
}

static void an_answer_without_a_body_says_nothing_of_one(void **state)
{
    static const char expected[] = "HTTP/1.1 304 Not Modified\r\n"
                                   "Date: " DATE "\r\n"
                                   "Connection: keep-alive\r\n"
                                   "Server: fleetbit\r\n"
                                   "fleetbit-revision: " REVISION "\r\n"
                                   "cache-control: no-cache\r\n"
                                   "x-request-id: abc\r\n"
                                   "etag: " ETAG "\r\n\r\n";
    fb_heads_t heads;
    fb_head_tail_t tails[FB_HEAD_PROTOCOLS];
    char head[FB_HEAD_BYTES_MAX];
    (void)state;
    make(&heads, tails, 6234);
    size_t len = fb_head_write(head, &heads, FB_HEAD_HTTP1, true, fb_slice("abc"), tails);
    assert_int_equal(len, sizeof(expected) - 1);
    assert_memory_equal(head, expected, len);
}

/* A reader of header blocks for what a block of ours may hold: literal fields without indexing
 * (RFC 7541, 6.2.2), whose names are in the static table or given, and whose strings may be Huffman
 * coded. Those it does not decode: tests/api/test_heads.py does. */
typedef struct {
    const unsigned char *at, *end;
} reader_t;

static unsigned read_integer(reader_t *reader, unsigned prefix_bits)
{
    unsigned most = (1u << prefix_bits) - 1, value = *reader->at++ & most, shift = 0;
    if (value < most)
        return value;
    for (;; shift += 7) {
        assert_true(reader->at < reader->end && shift < 21);
        unsigned char byte = *reader->at++;
        value += (byte & 127u) << shift;
        if (byte < 128)
            return value;
    }
}

/* The string as it stands; `*is_coded`: in Huffman's code. */
static fb_slice_t read_string(reader_t *reader, bool *is_coded)
{
    *is_coded = (*reader->at & 128) != 0;
    unsigned len = read_integer(reader, 7);
    assert_true(len <= (size_t)(reader->end - reader->at));
    reader->at += len;
    return (fb_slice_t){(const char *)reader->at - len, len};
}

static void check_block(const char *head, size_t len, const unsigned *indexes, unsigned count,
                        fb_slice_t id, const char *length)
{
    reader_t reader = {(const unsigned char *)head, (const unsigned char *)head + len};
    bool is_coded;
    for (unsigned i = 0; i < count; i++) {
        assert_true(reader.at < reader.end);
        assert_int_equal(*reader.at & 0xF0, 0); /* without indexing */
        unsigned index = read_integer(&reader, 4);
        assert_int_equal(index, indexes[i]);
        if (index == 0)
            assert_true(read_string(&reader, &is_coded).len > 0);
        fb_slice_t value = read_string(&reader, &is_coded);
        if (index == 0 && i > 3)
            assert_true(!is_coded && fb_slice_equal(value, id));
        if (index == 28)
            assert_true(!is_coded && fb_slice_is(value, length));
        if (index == 34)
            assert_true(!is_coded && fb_slice_is(value, ETAG));
    }
    assert_ptr_equal(reader.at, reader.end);
}

static void a_block_of_http2_is_literal_fields_without_indexing(void **state)
{
    static const unsigned whole[] = {8, 33, 54, 0, 24, 31, 0, 28, 34};
    static const unsigned not_modified[] = {8, 33, 54, 0, 24, 0, 34};
    fb_heads_t heads;
    fb_head_tail_t tails[FB_HEAD_PROTOCOLS];
    char head[FB_HEAD_BYTES_MAX], id[FB_HEAD_ID_BYTES_MAX];
    (void)state;
    memset(id, 'i', sizeof(id));
    make(&heads, tails, 6234);
    for (size_t bytes = 1; bytes <= sizeof(id); bytes++) {
        fb_slice_t this_id = {id, bytes};
        size_t len = fb_head_write(head, &heads, FB_HEAD_HTTP2, false, this_id, tails);
        check_block(head, len, whole, 9, this_id, "6234");
        len = fb_head_write(head, &heads, FB_HEAD_HTTP2, true, this_id, tails);
        check_block(head, len, not_modified, 7, this_id, NULL);
    }
}

static void the_longest_of_all_fits(void **state)
{
    char revision[FB_HEAD_REVISION_MAX], id[FB_HEAD_ID_BYTES_MAX];
    char head[FB_HEAD_BYTES_MAX + 1];
    fb_heads_t heads;
    fb_head_tail_t tails[FB_HEAD_PROTOCOLS];
    (void)state;
    /* '~' has a code of 13 bits: nothing gets shorter. */
    memset(revision, '~', sizeof(revision));
    memset(id, '~', sizeof(id));
    fb_heads_write(&heads, 0, DATE, 1, (fb_slice_t){revision, sizeof(revision)});
    fb_head_tails_write(tails, SIZE_MAX, ETAG);
    for (int protocol = 0; protocol < FB_HEAD_PROTOCOLS; protocol++) {
        assert_true(tails[protocol].len <= FB_HEAD_TAIL_BYTES_MAX);
        for (int known = 0; known < 2; known++) {
            head[FB_HEAD_BYTES_MAX] = '#';
            size_t len = fb_head_write(head, &heads, (fb_head_protocol_t)protocol, known,
                                       (fb_slice_t){id, sizeof(id)}, tails);
            assert_true(len <= FB_HEAD_BYTES_MAX);
            assert_int_equal(head[FB_HEAD_BYTES_MAX], '#');
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_answer_in_http1_has_every_field),
        cmocka_unit_test(an_answer_without_a_body_says_nothing_of_one),
        cmocka_unit_test(a_block_of_http2_is_literal_fields_without_indexing),
        cmocka_unit_test(the_longest_of_all_fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
