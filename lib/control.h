/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef WEIR__CONTROL_H
#define WEIR__CONTROL_H

/* The frames of a stream: those that weir writes itself, and the
 * application's, with or without an envelope. Everything goes to an out, so
 * that it can be measured, written, and tried in a page that may be too
 * small. */

#include <weir/cursor.h>
#include <weir/frame.h>

#include "out.h"

/* What the frames of a generation have in common. Points to what the
 * generation owns. */
struct weir__scheme {
  const void *key;
  size_t key_len;
  uint64_t generation; /* 0: not known, "generation" is null */
  const char *prefix;
  size_t prefix_len;
  const char *members;
  size_t members_len;
  int format; /* of cursors */
  bool envelope;
  bool bytes;     /* text is not checked */
  uint64_t lines; /* most of an event */
};

/* Why a connection is closed; the host may have reasons of its own. */
#define WEIR__REPLACED "replaced"
#define WEIR__DRAINING "draining"
#define WEIR__UNAVAILABLE "unavailable"
#define WEIR__EXPIRED "expired"

/* An application's event as it goes into a frame. */
struct weir__content {
  const void *type;
  size_t type_len;
  const void *data;
  size_t data_len;
  bool json; /* the data is JSON */
  bool bare; /* no envelope: it is weir's own */
};

/* The first frame of a connection, but for a gap. */
void weir__put_ready(struct weir__out *out, const struct weir__scheme *scheme,
                     const weir_cursor *position, uint32_t retry, int verdict);

/* A loss. requested is the text of the client's cursor; what is no cursor's
 * alphabet appears as null. */
void weir__put_gap(struct weir__out *out, const struct weir__scheme *scheme,
                   const weir_resolution *resolution, uint32_t retry,
                   const void *requested, size_t requested_len);

void weir__put_closing(struct weir__out *out, const struct weir__scheme *scheme,
                       const void *reason, size_t reason_len, uint32_t retry);

void weir__put_ping(struct weir__out *out, const struct weir__scheme *scheme);

/* A failure that could not be logged: no id. */
void weir__put_failed(struct weir__out *out, const struct weir__scheme *scheme,
                      const char *code);

/* The data of the two ends, which are events of the log. */
void weir__put_done_data(struct weir__out *out,
                         const struct weir__scheme *scheme, const void *reason,
                         size_t reason_len);
void weir__put_failed_data(struct weir__out *out,
                           const struct weir__scheme *scheme, const void *code,
                           size_t code_len, const void *message,
                           size_t message_len);

/* Whether content may go into a frame of the application's: WEIR_OK,
 * WEIR_EINVAL, WEIR_EUTF8, WEIR_EJSON, WEIR_ERESERVED or WEIR_ETOOBIG (its
 * type). */
int weir__check_content(const struct weir__scheme *scheme,
                        const struct weir__content *content);

/* An event at its position, or with cursor NULL a signal. The content has been
 * checked. out->lines exceeds scheme->lines if it has too many. */
void weir__put_content(struct weir__out *out, const struct weir__scheme *scheme,
                       const struct weir__content *content,
                       const weir_cursor *cursor);

/* Whether a frame that storage kept is what weir__put_content can have written
 * for an event at this position: its id line first, then only the lines of an
 * event, and nothing after its end. */
bool weir__check_frame(const struct weir__scheme *scheme,
                       const weir_cursor *cursor, const void *frame,
                       size_t len);

#endif /* WEIR__CONTROL_H */
