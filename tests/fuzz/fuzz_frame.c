/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/* A frame says to a client, in whatever pieces it comes, what was put into it;
 * and all widths of the encoder write the same. The input is flags, then the
 * numbers of the frame, its id, its type and its data. */

#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frame_plain.h"
#include "frame_wide.h"

struct parts {
  weir_frame frame;
  struct fuzz_bytes id;
  struct fuzz_bytes type;
  struct fuzz_bytes data;
};

/* The data as a client has it: with LF between its lines, which are counted. */
static void normalize(const struct fuzz_bytes *data, struct kit_bytes *lines,
                      uint64_t *count) {
  size_t i;

  kit_bytes_add(lines, NULL, 0);
  *count = 1;
  for (i = 0; i < data->len; ++i) {
    if (data->data[i] == '\r' || data->data[i] == '\n') {
      i += data->data[i] == '\r' && i + 1 < data->len &&
           data->data[i + 1] == '\n';
      kit_bytes_add(lines, "\n", 1);
      *count += 1;
    } else {
      kit_bytes_add(lines, data->data + i, 1);
    }
  }
}

static bool are_texts(const struct parts *parts) {
  return fuzz_is_text(parts->id.data, parts->id.len) &&
         fuzz_is_text(parts->type.data, parts->type.len) &&
         fuzz_is_text(parts->data.data, parts->data.len);
}

/* What encoding has to return; *len is the length if it is WEIR_OK. */
static int judge(const struct parts *parts, size_t *len) {
  const weir_frame *frame = &parts->frame;
  const bool is_default =
      parts->type.len == 0 ||
      fuzz_same(parts->type.data, parts->type.len, "message", 7);
  struct kit_bytes lines = {NULL, 0, 0};
  uint64_t count;
  char digits[16];

  if ((frame->flags & ~WEIR_FRAME_BYTES) != 0 ||
      frame->retry > WEIR_RETRY_MAX ||
      fuzz_has(parts->id.data, parts->id.len, "\r\n") ||
      fuzz_has(parts->type.data, parts->type.len, "\r\n")) {
    return WEIR_EINVAL;
  }
  if ((frame->flags & WEIR_FRAME_BYTES) == 0 && !are_texts(parts)) {
    return WEIR_EUTF8;
  }
  normalize(&parts->data, &lines, &count);
  *len =
      (parts->id.len == 0 ? 0 : 5 + parts->id.len) +
      (is_default ? 0 : 8 + parts->type.len) +
      (frame->retry == 0 ? 0
                         : 8 + (size_t)snprintf(digits, sizeof digits, "%lu",
                                                (unsigned long)frame->retry)) +
      lines.len + (size_t)count * 6 + 2;
  kit_bytes_free(&lines);
  if (count > (frame->max_lines != 0 ? frame->max_lines
                                     : (uint64_t)WEIR_FRAME_LINES_MAX) ||
      (frame->max_bytes != 0 && *len > frame->max_bytes)) {
    return WEIR_ETOOBIG;
  }
  return WEIR_OK;
}

/* A client that gets the frame in two pieces. */
static void check_client(const struct parts *parts, const unsigned char *bytes,
                         size_t len, size_t split) {
  struct kit_bytes lines = {NULL, 0, 0};
  struct kit_client client;
  uint64_t count;

  normalize(&parts->data, &lines, &count);
  kit_client_init(&client, "before");
  kit_client_feed(&client, bytes, split);
  ck_assert_uint_eq(client.count, split == len);
  kit_client_feed(&client, bytes + split, len - split);
  ck_assert_uint_eq(client.count, 1);
  kit_need(fuzz_same(client.events[0].data, client.events[0].data_len,
                     lines.data, lines.len));
  if (parts->type.len == 0) {
    ck_assert_str_eq(client.events[0].type, "message");
  } else {
    kit_need(fuzz_same(client.events[0].type, client.events[0].type_len,
                       parts->type.data, parts->type.len));
  }
  if (parts->id.len == 0) {
    ck_assert_str_eq(client.last_id, "before");
  } else {
    kit_need(fuzz_same(client.last_id, strlen(client.last_id), parts->id.data,
                       parts->id.len));
  }
  ck_assert_uint_eq(client.retry,
                    parts->frame.retry != 0 ? parts->frame.retry : UINT64_MAX);
  kit_client_free(&client);
  kit_bytes_free(&lines);
}

