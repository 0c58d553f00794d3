/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "filebench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cursor.h"
#include "file_format.h"

/* Rounds that are enough for anything. */
#define ROUNDS 10000

static uint64_t bench_clock(void *user) {
  const struct filebench *bench = user;

  return bench->kit.now;
}

static uint64_t bench_wall(void *user) {
  const struct filebench *bench = user;

  return bench->wall;
}

static int bench_entropy(void *user, void *dst, size_t len) {
  struct filebench *bench = user;
  unsigned char *p = dst;
  size_t i;

  for (i = 0; i < len; ++i) {
    p[i] = (unsigned char)sim_draw(&bench->chance);
  }
  return 1;
}

static void bench_report(void *user, const char *text) {
  struct filebench *bench = user;

  kit_bytes_add(&bench->reports, text, strlen(text));
  kit_bytes_add(&bench->reports, "\n", 1);
}

void fb_init(struct filebench *bench) {
  memset(bench, 0, sizeof *bench);
  kit_init(&bench->kit);
  kit_memory_init(&bench->memory);
  simdisk_init(&bench->disk);
  bench->wall = UINT64_C(1700000000000);
  bench->chance = 1;
  bench->frame_len = 40;
  weir_log_file_options_init(&bench->options, sizeof bench->options);
  bench->options.path = "log";
  bench->options.allocator = &bench->memory.allocator;
  bench->options.clock = bench_clock;
  bench->options.clock_user = bench;
  bench->options.wall = bench_wall;
  bench->options.wall_user = bench;
  bench->options.entropy = bench_entropy;
  bench->options.entropy_user = bench;
  bench->options.report = bench_report;
  bench->options.report_user = bench;
  bench->options.segment_bytes = 4096;
  kit_bytes_add(&bench->reports, NULL, 0);
}

/* --- The log ---------------------------------------------------------------*/

int fb_try(struct filebench *bench) {
  int rv;

  if (bench->real && bench->path[0] == '\0') {
    kit_directory(bench->path);
    bench->options.path = bench->path;
  }
  rv = weir__log_file_open(&bench->options,
                           bench->real ? NULL : &bench->disk.io, &bench->log);
  if (rv != WEIR_OK) {
    ck_assert_ptr_null(bench->log);
    ck_assert_uint_eq(bench->memory.live, 0);
    ck_assert_uint_eq(bench->disk.open, 0);
    ck_assert(!bench->disk.is_locked);
    return rv;
  }
  weir_log_init(&bench->table, sizeof bench->table);
  ck_assert_int_eq(weir_log_file_get_log(bench->log, &bench->table), WEIR_OK);
  bench->kit.options.log = &bench->table;
  kit_hub(&bench->kit);
  return WEIR_OK;
}

void fb_open(struct filebench *bench) {
  ck_assert_int_eq(fb_try(bench), WEIR_OK);
}

int fb_close(struct filebench *bench) {
  int rv;

  weir_hub_free(bench->kit.hub);
  bench->kit.hub = NULL;
  rv = weir_log_file_close(bench->log);
  bench->log = NULL;
  /* Calls that were under way have been answered. */
  ck_assert_uint_eq(bench->kit.memory.live, 0);
  ck_assert_uint_eq(bench->memory.live, 0);
  ck_assert_uint_eq(bench->disk.open, 0);
  ck_assert(!bench->disk.is_locked);
  return rv;
}

void fb_reopen(struct filebench *bench) {
  ck_assert_int_eq(fb_close(bench), WEIR_OK);
  fb_open(bench);
}

void fb_end(struct filebench *bench) {
  if (bench->log != NULL) {
    simdisk_heal(&bench->disk);
    (void)fb_close(bench);
  }
  simdisk_free(&bench->disk);
  kit_bytes_free(&bench->reports);
}

void fb_set_disk(struct filebench *bench, const struct simdisk *disk) {
  ck_assert_ptr_null(bench->log);
  simdisk_free(&bench->disk);
  simdisk_copy(disk, &bench->disk);
}

/* Let the log go as it is, and have another disk. */
static void leave(struct filebench *bench, struct simdisk *left) {
  simdisk_heal(&bench->disk);
  (void)fb_close(bench);
  fb_set_disk(bench, left);
  simdisk_free(left);
}

void fb_kill(struct filebench *bench) {
  struct simdisk left;

  simdisk_copy(&bench->disk, &left);
  leave(bench, &left);
}

