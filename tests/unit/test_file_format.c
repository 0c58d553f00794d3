/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/* The bytes of a log's files, to the last one: what is pinned here is what
 * weir_log_file(5) says, and other programs rely on. The golden bytes were not
 * made by this library but from that page. */

#include "../kit.h"

#include <string.h>

#include "file_format.h"

static struct weir__crc32c crc;

static void setup(void) {
  weir__crc32c_init(&crc, WEIR__CRC32C_WIDE);
}

/* In numbers of 64 bits every byte tells its place. */
#define A UINT64_C(0xa1a2a3a4a5a6a7a8)
#define B UINT64_C(0xb1b2b3b4b5b6b7b8)
#define C UINT64_C(0xc1c2c3c4c5c6c7c8)
#define D UINT64_C(0xd1d2d3d4d5d6d7d8)
#define E UINT64_C(0xe1e2e3e4e5e6e7e8)
#define SALT UINT64_C(0x1122334455667788)

static const unsigned char golden_head[] = {
    0x77, 0x65, 0x69, 0x72, 0x6c, 0x6f, 0x67, 0x0a, 0x01, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0xa8, 0xa7, 0xa6, 0xa5, 0xa4, 0xa3,
    0xa2, 0xa1, 0xb8, 0xb7, 0xb6, 0xb5, 0xb4, 0xb3, 0xb2, 0xb1, 0xc8,
    0xc7, 0xc6, 0xc5, 0xc4, 0xc3, 0xc2, 0xc1, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0xe3, 0x75, 0x77, 0x6d,
};
static const unsigned char golden_event[] = {
    0xe9, 0x2c, 0xdd, 0xf0, 0x0f, 0x10, 0x16, 0x93, 0x11, 0x00, 0x00,
    0x00, 0x01, 0x05, 0x00, 0x00, 0xa8, 0xa7, 0xa6, 0xa5, 0xa4, 0xa3,
    0xa2, 0xa1, 0xb8, 0xb7, 0xb6, 0xb5, 0xb4, 0xb3, 0xb2, 0xb1, 0xc8,
    0xc7, 0xc6, 0xc5, 0xc4, 0xc3, 0xc2, 0xc1, 0xd8, 0xd7, 0xd6, 0xd5,
    0xd4, 0xd3, 0xd2, 0xd1, 0xe8, 0xe7, 0xe6, 0xe5, 0xe4, 0xe3, 0xe2,
    0xe1, 0x02, 0x00, 0x00, 0x00, 0x08, 0x00, 0x00, 0x00, 0x69, 0x64,
    0x3a, 0x20, 0x62, 0x2d, 0x31, 0x0a, 0x64, 0x61, 0x74, 0x61, 0x3a,
    0x20, 0x78, 0x0a, 0x0a, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
};
static const unsigned char golden_take[] = {
    0x2b, 0x0d, 0xb8, 0x0d, 0xb4, 0x4c, 0xe7, 0xa8, 0x00, 0x00, 0x00,
    0x00, 0x03, 0x00, 0x00, 0x00, 0x07, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x09,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x0a, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x0b, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0xcf, 0x8a, 0x46, 0x62,
};
static const unsigned char golden_state[] = {
    0x03, 0x00, 0x04, 0x00, 0x02, 0x00, 0x00, 0x00, 0xc8, 0xc7, 0xc6, 0xc5,
    0xc4, 0xc3, 0xc2, 0xc1, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x05, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x05, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0xd8, 0xd7, 0xd6, 0xd5, 0xd4, 0xd3, 0xd2, 0xd1,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xa8, 0xa7, 0xa6, 0xa5,
    0xa4, 0xa3, 0xa2, 0xa1, 0x03, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0xb8, 0xb7, 0xb6, 0xb5, 0xb4, 0xb3, 0xb2, 0xb1, 0x05, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x6b, 0x65, 0x79, 0x6d, 0x65, 0x74, 0x61,
};
static const unsigned char golden_entry[] = {
    0xa8, 0xa7, 0xa6, 0xa5, 0xa4, 0xa3, 0xa2, 0xa1, 0x03, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x05, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0xb8, 0xb7, 0xb6, 0xb5, 0xb4, 0xb3, 0xb2, 0xb1, 0x00,
    0x10, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x10, 0x10, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x5f, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x21, 0x74, 0x5e, 0xc5,
};
static const unsigned char golden_trailer[] = {
    0x77, 0x65, 0x69, 0x72, 0x65, 0x6e, 0x64, 0x0a, 0xa8, 0xa7, 0xa6,
    0xa5, 0xa4, 0xa3, 0xa2, 0xa1, 0xb8, 0xb7, 0xb6, 0xb5, 0xb4, 0xb3,
    0xb2, 0xb1, 0xc8, 0xc7, 0xc6, 0xc5, 0xc4, 0xc3, 0xc2, 0xc1, 0xd8,
    0xd7, 0xd6, 0xd5, 0xd4, 0xd3, 0xd2, 0xd1, 0xe8, 0xe7, 0xe6, 0xe5,
    0xe4, 0xe3, 0xe2, 0xe1, 0xf4, 0xf3, 0xf2, 0xf1, 0x44, 0x33, 0x22,
    0x11, 0x00, 0x00, 0x00, 0x00, 0xff, 0x1b, 0x9d, 0xe0,
};

