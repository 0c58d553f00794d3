/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/* Directories of a file log that something has happened to: bits have flipped,
 * files are cut, overwritten, swapped, older than they were. Opening one
 * succeeds, or fails and says why; what is then read is what was written, to
 * the byte, or declared lost; and it goes on. */

#include "../filebench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "file_format.h"

static struct filebench bench;
static uint64_t seed;

static uint64_t draw(uint64_t below) {
  return sim_draw(&seed) % below;
}

static const char *const keys[] = {"a", "b", "c", "d", "e"};
#define KEYS (sizeof keys / sizeof keys[0])

/* --- What there is ---------------------------------------------------------*/

struct writer {
  struct weir__handle *handle;
  uint64_t generation;
  uint64_t epoch;
  uint64_t last;
};

static uint64_t epochs; /* given */

static void begin(struct writer *writer, const char *key, bool anew) {
  weir__handle_release(writer->handle);
  writer->epoch = ++epochs;
  if (writer->generation == 0 || anew) {
    ck_assert_int_eq(fb_create(&bench, key, writer->generation, writer->epoch,
                               &writer->handle),
                     WEIR_LOG_YES);
    writer->generation = writer->epoch;
    writer->last = 0;
  } else {
    ck_assert_int_eq(fb_take(&bench, key, writer->generation, writer->epoch,
                             &writer->handle),
                     WEIR_LOG_YES);
  }
}

static void use(struct writer *writer, const char *key) {
  const uint64_t what = draw(40);
  const uint64_t count = 1 + draw(4);

  if (writer->handle == NULL || what == 0) {
    begin(writer, key, false);
  }
  if (what == 1 && writer->last != 0) {
    ck_assert_int_eq(fb_trim(&bench, writer->handle, 1 + draw(writer->last)),
                     WEIR_LOG_YES);
  }
  bench.frame_len = 30 + (size_t)draw(200);
  ck_assert_int_eq(
      fb_append(&bench, writer->handle, writer->epoch, writer->last + 1,
                writer->last + count, what == 2 ? WEIR_RECORD_END : 0),
      WEIR_LOG_YES);
  writer->last += count;
  if (what == 2) {
    begin(writer, key, true);
  }
}

/* Some of everything: the last life has ended well (0), or with a kill. The
 * directory as it was some time before is kept too. */
static void make_base(int end, struct simdisk *base, struct simdisk *older) {
  struct writer writers[KEYS];
  size_t i;
  size_t n;

  memset(writers, 0, sizeof writers);
  epochs = 0;
  fb_open(&bench);
  for (n = 0; n < 240; ++n) {
    use(&writers[n % KEYS], keys[n % KEYS]);
    if (n % 80 == 79) {
      for (i = 0; i < KEYS; ++i) {
        weir__handle_release(writers[i].handle);
        writers[i].handle = NULL;
      }
      if (n == 79) {
        fb_reopen(&bench);
      } else if (n == 159) {
        fb_kill(&bench);
        simdisk_copy(&bench.disk, older);
        fb_open(&bench);
      }
    }
  }
  (void)fb_rounds(&bench);
  if (end == 0) {
    ck_assert_int_eq(fb_close(&bench), WEIR_OK);
  } else {
    fb_kill(&bench);
  }
  simdisk_copy(&bench.disk, base);
}

/* --- What happens to it ----------------------------------------------------*/

static char said[512]; /* what has happened */

static void note(const char *what, const char *name, uint64_t at) {
  const size_t len = strlen(said);

  snprintf(said + len, sizeof said - len, " %s %s %llu;", what, name,
           (unsigned long long)at);
}

/* Write something over a part of a file. */
static void overwrite(const char *name, const struct simdisk *base) {
  uint64_t size;
  unsigned char *bytes = simdisk_bytes(&bench.disk, name, &size);
  uint64_t other_size;
  const unsigned char *other = simdisk_bytes(
      (struct simdisk *)(uintptr_t)base,
      simdisk_name(base, (size_t)draw(base->name_count)), &other_size);
  const uint64_t step = draw(2) == 0 ? 1 : 512;
  uint64_t at = draw(size + 1) / step * step;
  uint64_t len = 1 + draw(draw(2) == 0 ? 64 : 4096);
  const uint64_t from = draw(2) == 0 ? at : draw(other_size + 1) / 8 * 8;
  const uint64_t what = draw(4);
  uint64_t i;

  len = weir__min(len, size - at);
  for (i = 0; i < len; ++i) {
    bytes[at + i] = what == 0               ? 0
                    : what == 1             ? 0xff
                    : what == 2             ? (unsigned char)draw(256)
                    : from + i < other_size ? other[from + i]
                                            : 0;
  }
  note("over", name, at);
}

