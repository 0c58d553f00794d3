/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef WEIR_CURSOR_H
#define WEIR_CURSOR_H

/**
 * @file
 * Cursors: "I have everything up to here", what stands in `id:` and comes back
 * in `Last-Event-ID`, and the one function that judges them. Everything here
 * is pure: no hub, no memory, no clock.
 *
 * The text of a cursor is `<epoch>-<seq>`: the epoch as a base 32 number in
 * lower case (RFC 4648 digits, a-z then 2-7) without leading `a`, the sequence
 * number in decimal without leading zeros. Only what weir_cursor_format writes
 * parses. `.`, `~` and `_` are kept for a cursor over several streams; until
 * there is one, a text that holds them is malformed.
 */

#include <weir/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/** No cursor text is longer, in either direction. */
#define WEIR_CURSOR_MAX 128

/** The greatest sequence number. */
#define WEIR_SEQ_MAX (INT64_MAX - 1)

/** The two formats of a cursor's text. */
enum {
  /** `<epoch>-<seq>`. It tells a cursor of another stream, and one whose
   * events were lost. */
  WEIR_CURSOR_EPOCH = 0,
  /** Plain decimal, for hosts whose ids are rows of a table and are never
   * reused. It cannot tell a foreign cursor; the epoch parses as 0. */
  WEIR_CURSOR_DECIMAL = 1
};

/** A position: everything up to seq, in the numbers of one epoch. An epoch of
 * 0 stands for "whichever", as the decimal format has it. Its size never
 * changes. */
typedef struct weir_cursor {
  uint64_t epoch;
  uint64_t seq;
} weir_cursor;

/**
 * Write a cursor's text into dst, which has room for cap bytes (at most 33 are
 * needed; WEIR_CURSOR_MAX is always enough). No NUL is added.
 *
 * Returns WEIR_OK, WEIR_ENOSPACE (*len holds the length needed, dst is
 * unspecified) or WEIR_EINVAL (seq beyond WEIR_SEQ_MAX, epoch 0 in
 * WEIR_CURSOR_EPOCH, unknown format).
 *
 * Reentrancy: calls nothing. Threads: any. Allocates: no.
 */
WEIR_API int weir_cursor_format(const weir_cursor *cursor, int format,
                                void *dst, size_t cap, size_t *len);

/**
 * Read a cursor's text. Anything longer than WEIR_CURSOR_MAX, or stranger than
 * weir_cursor_format writes, is malformed, at a cost that does not grow with
 * its length.
 *
 * Returns WEIR_OK, WEIR_EABSENT (the text is empty), WEIR_EMALFORMED or
 * WEIR_EINVAL (unknown format).
 *
 * Reentrancy: calls nothing. Threads: any. Allocates: no.
 */
WEIR_API int weir_cursor_parse(int format, const void *text, size_t text_len,
                               weir_cursor *cursor);

/** The three places of an HTTP request where a cursor can stand. */
typedef struct weir_request {
  size_t size; /**< of this struct */
  /** The value of Last-Event-ID, as HTTP gives it: without blanks around. */
  const void *header;
  size_t header_len;
  /** What follows `?` in the target, percent-encoded as it came. */
  const void *query;
  size_t query_len;
  /** The segment of the path that the host keeps for it, percent-encoded. */
  const void *path;
  size_t path_len;
  uint64_t reserved[2];
} weir_request;

/** Fill *request, of size bytes, with "nothing anywhere".
 *
 * Reentrancy: calls nothing. Threads: any. Allocates: no. */
WEIR_API void weir_request_init(weir_request *request, size_t size);

/**
 * Pick the cursor of a request: the header, else the query (a reconnecting
 * browser sends the header and repeats its old URL, so the header is newer),
 * else the path. What is empty is absent. In a query the names lastEventId,
 * last_event_id, Last-Event-ID and evs_last_event_id are known; of several the
 * first that is not empty counts.
 *
 * dst receives the text: the header as it is, query and path percent-decoded.
 * cap is at least WEIR_CURSOR_MAX.
 *
 * Returns WEIR_OK, WEIR_EABSENT, WEIR_EMALFORMED (longer than a cursor can be,
 * or `%` without two hex digits) or WEIR_EINVAL (the struct, or cap is too
 * small).
 *
 * Reentrancy: calls nothing. Threads: any. Allocates: no.
 */
WEIR_API int weir_cursor_pick(const weir_request *request, void *dst,
                              size_t cap, size_t *len);

