/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/* The structures in a log's files: what is read is what writing it anew gives;
 * and of what has been written no bit can be changed, and no place or salt,
 * without its being noticed. The first byte says which structure. */

#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "file_format.h"

static struct weir__crc32c crc;

/* Give it the right checksum. */
static void seal(unsigned char *bytes) {
  weir__put_le32(bytes + 60, weir__crc32c(&crc, 0, bytes, 60));
}

/* Change one bit of what has been written. */
static void flip(unsigned char *bytes, size_t len, uint64_t bit) {
  bytes[bit / 8 % len] ^= (unsigned char)(1u << bit % 8);
}

/* --- Structures of 64 bytes
 * -------------------------------------------------*/

/* Read one, and write anew what it says; false: it is none. */
static bool read_and_write(int which, const unsigned char *bytes,
                           unsigned char *again) {
  struct weir__head head;
  struct weir__entry_of_directory entry;
  struct weir__trailer trailer;

  memcpy(again, bytes, 64);
  if (which == 0) {
    if (weir__head_read(&crc, bytes, &head) != WEIR_OK) {
      return false;
    }
    weir__head_write(&crc, &head, again);
  } else if (which == 1) {
    if (!weir__entry_read(&crc, bytes, &entry)) {
      return false;
    }
    weir__entry_write(&crc, &entry, again);
  } else {
    if (!weir__trailer_read(&crc, bytes, &trailer)) {
      return false;
    }
    weir__trailer_write(&crc, &trailer, again);
  }
  return true;
}

/* The bytes of each that stand for nothing. */
static const struct {
  size_t from;
  size_t to;
} unused[][2] = {
    {{12, 16}, {40, 60}}, {{52, 60}, {60, 60}}, {{56, 60}, {60, 60}}};

static void check_structure(int which, struct fuzz_input *input) {
  static const char magics[3][9] = {"weirlog\n", "", "weirend\n"};
  struct fuzz_bytes bytes;
  unsigned char again[64];
  unsigned char third[64];
  const uint8_t how = fuzz_byte(input);
  const uint64_t bit = fuzz_number(input, 2);
  size_t i;

  bytes = fuzz_take(input, 64);
  if (bytes.len < 64) {
    free(bytes.data);
    return;
  }
  if ((how & 1) != 0) {
    memcpy(bytes.data, magics[which], strlen(magics[which]));
  }
  if ((how & 2) != 0) {
    seal(bytes.data);
  }
  if (read_and_write(which, bytes.data, again)) {
    for (i = 0; i < 2; ++i) {
      memset(bytes.data + unused[which][i].from, 0,
             unused[which][i].to - unused[which][i].from);
    }
    kit_need(memcmp(bytes.data, again, 60) == 0);
    kit_need(read_and_write(which, again, third));
    kit_need(memcmp(again, third, 64) == 0);
    flip(again, 64, bit);
    kit_need(!read_and_write(which, again, third));
  }
  free(bytes.data);
}

/* --- Records ---------------------------------------------------------------*/

static void take_record(struct fuzz_input *input,
                        struct weir__file_record *record) {
  record->kind = (uint8_t)(1 + (fuzz_byte(input) & 3));
  record->flags = fuzz_byte(input);
  record->left = (uint32_t)fuzz_extreme(input);
  record->generation = fuzz_extreme(input);
  record->epoch = fuzz_extreme(input);
  record->seq = fuzz_extreme(input);
  record->time = fuzz_extreme(input);
  record->synced = fuzz_extreme(input);
}

static void expect_same(const struct weir__file_record *a,
                        const struct weir__file_record *b) {
  ck_assert_uint_eq(a->size, b->size);
  ck_assert_uint_eq(a->kind, b->kind);
  ck_assert_uint_eq(a->flags, b->flags);
  ck_assert_uint_eq(a->left, b->left);
  ck_assert_uint_eq(a->generation, b->generation);
  ck_assert_uint_eq(a->epoch, b->epoch);
  ck_assert_uint_eq(a->seq, b->seq);
  ck_assert_uint_eq(a->time, b->time);
  ck_assert_uint_eq(a->synced, b->synced);
}