typedef int encoder(const weir_frame *frame, const void *id, size_t id_len,
                    void *dst, size_t cap, size_t *len);

/* One encoder with one capacity; the bytes, if there are any. */
static struct fuzz_bytes encode(encoder *encode_with, const struct parts *parts,
                                size_t cap, int want, size_t want_len) {
  struct fuzz_bytes dst;
  size_t len = 77;
  int rv;

  dst.len = cap;
  dst.data = malloc(cap + (cap == 0));
  kit_need(dst.data != NULL);
  rv = encode_with(&parts->frame, parts->id.data, parts->id.len, dst.data, cap,
                   &len);
  if (want == WEIR_OK) {
    ck_assert_int_eq(rv, cap < want_len ? WEIR_ENOSPACE : WEIR_OK);
    ck_assert_uint_eq(len, want_len);
  } else {
    ck_assert_int_eq(rv, want);
    ck_assert_uint_eq(len, 77);
  }
  return dst;
}

static void check_encoders(const struct parts *parts, size_t cap,
                           size_t split) {
  static encoder *const encoders[] = {weir_frame_encode_event,
                                      weir__frame_plain, weir__frame_wide};
  const size_t encoder_count = weir__frame_is_wide() ? 3 : 2;
  struct fuzz_bytes first = {NULL, 0};
  struct fuzz_bytes bytes;
  size_t len = 0;
  const int want = judge(parts, &len);
  size_t i;

  for (i = 0; i < encoder_count; ++i) {
    bytes = encode(encoders[i], parts, want == WEIR_OK ? len : 0, want, len);
    free(encode(encoders[i], parts, cap % (len + 2), want, len).data);
    if (i == 0) {
      first = bytes;
      continue;
    }
    kit_need(fuzz_same(bytes.data, bytes.len, first.data, first.len));
    free(bytes.data);
  }
  if (want == WEIR_OK) {
    check_client(parts, first.data, first.len, split % (first.len + 1));
  }
  free(first.data);
}

/* A comment is one line, which no client notices. */
static void check_comment(const struct fuzz_bytes *text) {
  const int want = fuzz_has(text->data, text->len, "\r\n") ? WEIR_EINVAL
                   : fuzz_is_text(text->data, text->len)   ? WEIR_OK
                                                           : WEIR_EUTF8;
  struct fuzz_bytes dst;
  struct kit_client client;
  size_t len = 0;

  dst.data = malloc(text->len + 2);
  kit_need(dst.data != NULL);
  ck_assert_int_eq(weir_frame_encode_comment(text->data, text->len, dst.data,
                                             text->len + 2, &len),
                   want);
  if (want == WEIR_OK) {
    ck_assert_uint_eq(len, text->len + 2);
    kit_client_init(&client, "before");
    kit_client_feed(&client, dst.data, len);
    kit_client_feed(&client, "data: x\n\n", 9);
    ck_assert_uint_eq(client.count, 1);
    ck_assert_str_eq(client.events[0].data, "x");
    kit_client_free(&client);
  }
  free(dst.data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct fuzz_input input = {data, size};
  struct parts parts;
  uint8_t flags = fuzz_byte(&input);
  size_t cap = (size_t)fuzz_number(&input, 2);
  size_t split = (size_t)fuzz_number(&input, 2);

  weir_frame_init(&parts.frame, sizeof parts.frame);
  parts.frame.flags = (flags & 1) != 0    ? WEIR_FRAME_BYTES
                      : (flags >> 5) == 7 ? 2
                                          : 0;
  parts.frame.retry = (flags & 2) != 0 ? (uint32_t)fuzz_number(&input, 4) : 0;
  parts.frame.max_bytes = (flags & 4) != 0 ? fuzz_number(&input, 2) : 0;
  parts.frame.max_lines =
      (flags & 8) != 0 ? (uint32_t)fuzz_number(&input, 1) : 0;
  parts.id = fuzz_some(&input, 4096);
  parts.type = fuzz_some(&input, 4096);
  parts.data = fuzz_take(&input, SIZE_MAX);
  parts.frame.type = parts.type.data;
  parts.frame.type_len = parts.type.len;
  parts.frame.data = parts.data.data;
  parts.frame.data_len = parts.data.len;
  check_encoders(&parts, cap, split);
  check_comment(&parts.data);
  free(parts.id.data);
  free(parts.type.data);
  free(parts.data.data);
  return 0;
}