/** One writer's run of a generation's numbers, and the last that it gave. Its
 * size never changes. */
typedef struct weir_epoch {
  uint64_t epoch; /**< 64 random bits, never 0 */
  uint64_t last;
} weir_epoch;

/** What is known of a generation: the input of weir_cursor_resolve, and part
 * of every answer of a log. */
typedef struct weir_state {
  size_t size; /**< of this struct */
  /** The epochs, oldest first, at least one, none twice. Their `last` never
   * falls; that of the newest is `last`. The first names the generation. */
  const weir_epoch *epochs;
  size_t epoch_count;
  uint64_t trimmed; /**< events up to here are gone; 0 is none */
  uint64_t last;    /**< the newest event; 0 is none yet */
  uint64_t ended;   /**< the number of the end, which is `last`; 0 is open */
  uint64_t reserved[2];
} weir_state;

/** Fill *state, of size bytes, with zeros and its size.
 *
 * Reentrancy: calls nothing. Threads: any. Allocates: no. */
WEIR_API void weir_state_init(weir_state *state, size_t size);

/** What became of a client's cursor. */
enum {
  WEIR_VERDICT_PENDING = 0,   /**< not judged yet: storage has been asked */
  WEIR_VERDICT_FRESH = 1,     /**< there was none */
  WEIR_VERDICT_RESUMED = 2,   /**< goes on exactly where it was */
  WEIR_VERDICT_EVICTED = 3,   /**< what follows it has been dropped meanwhile */
  WEIR_VERDICT_AHEAD = 4,     /**< beyond the newest event: it proves nothing */
  WEIR_VERDICT_REWOUND = 5,   /**< events that it had were lost in a crash */
  WEIR_VERDICT_FOREIGN = 6,   /**< of another stream, or of none */
  WEIR_VERDICT_MALFORMED = 7, /**< not a cursor at all */
  WEIR_VERDICT_FINISHED = 8,  /**< has seen the end: tell the client to stop */
  WEIR_VERDICT_UNKNOWN = 9    /**< there is no such stream */
};

/** Where a client without a cursor begins. */
enum {
  WEIR_FROM_START = 0, /**< with the first event that is left */
  WEIR_FROM_HEAD = 1   /**< with the next event; of an ended stream, its end */
};

/** A verdict and what follows from it. */
typedef struct weir_resolution {
  size_t size;     /**< of this struct */
  int32_t verdict; /**< WEIR_VERDICT_FRESH ... WEIR_VERDICT_UNKNOWN */
  /** 1 if the client has to be told of a loss before anything else. */
  uint32_t gap;
  /** The client is taken to have everything up to here. FINISHED: its cursor,
   * or without one the end. */
  weir_cursor position;
  /** position.seq + 1, the first event that follows, which may not be there yet
   * or, behind an end, never will be; 0 for FINISHED and UNKNOWN. */
  uint64_t first;
  uint64_t last; /**< the newest event */
  uint64_t reserved[2];
} weir_resolution;

/**
 * Judge a cursor. This is the only place where that is done.
 *
 * state is the generation now; NULL is "no such stream". previous is the one
 * before it under the same key, if that is remembered, else NULL. parsed is
 * what weir_cursor_parse returned, and cursor what it gave (not read unless
 * parsed is WEIR_OK). start is WEIR_FROM_...
 *
 * Two corners that the table of weir(7) leaves open. A cursor beyond the last
 * of an earlier epoch, where events behind that last are trimmed as well, is
 * judged foreign, since the client cannot tell which of its events are void.
 * Position is always named by the epoch that gave the number, so that the id of
 * a `ready` or `gap` frame is as good as the id of the event itself.
 *
 * A client without a cursor is FINISHED where nothing is left of a stream that
 * has ended.
 *
 * Returns WEIR_OK or WEIR_EINVAL (a state that contradicts itself, an unknown
 * start, a struct without size).
 *
 * Reentrancy: calls nothing. Threads: any. Allocates: no.
 */
WEIR_API int weir_cursor_resolve(const weir_state *state,
                                 const weir_state *previous, int parsed,
                                 const weir_cursor *cursor, int start,
                                 weir_resolution *resolution);

/** The name of a verdict as it stands in frames, such as "resumed"; never
 * NULL.
 *
 * Reentrancy: calls nothing. Threads: any. Allocates: no. */
WEIR_API const char *weir_verdict_name(int verdict);

#ifdef __cplusplus
}
#endif

#endif /* WEIR_CURSOR_H */