/* Call check for bytes with one of them changed, in every way. */
static void for_each_corruption(const unsigned char *bytes, size_t len,
                                void (*check)(const unsigned char *bytes)) {
  unsigned char copy[256];
  unsigned mask;
  size_t i;

  ck_assert_uint_le(len, sizeof copy);
  memcpy(copy, bytes, len);
  for (i = 0; i < len; ++i) {
    for (mask = 1; mask < 256; ++mask) {
      copy[i] = (unsigned char)(bytes[i] ^ mask);
      check(copy);
    }
    copy[i] = bytes[i];
  }
}

/* --- Heads -----------------------------------------------------------------*/

static const struct weir__head head = {WEIR__FILE_VERSION, A, B, C};

START_TEST(head_is_written) {
  unsigned char *bytes = kit_fence(WEIR__HEAD_SIZE);

  weir__head_write(&crc, &head, bytes);
  ck_assert_uint_eq(sizeof golden_head, WEIR__HEAD_SIZE);
  ck_assert_mem_eq(bytes, golden_head, WEIR__HEAD_SIZE);
}
END_TEST

START_TEST(head_is_read) {
  struct weir__head got;

  ck_assert_int_eq(
      weir__head_read(&crc, kit_fenced(golden_head, WEIR__HEAD_SIZE), &got),
      WEIR_OK);
  ck_assert_uint_eq(got.version, 1);
  ck_assert_uint_eq(got.number, A);
  ck_assert_uint_eq(got.salt, B);
  ck_assert_uint_eq(got.made, C);
}
END_TEST

static void refuse_head(const unsigned char *bytes) {
  struct weir__head got;

  ck_assert_int_eq(weir__head_read(&crc, bytes, &got), WEIR_EIO);
}

/* Another version is one only if the checksum says so too: what is damaged is
 * not of the future. */
START_TEST(head_of_another_version) {
  struct weir__head other = head;
  unsigned char bytes[WEIR__HEAD_SIZE];
  struct weir__head got;

  for (other.version = 0; other.version < 4; ++other.version) {
    weir__head_write(&crc, &other, bytes);
    ck_assert_int_eq(weir__head_read(&crc, bytes, &got),
                     other.version == 1 ? WEIR_OK : WEIR_EFORMAT);
    ck_assert_uint_eq(got.version, other.version);
  }
}
END_TEST

START_TEST(head_is_guarded) {
  for_each_corruption(golden_head, WEIR__HEAD_SIZE, refuse_head);
}
END_TEST

/* --- Records ---------------------------------------------------------------*/

static const char frame[] = "id: b-1\ndata: x\n\n";
#define FRAME (sizeof frame - 1)

static const struct weir__file_record event = {
    FRAME, WEIR__RECORD_EVENT, 5, 2, A, B, C, D, E};
static const struct weir__file_record take = {
    0, WEIR__RECORD_TAKE, 0, 0, 7, 8, 9, 10, 11};

