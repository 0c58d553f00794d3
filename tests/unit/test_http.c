/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/* What is said over HTTP: statuses, heads to the byte, bodies of refusals, and
 * a request that becomes a response in one call. */

#include "../kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static weir_http_options options;

static void setup(void) {
  weir_http_options_init(&options, sizeof options);
}

static weir_response respond(int error, int verdict, const char *key) {
  weir_response response;

  response.size = sizeof response;
  ck_assert_int_eq(weir_http_respond(&options, error, verdict, key, strlen(key),
                                     1234, &response),
                   WEIR_OK);
  return response;
}

static void expect_head(const weir_response *response, const char *want) {
  char head[4096];
  size_t len = 0;

  ck_assert_int_eq(weir_http_write_head(response, head, sizeof head, &len),
                   WEIR_OK);
  head[len] = '\0';
  ck_assert_str_eq(head, want);
}

static void expect_body(const weir_response *response, const char *want) {
  char body[4096];
  size_t len = 0;

  ck_assert_int_eq(weir_http_write_body(response, body, sizeof body, &len),
                   WEIR_OK);
  body[len] = '\0';
  ck_assert_str_eq(body, want);
}

#define STREAM_HEAD                                    \
  "HTTP/1.1 200 OK\r\n"                                \
  "Content-Type: text/event-stream; charset=utf-8\r\n" \
  "Cache-Control: no-cache, no-transform\r\n"          \
  "X-Accel-Buffering: no\r\n"
#define REFUSAL(reason)                          \
  "event: weir.closing\nretry: 1234\n"           \
  "data: {\"stream\":\"a\",\"generation\":null," \
  "\"reason\":\"" reason "\"}\n\n"

/* --- Heads ---------------------------------------------------------------- */

/* R61, R62, R64, F20. */
START_TEST(r61_the_head_of_a_stream) {
  const weir_response response = respond(WEIR_OK, WEIR_VERDICT_FRESH, "a");

  ck_assert_int_eq(response.status, 200);
  ck_assert_uint_eq(response.stream, 1);
  expect_head(&response, STREAM_HEAD
              "X-Stream-Id: a\r\n"
              "Connection: close\r\n"
              "\r\n");
}
END_TEST

START_TEST(r68_the_head_of_what_is_finished) {
  const weir_response response = respond(WEIR_OK, WEIR_VERDICT_FINISHED, "a");

  ck_assert_int_eq(response.status, 204);
  ck_assert_uint_eq(response.stream, 0);
  expect_head(&response,
              "HTTP/1.1 204 No Content\r\n"
              "Content-Type: text/event-stream\r\n"
              "Cache-Control: no-store\r\n"
              "X-Stream-Id: a\r\n"
              "\r\n");
  expect_body(&response, "");
}
END_TEST

START_TEST(the_head_of_what_is_unknown) {
  weir_response response = respond(WEIR_OK, WEIR_VERDICT_UNKNOWN, "a");

  ck_assert_int_eq(response.status, 404);
  expect_head(&response,
              "HTTP/1.1 404 Not Found\r\n"
              "Content-Length: 0\r\n"
              "Cache-Control: no-store\r\n"
              "X-Stream-Id: a\r\n"
              "\r\n");
  expect_body(&response, "");
  options.unknown_status = 204;
  response = respond(WEIR_OK, WEIR_VERDICT_UNKNOWN, "a");
  expect_head(&response,
              "HTTP/1.1 204 No Content\r\n"
              "Content-Type: text/event-stream\r\n"
              "Cache-Control: no-store\r\n"
              "X-Stream-Id: a\r\n"
              "\r\n");
  expect_body(&response, "");
  options.unknown_status = 200;
  response = respond(WEIR_OK, WEIR_VERDICT_UNKNOWN, "a");
  ck_assert_uint_eq(response.stream, 0);
  expect_head(&response, STREAM_HEAD
              "X-Stream-Id: a\r\n"
              "Connection: close\r\n"
              "\r\n");
  expect_body(&response, REFUSAL("unavailable"));
}
END_TEST

START_TEST(the_head_of_a_bad_request) {
  const weir_response response =
      respond(WEIR_EMALFORMED, WEIR_VERDICT_PENDING, "a");

  expect_head(&response,
              "HTTP/1.1 400 Bad Request\r\n"
              "Content-Length: 0\r\n"
              "Cache-Control: no-store\r\n"
              "X-Stream-Id: a\r\n"
              "\r\n");
  expect_body(&response, "");
}
END_TEST

