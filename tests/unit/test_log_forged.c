/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/* The file log on files whose checksums are right, but which say what no log
 * ever wrote; and on a disk that changes behind its back. What can be told is
 * told, and what cannot is lost aloud. */

#include "../filebench.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "file_read.h"
#include "file_segment.h"

static struct filebench bench;
static struct weir__crc32c crc;

static void setup(void) {
  fb_init(&bench);
  weir__crc32c_init(&crc, WEIR__CRC32C_WIDE);
}

static void teardown(void) {
  fb_end(&bench);
}

#define expect(key, text) ck_assert_str_eq(fb_contents(&bench, key), text)

static void put_le64(unsigned char *bytes, uint64_t number) {
  weir__put_le32(bytes, (uint32_t)(number & UINT32_MAX));
  weir__put_le32(bytes + 4, (uint32_t)(number >> 32));
}

/* Stream a with all kinds of records, and two others behind it. */
static void fill(void) {
  struct weir__handle *handle;

  bench.options.segment_bytes = 16384;
  fb_open(&bench);
  fb_write(&bench, "a", 1, 4);
  ck_assert_int_eq(fb_take(&bench, "a", 1, 2, &handle), WEIR_LOG_YES);
  ck_assert_int_eq(fb_append(&bench, handle, 2, 5, 5, 0), WEIR_LOG_YES);
  ck_assert_int_eq(fb_append(&bench, handle, 2, 6, 6, 0), WEIR_LOG_YES);
  ck_assert_int_eq(fb_trim(&bench, handle, 1), WEIR_LOG_YES);
  weir__handle_release(handle);
  fb_write(&bench, "b", 8, 2);
  fb_write(&bench, "c", 9, 2);
}

#define SOUND_A "1:4 2:6 *:6 trimmed 1 | 2-6"
#define SOUND_B "8:2 *:2 | 1-2"

/* --- Records ---------------------------------------------------------------*/

/* The place of the nth record of a kind. */
static uint64_t find(int kind, unsigned n, uint64_t *salt) {
  struct weir__file_record record;
  struct weir__head head;
  uint64_t size;
  const unsigned char *bytes = fb_segment(&bench, 0, &size);
  uint64_t at;

  ck_assert_int_eq(weir__head_read(&crc, bytes, &head), WEIR_OK);
  *salt = head.salt;
  for (at = WEIR__HEAD_SIZE; at + WEIR__RECORD_SIZE <= size; at += 8) {
    if (weir__record_read(&crc, head.salt, at, bytes + at, &record) &&
        record.kind == kind && n-- == 1) {
      return at;
    }
  }
  ck_abort_msg("there is no such record");
  return 0;
}

enum { EPOCH, SEQ, LEFT, SIZE, KEY_LEN, LAST, SEQ_OF_DAMAGED, END_OF_DAMAGED };

/* Let a record say something else, with checksums that are right. */
static void forge(int kind, unsigned n, int field, uint64_t value) {
  static unsigned char copy[65536];
  struct weir__file_record record;
  uint64_t salt;
  uint64_t size;
  const uint64_t at = find(kind, n, &salt);
  unsigned char *bytes = fb_segment(&bench, 0, &size) + at;
  size_t whole;

  ck_assert(weir__record_read(&crc, salt, at, bytes, &record));
  whole = (size_t)weir__record_length(record.size);
  memset(copy, 0, sizeof copy);
  memcpy(copy, bytes, whole);
  switch (field) {
    case EPOCH:
      record.epoch = value;
      break;
    case LEFT:
      record.left = (uint32_t)value;
      break;
    case END_OF_DAMAGED:
      record.flags = (uint8_t)value;
      break;
    case SIZE:
      record.size = (uint32_t)value;
      break;
    case KEY_LEN:
      copy[WEIR__RECORD_SIZE] = (unsigned char)value;
      break;
    case LAST:
      put_le64(copy + WEIR__RECORD_SIZE + 24, value);
      put_le64(copy + WEIR__RECORD_SIZE + WEIR__STATE_SIZE + 8, value);
      break;
    default:
      record.seq = value;
      break;
  }
  weir__record_write(&crc, salt, at, &record, copy);
  memcpy(bytes, copy, whole);
  if (field >= SEQ_OF_DAMAGED) {
    bytes[WEIR__RECORD_SIZE] ^= 1;
  }
}

