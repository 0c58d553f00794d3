/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef SIM_WATCH_H
#define SIM_WATCH_H

/* One connection as the server shows it, frame by frame, compared with the
 * truth at that moment. */

#include "model.h"
#include "wire.h"

struct host;

/* Where a connection is. */
enum { WATCH_GREETING, WATCH_WARNED, WATCH_READING, WATCH_OVER };

struct watch {
  struct wire wire;
  struct host *host;
  struct generation *generation;
  unsigned number; /* of the connection */
  int stage;
  int verdict;
  uint64_t at;          /* the last event that was shown, or is to be known */
  uint64_t asked;       /* the number in the client's cursor */
  uint32_t signals;     /* the last thing said before the request */
  uint32_t last_signal; /* that was shown */
  bool may_close;       /* somebody has asked for it to be closed */
};

/* What a request asked for, and what the truth was then. */
struct watch_request {
  unsigned key;
  const char *cursor; /* "" is none */
  int32_t from;
  struct generation *newest;
  uint64_t acked; /* of the newest, then */
  uint32_t said;  /* how much */
};

/* A verdict has come, with a subscriber. */
void watch_begin(struct watch *watch, struct host *host, unsigned number,
                 const struct watch_request *request,
                 const weir_subscriber *subscriber, int verdict);

/* One has come without: finished or unknown. */
void watch_refusal(const struct host *host, const struct watch_request *request,
                   int verdict);

/* These bytes are shown next. */
void watch_see(struct watch *watch, const void *bytes, size_t len);

/* There is nothing now, and nobody has been asked for more. */
void watch_idle(const struct watch *watch);

/* There will never be anything again. */
void watch_end(const struct watch *watch);

void watch_free(struct watch *watch);

/* An own reading of a cursor's text. */
bool watch_parse(const char *text, size_t len, weir_cursor *cursor);

/* The value of a member of a flat object: text without quotes, or digits. */
bool watch_member(const struct kit_bytes *json, const char *name, char *value,
                  size_t size);

/* Is this one of weir's own types? */
bool watch_is_own(const struct kit_bytes *type, const char *name);

#endif /* SIM_WATCH_H */
