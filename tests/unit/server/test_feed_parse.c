/* SPDX-License-Identifier: MIT */
#include "server/feed_parse.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* --- reading: each plan and each skip becomes a line --------------------------------------- */

static void put_value(fb_buffer_t *lines, const fb_value_t *value, bool is_text)
{
    if (value->null)
        fb_buffer_put_literal(lines, "-");
    else if (is_text)
        fb_buffer_put_slice(lines, value->text);
    else
        fb_buffer_put_i64(lines, value->number);
    fb_buffer_put_char(lines, '|');
}

static void on_plan(void *context, const fb_value_t *values)
{
    fb_buffer_t *lines = context;
    for (unsigned i = FB_PLAN_UUID + 1; i < FB_PLAN_FIELDS; i++) {
        bool is_number = i == FB_PLAN_START_DATE || i == FB_PLAN_END_DATE ||
                         i == FB_PLAN_MIN_PRICE || i == FB_PLAN_MAX_PRICE || i == FB_PLAN_SOLD_OUT;
        put_value(lines, &values[i], !is_number);
    }
    fb_buffer_put_char(lines, '\n');
}

static void on_skip(void *context, const fb_feed_skip_t *skip)
{
    fb_buffer_t *lines = context;
    fb_buffer_printf(lines, "skipped %.*s:%.*s %s\n", FB_PRINT(skip->base), FB_PRINT(skip->plan),
                     skip->reason);
}

/* Reads the document in pieces of so many bytes. The lines, with a NUL, are the caller's. */
static char *read_in(fb_slice_t document, size_t piece, fb_error_t *error)
{
    fb_buffer_t lines = {0};
    const fb_feed_sink_t sink = {&lines, on_plan, on_skip};
    fb_feed_parser_t *parser = fb_feed_parser_create(&sink);
    fb_code_t code = FB_OK;
    for (size_t at = 0; code == FB_OK && at < document.len; at += piece) {
        size_t len = document.len - at < piece ? document.len - at : piece;
        code = fb_feed_parser_put(parser, (fb_slice_t){document.at + at, len}, error);
    }
    if (code == FB_OK)
        fb_feed_parser_end(parser, error);
    fb_feed_parser_destroy(&parser);
    fb_buffer_put_char(&lines, '\0');
    return lines.at;
}

static void assert_lines(const char *document, const char *expected)
{
    const size_t pieces[] = {1, 7, 1000000};
    for (size_t i = 0; i < FB_COUNT(pieces); i++) {
        fb_error_t error = {0};
        char *lines = read_in(fb_slice(document), pieces[i], &error);
        assert_string_equal(error.detail, "");
        assert_string_equal(lines, expected);
        free(lines);
    }
}

static void assert_refused(fb_slice_t document, fb_code_t code, const char *detail)
{
    const size_t pieces[] = {1, 1000000};
    for (size_t i = document.len > 100000; i < FB_COUNT(pieces); i++) {
        fb_error_t error = {0};
        free(read_in(document, pieces[i], &error));
        assert_int_equal(error.code, code);
        assert_non_null(strstr(error.detail, detail));
    }
}

#define BASE(attributes, plans)                                                                    \
    "<base_plan base_plan_id=\"291\" sell_mode=\"online\" title=\"Camela\" " attributes ">" plans  \
    "</base_plan>"
#define LIST(bases) "<planList version=\"1.0\"><output>" bases "</output></planList>"
#define TIMES                                                                                      \
    "plan_start_date=\"2021-06-30T21:00:00\" "                                                     \
    "plan_end_date=\"2021-06-30T22:00:00\" "
#define PLAN(attributes, zones) "<plan plan_id=\"291\" " TIMES attributes ">" zones "</plan>"
#define ONE(attributes, zones)  LIST(BASE("", PLAN(attributes, zones)))
#define ZONE(attributes)        "<zone zone_id=\"40\" capacity=\"243\" " attributes "/>"

/* 18808: 2021-06-30 */
#define HEAD "Camela|18808|21:00:00|18808|22:00:00|"
#define TAIL "291|291|online|"