#define BEYOND ((uint64_t)WEIR_SEQ_MAX + 1)

START_TEST(forged_records) {
  static const struct {
    int kind;
    unsigned n;
    int field;
    uint64_t value;
    const char *a;
    const char *b;
  } rows[] = {
      {WEIR__RECORD_EVENT, 2, EPOCH, 0, "1:4 2:6 *:6 trimmed 1 | !2 3-6",
       SOUND_B},
      {WEIR__RECORD_EVENT, 2, SEQ, 0, "1:4 2:6 *:6 trimmed 1 | !2 3-6",
       SOUND_B},
      {WEIR__RECORD_EVENT, 2, SEQ, BEYOND, "1:4 2:6 *:6 trimmed 1 | !2 3-6",
       SOUND_B},
      /* Of an epoch that is over; and a number that was. */
      {WEIR__RECORD_EVENT, 5, EPOCH, 1, "1:4 2:6 *:6 trimmed 1 | 2-4 !5 6",
       SOUND_B},
      {WEIR__RECORD_EVENT, 3, SEQ, 2, "1:4 2:6 *:6 trimmed 1 | 2 !3 4-6",
       SOUND_B},
      /* Its events say that an epoch began. */
      {WEIR__RECORD_TAKE, 1, EPOCH, 0, SOUND_A, SOUND_B},
      {WEIR__RECORD_TAKE, 1, EPOCH, 1, SOUND_A, SOUND_B},
      {WEIR__RECORD_TAKE, 1, SEQ, BEYOND, SOUND_A, SOUND_B},
      {WEIR__RECORD_TAKE, 1, SEQ, 5, "1:5 2:6 *:6 trimmed 1 | 2-4 !5 6",
       SOUND_B},
      {WEIR__RECORD_TRIM, 1, SEQ, BEYOND, "1:4 2:6 *:6 | 1-6", SOUND_B},
      {WEIR__RECORD_TRIM, 1, SEQ, 8, "1:4 2:8 *:8 trimmed 8 |", SOUND_B},
      {WEIR__RECORD_STATE, 2, KEY_LEN, 0, SOUND_A, "none"},
      {WEIR__RECORD_STATE, 2, LAST, BEYOND, SOUND_A, "none"},
      /* A batch that does not go on. */
      {WEIR__RECORD_EVENT, 3, LEFT, 5, SOUND_A, SOUND_B},
      /* An end that was none. */
      {WEIR__RECORD_EVENT, 4, END_OF_DAMAGED, WEIR_RECORD_END,
       "1:4 2:6 *:6 trimmed 1 | 2-3 !4 5-6", SOUND_B},
      /* Far more is lost than a segment has room for. */
      {WEIR__RECORD_EVENT, 6, SEQ_OF_DAMAGED, 70006,
       "1:4 2:70006 *:70006 trimmed 1 | 2-5 !6-70006", SOUND_B},
      /* Up to behind the end. */
      {WEIR__RECORD_EVENT, 6, SIZE, 20000, "1:4 2:6 *:6 | 1-5 !6", "none"},
  };

  fill();
  fb_kill(&bench);
  forge(rows[_i].kind, rows[_i].n, rows[_i].field, rows[_i].value);
  fb_open(&bench);
  expect("a", rows[_i].a);
  expect("b", rows[_i].b);
  /* And so it stays. */
  ck_assert_int_eq(fb_close(&bench), WEIR_OK);
  fb_open(&bench);
  ck_assert_int_eq(strncmp(fb_contents(&bench, "b"), rows[_i].b, 4), 0);
}
END_TEST

/* A number that is further from the others of its segment than a segment can be
 * long. Memory has nothing to do with it. */
