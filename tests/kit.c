/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#define _DEFAULT_SOURCE /* for mmap's MAP_ANONYMOUS, mkdtemp */

#include "kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef _WIN32
#include <windows.h>
#else
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#endif

#ifdef _WIN32

void *kit_fence(size_t size) {
  const size_t page = 4096;
  const size_t room = (size + page - 1) / page * page;
  char *map =
      VirtualAlloc(NULL, room + page, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
  DWORD before;

  ck_assert_ptr_nonnull(map);
  ck_assert(VirtualProtect(map + room, page, PAGE_NOACCESS, &before));
  return map + room - size;
}

#else

void *kit_fence(size_t size) {
  const size_t page = (size_t)sysconf(_SC_PAGESIZE);
  const size_t room = (size + page - 1) / page * page;
  char *map = mmap(NULL, room + page, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

  ck_assert_ptr_ne(map, MAP_FAILED);
  ck_assert_int_eq(mprotect(map + room, page, PROT_NONE), 0);
  return map + room - size;
}

/* A shell waits until nobody holds the other end of a pipe. It is in a group of
 * its own before this returns, since tests are killed by the group. */
static void remove_afterwards(const char *path) {
  int ends[2];
  int status;
  pid_t pid;

  ck_assert_int_eq(pipe(ends), 0);
  ck_assert_int_eq(fcntl(ends[1], F_SETFD, FD_CLOEXEC), 0);
  pid = fork();
  if (pid == 0) {
    pid = setsid() < 0 ? -1 : fork();
    if (pid == 0) {
      (void)dup2(ends[0], 0);
      (void)execl("/bin/sh", "sh", "-c",
                  "exec > /dev/null 2>&1; read -r _; rm -rf \"$0\"", path,
                  (char *)NULL);
    }
    _exit(pid < 0);
  }
  ck_assert_int_gt(pid, 0);
  ck_assert_int_eq(waitpid(pid, &status, 0), pid);
  ck_assert_int_eq(status, 0);
  (void)close(ends[0]);
}

void kit_directory(char path[KIT_DIRECTORY]) {
  static char own[] = "/tmp/weir-XXXXXX";
  static bool made;

  if (!made) {
    ck_assert_ptr_nonnull(mkdtemp(own));
    /* What is below has permissions of its own. */
    ck_assert_int_eq(chmod(own, 0755), 0);
    remove_afterwards(own);
    made = true;
  }
  snprintf(path, KIT_DIRECTORY, "%s/XXXXXX", own);
  ck_assert_ptr_nonnull(mkdtemp(path));
}

#endif

void *kit_fenced(const void *bytes, size_t size) {
  void *copy = kit_fence(size);

  if (size != 0) {
    memcpy(copy, bytes, size);
  }
  return copy;
}

/* MemorySanitizer takes what has been overwritten for something. */
#ifdef __has_feature
#if __has_feature(memory_sanitizer)
#include <sanitizer/msan_interface.h>
#include <sys/random.h>
#define forget(bytes, size) __msan_allocated_memory(bytes, size)

/* It does not know what this one writes. */
int getentropy(void *dst, size_t len) {
  return len <= 256 && getrandom(dst, len, 0) == (ssize_t)len ? 0 : -1;
}
#endif
#endif
#ifndef forget
#define forget(bytes, size) (void)0
#endif

/* memset, which a compiler leaves out where memory is freed next. */
static void *(*volatile fill)(void *, int, size_t) = memset;

static void *memory_alloc(void *user, size_t size) {
  struct kit_memory *memory = user;
  void *bytes;

  kit_need(size != 0);
  memory->calls += 1;
  if (memory->fail_at != 0 &&
      (memory->calls == memory->fail_at ||
       (memory->fail_on && memory->calls > memory->fail_at))) {
    return NULL;
  }
  bytes = malloc(size);
  kit_need(bytes != NULL);
  /* Nothing is zero by accident. */
  memset(bytes, 0xa5, size);
  forget(bytes, size);
  memory->live += size;
  return bytes;
}

static void memory_free(void *user, void *bytes, size_t size) {
  struct kit_memory *memory = user;

  kit_need(bytes != NULL);
  kit_need(memory->live >= size);
  memory->live -= size;
  fill(bytes, 0x5a, size);
  free(bytes);
}

void kit_memory_init(struct kit_memory *memory) {
  memset(memory, 0, sizeof *memory);
  memory->allocator.size = sizeof memory->allocator;
  memory->allocator.user = memory;
  memory->allocator.alloc = memory_alloc;
  memory->allocator.free = memory_free;
}

static uint64_t kit_clock(void *user) {
  const struct kit *kit = user;

  return kit->now;
}

static int kit_entropy(void *user, void *dst, size_t len) {
  struct kit *kit = user;
  unsigned char *p = dst;
  size_t i;

  for (i = 0; i < len; ++i) {
    kit->chance = kit->chance * UINT64_C(6364136223846793005) + 1;
    p[i] = (unsigned char)(kit->chance >> 56);
  }
  return 1;
}

static void kit_wake(void *user) {
  struct kit *kit = user;

  kit->wakes += 1;
}

void kit_init(struct kit *kit) {
  memset(kit, 0, sizeof *kit);
  kit_memory_init(&kit->memory);
  kit->now = 1000000;
  kit->chance = 42;
  weir_hub_options_init(&kit->options, sizeof kit->options);
  kit->options.allocator = &kit->memory.allocator;
  kit->options.clock = kit_clock;
  kit->options.clock_user = kit;
  kit->options.entropy = kit_entropy;
  kit->options.entropy_user = kit;
  kit->options.wake = kit_wake;
  kit->options.wake_user = kit;
}

void kit_hub(struct kit *kit) {
  ck_assert_int_eq(weir_hub_new(&kit->options, &kit->hub), WEIR_OK);
}

void kit_end(struct kit *kit) {
  weir_hub_free(kit->hub);
  kit->hub = NULL;
  ck_assert_uint_eq(kit->memory.live, 0);
}

weir_stream *kit_open(struct kit *kit, const char *key) {
  weir_open_options options;
  weir_stream *stream = NULL;

  weir_open_options_init(&options, sizeof options);
  options.key = key;
  options.key_len = strlen(key);
  ck_assert_int_eq(weir_hub_open(kit->hub, &options, &stream), WEIR_OK);
  ck_assert_ptr_nonnull(stream);
  return stream;
}

uint64_t kit_publish(weir_stream *stream, const char *type, const char *data) {
  weir_event event;
  uint64_t last = 0;

  weir_event_init(&event, sizeof event);
  event.type = type;
  event.type_len = strlen(type);
  event.data = data;
  event.data_len = strlen(data);
  ck_assert_int_eq(weir_stream_publish(stream, &event, 1, &last), WEIR_OK);
  return last;
}

weir_subscriber *kit_attach(struct kit *kit, const char *key,
                            const char *cursor, int *verdict) {
  weir_attach_options options;
  weir_request request;
  weir_subscriber *subscriber = NULL;
  int judged;

  weir_attach_options_init(&options, sizeof options);
  options.key = key;
  options.key_len = strlen(key);
  options.heartbeat_jitter = 0;
  weir_request_init(&request, sizeof request);
  if (cursor != NULL) {
    request.header = cursor;
    request.header_len = strlen(cursor);
  }
  options.request = &request;
  ck_assert_int_eq(weir_hub_attach(kit->hub, &options, &subscriber,
                                   verdict != NULL ? verdict : &judged),
                   WEIR_OK);
  return subscriber;
}

weir_open_options kit_open_options(const char *key, const char *name) {
  weir_open_options options;

  weir_open_options_init(&options, sizeof options);
  options.key = key;
  options.key_len = strlen(key);
  options.user = (void *)(uintptr_t)name;
  return options;
}

weir_attach_options kit_attach_options(const char *key, const char *name) {
  weir_attach_options options;

  weir_attach_options_init(&options, sizeof options);
  options.key = key;
  options.key_len = strlen(key);
  options.user = (void *)(uintptr_t)name;
  options.heartbeat_jitter = 0;
  return options;
}

weir_stream *kit_open_with(struct kit *kit, const weir_open_options *options) {
  weir_stream *stream = NULL;

  ck_assert_int_eq(weir_hub_open(kit->hub, options, &stream), WEIR_OK);
  ck_assert_ptr_nonnull(stream);
  return stream;
}

weir_subscriber *kit_attach_with(struct kit *kit,
                                 const weir_attach_options *options) {
  weir_subscriber *subscriber = NULL;
  int verdict;

  ck_assert_int_eq(weir_hub_attach(kit->hub, options, &subscriber, &verdict),
                   WEIR_OK);
  ck_assert_ptr_nonnull(subscriber);
  return subscriber;
}

weir_event kit_make_event(const char *type, const char *data) {
  weir_event event;

  weir_event_init(&event, sizeof event);
  event.type = type;
  event.type_len = strlen(type);
  event.data = data;
  event.data_len = strlen(data);
  return event;
}

void kit_signal(weir_stream *stream, const char *type, const char *data) {
  const weir_event signal = kit_make_event(type, data);

  ck_assert_int_eq(weir_stream_signal(stream, &signal, NULL), WEIR_OK);
}

const char *kit_cursor(const weir_stream *stream, uint64_t seq) {
  static char text[WEIR_CURSOR_MAX + 1];
  weir_stream_info info;
  weir_cursor cursor;
  size_t len;

  info.size = sizeof info;
  ck_assert_int_eq(weir_stream_get_info(stream, &info), WEIR_OK);
  cursor.epoch = info.epoch;
  cursor.seq = seq;
  ck_assert_int_eq(weir_cursor_format(&cursor, WEIR_CURSOR_EPOCH, text,
                                      WEIR_CURSOR_MAX, &len),
                   WEIR_OK);
  text[len] = '\0';
  return text;
}

weir_notice kit_next(struct kit *kit) {
  weir_notice notice;
  int rv;

  memset(&notice, 0, sizeof notice);
  notice.size = sizeof notice;
  rv = weir_hub_next(kit->hub, &notice);
  if (rv != WEIR_OK) {
    ck_assert_int_eq(rv, WEIR_EAGAIN);
    ck_assert_int_eq(notice.kind, 0);
  }
  return notice;
}

size_t kit_count(struct kit *kit, int32_t kind) {
  weir_notice notice = kit_next(kit);
  size_t count = 0;

  for (; notice.kind != 0; notice = kit_next(kit)) {
    count += notice.kind == kind;
  }
  return count;
}

/* What a notice says, behind the name of its handle. */
static int say(const weir_notice *notice, char *text, size_t size) {
  static const char *const timers[] = {"", "first_event", "idle", "lifetime"};
  const unsigned long long seq = notice->seq;
  const unsigned long long tag = notice->tag;

  ck_assert(notice->kind == WEIR_NOTICE_EXPIRED || notice->timer == 0);
  switch (notice->kind) {
    case WEIR_NOTICE_DECIDED:
      return snprintf(text, size, "decided %s %d",
                      weir_verdict_name(notice->verdict), notice->error);
    case WEIR_NOTICE_READABLE:
      return snprintf(text, size, "readable");
    case WEIR_NOTICE_CLOSING:
      return snprintf(text, size, "closing");
    case WEIR_NOTICE_ABORT:
      return snprintf(text, size, "abort %d", notice->error);
    case WEIR_NOTICE_OPENED:
      return snprintf(text, size, "opened %d", notice->error);
    case WEIR_NOTICE_STORED:
      return notice->error == WEIR_OK
                 ? snprintf(text, size, "stored %llu=%llu", tag, seq)
                 : snprintf(text, size, "stored %llu %d", tag, notice->error);
    case WEIR_NOTICE_EXPIRED:
      return snprintf(text, size, "expired %s", timers[notice->timer]);
    case WEIR_NOTICE_ABANDONED:
      return snprintf(text, size, "abandoned");
    case WEIR_NOTICE_CANCELLED:
      return snprintf(text, size, "cancelled");
    default:
      ck_assert_int_eq(notice->kind, WEIR_NOTICE_ENDED);
      return notice->error == WEIR_OK
                 ? snprintf(text, size, "ended %llu", seq)
                 : snprintf(text, size, "ended %d", notice->error);
  }
}

void kit_expect_notices(struct kit *kit, const char *want) {
  struct kit_bytes got = {NULL, 0, 0};
  weir_notice notice = kit_next(kit);
  char text[64];

  kit_bytes_add(&got, NULL, 0);
  for (; notice.kind != 0; notice = kit_next(kit)) {
    /* Every notice is about the one or the other. */
    ck_assert((notice.stream == NULL) != (notice.subscriber == NULL));
    if (got.len != 0) {
      kit_bytes_add(&got, "; ", 2);
    }
    if (notice.user != NULL) {
      kit_bytes_add(&got, notice.user, strlen(notice.user));
      kit_bytes_add(&got, " ", 1);
    }
    kit_bytes_add(&got, text, (size_t)say(&notice, text, sizeof text));
  }
  ck_assert_str_eq(got.data, want);
  kit_bytes_free(&got);
}

void kit_pass(struct kit *kit, uint64_t ms) {
  kit->now += ms;
  ck_assert_int_eq(weir_hub_run(kit->hub), WEIR_OK);
}