START_TEST(record_is_written) {
  unsigned char *bytes = kit_fence(sizeof golden_event);

  ck_assert_uint_eq(weir__record_length(FRAME), sizeof golden_event);
  memset(bytes, 0xff, sizeof golden_event);
  memcpy(bytes + WEIR__RECORD_SIZE, frame, FRAME);
  weir__record_write(&crc, SALT, 0x40, &event, bytes);
  ck_assert_mem_eq(bytes, golden_event, sizeof golden_event);
}
END_TEST

START_TEST(record_without_payload_is_written) {
  unsigned char *bytes = kit_fence(sizeof golden_take);

  ck_assert_uint_eq(weir__record_length(0), sizeof golden_take);
  weir__record_write(&crc, SALT, UINT64_C(0x312345678), &take, bytes);
  ck_assert_mem_eq(bytes, golden_take, sizeof golden_take);
}
END_TEST

START_TEST(record_is_read) {
  struct weir__file_record got;

  /* Its head, without what stands behind it; then all of it. */
  ck_assert(weir__record_read(
      &crc, SALT, 0x40, kit_fenced(golden_event, WEIR__RECORD_SIZE), &got));
  ck_assert(weir__record_is_whole(
      &crc, SALT, kit_fenced(golden_event, sizeof golden_event), FRAME));
  ck_assert_uint_eq(got.size, FRAME);
  ck_assert_uint_eq(got.kind, WEIR__RECORD_EVENT);
  ck_assert_uint_eq(got.flags, 5);
  ck_assert_uint_eq(got.left, 2);
  ck_assert_uint_eq(got.generation, A);
  ck_assert_uint_eq(got.epoch, B);
  ck_assert_uint_eq(got.seq, C);
  ck_assert_uint_eq(got.time, D);
  ck_assert_uint_eq(got.synced, E);
}
END_TEST

/* The numbers of the kinds. */
START_TEST(record_kinds) {
  unsigned char bytes[WEIR__RECORD_SIZE];
  struct weir__file_record record = take;
  struct weir__file_record got;
  int kind;

  ck_assert_int_eq(WEIR__RECORD_EVENT, 1);
  ck_assert_int_eq(WEIR__RECORD_STATE, 2);
  ck_assert_int_eq(WEIR__RECORD_TAKE, 3);
  ck_assert_int_eq(WEIR__RECORD_TRIM, 4);
  for (kind = 0; kind < 256; ++kind) {
    record.kind = (uint8_t)kind;
    weir__record_write(&crc, SALT, 64, &record, bytes);
    ck_assert_int_eq(weir__record_read(&crc, SALT, 64, bytes, &got),
                     kind >= 1 && kind <= 4);
  }
}
END_TEST

/* It is one at its place and in its segment alone. */
START_TEST(record_is_bound_to_its_place) {
  struct weir__file_record got;
  int bit;

  for (bit = 0; bit < 64; ++bit) {
    ck_assert(!weir__record_read(&crc, SALT, 0x40 ^ UINT64_C(1) << bit,
                                 golden_event, &got));
    ck_assert(!weir__record_read(&crc, SALT ^ UINT64_C(1) << bit, 0x40,
                                 golden_event, &got));
  }
}
END_TEST

/* A reader asks for one event of one stream at one place. */
START_TEST(record_is_an_event) {
  ck_assert(weir__record_is_event(&crc, SALT, 0x40, A, C, golden_event));
  ck_assert_uint_eq(weir__record_payload(golden_event), FRAME);
  ck_assert_uint_eq(weir__record_flags(golden_event), 5);
  ck_assert_uint_eq(weir__record_epoch(golden_event), B);
  ck_assert(!weir__record_is_event(&crc, SALT + 1, 0x40, A, C, golden_event));
  ck_assert(!weir__record_is_event(&crc, SALT, 0x48, A, C, golden_event));
  ck_assert(!weir__record_is_event(&crc, SALT, 0x40, A + 1, C, golden_event));
  ck_assert(!weir__record_is_event(&crc, SALT, 0x40, A, C + 1, golden_event));
  ck_assert(!weir__record_is_event(&crc, SALT, UINT64_C(0x312345678), 7, 9,
                                   golden_take));
}
END_TEST