START_TEST(a_number_of_elsewhere) {
  fill();
  fb_kill(&bench);
  forge(WEIR__RECORD_EVENT, 6, SEQ, UINT64_C(1) << 40);
  ck_assert_int_eq(fb_try(&bench), WEIR_EFORMAT);
  ck_assert_ptr_nonnull(strstr(bench.reports.data, "a number of elsewhere"));
}
END_TEST

/* A stream with no number left, of which an event may be lost. */
START_TEST(a_loss_at_the_last_number) {
  char want[128];
  uint64_t salt;
  uint64_t size;

  fill();
  fb_kill(&bench);
  forge(WEIR__RECORD_STATE, 2, LAST, (uint64_t)WEIR_SEQ_MAX);
  /* What follows the stream: the state of the next one. */
  fb_segment(&bench, 0, &size)[find(WEIR__RECORD_STATE, 3, &salt) + 20] ^= 1;
  fb_open(&bench);
  snprintf(want, sizeof want, "8:%lld *:%lld trimmed %lld |",
           (long long)WEIR_SEQ_MAX, (long long)WEIR_SEQ_MAX,
           (long long)WEIR_SEQ_MAX);
  expect("b", want);
  expect("c", "none");
}
END_TEST

/* --- Indexes ---------------------------------------------------------------*/

/* Rewrite a trailer, with the checksum of the index in it. */
static void put_trailer(const struct weir__trailer *trailer, bool sum) {
  struct weir__trailer made = *trailer;
  uint64_t size;
  unsigned char *bytes = fb_segment(&bench, 0, &size);

  if (sum) {
    made.crc =
        weir__crc32c(&crc, 0, bytes + trailer->data_end,
                     (size_t)(size - WEIR__TRAILER_SIZE - trailer->data_end));
  }
  weir__trailer_write(&crc, &made, bytes + size - WEIR__TRAILER_SIZE);
}

static struct weir__trailer trailer_of(size_t segment) {
  struct weir__trailer trailer;
  uint64_t size;
  const unsigned char *bytes = fb_segment(&bench, segment, &size);

  ck_assert(
      weir__trailer_read(&crc, bytes + size - WEIR__TRAILER_SIZE, &trailer));
  return trailer;
}

static struct weir__trailer get_trailer(void) {
  return trailer_of(0);
}

/* An index that is not believed costs nothing: the records are there. */
START_TEST(forged_trailers) {
  struct weir__trailer trailer;

  fill();
  ck_assert_int_eq(fb_close(&bench), WEIR_OK);
  trailer = get_trailer();
  switch (_i) {
    case 0:
      trailer.number += 1;
      break;
    case 1:
      trailer.salt ^= 1;
      break;
    case 2:
      trailer.data_end += 4;
      break;
    case 3:
      trailer.data_end = 56;
      break;
    case 4:
      trailer.directory = trailer.data_end - 8;
      break;
    case 5:
      trailer.directory += 65536;
      break;
    case 6:
      trailer.entries += 1;
      break;
    default:
      trailer.directory -= 8;
      break;
  }
  put_trailer(&trailer, false);
  fb_open(&bench);
  expect("a", SOUND_A);
  expect("b", SOUND_B);
}
END_TEST

/* The nth entry of a segment, from 0. */
static unsigned char *entry_at(size_t segment, size_t n,
                               struct weir__entry_of_directory *entry) {
  const struct weir__trailer trailer = trailer_of(segment);
  uint64_t size;
  unsigned char *bytes = fb_segment(&bench, segment, &size) +
                         trailer.directory + n * WEIR__ENTRY_SIZE;

  ck_assert(weir__entry_read(&crc, bytes, entry));
  return bytes;
}

/* The entry of stream b: the second. */
static unsigned char *entry_of_b(struct weir__entry_of_directory *entry) {
  unsigned char *bytes = entry_at(0, 1, entry);

  ck_assert_uint_eq(entry->generation, 8);
  return bytes;
}

