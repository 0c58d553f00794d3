/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef WEIR_FRAME_H
#define WEIR_FRAME_H

/**
 * @file
 * Frames: the bytes of one event as a client reads them (WHATWG HTML, section
 * 9.2.5). This file needs no hub and no memory; use it alone if an encoder is
 * all you need.
 *
 * Output uses LF only, its lines come in the order id, event, retry, data, and
 * a frame always has a data line, since several clients ignore an id without
 * one. Data is split at CRLF, LF and lone CR, so that no byte of it can pass
 * for a field. The default type, "message", is not written.
 */

#include <weir/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/** The default of weir_frame.max_lines: some clients close the connection at
 * about 131,000 lines in one event. */
#define WEIR_FRAME_LINES_MAX 100000

/** The longest retry time that is written, 24 hours. Node's clients come back
 * at once above 2^31-1. */
#define WEIR_RETRY_MAX 86400000

/** weir_frame.flags: do not check that the text is UTF-8 without NUL. */
#define WEIR_FRAME_BYTES 0x1u

/** What a frame carries besides its id. */
typedef struct weir_frame {
  size_t size; /**< of this struct */
  /** The event type; empty is "message". CR, LF and NUL are refused. */
  const void *type;
  size_t type_len;
  /** The data: any number of lines. */
  const void *data;
  size_t data_len;
  /** The reconnection time to tell the client, in ms; 0 writes none. */
  uint32_t retry;
  uint32_t flags;     /**< WEIR_FRAME_... */
  uint64_t max_bytes; /**< of the whole frame; 0 is no limit */
  uint32_t max_lines; /**< of the data; 0 is WEIR_FRAME_LINES_MAX */
  uint32_t reserved0;
  uint64_t reserved[2];
} weir_frame;

/**
 * Fill *frame, of size bytes, with the defaults: everything empty.
 *
 * Reentrancy: calls nothing. Threads: any. Allocates: no.
 */
WEIR_API void weir_frame_init(weir_frame *frame, size_t size);

/**
 * Encode an event, with its id, into dst, which has room for cap bytes.
 *
 * The id is what a client gives back as Last-Event-ID; weir_cursor_format
 * makes one that every client returns unharmed. An id of length 0 writes no
 * id line: an empty one, which would make clients forget their cursor, cannot
 * be written.
 *
 * *len receives the encoded length. When that exceeds cap the call fails with
 * WEIR_ENOSPACE, *len holds the length needed and dst is unspecified; so
 * (NULL, 0) asks for the size.
 *
 * Returns WEIR_OK, WEIR_ENOSPACE, WEIR_EINVAL (the struct, CR, LF or NUL in id
 * or type, a retry beyond WEIR_RETRY_MAX), WEIR_EUTF8 (id, type or data
 * are not UTF-8, or there is a NUL in data), WEIR_ETOOBIG (max_bytes or
 * max_lines) or WEIR_EOVERFLOW (no such length exists).
 *
 * Reentrancy: calls nothing. Threads: any. Allocates: no.
 */
WEIR_API int weir_frame_encode_event(const weir_frame *frame, const void *id,
                                     size_t id_len, void *dst, size_t cap,
                                     size_t *len);

/**
 * Encode a signal: as weir_frame_encode_event, but it has no id and cannot have
 * one, so that it never moves a client's cursor.
 *
 * Returns, reentrancy, threads, memory: as weir_frame_encode_event.
 */
WEIR_API int weir_frame_encode_signal(const weir_frame *frame, void *dst,
                                      size_t cap, size_t *len);

/**
 * Encode a comment: one line that every client ignores, for heartbeats. There
 * is no blank line after it, since some clients deliver an empty message then.
 *
 * Returns WEIR_OK, WEIR_ENOSPACE (as above), WEIR_EINVAL (CR, LF or NUL in the
 * text), WEIR_EUTF8 or WEIR_EOVERFLOW.
 *
 * Reentrancy: calls nothing. Threads: any. Allocates: no.
 */
WEIR_API int weir_frame_encode_comment(const void *text, size_t text_len,
                                       void *dst, size_t cap, size_t *len);

#ifdef __cplusplus
}
#endif

#endif /* WEIR_FRAME_H */