/* R66: for one origin, with and without credentials, and for all. */
START_TEST(r66_cross_origin_heads) {
  static const struct {
    const char *origin;
    uint32_t flags;
    const char *fields;
  } rows[] = {
      {"", WEIR_HTTP_CREDENTIALS, ""},
      {"*", 0,
       "Access-Control-Allow-Origin: *\r\n"
       "Access-Control-Expose-Headers: X-Stream-Id\r\n"},
      {"https://a.example", 0,
       "Access-Control-Allow-Origin: https://a.example\r\n"
       "Access-Control-Expose-Headers: X-Stream-Id\r\n"
       "Vary: Origin\r\n"},
      {"https://a.example", WEIR_HTTP_CREDENTIALS,
       "Access-Control-Allow-Origin: https://a.example\r\n"
       "Access-Control-Expose-Headers: X-Stream-Id\r\n"
       "Access-Control-Allow-Credentials: true\r\n"
       "Vary: Origin\r\n"},
  };
  weir_response response;
  char want[1024];

  options.origin = rows[_i].origin;
  options.origin_len = strlen(rows[_i].origin);
  options.flags = rows[_i].flags;
  response = respond(WEIR_OK, WEIR_VERDICT_RESUMED, "a");
  snprintf(want, sizeof want, "%sX-Stream-Id: a\r\nConnection: close\r\n%s\r\n",
           STREAM_HEAD, rows[_i].fields);
  expect_head(&response, want);
  /* A refusal is read by the same page. */
  response = respond(WEIR_OK, WEIR_VERDICT_FINISHED, "a");
  snprintf(want, sizeof want,
           "HTTP/1.1 204 No Content\r\nContent-Type: text/event-stream\r\n"
           "Cache-Control: no-store\r\nX-Stream-Id: a\r\n%s\r\n",
           rows[_i].fields);
  expect_head(&response, want);
}
END_TEST

/* Browsers refuse that. */
START_TEST(credentials_for_any_origin) {
  weir_response response = {.size = sizeof response};

  options.origin = "*";
  options.origin_len = 1;
  options.flags = WEIR_HTTP_CREDENTIALS;
  ck_assert_int_eq(weir_http_respond(&options, WEIR_OK, WEIR_VERDICT_FRESH, "a",
                                     1, 0, &response),
                   WEIR_EINVAL);
}
END_TEST

START_TEST(a_host_adds_fields_of_its_own) {
  static const weir_field fields[] = {{"X-A", 3, "b c", 3}, {"y", 1, "", 0}};
  weir_response response;

  options.fields = fields;
  options.field_count = 2;
  response = respond(WEIR_OK, WEIR_VERDICT_FRESH, "a");
  expect_head(&response, STREAM_HEAD
              "X-Stream-Id: a\r\n"
              "Connection: close\r\n"
              "X-A: b c\r\n"
              "y: \r\n"
              "\r\n");
}
END_TEST

START_TEST(without_options_there_are_defaults) {
  weir_response response;

  response.size = sizeof response;
  ck_assert_int_eq(weir_http_respond(NULL, WEIR_OK, WEIR_VERDICT_FRESH, NULL, 0,
                                     0, &response),
                   WEIR_OK);
  expect_head(&response, STREAM_HEAD "Connection: close\r\n\r\n");
  ck_assert_int_eq(options.unknown_status, 404);
}
END_TEST

/* R62: the length of a stream is not known, and nobody compresses it. */
START_TEST(r62_a_stream_has_no_length_and_no_coding) {
  char head[2048];
  weir_response response;
  size_t len = 0;
  int verdict;

  for (verdict = WEIR_VERDICT_FRESH; verdict <= WEIR_VERDICT_MALFORMED;
       ++verdict) {
    response = respond(WEIR_OK, verdict, "a");
    ck_assert_int_eq(
        weir_http_write_head(&response, head, sizeof head - 1, &len), WEIR_OK);
    head[len] = '\0';
    ck_assert_ptr_null(strstr(head, "Content-Length"));
    ck_assert_ptr_null(strstr(head, "Content-Encoding"));
    ck_assert_ptr_null(strstr(head, "Transfer-Encoding"));
    ck_assert_ptr_nonnull(strstr(head, "no-transform"));
  }
}
END_TEST