static void flip(const char *name) {
  uint64_t size;
  unsigned char *bytes = simdisk_bytes(&bench.disk, name, &size);
  uint64_t at;

  if (size != 0) {
    at = draw(size);
    bytes[at] ^= (unsigned char)(1u << draw(8));
    note("flip", name, at);
  }
}

static void resize(const char *name) {
  uint64_t size;
  uint64_t to;

  (void)simdisk_bytes(&bench.disk, name, &size);
  to = draw(3) == 0 ? size + draw(5000) : draw(size + 1);
  simdisk_resize(&bench.disk, name, to);
  note("size", name, to);
}

/* It is as it was some time before. */
static void age(const char *name, const struct simdisk *older) {
  const char *its;
  const unsigned char *bytes;
  uint64_t size;
  size_t i;

  for (i = 0; (its = simdisk_name(older, i)) != NULL; ++i) {
    if (strcmp(its, name) == 0) {
      bytes = simdisk_bytes((struct simdisk *)(uintptr_t)older, its, &size);
      simdisk_put(&bench.disk, name, bytes, size);
      note("old", name, size);
      return;
    }
  }
}

static void damage(const struct simdisk *base, const struct simdisk *older) {
  char name[48];

  if (bench.disk.name_count == 0) {
    return;
  }
  strcpy(name, simdisk_name(&bench.disk, (size_t)draw(bench.disk.name_count)));
  switch (draw(12)) {
    case 0:
      note("gone", name, 0);
      simdisk_remove(&bench.disk, name);
      break;
    case 1:
      resize(name);
      break;
    case 2:
      age(name, older);
      break;
    case 3:
      if (draw(8) == 0) {
        note("moved", name, 0);
        simdisk_move(&bench.disk, name,
                     draw(2) == 0 ? "weir-0000000000000002.log" : "notes.txt");
      }
      break;
    case 4:
    case 5:
    case 6:
    case 7:
      overwrite(name, base);
      break;
    default:
      flip(name);
      break;
  }
}

/* --- What comes of it ------------------------------------------------------*/

/* All of it can be read: fb_contents compares every byte. */
static void read_all(struct fb_counts counts[KEYS]) {
  size_t i;

  for (i = 0; i < KEYS; ++i) {
    (void)fb_contents(&bench, keys[i]);
    counts[i] = bench.counts;
    ck_assert_uint_eq(counts[i].trimmed + counts[i].present + counts[i].lost,
                      counts[i].last);
  }
}

/* And then it goes on. */
static void go_on(void) {
  struct fb_counts before[KEYS];
  struct fb_counts after[KEYS];
  struct weir__handle *handle;
  size_t i;

  read_all(before);
  fb_reopen(&bench);
  read_all(after);
  for (i = 0; i < KEYS; ++i) {
    ck_assert_int_eq(before[i].exists, after[i].exists);
    ck_assert_uint_eq(before[i].last, after[i].last);
    ck_assert_uint_eq(before[i].present, after[i].present);
  }
  fb_write(&bench, "new", 9999, 3);
  ck_assert_str_eq(fb_contents(&bench, "new"), "9999:3 | 1-3");
  (void)fb_lookup(&bench, "a", &handle);
  weir__handle_release(handle);
  ck_assert_int_eq(fb_close(&bench), WEIR_OK);
}

START_TEST(damaged_directories) {
  const size_t runs = getenv("WEIR_LONG") != NULL ? 6000 : 500;
  struct simdisk base;
  struct simdisk older;
  size_t opened = 0;
  size_t run;
  uint64_t hits;
  int rv;

  seed = 1 + (uint64_t)_i;
  make_base(_i, &base, &older);
  for (run = 0; run < runs; ++run) {
    said[0] = '\0';
    fb_set_disk(&bench, &base);
    fb_forget(&bench);
    for (hits = 1 + draw(draw(2) == 0 ? 1 : 5); hits > 0; --hits) {
      damage(&base, &older);
    }
    rv = fb_try(&bench);
    if (rv == WEIR_OK) {
      opened += 1;
      go_on();
    } else {
      ck_assert_int_eq(rv, WEIR_EFORMAT);
      ck_assert_uint_ne(bench.reports.len, 0);
    }
  }
  ck_assert_uint_gt(opened, runs / 2);
  simdisk_free(&base);
  simdisk_free(&older);
}
END_TEST