static void both_vocabularies_are_read(void **state)
{
    (void)state;
    const char *const expected =
        HEAD "1500|3000|" TAIL "2020-07-01T00:00:00|2021-06-30T20:00:00|0|-|"
             "[{\"zone_id\":\"40\",\"name\":\"Platea\",\"capacity\":243,\"price\":20.00,"
             "\"numbered\":true},"
             "{\"zone_id\":\"38\",\"name\":\"Grada 2\",\"capacity\":100,\"price\":15.00,"
             "\"numbered\":false},"
             "{\"zone_id\":\"38\",\"name\":\"A28\",\"capacity\":0,\"price\":30.00,"
             "\"numbered\":true}]|\n";
#define ZONES                                                                                      \
    "<zone zone_id=\"40\" capacity=\"243\" price=\"20.00\" name=\"Platea\" numbered=\"true\"/>"    \
    "<zone name=\"Grada 2\" numbered=\"false\" price=\"15.00\" capacity=\"100\" zone_id=\"38\"/>"  \
    "<zone zone_id=\"38\" capacity=\"0\" price=\"30.00\" name=\"A28\" numbered=\"true\"/>"
#define SELL "sell_from=\"2020-07-01T00:00:00\" sell_to=\"2021-06-30T20:00:00\" sold_out=\"false\""
    assert_lines("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n" ONE(SELL, ZONES), expected);
    assert_lines("<eventList><output><base_event base_event_id=\"291\" sell_mode=\"online\" "
                 "title=\"Camela\"><event event_start_date=\"2021-06-30T21:00:00\" "
                 "event_end_date=\"2021-06-30T22:00:00\" event_id=\"291\" " SELL ">" ZONES
                 "</event></base_event></output></eventList>",
                 expected);
}

static void what_is_not_known_is_passed_over(void **state)
{
    (void)state;
    const char *const expected = HEAD "-|-|" TAIL "-|-|1|17|[]|\n";
    assert_lines(
        "<planList xmlns:x=\"http://x\" more=\"1\"><head><base_plan/><output><base_plan/></output>"
        "</head>text<output a=\"b\"><!-- c --><?p i?><other><base_plan base_plan_id=\"1\"><plan/>"
        "</base_plan></other>" BASE(
            "organizer_company_id=\"17\" x:y=\"z\"",
            "<venue><plan plan_id=\"9\"/></venue><zone/>" PLAN(
                "sold_out=\"true\" rank=\"1\"",
                "<seats><zone/></seats>text<![CDATA[<zone/>]]>")) "</output></planList>",
        expected);
}

static void the_words_of_the_other_vocabulary_are_not_known(void **state)
{
    (void)state;
    assert_lines("<eventList><output>" BASE("", PLAN("", "")) "</output></eventList>", "");
    assert_lines(LIST(""), "");
    assert_lines("<planList/>", "");
}

static void a_plan_is_the_pair(void **state)
{
    (void)state;
    assert_lines(
        LIST(BASE("", PLAN("", "")) "<base_plan base_plan_id=\"322\" sell_mode=\"offline\" "
                                    "title=\"P\">" PLAN("", "") "</base_plan>"),
        HEAD "-|-|" TAIL "-|-|0|-|[]|\n"
             "P|18808|21:00:00|18808|22:00:00|-|-|322|291|offline|-|-|0|-|[]|\n");
}

static void characters_are_utf_8_whatever_the_document_is(void **state)
{
    (void)state;
    assert_lines("<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?>" LIST(
                     "<base_plan base_plan_id=\"1\" sell_mode=\"online\" "
                     "title=\"caf\xE9 &amp; &#x20AC;&#10;&lt;b&gt;\">" PLAN("", "") "</base_plan>"),
                 "caf\xC3\xA9 & \xE2\x82\xAC <b>|18808|21:00:00|18808|22:00:00|-|-|1|291|online|"
                 "-|-|0|-|[]|\n");
}