/* R64: a page of another origin may read which stream it is. */
START_TEST(r64_the_stream_id_is_exposed) {
  char head[2048];
  weir_response response;
  size_t len = 0;

  options.origin = "*";
  options.origin_len = 1;
  response = respond(WEIR_OK, WEIR_VERDICT_FRESH, "my-stream");
  ck_assert_int_eq(weir_http_write_head(&response, head, sizeof head - 1, &len),
                   WEIR_OK);
  head[len] = '\0';
  ck_assert_ptr_nonnull(strstr(head, "\r\nX-Stream-Id: my-stream\r\n"));
  ck_assert_ptr_nonnull(
      strstr(head, "\r\nAccess-Control-Expose-Headers: X-Stream-Id\r\n"));
}
END_TEST

/* The fields that HTTP/2 gets: the same in lower case, and no Connection. */
START_TEST(f20_fields_for_http_2) {
  static const weir_field fields[] = {{"x-a", 3, "b", 1}};
  static const char *const want[] = {
      "content-type: text/event-stream; charset=utf-8",
      "cache-control: no-cache, no-transform",
      "x-accel-buffering: no",
      "x-stream-id: a%20b",
      "access-control-allow-origin: https://a.example",
      "access-control-expose-headers: X-Stream-Id",
      "access-control-allow-credentials: true",
      "vary: Origin",
      "x-a: b",
  };
  weir_response response;
  weir_field field;
  char dst[768];
  char line[256];
  size_t i;

  options.flags = WEIR_HTTP_2 | WEIR_HTTP_CREDENTIALS;
  options.origin = "https://a.example";
  options.origin_len = 17;
  options.fields = fields;
  options.field_count = 1;
  response = respond(WEIR_OK, WEIR_VERDICT_FRESH, "a b");
  for (i = 0; i < sizeof want / sizeof want[0]; ++i) {
    ck_assert_int_eq(weir_http_get_field(&response, i, dst, sizeof dst, &field),
                     WEIR_OK);
    snprintf(line, sizeof line, "%.*s: %.*s", (int)field.name_len,
             (const char *)field.name, (int)field.value_len,
             (const char *)field.value);
    ck_assert_str_eq(line, want[i]);
  }
  field.name = NULL;
  ck_assert_int_eq(weir_http_get_field(&response, i, dst, sizeof dst, &field),
                   WEIR_EDONE);
  ck_assert_int_eq(
      weir_http_get_field(&response, SIZE_MAX, dst, sizeof dst, &field),
      WEIR_EDONE);
  ck_assert_ptr_null(field.name);
}
END_TEST

/* The two ways say the same, for every response there is. */
START_TEST(the_head_is_its_fields) {
  struct kit_bytes joined = {NULL, 0, 0};
  weir_response response;
  weir_field field;
  char head[2048];
  char dst[768];
  size_t len;
  size_t i;

  options.origin = _i & 1 ? "*" : "";
  options.origin_len = _i & 1;
  response = _i / 2 <= WEIR_VERDICT_UNKNOWN && _i / 2 != 0
                 ? respond(WEIR_OK, _i / 2, "k\xc3\xa9y")
                 : respond(_i / 2 == 0 ? WEIR_EMALFORMED : WEIR_ECROWD,
                           WEIR_VERDICT_PENDING, "k\xc3\xa9y");
  ck_assert_int_eq(weir_http_write_head(&response, head, sizeof head, &len),
                   WEIR_OK);
  i = (size_t)(strchr(head, '\n') - head) + 1;
  kit_bytes_add(&joined, head, i);
  for (i = 0;
       weir_http_get_field(&response, i, dst, sizeof dst, &field) == WEIR_OK;
       ++i) {
    kit_bytes_add(&joined, field.name, field.name_len);
    kit_bytes_add(&joined, ": ", 2);
    kit_bytes_add(&joined, field.value, field.value_len);
    kit_bytes_add(&joined, "\r\n", 2);
  }
  kit_bytes_add(&joined, "\r\n", 2);
  ck_assert_uint_eq(joined.len, len);
  ck_assert_mem_eq(joined.data, head, len);
  kit_bytes_free(&joined);
}
END_TEST

/* --- Statuses ------------------------------------------------------------- */

/* R65, F05: only what a client cannot get over is no 200; a refusal that passes
 * has a frame with a time, and the end. */