static void refuse_record(const unsigned char *bytes) {
  struct weir__file_record got;

  ck_assert(!weir__record_read(&crc, SALT, 0x40, bytes, &got) ||
            !weir__record_is_whole(&crc, SALT, bytes, got.size));
}

/* Zeros that fill it up to 8 bytes included. */
START_TEST(record_is_guarded) {
  for_each_corruption(golden_event, sizeof golden_event, refuse_record);
}
END_TEST

START_TEST(zeros_are_no_record) {
  static const unsigned char zeros[WEIR__RECORD_SIZE];
  struct weir__file_record got;
  uint64_t at;

  for (at = 0; at < 65536; at += 8) {
    ck_assert(!weir__record_read(&crc, 0, at, zeros, &got));
  }
}
END_TEST

/* --- States ----------------------------------------------------------------*/

static void make_state(struct weir__file_state *state,
                       unsigned char epochs[32]) {
  const weir_epoch first = {A, 3};
  const weir_epoch second = {B, 5};

  memset(state, 0, sizeof *state);
  weir__epoch_write(&first, epochs);
  weir__epoch_write(&second, epochs + 16);
  state->key = "key";
  state->key_len = 3;
  state->meta = "meta";
  state->meta_len = 4;
  state->epochs = epochs;
  state->epoch_count = 2;
  state->order = C;
  state->trimmed = 2;
  state->last = 5;
  state->ended = 5;
  state->ended_at = D;
}

START_TEST(state_is_written) {
  unsigned char *bytes = kit_fence(sizeof golden_state);
  struct weir__file_state state;
  unsigned char epochs[32];

  make_state(&state, epochs);
  ck_assert_uint_eq(weir__state_size(&state), sizeof golden_state);
  weir__state_write(&state, bytes);
  ck_assert_mem_eq(bytes, golden_state, sizeof golden_state);
}
END_TEST

START_TEST(state_is_read) {
  struct weir__file_state got;
  weir_epoch epoch;

  ck_assert(weir__state_read(kit_fenced(golden_state, sizeof golden_state),
                             sizeof golden_state, &got));
  ck_assert_uint_eq(got.key_len, 3);
  ck_assert_mem_eq(got.key, "key", 3);
  ck_assert_uint_eq(got.meta_len, 4);
  ck_assert_mem_eq(got.meta, "meta", 4);
  ck_assert_uint_eq(got.epoch_count, 2);
  weir__state_epoch(&got, 0, &epoch);
  ck_assert_uint_eq(epoch.epoch, A);
  ck_assert_uint_eq(epoch.last, 3);
  weir__state_epoch(&got, 1, &epoch);
  ck_assert_uint_eq(epoch.epoch, B);
  ck_assert_uint_eq(epoch.last, 5);
  ck_assert_uint_eq(got.order, C);
  ck_assert_uint_eq(got.trimmed, 2);
  ck_assert_uint_eq(got.last, 5);
  ck_assert_uint_eq(got.ended, 5);
  ck_assert_uint_eq(got.ended_at, D);
}
END_TEST

START_TEST(state_of_another_length) {
  unsigned char bytes[sizeof golden_state + 1] = {0};
  struct weir__file_state got;
  size_t len;

  memcpy(bytes, golden_state, sizeof golden_state);
  for (len = 0; len <= sizeof bytes; ++len) {
    ck_assert_int_eq(weir__state_read(kit_fenced(bytes, len), len, &got),
                     len == sizeof golden_state);
  }
}
END_TEST

/* Rows: where a byte is changed to what contradicts the rest. */
static const struct {
  size_t at;
  unsigned char value;
} contradictions[] = {
    {4, 0},  {5, 1},  /* number of epochs */
    {16, 6},          /* trimmed beyond last */
    {24, 4}, {24, 6}, /* last is not that of the newest epoch */
    {32, 4}, {32, 6}, /* the end is not last */
    {64, 6},          /* last falls from one epoch to the next */
    {80, 4},          /* the newest epoch's */
};

START_TEST(state_that_contradicts_itself) {
  unsigned char bytes[sizeof golden_state];
  struct weir__file_state got;

  memcpy(bytes, golden_state, sizeof bytes);
  bytes[contradictions[_i].at] = contradictions[_i].value;
  ck_assert(!weir__state_read(bytes, sizeof bytes, &got));
}
END_TEST

