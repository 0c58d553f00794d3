/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/* The directory of a file log, after bytes have said what happens to it. Either
 * damage, that nobody aims: then what can be read is what was written, or is
 * declared lost. Or forgery, by somebody who knows the salts and makes the
 * checksums come out right: then nothing is promised of what is read, but that
 * it is read, or refused, and that the log goes on. */

#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../filebench.h"

#include "file_format.h"

#define EDITS_MOST 16

static const char *const keys[] = {"a", "b", "c"};
#define KEYS (sizeof keys / sizeof keys[0])

/* --- What there is ---------------------------------------------------------*/

/* A log that was closed, and one whose process was killed; each as it was some
 * time before, too. */
static struct simdisk bases[2];
static struct simdisk olders[2];
static struct weir__crc32c crc;

struct writer {
  struct weir__handle *handle;
  uint64_t generation;
  uint64_t epoch;
  uint64_t last;
};

static void let_go(struct writer *writer) {
  weir__handle_release(writer->handle);
  writer->handle = NULL;
}

/* Event n of this writer's, or what comes instead. */
static void write_one(struct filebench *bench, struct writer *writer,
                      const char *key, uint64_t n) {
  const bool is_end = n % 17 == 16;

  if (writer->handle == NULL) {
    writer->epoch = bench->chance++ % 5000 + 1;
    if (writer->generation != 0 && n % 2 == 0) {
      ck_assert_int_eq(fb_take(bench, key, writer->generation, writer->epoch,
                               &writer->handle),
                       WEIR_LOG_YES);
    } else {
      ck_assert_int_eq(fb_create(bench, key, writer->generation, writer->epoch,
                                 &writer->handle),
                       WEIR_LOG_YES);
      writer->generation = writer->epoch;
      writer->last = 0;
    }
  }
  if (n % 13 == 12 && writer->last > 2) {
    ck_assert_int_eq(fb_trim(bench, writer->handle, writer->last - 2),
                     WEIR_LOG_YES);
  }
  bench->frame_len = 30 + (size_t)(n * 37 % 200);
  ck_assert_int_eq(
      fb_append(bench, writer->handle, writer->epoch, writer->last + 1,
                writer->last + 1 + n % 3, is_end ? WEIR_RECORD_END : 0),
      WEIR_LOG_YES);
  writer->last += 1 + n % 3;
  if (is_end) {
    let_go(writer);
  }
}

static void make_base(bool killed, struct simdisk *base,
                      struct simdisk *older) {
  struct filebench bench;
  struct writer writers[KEYS];
  size_t i;
  uint64_t n;

  memset(writers, 0, sizeof writers);
  fb_init(&bench);
  fb_open(&bench);
  for (n = 0; n < 90; ++n) {
    write_one(&bench, &writers[n % KEYS], keys[n % KEYS], n / KEYS);
    if (n % 45 == 44) {
      for (i = 0; i < KEYS; ++i) {
        let_go(&writers[i]);
      }
    }
    if (n == 44) {
      simdisk_copy(&bench.disk, older);
      fb_reopen(&bench);
    }
  }
  if (killed) {
    fb_kill(&bench);
  } else {
    ck_assert_int_eq(fb_close(&bench), WEIR_OK);
  }
  simdisk_copy(&bench.disk, base);
  fb_end(&bench);
}

/* --- What happens to it ----------------------------------------------------*/

struct target {
  struct filebench *bench;
  const struct simdisk *base;
  const struct simdisk *older;
  char name[48];
  unsigned char *bytes;
  uint64_t size;
};

/* A file to do something to. */
static void choose(struct target *target, struct fuzz_input *input) {
  struct simdisk *disk = &target->bench->disk;

  snprintf(target->name, sizeof target->name, "%s",
           simdisk_name(disk, fuzz_byte(input) % disk->name_count));
  target->bytes = simdisk_bytes(disk, target->name, &target->size);
}

static uint64_t choose_place(const struct target *target,
                             struct fuzz_input *input) {
  return target->size == 0 ? 0 : fuzz_number(input, 2) % target->size;
}