START_TEST(f05_each_error_has_its_response) {
  static const struct {
    int error;
    int status;
    const char *body;
  } rows[] = {
      {WEIR_EMALFORMED, 400, ""},
      {WEIR_EINVAL, 400, ""},
      {WEIR_EUTF8, 400, ""},
      {WEIR_EDRAINING, 200, REFUSAL("draining")},
      {WEIR_EEXISTS, 200, REFUSAL("unavailable")},
      {WEIR_ESUBSCRIBERS, 200, REFUSAL("unavailable")},
      {WEIR_ECROWD, 200, REFUSAL("unavailable")},
      {WEIR_ECLIENT, 200, REFUSAL("unavailable")},
      {WEIR_ESTREAMS, 200, REFUSAL("unavailable")},
      {WEIR_ERESIDENT, 200, REFUSAL("unavailable")},
      {WEIR_ENOMEM, 200, REFUSAL("unavailable")},
      {WEIR_EENTROPY, 200, REFUSAL("unavailable")},
      {WEIR_ELOG, 200, REFUSAL("unavailable")},
      {WEIR_EUNKNOWN, 200, REFUSAL("unavailable")},
      {-12345, 200, REFUSAL("unavailable")},
  };
  const weir_response response =
      respond(rows[_i].error, WEIR_VERDICT_PENDING, "a");

  ck_assert_int_eq(response.status, rows[_i].status);
  ck_assert_uint_eq(response.stream, 0);
  ck_assert_int_eq(response.error, rows[_i].error);
  expect_body(&response, rows[_i].body);
}
END_TEST

START_TEST(each_verdict_has_its_response) {
  static const struct {
    int verdict;
    int status;
    uint32_t stream;
  } rows[] = {
      {WEIR_VERDICT_PENDING, 0, 0},    {WEIR_VERDICT_FRESH, 200, 1},
      {WEIR_VERDICT_RESUMED, 200, 1},  {WEIR_VERDICT_EVICTED, 200, 1},
      {WEIR_VERDICT_AHEAD, 200, 1},    {WEIR_VERDICT_REWOUND, 200, 1},
      {WEIR_VERDICT_FOREIGN, 200, 1},  {WEIR_VERDICT_MALFORMED, 200, 1},
      {WEIR_VERDICT_FINISHED, 204, 0}, {WEIR_VERDICT_UNKNOWN, 404, 0},
  };
  const weir_response response = respond(WEIR_OK, rows[_i].verdict, "a");
  weir_field field;
  char dst[768];
  size_t len;

  ck_assert_int_eq(response.status, rows[_i].status);
  ck_assert_uint_eq(response.stream, rows[_i].stream);
  ck_assert_int_eq(response.verdict, rows[_i].verdict);
  if (response.status == 0) {
    ck_assert_int_eq(weir_http_write_head(&response, dst, sizeof dst, &len),
                     WEIR_EINVAL);
    ck_assert_int_eq(weir_http_get_field(&response, 0, dst, sizeof dst, &field),
                     WEIR_EINVAL);
  }
  if (response.status == 0 || response.stream != 0) {
    ck_assert_int_eq(weir_http_write_body(&response, dst, sizeof dst, &len),
                     WEIR_EINVAL);
  }
}
END_TEST

START_TEST(a_refusal_has_the_prefix_of_the_host) {
  weir_response response;

  options.prefix = "my-";
  options.prefix_len = 3;
  response = respond(WEIR_EDRAINING, WEIR_VERDICT_PENDING, "a");
  expect_body(&response,
              "event: my-closing\nretry: 1234\ndata: {\"stream\":\"a\","
              "\"generation\":null,\"reason\":\"draining\"}\n\n");
  options.prefix_len = 0;
  response = respond(WEIR_EDRAINING, WEIR_VERDICT_PENDING, "a\"b");
  expect_body(&response,
              "event: closing\nretry: 1234\ndata: {\"stream\":\"a\\\"b\","
              "\"generation\":null,\"reason\":\"draining\"}\n\n");
}
END_TEST

/* --- What would split a head ---------------------------------------------- */

static void expect_refused(void) {
  weir_response response;

  memset(&response, 0x55, sizeof response);
  response.size = sizeof response;
  ck_assert_int_eq(weir_http_respond(&options, WEIR_OK, WEIR_VERDICT_FRESH, "a",
                                     1, 0, &response),
                   WEIR_EINVAL);
  ck_assert_int_eq(response.status, 0x55555555);
}

/* A byte that splits, at every place of a text of four. */
START_TEST(f09_nothing_splits_a_head) {
  static const char bad[] = {'\r', '\n', '\0'};
  char text[4] = "abcd";
  weir_field field = {"x", 1, "y", 1};

  text[_i % 4] = bad[_i / 4];
  options.origin = text;
  options.origin_len = 4;
  expect_refused();
  setup();
  options.prefix = text;
  options.prefix_len = 4;
  expect_refused();
  setup();
  options.fields = &field;
  options.field_count = 1;
  field.value = text;
  field.value_len = 4;
  expect_refused();
  field.value = "y";
  field.value_len = 1;
  field.name = text;
  field.name_len = 4;
  expect_refused();
}
END_TEST