START_TEST(state_without_key_or_epoch) {
  unsigned char epochs[32] = {0};
  unsigned char bytes[128];
  struct weir__file_state state;
  struct weir__file_state got;

  make_state(&state, epochs);
  state.meta_len = 0;
  weir__state_write(&state, bytes);
  ck_assert(weir__state_read(bytes, weir__state_size(&state), &got));
  state.key_len = 0;
  weir__state_write(&state, bytes);
  ck_assert(!weir__state_read(bytes, weir__state_size(&state), &got));
  state.key_len = 3;
  memset(epochs + 16, 0, 8);
  weir__state_write(&state, bytes);
  ck_assert(!weir__state_read(bytes, weir__state_size(&state), &got));
}
END_TEST

/* A key is what a map can have a key of, whoever wrote the file. */
START_TEST(state_with_a_long_key) {
  static const unsigned char key[UINT16_MAX];
  static unsigned char bytes[UINT16_MAX + 128];
  static const uint16_t lens[] = {WEIR_KEY_MAX, WEIR_KEY_MAX + 1, UINT16_MAX};
  unsigned char epochs[32] = {0};
  struct weir__file_state state;
  struct weir__file_state got;

  make_state(&state, epochs);
  state.meta_len = 0;
  state.key = key;
  state.key_len = lens[_i];
  weir__state_write(&state, bytes);
  ck_assert_int_eq(weir__state_read(bytes, weir__state_size(&state), &got),
                   _i == 0);
}
END_TEST

/* --- The index -------------------------------------------------------------*/

static const struct weir__entry_of_directory entry = {A,      3,      5, B,
                                                      0x1000, 0x1010, 95};

START_TEST(entry_is_written_and_read) {
  unsigned char *bytes = kit_fence(WEIR__ENTRY_SIZE);
  struct weir__entry_of_directory got;

  weir__entry_write(&crc, &entry, bytes);
  ck_assert_uint_eq(sizeof golden_entry, WEIR__ENTRY_SIZE);
  ck_assert_mem_eq(bytes, golden_entry, WEIR__ENTRY_SIZE);
  ck_assert(weir__entry_read(&crc, bytes, &got));
  ck_assert_uint_eq(got.generation, A);
  ck_assert_uint_eq(got.first, 3);
  ck_assert_uint_eq(got.last, 5);
  ck_assert_uint_eq(got.previous, B);
  ck_assert_uint_eq(got.positions, 0x1000);
  ck_assert_uint_eq(got.state, 0x1010);
  ck_assert_uint_eq(got.state_size, 95);
}
END_TEST

static void refuse_entry(const unsigned char *bytes) {
  struct weir__entry_of_directory got;

  ck_assert(!weir__entry_read(&crc, bytes, &got));
}

START_TEST(entry_is_guarded) {
  for_each_corruption(golden_entry, WEIR__ENTRY_SIZE, refuse_entry);
}
END_TEST

/* Rows: entries, and whether they can be of an index from 0x1000 to 0x2000. */
static const struct {
  struct weir__entry_of_directory entry;
  bool sound;
} entries[] = {
    {{1, 3, 5, 0, 0x1000, 0x1010, 95}, true},
    {{1, 3, 5, 0, 0x1000, 0x100c, 0xff4}, true},
    {{1, 3, 2, 0, 0x1000, 0x1000, 95}, true},
    {{1, 1, 0, 0, 0x1000, 0x1000, 95}, true},
    {{0, 3, 5, 0, 0x1000, 0x1010, 95}, false},
    {{1, 0, 5, 0, 0x1000, 0x1100, 95}, false},
    {{1, 3, 1, 0, 0x1000, 0x1010, 95}, false},
    {{1, 3, 5, 0, 0xfff, 0x1010, 95}, false},
    {{1, 3, 5, 0, 0x1004, 0x100c, 95}, false},
    {{1, 3, 5, 0, 0x1000, 0x1010, 0xff1}, false},
    {{1, 3, 5, 0, 0x1000, 0x2001, 0}, false},
    {{1, 3, 5, 0, 0x2000, 0x1000, 0}, false},
    {{1, 1, UINT64_MAX, 0, 0x1000, 0x1000, 95}, false},
    {{1, 1, UINT64_C(1) << 33, 0, 0x1000, 0x1100, 95}, false},
    {{1, UINT64_MAX, 1, 0, 0x1000, 0x1000, 95}, false},
};