START_TEST(forged_entries) {
  struct weir__entry_of_directory entry;
  unsigned char *bytes;

  fill();
  ck_assert_int_eq(fb_close(&bench), WEIR_OK);
  bytes = entry_of_b(&entry);
  switch (_i) {
    case 0:
      break;
    case 1:
      entry.positions = 8;
      break;
    case 2:
      entry.state_size -= 1;
      break;
    default:
      entry.generation = 1;
      break;
  }
  weir__entry_write(&crc, &entry, bytes);
  if (_i == 0) {
    bytes[0] ^= 1;
  }
  {
    const struct weir__trailer trailer = get_trailer();

    put_trailer(&trailer, true);
  }
  fb_open(&bench);
  ck_assert(fb_said(&bench, "its index is damaged"));
  expect("a", SOUND_A);
  expect("b", SOUND_B);
}
END_TEST

/* While the log is open: nobody looks at all of it again, but what it leads to
 * is looked at. */
START_TEST(entries_that_change) {
  struct weir__entry_of_directory entry;
  unsigned char *bytes;

  fill();
  fb_reopen(&bench);
  bytes = entry_of_b(&entry);
  if (_i == 1) {
    entry.positions = 8;
  } else if (_i == 2) {
    entry.previous = 1;
  }
  weir__entry_write(&crc, &entry, bytes);
  bytes[0] ^= _i == 0;
  expect("b", "8:2 *:2 | !1-2");
  /* It is on the way to that of stream a. */
  expect("a", _i == 0 ? "1:4 2:6 *:6 trimmed 1 | !2-6" : SOUND_A);
}
END_TEST

/* It leads to a segment that is not there any more. */
START_TEST(an_entry_that_leads_nowhere) {
  struct weir__entry_of_directory entry;
  struct weir__handle *handle;
  unsigned char *bytes;

  bench.options.keep_age = 1000;
  fill();
  fb_reopen(&bench);
  bench.wall += 2000;
  (void)fb_rounds(&bench);
  ck_assert_uint_eq(fb_info(&bench).removed, 1);
  ck_assert_int_eq(fb_take(&bench, "a", 1, 3, &handle), WEIR_LOG_YES);
  ck_assert_int_eq(fb_append(&bench, handle, 3, 7, 9, 0), WEIR_LOG_YES);
  weir__handle_release(handle);
  fb_reopen(&bench);
  expect("a", "1:4 2:6 *:6 3:9 *:9 trimmed 6 | 7-9");
  /* Where it was found is remembered. */
  fb_reopen(&bench);
  bytes = entry_at(0, 0, &entry);
  ck_assert_uint_eq(entry.generation, 1);
  ck_assert_uint_eq(entry.first, 7);
  entry.first = 9;
  entry.previous = 1;
  weir__entry_write(&crc, &entry, bytes);
  expect("a", "1:4 2:6 *:6 3:9 *:9 trimmed 6 | !7-9");
}
END_TEST

/* It says less than when it was read: what it had more is not found any more
 * where it was, once that has gone. */
START_TEST(an_entry_that_shrinks) {
  struct weir__entry_of_directory entry;
  unsigned char *bytes;

  bench.options.keep_age = 1000;
  fill();
  fb_reopen(&bench);
  expect("b", SOUND_B);
  bytes = entry_of_b(&entry);
  entry.last = 1;
  weir__entry_write(&crc, &entry, bytes);
  bench.wall += 2000;
  (void)fb_rounds(&bench);
  ck_assert_uint_eq(fb_info(&bench).removed, 1);
  expect("b", "8:2 *:2 trimmed 1 | !2");
}
END_TEST

/* A segment that a reader knows cannot be opened, once: it is looked for. */
START_TEST(a_segment_that_does_not_open_at_once) {
  fill();
  fb_write(&bench, "d", 10, 400);
  bench.disk.fd_most = 2; /* one drives out another */
  fb_reopen(&bench);
  expect("b", SOUND_B);
  (void)fb_contents(&bench, "d");
  bench.disk.fd_most = 0;
  simdisk_fail(&bench.disk, SIM_OPEN, 1, SIM_ERROR, EIO);
  expect("b", SOUND_B);
}
END_TEST

/* It leads to one that has no index and nothing of the stream: what is older is
 * found all the same. */