/* As the hub's. */
START_TEST(a_prefix_is_text_and_short) {
  char text[WEIR_PREFIX_MAX + 1];

  memset(text, 'p', sizeof text);
  options.prefix = text;
  options.prefix_len = sizeof text;
  expect_refused();
  options.prefix = "\xff";
  options.prefix_len = 1;
  expect_refused();
}
END_TEST

START_TEST(names_of_fields_are_tokens) {
  static const char others[] = "!#$%&'*+-.^_`|~";
  weir_response response;
  weir_field field = {NULL, 1, "y", 1};
  char name;
  int c;

  response.size = sizeof response;
  options.fields = &field;
  options.field_count = 1;
  field.name = &name;
  for (c = 0; c < 256; ++c) {
    const bool token = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
                       (c >= 'A' && c <= 'Z') ||
                       (c != 0 && strchr(others, c) != NULL);

    name = (char)c;
    ck_assert_int_eq(weir_http_respond(&options, WEIR_OK, WEIR_VERDICT_FRESH,
                                       "a", 1, 0, &response),
                     token ? WEIR_OK : WEIR_EINVAL);
  }
  field.name_len = 0;
  expect_refused();
}
END_TEST

/* HTTP/2 has no upper case: such a field would break the connection. */
START_TEST(names_for_http_2_are_in_lower_case) {
  weir_field field = {"X-a", 3, "y", 1};

  options.flags = WEIR_HTTP_2;
  options.fields = &field;
  options.field_count = 1;
  expect_refused();
  field.name = "x-a";
  (void)respond(WEIR_OK, WEIR_VERDICT_FRESH, "a");
}
END_TEST

/* Whatever the status is, the first field is in lower case, too. */
START_TEST(all_types_are_in_lower_case) {
  static const struct {
    int verdict;
    const char *name;
  } rows[] = {{WEIR_VERDICT_FRESH, "content-type"},
              {WEIR_VERDICT_FINISHED, "content-type"},
              {WEIR_VERDICT_UNKNOWN, "content-length"}};
  weir_response response;
  char head[4096];
  size_t len = 0;

  options.flags = WEIR_HTTP_LOWER;
  response = respond(WEIR_OK, rows[_i].verdict, "a");
  ck_assert_int_eq(weir_http_write_head(&response, head, sizeof head, &len),
                   WEIR_OK);
  head[len] = '\0';
  ck_assert_ptr_nonnull(strstr(head, rows[_i].name));
}
END_TEST

/* A response is what weir_http_respond made of it. */
START_TEST(a_response_is_looked_at) {
  weir_response response = respond(WEIR_OK, WEIR_VERDICT_FRESH, "a");
  char head[4096];
  size_t len = 7;

  if (_i == 0) {
    response.status = 0;
  } else if (_i == 1) {
    response.reserved0 = 1;
  } else {
    response.reserved[0] = 1;
  }
  ck_assert_int_eq(weir_http_write_head(&response, head, sizeof head, &len),
                   WEIR_EINVAL);
  ck_assert_uint_eq(len, 7);
}
END_TEST

START_TEST(what_cannot_be_is_refused) {
  weir_response response;
  int error = WEIR_OK;
  int verdict = WEIR_VERDICT_FRESH;
  uint32_t retry = 0;
  size_t key_len = 1;
  char key[257];

  memset(key, 'k', sizeof key);
  memset(&response, 0x55, sizeof response);
  response.size = sizeof response;
  switch (_i) {
    case 0:
      options.unknown_status = 0;
      break;
    case 1:
      options.unknown_status = 500;
      break;
    case 2:
      options.flags = 0x80;
      break;
    case 3:
      options.size = sizeof options.size;
      break;
    case 4:
      error = 1;
      break;
    case 5:
      verdict = WEIR_VERDICT_UNKNOWN + 1;
      break;
    case 6:
      verdict = -1;
      break;
    case 7:
      retry = WEIR_RETRY_MAX + 1;
      break;
    case 8:
      key_len = 257;
      break;
    case 9:
      key_len = SIZE_MAX / 3 + 2; /* times 3 that is a small number */
      break;
    default:
      response.size = sizeof response.size;
      break;
  }
  ck_assert_int_eq(weir_http_respond(&options, error, verdict, key, key_len,
                                     retry, &response),
                   WEIR_EINVAL);
  ck_assert_int_eq(response.status, 0x55555555);
}
END_TEST

