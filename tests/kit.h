/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef WEIR_KIT_H
#define WEIR_KIT_H

/* What every suite uses: memory that faults where it ends, an allocator that
 * fails when it is told to, a clock that stands still, and a client that reads
 * frames as WHATWG HTML, section 9.2, has it, without a line of the library's.
 */

#include <check.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <weir/weir.h>

/* Run a suite with these cases. Each suite is a program of its own. */
int kit_main(const char *name, TCase *const *cases, size_t count);
#define KIT_MAIN(name, ...)                                       \
  int main(void) {                                                \
    TCase *const cases[] = {__VA_ARGS__};                         \
    return kit_main(name, cases, sizeof cases / sizeof cases[0]); \
  }

/* As ck_assert, which writes a note each time that it holds: for what is done a
 * million times. */
#define kit_need(condition)           \
  do {                                \
    if (!(condition)) {               \
      ck_abort_msg("%s", #condition); \
    }                                 \
  } while (0)

/* size bytes, behind which the next one faults. Gone with the process. */
void *kit_fence(size_t size);

/* The same, with a copy of something in it. */
void *kit_fenced(const void *bytes, size_t size);

/* A new directory below one of this process's own, which is gone soon after the
 * process is, however that has ended. */
#define KIT_DIRECTORY 32
void kit_directory(char path[KIT_DIRECTORY]);

/* An allocator that counts, and fails on demand. */
struct kit_memory {
  weir_allocator allocator; /* what to hand out */
  size_t calls;             /* so far */
  size_t live;              /* bytes that have not been freed */
  size_t fail_at; /* the number of the call that fails, from 1; 0: none */
  bool fail_on;   /* and all after it */
};
void kit_memory_init(struct kit_memory *memory);

/* A hub's surroundings, and the hub. Time stands where `now` says, random bits
 * are the same every time. */
struct kit {
  struct kit_memory memory;
  uint64_t now;
  uint64_t chance;
  unsigned wakes;
  weir_hub_options options; /* to be changed before kit_hub */
  weir_hub *hub;
};
void kit_init(struct kit *kit);
void kit_hub(struct kit *kit);

/* Free the hub, and see that no byte is left. */
void kit_end(struct kit *kit);

/* The commonest calls, which have to succeed. */
weir_stream *kit_open(struct kit *kit, const char *key);
uint64_t kit_publish(weir_stream *stream, const char *type, const char *data);
weir_subscriber *kit_attach(struct kit *kit, const char *key,
                            const char *cursor, int *verdict);

/* The same with options, which these begin: no jitter, and a user pointer that
 * names the handle in kit_expect_notices. */
weir_open_options kit_open_options(const char *key, const char *name);
weir_attach_options kit_attach_options(const char *key, const char *name);
weir_stream *kit_open_with(struct kit *kit, const weir_open_options *options);
weir_subscriber *kit_attach_with(struct kit *kit,
                                 const weir_attach_options *options);

/* An event, or a signal, of two strings. */
weir_event kit_make_event(const char *type, const char *data);
void kit_signal(weir_stream *stream, const char *type, const char *data);

/* The text of a stream's cursor at a number, until the next call. */
const char *kit_cursor(const weir_stream *stream, uint64_t seq);

/* The next notice; kind 0 if there is none. */
weir_notice kit_next(struct kit *kit);

/* Take all notices; returns how many were of this kind. */
size_t kit_count(struct kit *kit, int32_t kind);

/* Take all notices, and compare: "" or, for each, the handle's name and what
 * the notice says, such as "p stored 7=3; s readable; p expired idle". */
void kit_expect_notices(struct kit *kit, const char *text);

/* Let time pass, a millisecond at a time or in one jump, and keep the notices
 * for kit_next. */
void kit_pass(struct kit *kit, uint64_t ms);

/* Bytes that grow. */
struct kit_bytes {
  char *data; /* ends in NUL, which does not count */
  size_t len;
  size_t cap;
};
void kit_bytes_add(struct kit_bytes *bytes, const void *data, size_t len);
void kit_bytes_free(struct kit_bytes *bytes);

/* Pull everything there is into *bytes: WEIR_EAGAIN, or whatever came last. */
int kit_pull(weir_subscriber *subscriber, struct kit_bytes *bytes);

/* Pull everything, and forget it. */
int kit_skip(weir_subscriber *subscriber);

/* Pull everything, and compare: the text has `~` where the connection's own
 * epoch or retry time stands, which is passed over. */
void kit_expect(weir_subscriber *subscriber, int end, const char *text);

/* Pull everything, and compare what it says: each frame as its type, `@` and
 * the number in its id if it has one, and its data, lines joined by `|`; of
 * weir's own, without their prefix, only what is peculiar to it. A heartbeat is
 * `:`. Such as "ready@0 fresh; x@1 data; typing; :; done@2 ok" or "gap@5
 * evicted 3 6-9" (requested, first, last). */
void kit_expect_frames(weir_subscriber *subscriber, int end, const char *text);

/* The same for bytes. */
void kit_expect_text(const char *bytes, size_t len, const char *text);

/* One event as a client sees it. */
struct kit_event {
  char *type;
  size_t type_len;
  char *data;
  size_t data_len;
  char *id; /* the last event ID string */
};

/* A client: feed it bytes in any pieces. */
struct kit_client {
  struct kit_event *events;
  size_t count;
  char *last_id;  /* what it would send as Last-Event-ID; "" is nothing */
  uint64_t retry; /* ms; UINT64_MAX: never told */
  /* The parser. */
  struct kit_bytes line;
  struct kit_bytes data;
  struct kit_bytes type;
  struct kit_bytes id;
  size_t bom; /* bytes of a leading BOM that have been seen; 3: past it */
  bool has_data;
  bool cr; /* the last byte was one: an LF that follows belongs to it */
};
void kit_client_init(struct kit_client *client, const char *last_id);
void kit_client_feed(struct kit_client *client, const void *bytes, size_t len);
/* The connection has ended: what was not dispatched is void. */
void kit_client_end(struct kit_client *client);
void kit_client_free(struct kit_client *client);

/* Let go of the events that it has seen. */
void kit_client_forget(struct kit_client *client);

/* Read one subscriber until it has nothing more, and feed the client. */
int kit_client_read(struct kit_client *client, weir_subscriber *subscriber);

#endif /* WEIR_KIT_H */