/* Write over a part of it: zeros, ones, or what stands elsewhere. */
static void overwrite(struct target *target, struct fuzz_input *input,
                      const struct simdisk *from) {
  const uint8_t how = fuzz_byte(input);
  const uint64_t step = (how & 4) != 0 ? SIM_SECTOR : (how & 8) != 0 ? 8 : 1;
  const uint64_t at = choose_place(target, input) / step * step;
  const uint64_t source = fuzz_number(input, 2) / step * step;
  uint64_t len = (1 + (uint64_t)fuzz_byte(input)) * ((how & 16) != 0 ? 64 : 1);
  uint64_t other_size;
  const unsigned char *other = simdisk_bytes(
      (struct simdisk *)(uintptr_t)from,
      simdisk_name(from, fuzz_byte(input) % from->name_count), &other_size);
  uint64_t i;

  len = len < target->size - at ? len : target->size - at;
  for (i = 0; i < len; ++i) {
    target->bytes[at + i] = (how & 3) == 0            ? 0
                            : (how & 3) == 1          ? 0xff
                            : source + i < other_size ? other[source + i]
                                                      : 0;
  }
}

/* It is as it was some time before. */
static void age(struct target *target) {
  const char *name;
  const unsigned char *bytes;
  uint64_t size;
  size_t i;

  for (i = 0; (name = simdisk_name(target->older, i)) != NULL; ++i) {
    if (strcmp(name, target->name) == 0) {
      bytes = simdisk_bytes((struct simdisk *)(uintptr_t)target->older, name,
                            &size);
      simdisk_put(&target->bench->disk, name, bytes, size);
      return;
    }
  }
}

/* Give it another name, or a twin's. */
static void move(struct target *target, struct fuzz_input *input) {
  char name[48];

  snprintf(name, sizeof name, "weir-%016llx.%s",
           (unsigned long long)fuzz_extreme(input),
           (fuzz_byte(input) & 7) == 7 ? "tmp" : "log");
  if ((fuzz_byte(input) & 1) != 0) {
    simdisk_move(&target->bench->disk, target->name, name);
  } else {
    simdisk_put(&target->bench->disk, name, target->bytes, target->size);
  }
}

static void damage(struct target *target, struct fuzz_input *input) {
  struct simdisk *disk = &target->bench->disk;
  const uint8_t what = fuzz_byte(input);
  uint64_t at;

  choose(target, input);
  switch (what % 8) {
    case 0:
      simdisk_remove(disk, target->name);
      break;
    case 1:
      simdisk_resize(disk, target->name, fuzz_number(input, 2) % 8192);
      break;
    case 2:
      age(target);
      break;
    case 3:
      move(target, input);
      break;
    case 4:
      overwrite(target, input, target->older);
      break;
    case 5:
      overwrite(target, input, target->base);
      break;
    default:
      at = choose_place(target, input);
      if (target->size != 0) {
        target->bytes[at] ^= (unsigned char)(1u << (what >> 5));
      }
      break;
  }
}

/* --- Forgery ---------------------------------------------------------------*/

/* The salt in the file's head, whatever that is. */
static uint64_t salt_of(const struct target *target) {
  return (uint64_t)weir__le32(target->bytes + 24) |
         (uint64_t)weir__le32(target->bytes + 28) << 32;
}