/* --- Keys and room -------------------------------------------------------- */

/* R13: the stream's id comes back, as a header can carry it. */
START_TEST(r13_the_key_is_echoed) {
  static const struct {
    const char *key;
    const char *id;
  } rows[] = {
      {"same-stream-id", "same-stream-id"},
      {"!\"#$&'()*+,-./09:;<=>?@AZ[\\]^_`az{|}~",
       "!\"#$&'()*+,-./09:;<=>?@AZ[\\]^_`az{|}~"},
      {"a b", "a%20b"},
      {"100%", "100%25"},
      {"\xc3\xa9\xe2\x82\xac", "%C3%A9%E2%82%AC"},
      {"a\r\nX: y", "a%0D%0AX:%20y"},
  };
  const weir_response response =
      respond(WEIR_OK, WEIR_VERDICT_FRESH, rows[_i].key);
  weir_field field;
  char dst[768];

  ck_assert_int_eq(weir_http_get_field(&response, 3, dst, sizeof dst, &field),
                   WEIR_OK);
  ck_assert_uint_eq(field.value_len, strlen(rows[_i].id));
  ck_assert_mem_eq(field.value, rows[_i].id, field.value_len);
}
END_TEST

/* Every capacity, at a page that faults. */
START_TEST(a_field_takes_no_more_room_than_there_is) {
  char key[255];
  weir_response response;
  weir_field field;
  size_t cap;

  memset(key, '\xc3', sizeof key);
  response.size = sizeof response;
  ck_assert_int_eq(weir_http_respond(&options, WEIR_OK, WEIR_VERDICT_FRESH, key,
                                     sizeof key, 0, &response),
                   WEIR_OK);
  for (cap = 750; cap <= 768; ++cap) {
    char *dst = kit_fence(cap);

    field.name = NULL;
    ck_assert_int_eq(weir_http_get_field(&response, 3, dst, cap, &field),
                     cap < 766 ? WEIR_ENOSPACE : WEIR_OK);
    ck_assert((field.name == NULL) == (cap < 766));
    /* Others need none. */
    ck_assert_int_eq(weir_http_get_field(&response, 4, NULL, 0, &field),
                     WEIR_OK);
    ck_assert_mem_eq(field.name, "Connection", 10);
  }
}
END_TEST

static const struct {
  int error;
  int verdict;
} sized[] = {{WEIR_OK, WEIR_VERDICT_FRESH},
             {WEIR_OK, WEIR_VERDICT_FINISHED},
             {WEIR_EMALFORMED, 0},
             {WEIR_EDRAINING, 0}};

START_TEST(a_head_takes_no_more_room_than_there_is) {
  const weir_response response =
      respond(sized[_i].error, sized[_i].verdict, "a b");
  char whole[1024];
  size_t want;
  size_t len;
  size_t cap;

  ck_assert_int_eq(weir_http_write_head(&response, NULL, 0, &want),
                   WEIR_ENOSPACE);
  ck_assert_int_eq(weir_http_write_head(&response, whole, sizeof whole, &len),
                   WEIR_OK);
  ck_assert_uint_eq(len, want);
  for (cap = 0; cap <= want + 1; ++cap) {
    char *dst = kit_fence(cap);

    len = 0;
    ck_assert_int_eq(weir_http_write_head(&response, dst, cap, &len),
                     cap < want ? WEIR_ENOSPACE : WEIR_OK);
    ck_assert_uint_eq(len, want);
    if (cap >= want) {
      ck_assert_mem_eq(dst, whole, want);
    }
  }
}
END_TEST

START_TEST(a_body_takes_no_more_room_than_there_is) {
  const weir_response response =
      respond(WEIR_EDRAINING, WEIR_VERDICT_PENDING, "a");
  const size_t want = strlen(REFUSAL("draining"));
  size_t len;
  size_t cap;

  for (cap = 0; cap <= want + 1; ++cap) {
    char *dst = kit_fence(cap);

    len = 0;
    ck_assert_int_eq(weir_http_write_body(&response, dst, cap, &len),
                     cap < want ? WEIR_ENOSPACE : WEIR_OK);
    ck_assert_uint_eq(len, want);
    if (cap >= want) {
      ck_assert_mem_eq(dst, REFUSAL("draining"), want);
    }
  }
}
END_TEST

/* --- In one call ---------------------------------------------------------- */

static struct kit kit;
static weir_stream *stream;