void fb_cut(struct filebench *bench) {
  struct simcuts cuts;
  struct simdisk left;

  simcuts_init(&cuts, &bench->disk);
  ck_assert(simcuts_next(&cuts, &left));
  simcuts_free(&cuts);
  leave(bench, &left);
}

int fb_rounds(struct filebench *bench) {
  int result = WEIR_OK;
  int rounds = 0;
  int rv;

  while (weir_log_file_get_timeout(bench->log) == 0) {
    rv = weir_log_file_begin(bench->log);
    if (rv == WEIR_OK) {
      weir_log_file_run(bench->log);
      rv = weir_log_file_end(bench->log);
    }
    if (rv == WEIR_EAGAIN) {
      /* There was something to do, but not for the disk. */
      ck_assert_int_ne(weir_log_file_get_timeout(bench->log), 0);
      break;
    }
    if (rv == WEIR_ENOMEM) {
      return rv;
    }
    result = result == WEIR_OK ? rv : result;
    ck_assert_int_lt(++rounds, ROUNDS);
  }
  return result;
}

weir_log_file_info fb_info(const struct filebench *bench) {
  weir_log_file_info info;

  info.size = sizeof info;
  ck_assert_int_eq(weir_log_file_get_info(bench->log, &info), WEIR_OK);
  return info;
}

/* --- Calls -----------------------------------------------------------------*/

static void done(void *owner, int result, const weir_answer *answer,
                 struct weir__handle *handle) {
  struct fb_call *call = owner;

  (void)answer;
  call->answers += 1;
  call->result = result;
  call->handle = handle;
}

static struct weir__core *core_of(struct filebench *bench) {
  return (struct weir__core *)(void *)bench->kit.hub;
}

static void start_open(struct filebench *bench, struct fb_call *call, int mode,
                       const char *key, uint64_t generation, uint64_t epoch) {
  weir_log_request request;

  memset(call, 0, sizeof *call);
  memset(&request, 0, sizeof request);
  request.size = sizeof request;
  request.mode = mode;
  request.key = key;
  request.key_len = strlen(key);
  request.generation = generation;
  request.epoch = epoch;
  request.meta = "meta";
  request.meta_len = 4;
  weir__log_open(weir__log_prepare(core_of(bench)), &request, done, call,
                 &call->place);
}

void fb_start_create(struct filebench *bench, struct fb_call *call,
                     const char *key, uint64_t generation, uint64_t epoch) {
  start_open(bench, call, WEIR_LOG_CREATE, key, generation, epoch);
}

void fb_start_take(struct filebench *bench, struct fb_call *call,
                   const char *key, uint64_t generation, uint64_t epoch) {
  start_open(bench, call, WEIR_LOG_TAKE, key, generation, epoch);
}

/* Rounds until it is answered, which is once. */
static int wait_for(struct filebench *bench, struct fb_call *call,
                    struct weir__handle **handle) {
  if (call->answers == 0) {
    (void)fb_rounds(bench);
  }
  ck_assert_uint_eq(call->answers, 1);
  if (handle != NULL) {
    *handle = call->handle;
  } else {
    weir__handle_release(call->handle);
  }
  return call->result;
}

int fb_create(struct filebench *bench, const char *key, uint64_t generation,
              uint64_t epoch, struct weir__handle **handle) {
  struct fb_call call;

  fb_start_create(bench, &call, key, generation, epoch);
  return wait_for(bench, &call, handle);
}

int fb_take(struct filebench *bench, const char *key, uint64_t generation,
            uint64_t epoch, struct weir__handle **handle) {
  struct fb_call call;

  fb_start_take(bench, &call, key, generation, epoch);
  return wait_for(bench, &call, handle);
}

int fb_lookup(struct filebench *bench, const char *key,
              struct weir__handle **handle) {
  struct fb_call call;

  start_open(bench, &call, WEIR_LOG_LOOKUP, key, 0, 0);
  return wait_for(bench, &call, handle);
}

int fb_trim(struct filebench *bench, struct weir__handle *handle,
            uint64_t through) {
  struct fb_call call = {NULL, 0, 0, NULL};

  ck_assert_int_eq(weir__log_trim(handle, through, done, &call, &call.place),
                   WEIR_OK);
  return wait_for(bench, &call, NULL);
}

