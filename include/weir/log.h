/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef WEIR_LOG_H
#define WEIR_LOG_H

/**
 * @file
 * The log: storage behind a table of functions. weir_logs(7) shows how to
 * write one, and tests/conformance.c tells whether it is right.
 *
 * Every function but close is answered exactly once with weir_log_answer,
 * either before it returns or later, on the hub's thread. An answer that comes
 * after the call's deadline, or for what has gone, is harmless, and so is a
 * second one while the hub is there: after weir_hub_free a call under way keeps
 * what it needs and may be answered once more, never twice. One that is never
 * answered keeps its pages and the allocator in use for ever, also after its
 * deadline. A function returns WEIR_LOG_YES when it has answered or will; a
 * negative number refuses the call; anything else, 0 above all, is a function
 * that did nothing, and the outcome is unknown. The same holds for
 * weir_answer.result: yes is never 0 by accident.
 *
 * weir calls no storage function from inside another or from inside an
 * answer (except that an answer which comes after weir_hub_free may call
 * close), and has at most one open and one append at a time under way for a
 * stream. Every call has a deadline; when it passes, the outcome is unknown.
 */

#include <weir/base.h>
#include <weir/cursor.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct weir_hub weir_hub;

/** What a storage function returns when its answer has come or will come, and
 * the result of an answer that is a yes. */
#define WEIR_LOG_YES 1

/** weir_log_request.mode: what is asked of storage. */
enum {
  /** Look up the newest generation under the key. If there is none, the
   * result is WEIR_ENOENT. */
  WEIR_LOG_LOOKUP = 1,
  /** Become the writer of `generation`: add `epoch` to it, so that its numbers
   * go on at last + 1 and every older epoch is fenced. If it has ended, answer
   * yes with `ended` set and change nothing. If there is no such generation,
   * the result is WEIR_ENOENT. */
  WEIR_LOG_TAKE = 2,
  /** Begin a new generation, named by `epoch`, which hides the older ones,
   * provided that `generation` still names the newest (0: there is none). If
   * not, the result is WEIR_EEXISTS. */
  WEIR_LOG_CREATE = 3
};

/** What weir asks of weir_log.open. Valid, with all it points to, during the
 * call only. Epochs use all 64 bits: where numbers have a sign, store one with
 * the same bits. */
typedef struct weir_log_request {
  size_t size;     /**< of this struct */
  int32_t mode;    /**< WEIR_LOG_LOOKUP ... */
  uint32_t shared; /**< CREATE: 1 if storage numbers the events. Such a stream
                      is never TAKEn; its records name the newest epoch */
  const void *key;
  size_t key_len;
  uint64_t generation; /**< by its first epoch */
  uint64_t epoch;      /**< TAKE, CREATE: the new epoch */
  /** CREATE: what the open chose, to be kept and given back as it is. */
  const void *meta;
  size_t meta_len;
  uint64_t reserved[2];
} weir_log_request;

/**
 * Find in a meta what the open chose as its label (weir_open_options.label):
 * for programs that go through a log before there is a hub.
 *
 * Returns WEIR_OK, WEIR_EINVAL (NULL) or WEIR_ELOG (it is not what weir
 * writes).
 *
 * Reentrancy: calls nothing. Threads: any. Allocates: no.
 */
WEIR_API int weir_meta_get_label(const void *meta, size_t meta_len,
                                 uint64_t *label);

/** weir_record.flags: the end of its generation. */
#define WEIR_RECORD_END 0x1u
/** weir_record.flags: with END: it ended by failing. */
#define WEIR_RECORD_FAILED 0x2u
/** weir_record.flags: the data is JSON. */
#define WEIR_RECORD_JSON 0x4u

/**
 * An event on its way to or from storage.
 *
 * To storage: the array of records, type and data are valid during the call
 * only; frame, the bytes that clients get, until the append is answered, also
 * when its deadline has passed. An event of a shared stream has no frame and no
 * number yet: seq is 0, and storage gives it in the order of commits.
 *
 * From storage: everything is valid until weir_log_answer returns. Give either
 * the frame, exactly as it was (it is checked, unless WEIR_LOG_CHECKED, and
 * sent as it is), or type and data, to be encoded again.
 *
 * Its size never changes: new fields take the place of reserved ones.
 */
typedef struct weir_record {
  size_t size; /**< of this struct, which is also the step of an array */
  uint64_t epoch;
  uint64_t seq;
  const void *type;
  size_t type_len;
  const void *data;
  size_t data_len;
  const void *frame;
  size_t frame_len;
  uint32_t flags; /**< WEIR_RECORD_...; storage keeps them with the event */
  uint32_t reserved0;
  uint64_t reserved[2];
} weir_record;

/** Fill *record, of size bytes, with zeros and its size.
 *
 * Reentrancy: calls nothing. Threads: any. Allocates: no. */
WEIR_API void weir_record_init(weir_record *record, size_t size);

/**
 * The answer to a storage call; begin with weir_answer_init.
 *
 * result is WEIR_LOG_YES; WEIR_EUNKNOWN (an append whose outcome is not
 * known); WEIR_EENDED or WEIR_EFENCED (an append that came too late); or any
 * other negative number, which refuses. Every yes carries the state, and so
 * should these two refusals. Of refusals, callers see WEIR_ENOMEM, WEIR_ENOENT,
 * WEIR_EEXISTS, WEIR_EENDED, WEIR_EFENCED, WEIR_EUNKNOWN, WEIR_EIO, WEIR_EFULL,
 * WEIR_EACCESS and numbers from WEIR_EHOST on down; all others are WEIR_ELOG to
 * them.
 */