static void setup_hub(void) {
  setup();
  kit_init(&kit);
  kit.options.max_stream_subscribers = 1;
  kit_hub(&kit);
  stream = kit_open(&kit, "a");
  kit_publish(stream, "x", "y");
}

static void teardown_hub(void) {
  weir_stream_release(stream);
  kit_end(&kit);
}

static weir_response request(const char *key, const char *cursor,
                             weir_subscriber **subscriber) {
  weir_attach_options attach = kit_attach_options(key, "s");
  weir_response response;
  weir_request from;

  weir_request_init(&from, sizeof from);
  from.header = cursor;
  from.header_len = strlen(cursor);
  attach.request = &from;
  attach.client = "c";
  attach.client_len = 1;
  attach.on_duplicate = WEIR_CLIENT_REJECT;
  attach.flags = WEIR_ATTACH_STRICT;
  response.size = sizeof response;
  ck_assert_int_eq(
      weir_http_attach(kit.hub, &attach, &options, subscriber, &response),
      WEIR_OK);
  ck_assert((*subscriber != NULL) == (response.stream != 0));
  return response;
}

START_TEST(a_request_becomes_a_stream) {
  weir_subscriber *subscriber = NULL;
  const weir_response response = request("a", "", &subscriber);

  ck_assert_int_eq(response.status, 200);
  ck_assert_int_eq(response.verdict, WEIR_VERDICT_FRESH);
  kit_expect_frames(subscriber, WEIR_EAGAIN, "ready@0 fresh; x@1 y");
  weir_subscriber_release(subscriber);
}
END_TEST

/* R65: decided before the first byte, and the frame that comes instead of a
 * stream says when to come back. */
START_TEST(r65_a_refusal_is_a_response) {
  weir_subscriber *first = NULL;
  weir_subscriber *subscriber = NULL;
  weir_response response = request("a", "", &first);
  uint32_t least = 1000;
  uint32_t most = 1500;

  switch (_i) {
    case 0:
      response = request("a", "", &subscriber);
      ck_assert_int_eq(response.error, WEIR_EEXISTS);
      /* Who has to wait for another to go need not hurry. */
      least = most = 60000;
      break;
    case 1:
      ck_assert_int_eq(weir_hub_drain(kit.hub, 0, 0), WEIR_OK);
      response = request("a", "", &subscriber);
      ck_assert_int_eq(response.error, WEIR_EDRAINING);
      break;
    case 2:
      response = request("b", "", &subscriber);
      ck_assert_int_eq(response.status, 404);
      break;
    case 3:
      response = request("a", "no cursor", &subscriber);
      ck_assert_int_eq(response.status, 400);
      break;
    default:
      ck_assert_int_eq(weir_stream_end(stream, "", 0, 0, NULL), WEIR_OK);
      response = request("a", kit_cursor(stream, 2), &subscriber);
      ck_assert_int_eq(response.status, 204);
      break;
  }
  if (_i < 2) {
    ck_assert_int_eq(response.status, 200);
    ck_assert_uint_ge(response.retry, least);
    ck_assert_uint_le(response.retry, most);
  }
  ck_assert_ptr_null(subscriber);
  weir_subscriber_release(first);
}
END_TEST

START_TEST(a_mistake_of_the_host_is_no_response) {
  weir_attach_options attach = kit_attach_options("a", "s");
  weir_subscriber *subscriber = (weir_subscriber *)(void *)&kit;
  weir_response response;
  weir_hub_info info;

  memset(&response, 0x55, sizeof response);
  response.size = sizeof response;
  switch (_i) {
    case 0:
      attach.size = 0;
      break;
    case 1:
      attach.start = 7;
      break;
    case 2:
      attach.on_duplicate = 7;
      break;
    case 3:
      attach.flags = 0x80;
      break;
    case 4:
      options.unknown_status = 500;
      break;
    case 5:
      options.origin = "\n";
      options.origin_len = 1;
      break;
    default:
      attach.retry = 1;
      break;
  }
  ck_assert_int_eq(
      weir_http_attach(kit.hub, &attach, &options, &subscriber, &response),
      WEIR_EINVAL);
  ck_assert_ptr_eq(subscriber, (weir_subscriber *)(void *)&kit);
  ck_assert_int_eq(response.status, 0x55555555);
  info.size = sizeof info;
  ck_assert_int_eq(weir_hub_get_info(kit.hub, &info), WEIR_OK);
  ck_assert_uint_eq(info.subscribers, 0);
  ck_assert_uint_eq(info.attaches, 0);
}
END_TEST