static void check_record(struct fuzz_input *input) {
  struct weir__file_record record;
  struct weir__file_record again;
  struct fuzz_bytes bytes;
  struct fuzz_bytes payload;
  const uint64_t salt = fuzz_extreme(input);
  const uint64_t at = fuzz_extreme(input) % WEIR__SEGMENT_MOST / 8 * 8;
  const uint64_t bit = fuzz_number(input, 2);

  memset(&record, 0, sizeof record);
  take_record(input, &record);
  payload = fuzz_take(input, 512);
  record.size = (uint32_t)payload.len;
  bytes.len = (size_t)weir__record_length(record.size);
  bytes.data = malloc(bytes.len);
  kit_need(bytes.data != NULL);
  memset(bytes.data, 0xa5, bytes.len);
  memcpy(bytes.data + WEIR__RECORD_SIZE, payload.data, payload.len);
  weir__record_write(&crc, salt, at, &record, bytes.data);
  kit_need(weir__record_read(&crc, salt, at, bytes.data, &again));
  kit_need(weir__record_is_whole(&crc, salt, bytes.data, again.size));
  kit_need(weir__record_is_event(&crc, salt, at, record.generation, record.seq,
                                 bytes.data) ==
           (record.kind == WEIR__RECORD_EVENT));
  expect_same(&record, &again);
  kit_need(fuzz_same(bytes.data + WEIR__RECORD_SIZE, payload.len, payload.data,
                     payload.len));
  kit_need(!weir__record_read(&crc, salt ^ (UINT64_C(1) << bit % 64), at,
                              bytes.data, &again));
  kit_need(!weir__record_read(&crc, salt, at ^ (UINT64_C(1) << bit % 64),
                              bytes.data, &again));
  flip(bytes.data, bytes.len, bit);
  kit_need(!weir__record_read(&crc, salt, at, bytes.data, &again) ||
           !weir__record_is_whole(&crc, salt, bytes.data, again.size));
  free(bytes.data);
  free(payload.data);
}

/* --- States ----------------------------------------------------------------*/

static void check_state(struct fuzz_input *input) {
  const struct fuzz_bytes bytes = fuzz_take(input, SIZE_MAX);
  struct weir__file_state state;
  weir_epoch epochs[WEIR__EPOCHS_MOST];
  unsigned char *again;
  uint32_t i;

  if (weir__state_read(bytes.data, bytes.len, &state)) {
    ck_assert_uint_eq(weir__state_size(&state), bytes.len);
    ck_assert_uint_le(state.epoch_count, WEIR__EPOCHS_MOST);
    for (i = 0; i < state.epoch_count; ++i) {
      weir__state_epoch(&state, i, &epochs[i]);
      kit_need(epochs[i].epoch != 0 &&
               (i == 0 || epochs[i].last >= epochs[i - 1].last));
    }
    ck_assert_uint_eq(state.last, epochs[state.epoch_count - 1].last);
    ck_assert_uint_le(state.trimmed, state.last);
    kit_need(state.ended == 0 || state.ended == state.last);
    again = malloc(bytes.len);
    kit_need(again != NULL);
    weir__state_write(&state, again);
    /* Of the flags only one means something, and only of an end. */
    bytes.data[48] &= state.ended != 0 ? 1 : 0;
    memset(bytes.data + 49, 0, 7);
    kit_need(state.failed == (bytes.data[48] != 0));
    kit_need(memcmp(again, bytes.data, bytes.len) == 0);
    free(again);
  }
  free(bytes.data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct fuzz_input input = {data, size};
  const int which = fuzz_byte(&input) % 5;

  if (crc.update == NULL) {
    weir__crc32c_init(&crc, WEIR__CRC32C_WIDE);
  }
  if (which < 3) {
    check_structure(which, &input);
  } else if (which == 3) {
    check_record(&input);
  } else {
    check_state(&input);
  }
  return 0;
}