/* A record that nobody wrote. */
static void forge_record(struct target *target, struct fuzz_input *input) {
  struct weir__file_record record;
  const uint64_t at = choose_place(target, input) / 8 * 8;
  struct fuzz_bytes payload;
  uint64_t room;

  memset(&record, 0, sizeof record);
  record.kind = (uint8_t)(1 + (fuzz_byte(input) & 3));
  record.flags = fuzz_byte(input) & 7;
  record.left = fuzz_byte(input) & 3;
  record.generation = fuzz_extreme(input);
  record.epoch = fuzz_extreme(input);
  record.seq = fuzz_extreme(input);
  record.time = fuzz_extreme(input);
  record.synced = fuzz_extreme(input);
  payload = fuzz_some(input, 512);
  room = target->size - at;
  if (room >= WEIR__RECORD_SIZE) {
    room = (room - WEIR__RECORD_SIZE) / 8 * 8;
    record.size = (uint32_t)(payload.len < room ? payload.len : room);
    memcpy(target->bytes + at + WEIR__RECORD_SIZE, payload.data, record.size);
    weir__record_write(&crc, salt_of(target), at, &record, target->bytes + at);
  }
  free(payload.data);
}

/* The nth thing of a file with a checksum: what begins there as a record's or
 * another structure's does. size if there are not so many. */
static uint64_t find(const struct target *target, unsigned n, bool *is_record) {
  struct weir__file_record record;
  uint64_t at;

  *is_record = false;
  for (at = 0; at + 64 <= target->size; at += 8) {
    *is_record = weir__record_read(&crc, salt_of(target), at,
                                   target->bytes + at, &record);
    if (*is_record || weir__le32(target->bytes + at + 60) ==
                          weir__crc32c(&crc, 0, target->bytes + at, 60)) {
      if (n-- == 0) {
        return at;
      }
    }
  }
  return target->size;
}

static void seal(const struct target *target, uint64_t at, bool is_record) {
  unsigned char *bytes = target->bytes + at;
  const uint64_t salt = salt_of(target);
  uint64_t length;

  if (!is_record) {
    weir__put_le32(bytes + 60, weir__crc32c(&crc, 0, bytes, 60));
    return;
  }
  weir__put_le32(bytes + 4, weir__record_crc(&crc, salt, bytes + 8,
                                             WEIR__RECORD_SIZE - 8));
  length = weir__record_length(weir__record_payload(bytes));
  if (length <= target->size - at) {
    weir__put_le32(
        bytes, weir__record_crc(&crc, salt, bytes + 4, (size_t)(length - 4)));
  }
}

/* The index of a segment, after something in it has changed. */
static void seal_index(const struct target *target) {
  unsigned char *bytes = target->bytes + target->size - WEIR__TRAILER_SIZE;
  struct weir__trailer trailer;

  if (target->size >= WEIR__TRAILER_SIZE &&
      weir__trailer_read(&crc, bytes, &trailer) &&
      trailer.data_end <= target->size - WEIR__TRAILER_SIZE) {
    trailer.crc = weir__crc32c(
        &crc, 0, target->bytes + trailer.data_end,
        (size_t)(target->size - WEIR__TRAILER_SIZE - trailer.data_end));
    weir__trailer_write(&crc, &trailer, bytes);
  }
}

/* Change a number in something, or in what follows it. */
static void forge_number(struct target *target, struct fuzz_input *input) {
  bool is_record;
  const uint64_t at = find(target, fuzz_byte(input), &is_record);
  const uint64_t to = at + fuzz_byte(input);
  const uint8_t how = fuzz_byte(input);
  const uint64_t number = fuzz_extreme(input);
  size_t i;

  if (at == target->size) {
    return;
  }
  for (i = 0; i < (size_t)1 << (how & 3) && to + i < target->size; ++i) {
    target->bytes[to + i] =
        (unsigned char)((how & 4) != 0 ? target->bytes[to + i] + number
                                       : number >> 8 * i);
  }
  seal(target, at, is_record);
  seal_index(target);
}

static void forge(struct target *target, struct fuzz_input *input) {
  const uint8_t what = fuzz_byte(input);

  if (what % 8 == 0) {
    damage(target, input);
    return;
  }
  choose(target, input);
  if (target->size < WEIR__HEAD_SIZE) {
    return;
  }
  if (what % 8 < 3) {
    forge_record(target, input);
    seal_index(target);
  } else {
    forge_number(target, input);
  }
}

/* --- What comes of it ------------------------------------------------------*/

