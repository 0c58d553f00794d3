/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef SIM_WIRE_H
#define SIM_WIRE_H

/* Bytes into frames, far more strictly than a client would: the lines id,
 * event, retry, data in this order, each with one space, then the blank line;
 * or one comment. Whatever gets between the lines of a frame breaks that. */

#include "../kit.h"

struct wire_frame {
  bool comment; /* a heartbeat, and nothing else */
  bool has_id;
  bool has_type;
  bool has_retry;
  uint64_t retry;
  struct kit_bytes id;
  struct kit_bytes type;
  struct kit_bytes data; /* lines joined by LF */
  size_t lines;          /* of data */
  uint64_t hash;         /* of all its bytes */
  size_t len;
};

typedef void wire_take(void *user, const struct wire_frame *frame);

struct wire {
  wire_take *take;
  void *user;
  struct wire_frame frame;
  struct kit_bytes line;
};

void wire_init(struct wire *wire, wire_take *take, void *user);
void wire_feed(struct wire *wire, const void *bytes, size_t len);
void wire_free(struct wire *wire);

/* Between two frames? */
bool wire_is_whole(const struct wire *wire);

/* Does it hold these characters? */
bool wire_is(const struct kit_bytes *bytes, const char *text);

#endif /* SIM_WIRE_H */