typedef struct weir_answer {
  size_t size;     /**< of this struct */
  int32_t result;  /**< WEIR_LOG_YES or negative; 0 is a failure */
  uint32_t shared; /**< open: 1 if storage numbers the events */
  /** The generation after the call; see weir_state. */
  const weir_epoch *epochs;
  size_t epoch_count;
  uint64_t trimmed;
  uint64_t last;
  uint64_t ended;
  /** open: what weir hands to append, read, trim and close for this
   * generation. Every yes to an open gives one, and it is closed once. */
  void *handle;
  /** open: the meta that CREATE brought. */
  const void *meta;
  size_t meta_len;
  /** append to a shared stream: the number that the first record got. */
  uint64_t first;
  /** read: the events, in order. */
  const weir_record *records;
  size_t record_count;
  /** read: of what was asked for, everything up to here that is not among the
   * records is lost, says storage; 0 is nothing. Only what is declared here or
   * by `trimmed` may be missing. */
  uint64_t lost_through;
  /** 1 if the end has WEIR_RECORD_FAILED; 0 if not, or if that would have to
   * be looked up: it is for weir_stream_info.failed alone. */
  uint32_t failed;
  uint32_t reserved0;
  uint64_t reserved[2];
} weir_answer;

/** weir_log.flags: the numbers have holes, and storage vouches for it that
 * nothing is missing; weir then checks their order alone. */
#define WEIR_LOG_SPARSE 0x1u

/** weir_log.flags: storage guards its frames with checksums of its own; weir
 * then sends them as they are without looking through them. */
#define WEIR_LOG_CHECKED 0x2u

/** weir_log.flags: nobody but this hub writes there. weir then does not look
 * the key up of what it writes, or has ended, to see whether another has taken
 * it over or begun the next. */
#define WEIR_LOG_SOLE 0x4u

/**
 * A log. The struct is copied; what user points to outlives the hub and every
 * handle of it. All five functions have to be set. Those that a later version
 * adds behind them may be NULL: the log does not have them.
 */
typedef struct weir_log {
  size_t size; /**< of this struct */
  void *user;
  uint32_t flags;    /**< WEIR_LOG_SPARSE, WEIR_LOG_CHECKED, WEIR_LOG_SOLE */
  uint32_t deadline; /**< ms that a call may take; 0 is 10,000 */

  /** Look up, take over or create a generation: see weir_log_request. */
  int (*open)(void *user, weir_hub *hub, uint64_t ticket,
              const weir_log_request *request);

  /** Store count records after the last, all or none. Refuse with WEIR_EFENCED
   * unless they name the newest epoch, with WEIR_EENDED after an end. A yes
   * means stored: as safe as this log promises. */
  int (*append)(void *user, weir_hub *hub, uint64_t ticket, void *handle,
                const weir_record *records, size_t count);

  /** Answer with the events after `after` up to and including `upto`, which
   * may be far beyond the last (WEIR_SEQ_MAX: as many as there are), in order
   * and without leaving any out in between: at least one if there is one, then
   * as many as fit in max_bytes of frames or data. */
  int (*read)(void *user, weir_hub *hub, uint64_t ticket, void *handle,
              uint64_t after, uint64_t upto, size_t max_bytes);

  /** Forget the events up to and including `through`, but none beyond the
   * last. */
  int (*trim)(void *user, weir_hub *hub, uint64_t ticket, void *handle,
              uint64_t through);

  /** weir is through with this handle. There is no answer. Comes inside
   * weir_hub_run, weir_hub_next or weir_hub_free; after that, inside what lets
   * go of the last thing that needs it. */
  void (*close)(void *user, void *handle);

  uint64_t reserved[4];
} weir_log;

/** Fill *log, of size bytes, with zeros and its size.
 *
 * Reentrancy: calls nothing. Threads: any. Allocates: no. */
WEIR_API void weir_log_init(weir_log *log, size_t size);

/** Fill *answer, of size bytes, with zeros and its size: a failure, until
 * result says otherwise.
 *
 * Reentrancy: calls nothing. Threads: any. Allocates: no. */
WEIR_API void weir_answer_init(weir_answer *answer, size_t size);

/**
 * Answer the storage call that the ticket stands for. Everything that answer
 * points to is read before this returns.
 *
 * Returns WEIR_OK, WEIR_ESTALE (nobody waits for it any more: nothing has
 * happened, except that the handle in the first answer to an open is closed),
 * WEIR_EGONE (NULL) or WEIR_EINVAL (the struct is not one: the outcome of the
 * call is unknown).
 *
 * Reentrancy: may be called inside storage functions and everywhere else but in
 * trace; calls wake and trace, and after weir_hub_free storage (close).
 * Threads: the hub's. Allocates: yes.
 */
WEIR_API int weir_log_answer(weir_hub *hub, uint64_t ticket,
                             const weir_answer *answer);

#ifdef __cplusplus
}
#endif

#endif /* WEIR_LOG_H */