static void dates_that_do_not_exist_skip_their_plan_alone(void **state)
{
    (void)state;
#define AT(id, start, end)                                                                         \
    "<plan plan_id=\"" id "\" plan_start_date=\"" start "\" plan_end_date=\"" end "\"/>"
    assert_lines(
        LIST(BASE("", AT("1", "2021-09-31T20:00:00", "2021-09-31T21:00:00") //
                  AT("2", "2021-06-30T21:00:00Z", "2021-06-30T22:00:00")    //
                  AT("3", "2021-06-30T24:00:00", "2021-06-30T24:00:00")     //
                  AT("4", "2021-06-30T21:00:60", "2021-06-30T22:00:00")     //
                  AT("5", "2021-06-30 21:00:00", "2021-06-30T22:00:00")     //
                  AT("6", "2021-06-30T21:00:00", "2021-06-30T20:59:59")     //
                  AT("7", "1969-06-30T21:00:00", "2021-06-30T20:59:59")     //
                  AT("291", "2021-06-30T21:00:00", "2021-06-30T22:00:00")   //
                  AT("8", "", "2021-06-30T22:00:00")                        //
                  AT("9", "2021-06-30T21:00", "2021-06-30T22:00:00"))),
        "skipped 291:1 plan_start_date is \"2021-09-31T20:00:00\": there is no such day\n"
        "skipped 291:2 plan_start_date is \"2021-06-30T21:00:00Z\", not like "
        "2027-01-31T20:00:00\n"
        "skipped 291:3 plan_start_date is \"2021-06-30T24:00:00\", not like 2027-01-31T20:00:00\n"
        "skipped 291:4 plan_start_date is \"2021-06-30T21:00:60\", not like 2027-01-31T20:00:00\n"
        "skipped 291:5 plan_start_date is \"2021-06-30 21:00:00\", not like 2027-01-31T20:00:00\n"
        "skipped 291:6 plan_end_date is before plan_start_date\n"
        "skipped 291:7 plan_start_date is \"1969-06-30T21:00:00\", not in 1970 to 2399\n" HEAD
        "-|-|" TAIL "-|-|0|-|[]|\n"
        "skipped 291:8 plan_start_date is missing\n"
        "skipped 291:9 plan_start_date is \"2021-06-30T21:00\", not like 2027-01-31T20:00:00\n");
    assert_lines(ONE("sell_from=\"2021-02-29T00:00:00\"", ""),
                 "skipped 291:291 sell_from is \"2021-02-29T00:00:00\": there is no such day\n");
    assert_lines(ONE("sell_from=\"\" sell_to=\"2021-02-28T23:59:59\"", ""),
                 HEAD "-|-|" TAIL "-|2021-02-28T23:59:59|0|-|[]|\n");
}

static void assert_zone(const char *attributes, const char *expected)
{
    char document[1024];
    snprintf(document, sizeof(document), ONE("", "<zone %s/>"), attributes);
    assert_lines(document, expected);
}

static void assert_price(const char *price, const char *expected)
{
    char document[1024], lines[1024];
    snprintf(document, sizeof(document), ONE("", "<zone zone_id=\"1\" price=\"%s\"/>"), price);
    if (expected != NULL)
        snprintf(lines, sizeof(lines),
                 HEAD "%s|%s|" TAIL "-|-|0|-|[{\"zone_id\":\"1\",\"name\":null,\"capacity\":null,"
                      "\"price\":%.*s.%s,\"numbered\":null}]|\n",
                 expected, expected, (int)strlen(expected) - 2, expected,
                 expected + strlen(expected) - 2);
    else
        snprintf(lines, sizeof(lines), "skipped 291:291 the price of a zone is \"%.40s\"\n", price);
    assert_lines(document, lines);
}

static void prices_are_exact_or_wrong(void **state)
{
    (void)state;
    assert_price("20.00", "2000");
    assert_price("20", "2000");
    assert_price("20.5", "2050");
    assert_price("1.1500", "115");
    assert_price("1000000000.00", "100000000000");
    const char *const wrong[] = {"",    "-1",  "20,00", "1e2",           "20.005",
                                 "20.", ".5",  " 20",   "1000000000.01", "99999999999999999999",
                                 "NaN", "0x1", "20 EUR"};
    for (size_t i = 0; i < FB_COUNT(wrong); i++)
        assert_price(wrong[i], NULL);
}

