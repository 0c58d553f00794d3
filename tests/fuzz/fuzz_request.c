/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/* Where in a request its cursor stands: against a reader that decodes first and
 * compares then. The input is the header, the query and the path, with a byte
 * 0xff between them. */

#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

static int value_of(unsigned char c) {
  static const char digits[] = "0123456789abcdef0123456789ABCDEF";
  const char *p = c == '\0' ? NULL : strchr(digits, c);

  return p == NULL ? -1 : (int)((p - digits) & 15);
}

/* Percent-decode in place; false: it is not well-formed. */
static bool decode(struct fuzz_bytes *text) {
  size_t from = 0;
  size_t to = 0;

  while (from < text->len) {
    if (text->data[from] != '%') {
      text->data[to++] = text->data[from++];
    } else if (text->len - from >= 3 && value_of(text->data[from + 1]) >= 0 &&
               value_of(text->data[from + 2]) >= 0) {
      text->data[to++] = (unsigned char)(value_of(text->data[from + 1]) * 16 +
                                         value_of(text->data[from + 2]));
      from += 3;
    } else {
      return false;
    }
  }
  text->len = to;
  return true;
}

/* Takes the place of what weir_cursor_pick would do with one value, which is
 * decoded in place. */
static int judge(struct fuzz_bytes *value) {
  if (!decode(value) || value->len > WEIR_CURSOR_MAX) {
    return WEIR_EMALFORMED;
  }
  return value->len == 0 ? WEIR_EABSENT : WEIR_OK;
}

static bool is_name(const unsigned char *name, size_t len) {
  static const char *const names[] = {"lastEventId", "last_event_id",
                                      "Last-Event-ID", "evs_last_event_id"};
  struct fuzz_bytes text = fuzz_copy(name, len);
  bool found = false;
  size_t i;

  if (decode(&text)) {
    for (i = 0; i < 4; ++i) {
      found =
          found || fuzz_same(text.data, text.len, names[i], strlen(names[i]));
    }
  }
  free(text.data);
  return found;
}

/* The value that counts in a query, or an empty one. */
static int pick_query(const struct fuzz_bytes *query,
                      struct fuzz_bytes *value) {
  size_t begin = 0;
  size_t end;
  size_t equals;
  int rv;

  for (; begin < query->len; begin = end + 1) {
    for (end = begin; end < query->len && query->data[end] != '&'; ++end) {
    }
    for (equals = begin; equals < end && query->data[equals] != '='; ++equals) {
    }
    if (equals < end && is_name(query->data + begin, equals - begin)) {
      free(value->data);
      *value = fuzz_copy(query->data + equals + 1, end - equals - 1);
      rv = judge(value);
      if (rv != WEIR_EABSENT) {
        return rv;
      }
    }
  }
  return WEIR_EABSENT;
}

static int pick(const struct fuzz_bytes *header, const struct fuzz_bytes *query,
                const struct fuzz_bytes *path, struct fuzz_bytes *value) {
  int rv;

  *value = fuzz_copy(header->data, header->len);
  if (header->len != 0) {
    return header->len > WEIR_CURSOR_MAX ? WEIR_EMALFORMED : WEIR_OK;
  }
  rv = pick_query(query, value);
  if (rv == WEIR_EABSENT) {
    free(value->data);
    *value = fuzz_copy(path->data, path->len);
    rv = judge(value);
  }
  return rv;
}

/* What stands before the next 0xff. */
static struct fuzz_bytes part(struct fuzz_input *input) {
  const uint8_t *stop =
      input->left == 0 ? NULL : memchr(input->p, 0xff, input->left);
  const struct fuzz_bytes bytes =
      fuzz_take(input, stop == NULL ? input->left : (size_t)(stop - input->p));

  (void)fuzz_byte(input);
  return bytes;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct fuzz_input input = {data, size};
  struct fuzz_bytes header = part(&input);
  struct fuzz_bytes query = part(&input);
  struct fuzz_bytes path = part(&input);
  unsigned char *dst = malloc(WEIR_CURSOR_MAX);
  struct fuzz_bytes want;
  weir_request request;
  size_t len = 0;
  int rv;

  kit_need(dst != NULL);
  weir_request_init(&request, sizeof request);
  request.header = header.data;
  request.header_len = header.len;
  request.query = query.data;
  request.query_len = query.len;
  request.path = path.data;
  request.path_len = path.len;
  rv = weir_cursor_pick(&request, dst, WEIR_CURSOR_MAX, &len);
  ck_assert_int_eq(rv, pick(&header, &query, &path, &want));
  if (rv == WEIR_OK) {
    kit_need(fuzz_same(dst, len, want.data, want.len));
  } else {
    ck_assert_uint_eq(len, 0);
  }
  free(want.data);
  free(dst);
  free(header.data);
  free(query.data);
  free(path.data);
  return 0;
}