START_TEST(an_entry_that_leads_astray) {
  struct weir__entry_of_directory entry;
  struct weir__handle *handle;
  unsigned char *bytes;
  uint64_t seq;

  fb_open(&bench);
  fb_write(&bench, "a", 1, 3);
  fb_reopen(&bench);
  ck_assert_int_eq(fb_create(&bench, "b", 0, 2, &handle), WEIR_LOG_YES);
  simdisk_fail(&bench.disk, SIM_SYNC, 1, SIM_KEEP, 0);
  ck_assert_int_lt(fb_append(&bench, handle, 2, 1, 1, 0), 0);
  weir__handle_release(handle);
  ck_assert_int_eq(fb_take(&bench, "a", 1, 3, &handle), WEIR_LOG_YES);
  for (seq = 4; seq <= 120; ++seq) {
    ck_assert_int_eq(fb_append(&bench, handle, 3, seq, seq, 0), WEIR_LOG_YES);
  }
  weir__handle_release(handle);
  ck_assert_uint_gt(fb_info(&bench).segments, 3);
  bytes = entry_at(2, 0, &entry);
  ck_assert_uint_eq(entry.generation, 1);
  ck_assert_uint_eq(entry.first, 4);
  ck_assert_uint_eq(entry.previous, 1);
  entry.previous = 2;
  weir__entry_write(&crc, &entry, bytes);
  expect("a", "1:3 *:3 3:120 | 1-120");
}
END_TEST

/* Two segments come back that an older writer had, and that were away while the
 * stream was taken over: what they have is void, wherever a reader comes from.
 */
START_TEST(void_segments_that_come_back) {
  char names[2][WEIR__FILE_NAME];
  struct weir__handle *handle;
  struct simdisk sound;
  uint64_t sizes[2];
  size_t i;

  fb_open(&bench);
  ck_assert_int_eq(fb_create(&bench, "a", 0, 1, &handle), WEIR_LOG_YES);
  for (i = 0; i < 3; ++i) {
    ck_assert_int_eq(fb_append(&bench, handle, 1, i * 30 + 1, i * 30 + 30, 0),
                     WEIR_LOG_YES);
  }
  weir__handle_release(handle);
  ck_assert_int_eq(fb_close(&bench), WEIR_OK);
  simdisk_copy(&bench.disk, &sound);
  for (i = 0; i < 2; ++i) {
    /* The number of the second stays taken. */
    (void)snprintf(names[i], sizeof names[i], "%s",
                   simdisk_name(&sound, i + 1));
    simdisk_remove(&bench.disk, names[i]);
  }
  simdisk_put(&bench.disk, "weir-0000000000000003.log.new", "", 0);
  fb_open(&bench);
  ck_assert_int_eq(fb_take(&bench, "a", 1, 2, &handle), WEIR_LOG_YES);
  for (i = 1; i < 4; ++i) {
    ck_assert_int_eq(fb_append(&bench, handle, 2, i * 25 + 6, i * 25 + 30, 0),
                     WEIR_LOG_YES);
  }
  weir__handle_release(handle);
  expect("a", "1:30 *:30 2:105 | 1-105");
  ck_assert_int_eq(fb_close(&bench), WEIR_OK);
  for (i = 0; i < 2; ++i) {
    const unsigned char *bytes = simdisk_bytes(&sound, names[i], &sizes[i]);

    simdisk_put(&bench.disk, names[i], bytes, sizes[i]);
  }
  simdisk_free(&sound);
  fb_open(&bench);
  expect("a", "1:30 *:30 2:105 *:105 | 1-105");
}
END_TEST

START_TEST(places_that_change) {
  struct weir__entry_of_directory entry;
  uint64_t places[6];
  uint64_t salt;
  uint64_t size;
  unsigned char *bytes;

  fill();
  fb_reopen(&bench);
  places[0] = find(WEIR__RECORD_STATE, 1, &salt);
  places[1] = find(WEIR__RECORD_EVENT, 2, &salt); /* another stream's */
  places[2] = find(WEIR__RECORD_EVENT, 7, &salt); /* another number */
  (void)entry_of_b(&entry);
  bytes = fb_segment(&bench, 0, &size);
  places[3] = size;
  places[4] = size + 8;
  places[5] = find(WEIR__RECORD_EVENT, 2, &salt) + 8;
  weir__put_le32(bytes + entry.positions + 4, (uint32_t)(places[_i] / 8));
  expect("b", "8:2 *:2 | 1 !2");
}
END_TEST