/* All of it can be read: fb_contents compares every byte. */
static void read_all(struct filebench *bench, struct fb_counts counts[KEYS]) {
  size_t i;

  for (i = 0; i < KEYS; ++i) {
    (void)fb_contents(bench, keys[i]);
    counts[i] = bench->counts;
    ck_assert_uint_eq(counts[i].trimmed + counts[i].present + counts[i].lost,
                      counts[i].last);
  }
}

static void check_damaged(struct filebench *bench) {
  struct fb_counts before[KEYS];
  struct fb_counts after[KEYS];
  size_t i;

  read_all(bench, before);
  fb_reopen(bench);
  read_all(bench, after);
  for (i = 0; i < KEYS; ++i) {
    kit_need(before[i].exists == after[i].exists);
    ck_assert_uint_eq(before[i].last, after[i].last);
    ck_assert_uint_eq(before[i].present, after[i].present);
  }
  fb_write(bench, "new", 9999, 3);
  ck_assert_str_eq(fb_contents(bench, "new"), "9999:3 | 1-3");
}

/* Clients read whatever streams there are. */
static void read_forged(struct filebench *bench) {
  weir_log_file_stream stream;
  weir_attach_options options;
  weir_subscriber *subscriber;
  unsigned char names[16][WEIR_KEY_MAX];
  size_t lens[16];
  size_t count = 0;
  uint64_t at = 0;
  int verdict;

  stream.size = sizeof stream;
  while (weir_log_file_next_stream(bench->log, &at, &stream) == WEIR_OK) {
    kit_need(stream.trimmed <= stream.last &&
             stream.last <= (uint64_t)WEIR_SEQ_MAX &&
             (stream.ended == 0 || stream.ended == stream.last));
    if (stream.key_len <= WEIR_KEY_MAX && count < 16) {
      memcpy(names[count], stream.key, stream.key_len);
      lens[count++] = stream.key_len;
    }
  }
  while (count-- != 0) {
    options = kit_attach_options("", "");
    options.key = names[count];
    options.key_len = lens[count];
    if (weir_hub_attach(bench->kit.hub, &options, &subscriber, &verdict) ==
            WEIR_OK &&
        subscriber != NULL) {
      (void)kit_skip(subscriber);
      weir_subscriber_release(subscriber);
    }
  }
}

static void check_forged(struct filebench *bench) {
  weir_open_options options = kit_open_options("new", "");
  weir_stream *stream;

  read_forged(bench);
  if (weir_hub_open(bench->kit.hub, &options, &stream) == WEIR_OK) {
    (void)weir_stream_end(stream, NULL, 0, 0, NULL);
    (void)fb_rounds(bench);
    weir_stream_release(stream);
  }
  (void)fb_close(bench);
  if (fb_try(bench) == WEIR_OK) {
    read_forged(bench);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct fuzz_input input = {data, size};
  const uint8_t how = fuzz_byte(&input);
  const bool is_forged = (how & 2) != 0;
  struct filebench bench;
  struct target target;
  int edits;
  int rv;

  if (bases[0].files == NULL) {
    weir__crc32c_init(&crc, WEIR__CRC32C_WIDE);
    make_base(false, &bases[0], &olders[0]);
    make_base(true, &bases[1], &olders[1]);
  }
  fb_init(&bench);
  target.bench = &bench;
  target.base = &bases[how & 1];
  target.older = &olders[how & 1];
  fb_set_disk(&bench, target.base);
  for (edits = 0;
       edits < EDITS_MOST && input.left != 0 && bench.disk.name_count != 0;
       ++edits) {
    if (is_forged) {
      forge(&target, &input);
    } else {
      damage(&target, &input);
    }
  }
  rv = fb_try(&bench);
  if (rv != WEIR_OK) {
    ck_assert_int_eq(rv, WEIR_EFORMAT);
    ck_assert_uint_ne(bench.reports.len, 0);
  } else if (is_forged) {
    check_forged(&bench);
  } else {
    check_damaged(&bench);
  }
  fb_end(&bench);
  return 0;
}