/* The bytes of an event: each has its own. */
static void fill_frame(unsigned char *bytes, size_t len, uint64_t epoch,
                       uint64_t seq) {
  size_t i;
  int n = snprintf((char *)bytes, len, "%llu-%llu ", (unsigned long long)epoch,
                   (unsigned long long)seq);

  for (i = (size_t)n; i < len; ++i) {
    bytes[i] = (unsigned char)('a' + (seq * 7 + i) % 26);
  }
}

void fb_start_append(struct filebench *bench, struct fb_call *call,
                     struct weir__handle *handle, uint64_t epoch,
                     uint64_t first, uint64_t last, uint32_t flags) {
  const size_t count = (size_t)(last - first + 1);
  const size_t len = bench->frame_len;
  weir_record *records = calloc(count, sizeof *records);
  unsigned char *frames = malloc(count * len + 1);
  size_t i;

  ck_assert(records != NULL && frames != NULL);
  memset(call, 0, sizeof *call);
  for (i = 0; i < count; ++i) {
    fill_frame(frames + i * len, len, epoch, first + i);
    records[i].size = sizeof records[i];
    records[i].epoch = epoch;
    records[i].seq = first + i;
    records[i].frame = frames + i * len;
    records[i].frame_len = len;
    records[i].flags = i + 1 == count ? flags : 0;
  }
  ck_assert_int_eq(weir__log_append(handle, records, count, NULL, 0, done, call,
                                    &call->place),
                   WEIR_OK);
  free(records);
  free(frames);
}

int fb_append(struct filebench *bench, struct weir__handle *handle,
              uint64_t epoch, uint64_t first, uint64_t last, uint32_t flags) {
  struct fb_call call;

  fb_start_append(bench, &call, handle, epoch, first, last, flags);
  return wait_for(bench, &call, NULL);
}

void fb_write(struct filebench *bench, const char *key, uint64_t epoch,
              uint64_t last) {
  struct weir__handle *handle;
  uint64_t seq;

  ck_assert_int_eq(fb_create(bench, key, 0, epoch, &handle), WEIR_LOG_YES);
  for (seq = 1; seq <= last; ++seq) {
    ck_assert_int_eq(fb_append(bench, handle, epoch, seq, seq, 0),
                     WEIR_LOG_YES);
  }
  weir__handle_release(handle);
}

/* --- What is stored --------------------------------------------------------*/

/* A stream that is read from its beginning to its end. */
struct reading {
  struct filebench *bench;
  struct kit_bytes text;
  uint64_t at;   /* everything up to here has been said */
  uint64_t from; /* the run that has not: events, or (lost) what is lost */
  bool lost;
  uint64_t last;
  unsigned answers;
};

static void put(struct kit_bytes *text, const char *before, uint64_t number) {
  char digits[24];

  kit_bytes_add(text, before, strlen(before));
  kit_bytes_add(text, digits,
                (size_t)snprintf(digits, sizeof digits, "%llu",
                                 (unsigned long long)number));
}

/* Say the run that ends here. */
static void say_run(struct reading *reading) {
  if (reading->from > reading->at) {
    return;
  }
  put(&reading->text, reading->lost ? " !" : " ", reading->from);
  if (reading->from != reading->at) {
    put(&reading->text, "-", reading->at);
  }
  reading->from = reading->at + 1;
}

static void say(struct reading *reading, uint64_t seq, bool lost) {
  if (reading->lost != lost) {
    say_run(reading);
    reading->lost = lost;
  }
  if (lost) {
    reading->bench->counts.lost += seq - reading->at;
  } else {
    reading->bench->counts.present += seq - reading->at;
  }
  reading->at = seq;
}

static void say_state(struct kit_bytes *text, const weir_answer *answer) {
  const weir_epoch *epoch;
  size_t i;

  for (i = 0; i < answer->epoch_count; ++i) {
    epoch = &answer->epochs[i];
    kit_bytes_add(text, " ", i == 0 ? 0 : 1);
    if (epoch->epoch < 10000) {
      put(text, "", epoch->epoch);
    } else {
      kit_bytes_add(text, "*", 1);
    }
    put(text, ":", epoch->last);
  }
  if (answer->trimmed != 0) {
    put(text, " trimmed ", answer->trimmed);
  }
  kit_bytes_add(text, answer->failed != 0 ? " failed" : " ended",
                answer->failed != 0  ? 7
                : answer->ended != 0 ? 6
                                     : 0);
  kit_bytes_add(text, " |", 2);
}