/* Hosts take them from the request: no second way out for them. */
START_TEST(a_mistake_of_the_client_is_a_response) {
  static const char longer[WEIR_KEY_MAX + 1] = {0};
  weir_attach_options attach = kit_attach_options("a", NULL);
  weir_subscriber *subscriber = (weir_subscriber *)(void *)&kit;
  weir_response response;
  char dst[512];
  size_t len;

  switch (_i) {
    case 0:
      attach.key_len = 0;
      break;
    case 1:
      attach.key = longer;
      attach.key_len = sizeof longer;
      break;
    case 2:
      attach.key = "\xff";
      break;
    case 3:
      attach.key = "\n";
      break;
    default:
      attach.client = longer;
      attach.client_len = sizeof longer;
      break;
  }
  response.size = sizeof response;
  ck_assert_int_eq(
      weir_http_attach(kit.hub, &attach, NULL, &subscriber, &response),
      WEIR_OK);
  ck_assert_ptr_null(subscriber);
  ck_assert_int_eq(response.status, 400);
  ck_assert_int_eq(response.error, _i == 2 ? WEIR_EUTF8 : WEIR_EINVAL);
  ck_assert_int_eq(weir_http_write_head(&response, dst, sizeof dst, &len),
                   WEIR_OK);
  ck_assert_int_eq(weir_http_write_body(&response, dst, sizeof dst, &len),
                   WEIR_OK);
  ck_assert_uint_eq(len, 0);
}
END_TEST

static TCase *heads(void) {
  TCase *tcase = tcase_create("heads");

  tcase_add_checked_fixture(tcase, setup, NULL);
  tcase_add_test(tcase, r61_the_head_of_a_stream);
  tcase_add_test(tcase, r68_the_head_of_what_is_finished);
  tcase_add_test(tcase, the_head_of_what_is_unknown);
  tcase_add_test(tcase, the_head_of_a_bad_request);
  tcase_add_loop_test(tcase, r66_cross_origin_heads, 0, 4);
  tcase_add_test(tcase, credentials_for_any_origin);
  tcase_add_test(tcase, a_host_adds_fields_of_its_own);
  tcase_add_test(tcase, without_options_there_are_defaults);
  tcase_add_test(tcase, r62_a_stream_has_no_length_and_no_coding);
  tcase_add_test(tcase, r64_the_stream_id_is_exposed);
  tcase_add_test(tcase, f20_fields_for_http_2);
  tcase_add_loop_test(tcase, the_head_is_its_fields, 0, 22);
  tcase_add_loop_test(tcase, f05_each_error_has_its_response, 0, 15);
  tcase_add_loop_test(tcase, each_verdict_has_its_response, 0, 10);
  tcase_add_test(tcase, a_refusal_has_the_prefix_of_the_host);
  return tcase;
}

static TCase *refusals(void) {
  TCase *tcase = tcase_create("refusals");

  tcase_add_checked_fixture(tcase, setup, NULL);
  tcase_add_loop_test(tcase, f09_nothing_splits_a_head, 0, 12);
  tcase_add_test(tcase, a_prefix_is_text_and_short);
  tcase_add_test(tcase, names_of_fields_are_tokens);
  tcase_add_test(tcase, names_for_http_2_are_in_lower_case);
  tcase_add_loop_test(tcase, all_types_are_in_lower_case, 0, 3);
  tcase_add_loop_test(tcase, a_response_is_looked_at, 0, 3);
  tcase_add_loop_test(tcase, what_cannot_be_is_refused, 0, 11);
  tcase_add_loop_test(tcase, r13_the_key_is_echoed, 0, 6);
  tcase_add_test(tcase, a_field_takes_no_more_room_than_there_is);
  tcase_add_loop_test(tcase, a_head_takes_no_more_room_than_there_is, 0, 4);
  tcase_add_test(tcase, a_body_takes_no_more_room_than_there_is);
  return tcase;
}

static TCase *calls(void) {
  TCase *tcase = tcase_create("calls");

  tcase_add_checked_fixture(tcase, setup_hub, teardown_hub);
  tcase_add_test(tcase, a_request_becomes_a_stream);
  tcase_add_loop_test(tcase, r65_a_refusal_is_a_response, 0, 5);
  tcase_add_loop_test(tcase, a_mistake_of_the_host_is_no_response, 0, 7);
  tcase_add_loop_test(tcase, a_mistake_of_the_client_is_a_response, 0, 5);
  return tcase;
}

KIT_MAIN("http", heads(), refusals(), calls())
