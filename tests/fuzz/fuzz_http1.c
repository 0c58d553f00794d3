/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/* Requests of the reference server: a head is found where it ends, whatever
 * pieces it comes in, says the same when it is written anew, and its body is
 * what another reader finds there. The first byte says how to split the rest;
 * from 128 on, that is the body alone, in chunks. */

#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../examples/server/http1.h"

/* Bytes of data at most, so that 413 has its turn. */
#define MOST 512

/* --- The head --------------------------------------------------------------*/

static int parse(const struct fuzz_bytes *bytes, size_t len,
                 struct http_request *request, size_t *head_len) {
  struct fuzz_bytes exact = fuzz_copy(bytes->data, len);
  int rv;

  *head_len = 0;
  rv = http_parse((const char *)exact.data, exact.len, request, head_len);
  free(exact.data);
  return rv;
}

/* As long as it is not complete it is not wrong for that, and what it is once
 * it stays with whatever follows. */
static void check_prefixes(const struct fuzz_bytes *bytes, size_t step) {
  struct http_request request;
  size_t whole_len;
  const int whole = parse(bytes, bytes->len, &request, &whole_len);
  size_t head_len;
  size_t len;
  int rv;

  for (len = 0; len < bytes->len; len += step) {
    rv = parse(bytes, len, &request, &head_len);
    if (rv != 0) {
      ck_assert_int_eq(rv, whole);
      ck_assert_uint_eq(rv == -1 ? head_len : 0, rv == -1 ? whole_len : 0);
    } else if (whole == -1) {
      ck_assert_uint_lt(len, whole_len);
    }
  }
}

static void put(struct text *text, const char *name, struct slice value) {
  if (value.data != NULL) {
    text_put(text, name);
    text_add(text, value.data, value.len);
    text_put(text, "\r\n");
  }
}

static void expect_same(struct slice a, struct slice b) {
  kit_need(fuzz_same(a.data, a.len, b.data, b.len));
}

/* A request is what it is understood to be. */
static void check_again(const struct http_request *request) {
  static const char *const methods[] = {"BREW", "GET",    "HEAD",   "POST",
                                        "PUT",  "DELETE", "OPTIONS"};
  struct text text = {NULL, 0, 0, false};
  struct http_request again;
  size_t len = 0;

  text_put(&text, methods[request->method]);
  text_put(&text, " ");
  text_add(&text, request->path.data, request->path.len);
  if (request->query.len != 0) {
    text_put(&text, "?");
    text_add(&text, request->query.data, request->query.len);
  }
  text_put(&text, request->version_1_0 ? " HTTP/1.0\r\n" : " HTTP/1.1\r\n");
  put(&text, "Host: ", request->host);
  put(&text, "Origin: ", request->origin);
  put(&text, "Authorization: ", request->authorization);
  put(&text, "Last-Event-ID: ", request->last_event_id);
  put(&text, "Access-Control-Request-Method: ", request->request_method);
  text_put(&text, request->chunked ? "Transfer-Encoding: chunked\r\n" : "");
  if (request->has_length) {
    text_put(&text, "Content-Length: ");
    text_number(&text, request->length);
    text_put(&text, "\r\n");
  }
  text_put(&text, request->expects_continue ? "Expect: 100-continue\r\n" : "");
  text_put(&text, request->asks_close   ? "Connection: close\r\n\r\n"
                  : request->keep_alive ? "Connection: keep-alive\r\n\r\n"
                                        : "\r\n");
  kit_need(!text.failed);
  ck_assert_int_eq(http_parse(text.data, text.len, &again, &len), -1);
  ck_assert_uint_eq(len, text.len);
  ck_assert_int_eq(again.method, request->method);
  expect_same(again.path, request->path);
  expect_same(again.query, request->query);
  expect_same(again.host, request->host);
  expect_same(again.origin, request->origin);
  expect_same(again.authorization, request->authorization);
  expect_same(again.last_event_id, request->last_event_id);
  expect_same(again.request_method, request->request_method);
  ck_assert_uint_eq(again.length, request->length);
  kit_need(again.has_length == request->has_length &&
           again.chunked == request->chunked &&
           again.expects_continue == request->expects_continue &&
           again.keep_alive == request->keep_alive &&
           again.asks_close == request->asks_close &&
           again.version_1_0 == request->version_1_0);
  text_free(&text);
}

/* --- The body --------------------------------------------------------------*/

struct result {
  int rv;
  size_t used;
  struct text data;
};