/* Whatever is in a directory that is nobody's. */
START_TEST(garbage_directories) {
  const size_t runs = getenv("WEIR_LONG") != NULL ? 6000 : 300;
  unsigned char bytes[6000];
  char name[48];
  size_t run;
  uint64_t files;
  uint64_t size;
  uint64_t i;
  int rv;

  seed = 7;
  for (run = 0; run < runs; ++run) {
    fb_forget(&bench);
    for (files = draw(4); files > 0; --files) {
      size = draw(sizeof bytes);
      for (i = 0; i < size; ++i) {
        bytes[i] = run % 2 == 0 ? (unsigned char)draw(256) : 0;
      }
      snprintf(name, sizeof name, "weir-%016llx.log",
               (unsigned long long)(draw(3) == 0 ? sim_draw(&seed) : draw(9)));
      simdisk_put(&bench.disk, name, bytes, size);
    }
    rv = fb_try(&bench);
    if (rv == WEIR_OK) {
      ck_assert_str_eq(fb_contents(&bench, "a"), "none");
      ck_assert_int_eq(fb_close(&bench), WEIR_OK);
    } else {
      ck_assert_int_eq(rv, WEIR_EFORMAT);
      ck_assert_uint_ne(bench.reports.len, 0);
    }
    while (simdisk_name(&bench.disk, 0) != NULL) {
      simdisk_remove(&bench.disk, simdisk_name(&bench.disk, 0));
    }
  }
}
END_TEST

/* --- Forgery ---------------------------------------------------------------*/

static void no_matter(void *owner, int result, const weir_answer *answer,
                      struct weir__handle *handle) {
  int *came = owner;

  (void)answer;
  (void)handle;
  *came = result;
}

/* Somebody publishes bytes that would be a record where they come to stand, if
 * he knew the salt. When what they stand in is damaged, they are found. */
START_TEST(forged_record) {
  unsigned char frame[256];
  struct weir__file_record record;
  struct weir__crc32c crc;
  struct weir__handle *handle;
  struct weir__call *place;
  weir_record event;
  uint64_t size;
  uint64_t at;
  int came = 0;

  weir__crc32c_init(&crc, WEIR__CRC32C_WIDE);
  fb_open(&bench);
  ck_assert_int_eq(fb_create(&bench, "a", 0, 1, &handle), WEIR_LOG_YES);
  ck_assert_int_eq(fb_append(&bench, handle, 1, 1, 1, 0), WEIR_LOG_YES);
  /* His event will stand behind this one. */
  at = fb_find(&bench, 0, 1, 1) + weir__record_length(40) + WEIR__RECORD_SIZE;
  memset(&record, 0, sizeof record);
  memset(frame, 'x', sizeof frame);
  record.size = 64;
  record.kind = WEIR__RECORD_EVENT;
  record.generation = 1;
  record.epoch = 1;
  record.seq = 3;
  record.synced = 4000;
  weir__record_write(&crc, UINT64_C(0x123456789), at, &record, frame);
  memset(&event, 0, sizeof event);
  event.size = sizeof event;
  event.epoch = 1;
  event.seq = 2;
  event.frame = frame;
  event.frame_len = sizeof frame;
  ck_assert_int_eq(
      weir__log_append(handle, &event, 1, NULL, 0, no_matter, &came, &place),
      WEIR_OK);
  (void)fb_rounds(&bench);
  ck_assert_int_eq(came, WEIR_LOG_YES);
  ck_assert_int_eq(fb_append(&bench, handle, 1, 3, 4, 0), WEIR_LOG_YES);
  weir__handle_release(handle);
  fb_kill(&bench);
  fb_segment(&bench, 0, &size)[at - WEIR__RECORD_SIZE + 20] ^= 1;
  fb_open(&bench);
  ck_assert_str_eq(fb_contents(&bench, "a"), "1:4 *:4 | 1 !2 3-4");
}
END_TEST

/* --- All of it -------------------------------------------------------------*/

static void setup(void) {
  fb_init(&bench);
}

static void teardown(void) {
  fb_end(&bench);
}

static TCase *fuzz(void) {
  TCase *tcase = tcase_create("fuzz");

  tcase_set_timeout(tcase, 3600);
  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_loop_test(tcase, damaged_directories, 0, 2);
  tcase_add_test(tcase, garbage_directories);
  tcase_add_test(tcase, forged_record);
  return tcase;
}

KIT_MAIN("log_fuzz", fuzz())