static void a_zone_that_is_wrong_skips_its_plan(void **state)
{
    (void)state;
#define SKIPPED "skipped 291:291 "
    assert_zone("price=\"1\"", SKIPPED "zone_id is missing\n");
    assert_zone("zone_id=\"\" price=\"1\"", SKIPPED "zone_id is missing\n");
    assert_zone("zone_id=\"1\"", SKIPPED "the price of a zone is missing\n");
    assert_zone("zone_id=\"1\" price=\"1\" capacity=\"-1\"",
                SKIPPED "the capacity of a zone is \"-1\"\n");
    assert_zone("zone_id=\"1\" price=\"1\" capacity=\"1.5\"",
                SKIPPED "the capacity of a zone is \"1.5\"\n");
    assert_zone("zone_id=\"1\" price=\"1\" numbered=\"yes\"",
                SKIPPED "numbered is \"yes\", not true or false\n");
}

static void what_is_missing_or_too_long_skips(void **state)
{
    (void)state;
    char id[FB_PLAN_ID_BYTES_MAX + 2], document[4096], lines[1024];
    memset(id, 'x', sizeof(id));
    id[sizeof(id) - 1] = '\0';
    assert_lines(LIST("<base_plan sell_mode=\"online\" title=\"t\">" PLAN("", "") "</base_plan>"),
                 "skipped :291 base_plan_id is missing\n");
    assert_lines(LIST("<base_plan base_plan_id=\"1\">" PLAN("", "") "</base_plan>"),
                 "skipped 1:291 sell_mode is missing\n");
    assert_lines(LIST(BASE("", "<plan " TIMES "/>")), "skipped 291: plan_id is missing\n");
    assert_lines(ONE("sold_out=\"maybe\"", ""),
                 SKIPPED "sold_out is \"maybe\", not true or false\n");
    snprintf(document, sizeof(document), LIST(BASE("", "<plan plan_id=\"%s\" " TIMES "/>")), id);
    snprintf(lines, sizeof(lines), "skipped 291:%.64s plan_id has more than 64 bytes\n", id);
    assert_lines(document, lines);
    snprintf(document, sizeof(document), LIST(BASE("", "<plan plan_id=\"%s\" " TIMES "/>")),
             id + 1);
    snprintf(lines, sizeof(lines), HEAD "-|-|291|%s|online|-|-|0|-|[]|\n", id + 1);
    assert_lines(document, lines);
}

/* A plan with so many zones; free(). */
static char *with_zones(unsigned count)
{
    fb_buffer_t text = {0};
    fb_buffer_put_literal(&text, "<planList><output>"
                                 "<base_plan base_plan_id=\"291\" sell_mode=\"online\" "
                                 "title=\"Camela\"><plan plan_id=\"291\" " TIMES ">");
    for (unsigned i = 0; i < count; i++)
        fb_buffer_put_literal(&text, ZONE("price=\"1\""));
    fb_buffer_put(&text, "</plan></base_plan></output></planList>", 40);
    return text.at;
}

static void a_plan_has_at_most_a_thousand_zones(void **state)
{
    (void)state;
    char *most = with_zones(FB_PLAN_ZONES_MAX), *more = with_zones(FB_PLAN_ZONES_MAX + 1);
    fb_error_t error = {0};
    char *lines = read_in(fb_slice(most), 1000, &error);
    assert_int_equal(error.code, FB_OK);
    assert_memory_equal(lines, HEAD "100|100|", strlen(HEAD "100|100|"));
    free(lines);
    lines = read_in(fb_slice(more), 1000, &error);
    assert_string_equal(lines, SKIPPED "it has more than 1000 zones\n");
    free(lines);
    free(most);
    free(more);
}

