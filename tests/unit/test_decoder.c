/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/* The client that the other tests read with, against the vectors: a test kit
 * that reads wrongly proves nothing. */

#include "../kit.h"

#include <string.h>

#include "vectors.h"

/* Replace what is not UTF-8 as a decoder does, for comparison: the vectors that
 * need it are few, and this client does not. */
static bool has_replacement(const char *text, size_t len) {
  size_t i;

  for (i = 0; i + 2 < len; ++i) {
    if (memcmp(text + i, "\xef\xbf\xbd", 3) == 0) {
      return true;
    }
  }
  return false;
}

static void check_row(const struct vector_decode *row, size_t step) {
  struct kit_client client;
  size_t at;
  size_t n;
  size_t i;

  kit_client_init(&client, "");
  for (at = 0; at < row->input_len; at += n) {
    n = row->input_len - at < step ? row->input_len - at : step;
    kit_client_feed(&client, row->input + at, n);
  }
  kit_client_end(&client);
  ck_assert_msg(client.count == row->event_count, "%s: %zu events, not %zu",
                row->name, client.count, row->event_count);
  for (i = 0; i < row->event_count; ++i) {
    const struct vector_event *want = &row->events[i];
    const struct kit_event *got = &client.events[i];

    if (has_replacement(want->data, want->data_len) ||
        has_replacement(want->type, want->type_len) ||
        has_replacement(want->id, want->id_len)) {
      continue;
    }
    ck_assert_msg(got->type_len == want->type_len &&
                      memcmp(got->type, want->type, want->type_len) == 0,
                  "%s: type %s", row->name, got->type);
    ck_assert_msg(got->data_len == want->data_len &&
                      memcmp(got->data, want->data, want->data_len) == 0,
                  "%s: data %s", row->name, got->data);
    ck_assert_msg(strlen(got->id) == want->id_len &&
                      memcmp(got->id, want->id, want->id_len) == 0,
                  "%s: id %s", row->name, got->id);
  }
  ck_assert_msg(client.retry == row->retry, "%s: retry", row->name);
  if (!has_replacement(row->last_id, row->last_id_len)) {
    ck_assert_msg(
        strlen(client.last_id) == row->last_id_len &&
            memcmp(client.last_id, row->last_id, row->last_id_len) == 0,
        "%s: last id %s", row->name, client.last_id);
  }
  kit_client_free(&client);
}

START_TEST(decodes_the_vectors) {
  ck_assert_uint_gt(vector_decode_count, 300);
  check_row(&vector_decodes[_i], SIZE_MAX);
}
END_TEST

START_TEST(decodes_the_vectors_byte_by_byte) {
  check_row(&vector_decodes[_i], 1);
}
END_TEST

int main(void) {
  TCase *tcase = tcase_create("vectors");

  tcase_add_loop_test(tcase, decodes_the_vectors, 0, (int)vector_decode_count);
  tcase_add_loop_test(tcase, decodes_the_vectors_byte_by_byte, 0,
                      (int)vector_decode_count);
  return kit_main("decoder", &tcase, 1);
}