static struct result feed(const struct http_request *request,
                          const unsigned char *bytes, size_t len, size_t step) {
  struct result result = {0, 0, {NULL, 0, 0, false}};
  struct http_body body;
  size_t used;
  size_t n;

  http_body_init(&body, request);
  do {
    n = len - result.used < step ? len - result.used : step;
    result.rv = http_body_feed(&body, (const char *)bytes + result.used, n,
                               &used, &result.data, MOST);
    kit_need(used <= n);
    result.used += used;
  } while (result.rv == 0 && result.used < len);
  return result;
}

/* Another reader of bodies: the data, if there is a whole one of at most MOST
 * bytes without extensions that are too long. Returns where it ends, 0 if it
 * has no end or is not well-formed. */
static size_t read_chunks(const unsigned char *bytes, size_t len,
                          struct kit_bytes *data) {
  const char *text = (const char *)bytes;
  size_t at = 0;
  size_t stop;
  char digits[20];
  size_t n;
  uint64_t size;

  for (;;) {
    n = 0;
    while (at + n < len && n < 17 && text[at + n] != '\0' &&
           strchr("0123456789abcdefABCDEF", text[at + n]) != NULL) {
      n += 1;
    }
    if (n == 0 || n == 17) {
      return 0;
    }
    memcpy(digits, text + at, n);
    digits[n] = '\0';
    size = strtoull(digits, NULL, 16);
    at += n;
    if (at < len && text[at] == ';') {
      while (at < len && text[at] != '\r' && text[at] != '\n') {
        at += 1;
      }
    }
    if (len - at < 2 || memcmp(text + at, "\r\n", 2) != 0) {
      return 0;
    }
    at += 2;
    if (size == 0) {
      break;
    }
    if (size > MOST || size + 2 > len - at ||
        memcmp(text + at + size, "\r\n", 2) != 0) {
      return 0;
    }
    kit_bytes_add(data, text + at, (size_t)size);
    at += (size_t)size + 2;
  }
  /* Trailers, up to an empty line. */
  for (;;) {
    for (stop = at; stop < len && text[stop] != '\r' && text[stop] != '\n';
         ++stop) {
    }
    if (len - stop < 2 || memcmp(text + stop, "\r\n", 2) != 0) {
      return 0;
    }
    if (stop == at) {
      return at + 2;
    }
    at = stop + 2;
  }
}

static void check_body(const struct http_request *request,
                       const unsigned char *bytes, size_t len, size_t step) {
  struct result whole = feed(request, bytes, len, SIZE_MAX);
  struct result parts = feed(request, bytes, len, step);
  struct kit_bytes data = {NULL, 0, 0};
  size_t end = 0;

  ck_assert_int_eq(parts.rv, whole.rv);
  ck_assert_uint_eq(parts.used, whole.used);
  expect_same((struct slice){parts.data.data, parts.data.len},
              (struct slice){whole.data.data, whole.data.len});
  ck_assert_uint_le(whole.data.len, MOST);
  if (request->chunked) {
    end = read_chunks(bytes, len, &data);
  } else if (request->length <= len && request->length <= MOST) {
    kit_bytes_add(&data, bytes, (size_t)request->length);
    end = (size_t)request->length;
  }
  if (whole.rv == -1) {
    ck_assert_uint_eq(end, whole.used);
    kit_need(fuzz_same(data.data, data.len, whole.data.data, whole.data.len));
  } else if (end != 0) {
    kit_need(whole.rv == 413 || whole.rv == 431);
  }
  kit_bytes_free(&data);
  text_free(&whole.data);
  text_free(&parts.data);
}

static void check_request(const struct fuzz_bytes *bytes, size_t step) {
  struct http_request request;
  size_t head_len = 0;
  const int rv =
      http_parse((const char *)bytes->data, bytes->len, &request, &head_len);

  check_prefixes(bytes, bytes->len > 128 ? step : 1);
  if (rv == -1) {
    kit_need(head_len <= bytes->len && head_len <= HTTP_HEAD_MOST);
    check_again(&request);
    check_body(&request, bytes->data + head_len, bytes->len - head_len, step);
  } else {
    kit_need(rv == 0 || (rv >= 400 && strcmp(http_reason(rv), "Error") != 0));
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct fuzz_input input = {data, size};
  const uint8_t how = fuzz_byte(&input);
  const struct fuzz_bytes bytes = fuzz_take(&input, SIZE_MAX);
  const struct http_request chunks = {.chunked = true};

  if (how < 128) {
    check_request(&bytes, 1 + (size_t)how);
  } else {
    check_body(&chunks, bytes.data, bytes.len, (size_t)how - 127);
  }
  free(bytes.data);
  return 0;
}