static void what_is_no_such_document_fails(void **state)
{
    (void)state;
    assert_refused(FB_SLICE(""), FB_MALFORMED, "no element found");
    assert_refused(FB_SLICE("  \n"), FB_MALFORMED, "no element found");
    assert_refused(FB_SLICE("Internal error"), FB_MALFORMED, "in line 1");
    assert_refused(FB_SLICE("<html><body>no</body></html>"), FB_INVALID, "its root is <html>");
    assert_refused(FB_SLICE("<html><body><br></body></html>"), FB_INVALID, "its root is <html>");
    assert_refused(FB_SLICE("<planlist/>"), FB_INVALID, "its root is <planlist>");
    assert_refused(FB_SLICE("{\"planList\": []}"), FB_MALFORMED, "not well-formed");
    assert_refused(FB_SLICE("<planList><output></planList>"), FB_MALFORMED, "mismatched tag");
    assert_refused(FB_SLICE("<planList>&nbsp;</planList>"), FB_MALFORMED, "undefined entity");
    assert_refused(FB_SLICE("<planList/><planList/>"), FB_MALFORMED, "junk after");
    assert_refused(FB_SLICE("<planList a=\"1\" a=\"2\"/>"), FB_MALFORMED, "duplicate attribute");
    assert_refused(FB_SLICE("<planList>\xFF</planList>"), FB_MALFORMED, "not well-formed");
    assert_refused(FB_SLICE("<?xml version=\"1.0\" encoding=\"x-none\"?><planList/>"), FB_MALFORMED,
                   "encoding");
}

static void a_document_that_is_cut_off_anywhere_fails(void **state)
{
    (void)state;
    const fb_slice_t whole = FB_SLICE(ONE("sold_out=\"true\"", ZONE("price=\"20.00\"")));
    for (size_t len = 0; len < whole.len; len++) {
        fb_error_t error = {0};
        free(read_in((fb_slice_t){whole.at, len}, 16, &error));
        assert_int_equal(error.code, FB_MALFORMED);
    }
}

static void there_are_no_entities(void **state)
{
    (void)state;
    assert_refused(FB_SLICE("<!DOCTYPE planList [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;&a;\">]>"
                            "<planList>&b;</planList>"),
                   FB_MALFORMED, "document type declaration");
    assert_refused(FB_SLICE("<!DOCTYPE planList [<!ENTITY a SYSTEM \"file:///etc/passwd\">]>"
                            "<planList>&a;</planList>"),
                   FB_MALFORMED, "document type declaration");
    assert_refused(FB_SLICE("<!DOCTYPE planList SYSTEM \"http://127.0.0.1:1/x.dtd\"><planList/>"),
                   FB_MALFORMED, "document type declaration");
}

static void depth_and_tags_are_bounded(void **state)
{
    (void)state;
    fb_buffer_t text = {0};
    fb_buffer_put_literal(&text, "<planList>");
    for (int i = 0; i < FB_FEED_DEPTH_MAX; i++)
        fb_buffer_put_literal(&text, "<a>");
    assert_refused(fb_buffer_slice(&text), FB_MALFORMED, "within each other");
    text.len = 0;
    fb_buffer_put_literal(&text, "<planList><x y=\"");
    for (int i = 0; i < 3 * FB_FEED_TAG_BYTES_MAX; i++)
        fb_buffer_put_char(&text, 'z');
    assert_refused(fb_buffer_slice(&text), FB_MALFORMED, "a tag of more than");
    text.len = 0;
    fb_buffer_put_literal(&text, "<planList>");
    for (int i = 0; i < 3 * FB_FEED_TAG_BYTES_MAX; i++)
        fb_buffer_put_char(&text, i % 80 == 79 ? '\n' : 'z');
    fb_buffer_put_literal(&text, "</planList>");
    fb_error_t error = {0};
    free(read_in(fb_buffer_slice(&text), 4096, &error));
    assert_int_equal(error.code, FB_OK); /* a text is no tag */
    fb_buffer_dispose(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_vocabularies_are_read),
        cmocka_unit_test(what_is_not_known_is_passed_over),
        cmocka_unit_test(the_words_of_the_other_vocabulary_are_not_known),
        cmocka_unit_test(a_plan_is_the_pair),
        cmocka_unit_test(characters_are_utf_8_whatever_the_document_is),
        cmocka_unit_test(dates_that_do_not_exist_skip_their_plan_alone),
        cmocka_unit_test(prices_are_exact_or_wrong),
        cmocka_unit_test(a_zone_that_is_wrong_skips_its_plan),
        cmocka_unit_test(what_is_missing_or_too_long_skips),
        cmocka_unit_test(a_plan_has_at_most_a_thousand_zones),
        cmocka_unit_test(what_is_no_such_document_fails),
        cmocka_unit_test(a_document_that_is_cut_off_anywhere_fails),
        cmocka_unit_test(there_are_no_entities),
        cmocka_unit_test(depth_and_tags_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