static void check_record(const struct reading *reading,
                         const weir_answer *answer, const weir_record *record) {
  unsigned char want[65536];
  weir_state state;

  memset(&state, 0, sizeof state);
  state.epochs = answer->epochs;
  state.epoch_count = answer->epoch_count;
  ck_assert_uint_eq(record->epoch,
                    weir__state_epoch_of(&state, record->seq)->epoch);
  ck_assert_uint_le(record->frame_len, sizeof want);
  fill_frame(want, record->frame_len, record->epoch, record->seq);
  ck_assert_mem_eq(record->frame, want, record->frame_len);
  ck_assert_int_eq((record->flags & WEIR_RECORD_END) != 0,
                   answer->ended == record->seq);
  if (answer->ended == record->seq) {
    ck_assert_int_eq((record->flags & WEIR_RECORD_FAILED) != 0,
                     answer->failed != 0);
  }
  ck_assert_uint_gt(record->seq, reading->at);
}

static void read_done(void *owner, int result, const weir_answer *answer,
                      struct weir__handle *handle) {
  struct reading *reading = owner;
  const weir_record *record;
  size_t i;

  (void)handle;
  reading->answers += 1;
  ck_assert_int_eq(result, WEIR_LOG_YES);
  if (reading->answers == 1) {
    say_state(&reading->text, answer);
    reading->bench->counts.trimmed = answer->trimmed;
    reading->bench->counts.last = answer->last;
    reading->at = answer->trimmed;
    reading->from = reading->at + 1;
    reading->last = answer->last;
  }
  for (i = 0; i < answer->record_count; ++i) {
    record = &answer->records[i];
    check_record(reading, answer, record);
    if (record->seq != reading->at + 1) {
      ck_assert_uint_ge(answer->lost_through, record->seq - 1);
      say(reading, record->seq - 1, true);
    }
    say(reading, record->seq, false);
  }
  if (answer->lost_through > reading->at) {
    say(reading, answer->lost_through, true);
  }
}

const char *fb_contents(struct filebench *bench, const char *key) {
  static char text[8192];
  struct reading reading;
  struct weir__handle *handle;
  struct weir__call *place;
  const int rv = fb_lookup(bench, key, &handle);
  uint64_t before;

  memset(&bench->counts, 0, sizeof bench->counts);
  if (rv == WEIR_ENOENT) {
    return "none";
  }
  bench->counts.exists = true;
  ck_assert_int_eq(rv, WEIR_LOG_YES);
  memset(&reading, 0, sizeof reading);
  reading.bench = bench;
  do {
    before = reading.at;
    ck_assert_int_eq(weir__log_read(handle, before, (uint64_t)WEIR_SEQ_MAX,
                                    32768, read_done, &reading, &place),
                     WEIR_OK);
    /* Each read brings something, or there is nothing. */
    ck_assert(reading.at != before || reading.at == reading.last);
  } while (reading.at != reading.last);
  say_run(&reading);
  weir__handle_release(handle);
  ck_assert_uint_lt(reading.text.len, sizeof text);
  memcpy(text, reading.text.data, reading.text.len + 1);
  kit_bytes_free(&reading.text);
  return text;
}

unsigned char *fb_segment(struct filebench *bench, size_t n, uint64_t *size) {
  const char *name = simdisk_name(&bench->disk, n);

  ck_assert_ptr_nonnull(name);
  return simdisk_bytes(&bench->disk, name, size);
}

uint64_t fb_find(struct filebench *bench, size_t n, uint64_t generation,
                 uint64_t seq) {
  struct weir__crc32c crc;
  struct weir__file_record record;
  struct weir__head head;
  uint64_t size;
  const unsigned char *bytes = fb_segment(bench, n, &size);
  uint64_t at;

  weir__crc32c_init(&crc, WEIR__CRC32C_WIDE);
  ck_assert_int_eq(weir__head_read(&crc, bytes, &head), WEIR_OK);
  for (at = WEIR__HEAD_SIZE; at + WEIR__RECORD_SIZE <= size; at += 8) {
    if (weir__record_read(&crc, head.salt, at, bytes + at, &record) &&
        record.generation == generation && record.seq == seq &&
        record.kind == WEIR__RECORD_EVENT) {
      return at;
    }
  }
  ck_abort_msg("no record of event %llu", (unsigned long long)seq);
  return 0;
}

bool fb_said(const struct filebench *bench, const char *text) {
  return strstr(bench->reports.data, text) != NULL;
}

void fb_forget(struct filebench *bench) {
  bench->reports.len = 0;
  bench->reports.data[0] = '\0';
}