/* --- Files -----------------------------------------------------------------*/

/* A version that is not known, and a number that is another's: nothing is
 * touched. */
START_TEST(forged_heads) {
  struct weir__head head;
  struct simdisk before;
  uint64_t size;
  unsigned char *bytes;

  fill();
  fb_kill(&bench);
  bytes = fb_segment(&bench, 0, &size);
  ck_assert_int_eq(weir__head_read(&crc, bytes, &head), WEIR_OK);
  if (_i == 0) {
    head.version = 2;
  } else {
    head.number = 7;
  }
  weir__head_write(&crc, &head, bytes);
  simdisk_copy(&bench.disk, &before);
  ck_assert_int_eq(fb_try(&bench), WEIR_EFORMAT);
  ck_assert(fb_said(&bench, _i == 0 ? "format version 2; this library knows 1"
                                    : "says that it is 0000000000000007"));
  ck_assert(simdisk_is_same(&bench.disk, &before));
  simdisk_free(&before);
}
END_TEST

static int64_t huge(void *user, int fd) {
  (void)user;
  (void)fd;
  return INT64_C(0x400000001);
}

START_TEST(a_segment_larger_than_any) {
  fill();
  fb_kill(&bench);
  bench.disk.io.size = huge;
  ck_assert_int_eq(fb_try(&bench), WEIR_EFORMAT);
  ck_assert(fb_said(&bench, "larger than any can be"));
}
END_TEST

/* No file can be opened, of the system: those that are not needed go. */
START_TEST(no_file_of_the_system) {
  fill();
  fb_reopen(&bench);
  simdisk_fail(&bench.disk, SIM_OPEN, 1, SIM_ERROR, ENFILE);
  expect("b", SOUND_B);
}
END_TEST

/* A segment of which nothing is left cannot be removed: it stays until
 * retention has it, and disturbs nobody. */
START_TEST(an_empty_segment_that_stays) {
  unsigned char *bytes;
  uint64_t size;

  bench.options.segment_bytes = 4096;
  bench.options.keep_age = 1000;
  fb_open(&bench);
  fb_write(&bench, "a", 1, 24);
  fb_write(&bench, "x", 4, 24);
  fb_kill(&bench);
  bytes = fb_segment(&bench, 1, &size);
  memset(bytes + WEIR__HEAD_SIZE, 0,
         (size_t)size - (size_t)2 * WEIR__HEAD_SIZE);
  simdisk_fail(&bench.disk, SIM_REMOVE, 1, SIM_ERROR, EACCES);
  fb_open(&bench);
  ck_assert_int_eq(fb_rounds(&bench), WEIR_OK);
  expect("a", "1:24 *:24 | 1-24");
  ck_assert_uint_eq(fb_info(&bench).segments, 2);
  fb_write(&bench, "b", 2, 3);
  fb_reopen(&bench);
  expect("a", "1:24 *:24 | 1-24");
  expect("b", "2:3 *:3 | 1-3");
  bench.wall += 5000;
  (void)fb_rounds(&bench);
  ck_assert_uint_eq(fb_info(&bench).removed, 3);
  expect("a", "1:24 *:24 trimmed 24 |");
}
END_TEST

/* --- Reading ---------------------------------------------------------------*/

struct came {
  int result;
  size_t count;
  uint64_t first;
  uint64_t lost_through;
};

static void come(void *owner, int result, const weir_answer *answer,
                 struct weir__handle *handle) {
  struct came *came = owner;

  (void)handle;
  came->result = result;
  came->count = answer == NULL ? 0 : answer->record_count;
  came->first = came->count == 0 ? 0 : answer->records[0].seq;
  came->lost_through = answer == NULL ? 0 : answer->lost_through;
}

static struct came read_from(struct weir__handle *handle, uint64_t after) {
  struct came came = {0, 0, 0, 0};
  struct weir__call *place;