START_TEST(entry_points_into_its_index) {
  ck_assert_int_eq(weir__entry_is_sound(&entries[_i].entry, 0x1000, 0x2000),
                   entries[_i].sound);
}
END_TEST

static const struct weir__trailer trailer = {
    A, B, C, D, E, UINT32_C(0xf1f2f3f4), UINT32_C(0x11223344)};

START_TEST(trailer_is_written_and_read) {
  unsigned char *bytes = kit_fence(WEIR__TRAILER_SIZE);
  struct weir__trailer got;

  weir__trailer_write(&crc, &trailer, bytes);
  ck_assert_uint_eq(sizeof golden_trailer, WEIR__TRAILER_SIZE);
  ck_assert_mem_eq(bytes, golden_trailer, WEIR__TRAILER_SIZE);
  ck_assert(weir__trailer_read(&crc, bytes, &got));
  ck_assert_uint_eq(got.number, A);
  ck_assert_uint_eq(got.salt, B);
  ck_assert_uint_eq(got.data_end, C);
  ck_assert_uint_eq(got.directory, D);
  ck_assert_uint_eq(got.newest, E);
  ck_assert_uint_eq(got.entries, UINT32_C(0xf1f2f3f4));
  ck_assert_uint_eq(got.crc, UINT32_C(0x11223344));
}
END_TEST

static void refuse_trailer(const unsigned char *bytes) {
  struct weir__trailer got;

  ck_assert(!weir__trailer_read(&crc, bytes, &got));
}

START_TEST(trailer_is_guarded) {
  for_each_corruption(golden_trailer, WEIR__TRAILER_SIZE, refuse_trailer);
}
END_TEST

static TCase *heads(void) {
  TCase *tcase = tcase_create("heads");

  tcase_add_checked_fixture(tcase, setup, NULL);
  tcase_add_test(tcase, head_is_written);
  tcase_add_test(tcase, head_is_read);
  tcase_add_test(tcase, head_of_another_version);
  tcase_add_test(tcase, head_is_guarded);
  return tcase;
}

static TCase *records(void) {
  TCase *tcase = tcase_create("records");

  tcase_add_checked_fixture(tcase, setup, NULL);
  tcase_add_test(tcase, record_is_written);
  tcase_add_test(tcase, record_without_payload_is_written);
  tcase_add_test(tcase, record_is_read);
  tcase_add_test(tcase, record_kinds);
  tcase_add_test(tcase, record_is_bound_to_its_place);
  tcase_add_test(tcase, record_is_an_event);
  tcase_add_test(tcase, record_is_guarded);
  tcase_add_test(tcase, zeros_are_no_record);
  return tcase;
}

static TCase *states(void) {
  TCase *tcase = tcase_create("states");

  tcase_add_checked_fixture(tcase, setup, NULL);
  tcase_add_test(tcase, state_is_written);
  tcase_add_test(tcase, state_is_read);
  tcase_add_test(tcase, state_of_another_length);
  tcase_add_loop_test(tcase, state_that_contradicts_itself, 0,
                      sizeof contradictions / sizeof contradictions[0]);
  tcase_add_test(tcase, state_without_key_or_epoch);
  tcase_add_loop_test(tcase, state_with_a_long_key, 0, 3);
  return tcase;
}

static TCase *indexes(void) {
  TCase *tcase = tcase_create("indexes");

  tcase_add_checked_fixture(tcase, setup, NULL);
  tcase_add_test(tcase, entry_is_written_and_read);
  tcase_add_test(tcase, entry_is_guarded);
  tcase_add_loop_test(tcase, entry_points_into_its_index, 0,
                      sizeof entries / sizeof entries[0]);
  tcase_add_test(tcase, trailer_is_written_and_read);
  tcase_add_test(tcase, trailer_is_guarded);
  return tcase;
}

KIT_MAIN("file_format", heads(), records(), states(), indexes())