  ck_assert_int_eq(weir__log_read(handle, after, (uint64_t)WEIR_SEQ_MAX,
                                  1 << 24, come, &came, &place),
                   WEIR_OK);
  return came;
}

static struct weir__handle *fill_with(size_t frame_len, uint64_t last) {
  struct weir__handle *handle;

  bench.options.segment_bytes = 1 << 20;
  fb_open(&bench);
  ck_assert_int_eq(fb_create(&bench, "a", 0, 1, &handle), WEIR_LOG_YES);
  bench.frame_len = frame_len;
  ck_assert_int_eq(fb_append(&bench, handle, 1, 1, last, 0), WEIR_LOG_YES);
  return handle;
}

/* As many as stand in the buffer whole, and no more than an answer has room
 * for. */
START_TEST(what_comes_together) {
  struct weir__handle *handle = fill_with(40000, 6);
  struct came came = read_from(handle, 0);

  ck_assert_uint_eq(came.count, 6);
  weir__handle_release(handle);
  ck_assert_int_eq(fb_close(&bench), WEIR_OK);
  simdisk_free(&bench.disk);
  simdisk_init(&bench.disk);
  handle = fill_with(20000, 14);
  came = read_from(handle, 0);
  ck_assert_uint_eq(came.count, 13);
  came = read_from(handle, 13);
  ck_assert_uint_eq(came.count, 1);
  weir__handle_release(handle);
  ck_assert_int_eq(fb_close(&bench), WEIR_OK);
  simdisk_free(&bench.disk);
  simdisk_init(&bench.disk);
  handle = fill_with(40, WEIR__READ_MOST + 10);
  came = read_from(handle, 0);
  ck_assert_uint_eq(came.count, WEIR__READ_MOST);
  ck_assert_uint_eq(came.first, 1);
  weir__handle_release(handle);
}
END_TEST

/* A record's head can be read, and the rest of it cannot: now, or ever. */
START_TEST(half_a_record) {
  struct weir__handle *handle = fill_with(300000, 6);
  struct came came;

  /* They stand too far apart to be read together. */
  simdisk_fail(&bench.disk, SIM_READ, 2, SIM_ERROR, _i == 0 ? ENOMEM : EIO);
  came = read_from(handle, 0);
  if (_i == 0) {
    ck_assert_int_eq(came.result, WEIR_ENOMEM);
    came = read_from(handle, 0);
    ck_assert_uint_eq(came.first, 1);
  } else {
    ck_assert_int_eq(came.result, WEIR_LOG_YES);
    ck_assert_uint_eq(came.lost_through, 1);
  }
  weir__handle_release(handle);
}
END_TEST

/* A batch larger than what is read at once: at every read the memory of the
 * system, or the disk, may fail, once or for a while. */
START_TEST(a_large_batch) {
  struct simdisk sound;
  struct weir__handle *handle;
  size_t nth;
  int rv = WEIR_ENOMEM;

  bench.options.segment_bytes = 8 << 20;
  fb_open(&bench);
  ck_assert_int_eq(fb_create(&bench, "a", 0, 1, &handle), WEIR_LOG_YES);
  bench.frame_len = 50000;
  ck_assert_int_eq(fb_append(&bench, handle, 1, 1, 40, 0), WEIR_LOG_YES);
  weir__handle_release(handle);
  fb_kill(&bench);
  simdisk_copy(&bench.disk, &sound);
  for (nth = 1; nth < 30; ++nth) {
    simdisk_fail_some(&bench.disk, SIM_READ, nth, _i == 2 ? 1000 : 1, SIM_ERROR,
                      _i == 0 ? ENOMEM : EIO);
    rv = fb_try(&bench);
    simdisk_heal(&bench.disk);
    if (rv == WEIR_OK) {
      (void)fb_contents(&bench, "a");
      if (_i == 0) {
        ck_assert_uint_eq(bench.counts.present, 40);
      } else {
        ck_assert_uint_eq(bench.counts.present + bench.counts.lost,
                          bench.counts.last);
      }
      ck_assert_int_eq(fb_close(&bench), WEIR_OK);
    } else {
      /* A directory of which nothing can be read is nobody's. */
      ck_assert(rv == (_i == 0 ? WEIR_ENOMEM : WEIR_EIO) ||
                (_i == 2 && rv == WEIR_EFORMAT));
    }
    fb_set_disk(&bench, &sound);
  }
  simdisk_free(&sound);
  ck_assert_int_eq(rv, WEIR_OK);
}
END_TEST

/* --- Retention -------------------------------------------------------------*/

/* What should go cannot be read, since its directory is damaged, since it
 * cannot be opened, or since somebody has removed it: it goes all the same, and
 * what has to stay of it stays. Only where there are no descriptors it waits
 * until there are. */
START_TEST(a_directory_that_changes) {
  struct weir__entry_of_directory entry;
  uint64_t segments;

  bench.options.keep_age = 1000;
  fill();
  if (_i != 0) {
    /* So many segments that not all of them stay open. */
    fb_write(&bench, "d", 10, 400);
    bench.disk.fd_most = 2;
  }
  fb_reopen(&bench);
  segments = fb_info(&bench).segments;
  bench.disk.fd_most = 0;
  switch (_i) {
    case 0:
      entry_of_b(&entry)[0] ^= 1;
      break;
    case 1:
      simdisk_fail(&bench.disk, SIM_OPEN, 1, SIM_ERROR, EIO);
      break;
    case 2:
      simdisk_remove(&bench.disk, simdisk_name(&bench.disk, 0));
      break;
    default:
      simdisk_fail_some(&bench.disk, SIM_OPEN, 1, 2, SIM_ERROR, EMFILE);
      break;
  }
  bench.wall += 2000;
  (void)fb_rounds(&bench);
  if (_i == 3) {
    ck_assert_uint_eq(fb_info(&bench).removed, 0);
    ck_assert(fb_said(&bench, "what has to stay of it cannot be kept"));
    bench.kit.now += 1000;
    (void)fb_rounds(&bench);
  } else {
    ck_assert(fb_said(&bench, "segment 0000000000000001: cannot be read"));
  }
  ck_assert_uint_eq(fb_info(&bench).removed, segments);
  fb_cut(&bench);
  fb_open(&bench);
  expect("a", "1:4 2:6 *:6 *:6 trimmed 6 |");
  expect("b", "8:2 *:2 *:2 trimmed 2 |");
  expect("c", "9:2 *:2 *:2 trimmed 2 |");
}
END_TEST

static TCase *forged(void) {
  TCase *tcase = tcase_create("forged");

  tcase_set_timeout(tcase, 60);
  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_loop_test(tcase, forged_records, 0, 17);
  tcase_add_test(tcase, a_number_of_elsewhere);
  tcase_add_test(tcase, a_loss_at_the_last_number);
  tcase_add_loop_test(tcase, forged_trailers, 0, 8);
  tcase_add_loop_test(tcase, forged_entries, 0, 4);
  tcase_add_loop_test(tcase, entries_that_change, 0, 3);
  tcase_add_test(tcase, an_entry_that_leads_nowhere);
  tcase_add_test(tcase, an_entry_that_leads_astray);
  tcase_add_test(tcase, an_entry_that_shrinks);
  tcase_add_test(tcase, a_segment_that_does_not_open_at_once);
  tcase_add_test(tcase, void_segments_that_come_back);
  tcase_add_loop_test(tcase, places_that_change, 0, 6);
  tcase_add_loop_test(tcase, forged_heads, 0, 2);
  tcase_add_test(tcase, a_segment_larger_than_any);
  tcase_add_test(tcase, no_file_of_the_system);
  tcase_add_test(tcase, an_empty_segment_that_stays);
  tcase_add_test(tcase, what_comes_together);
  tcase_add_loop_test(tcase, half_a_record, 0, 2);
  tcase_add_loop_test(tcase, a_large_batch, 0, 3);
  tcase_add_loop_test(tcase, a_directory_that_changes, 0, 4);
  return tcase;
}

KIT_MAIN("log_forged", forged())
