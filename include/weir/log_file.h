/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef WEIR_LOG_FILE_H
#define WEIR_LOG_FILE_H

/**
 * @file
 * The file log: storage for people who have no database. One directory holds
 * all streams of one hub, in segments that are only ever appended to; their
 * format is documented in weir_log_file(5). One process at a time has it open.
 *
 * What blocks is kept out of the event loop: weir_log_file_begin says that
 * there is work for the disk, weir_log_file_run does it on any thread, and
 * weir_log_file_end tells the hub. A host that does not mind calls the three
 * one after the other.
 */

#include <weir/base.h>
#include <weir/log.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A file log. */
typedef struct weir_log_file weir_log_file;

/** weir_log_file_options.sync: when what was appended is on the disk. */
enum {
  /** Before it is acknowledged: a power cut loses nothing that a client saw.
   * All that was appended meanwhile shares one fdatasync. */
  WEIR_SYNC_ALWAYS = 0,
  /** Within sync_interval ms: a power cut may lose that much; the crash of this
   * process loses nothing. */
  WEIR_SYNC_INTERVAL = 1,
  /** When the operating system thinks so. The crash of this process loses
   * nothing. */
  WEIR_SYNC_NEVER = 2
};

/** How a log is opened. */
typedef struct weir_log_file_options {
  size_t size; /**< of this struct */
  /** The directory, ends in NUL. It is made if its parent is there (else
   * WEIR_EIO). */
  const char *path;
  /** Copied; NULL is malloc and free. */
  const weir_allocator *allocator;
  /** Monotonic milliseconds; NULL is the system's clock. */
  uint64_t (*clock)(void *user);
  void *clock_user;
  /** Milliseconds since 1970, for retention; NULL is the system's clock. */
  uint64_t (*wall)(void *user);
  void *wall_user;
  /** As in weir_hub_options. */
  int (*entropy)(void *user, void *dst, size_t len);
  void *entropy_user;
  /** Told, in a sentence that ends in NUL, what the open found damaged, what it
   * cut off, and what failed. What a read finds damaged later is a gap, and is
   * counted (lost in weir_log_file_info). May call nothing of this log. */
  void (*report)(void *user, const char *text);
  void *report_user;

  int32_t sync; /**< WEIR_SYNC_... ; default ALWAYS */
  uint32_t reserved0;
  uint64_t sync_interval; /**< ms; default 1000 */
  uint64_t segment_bytes; /**< of a full segment: 4 KiB to 8 GiB; 64 MiB */
  /* Retention: whole segments go, the oldest first. 0 is no limit. */
  uint64_t keep_age;   /**< ms an event is kept; default 24 hours */
  uint64_t keep_ended; /**< ms a stream is kept after its end; 24 hours */
  /** Of all segments, each of which is then at most a quarter of it; default
   * 0. */
  uint64_t keep_bytes;
  uint64_t reserved[8];
} weir_log_file_options;

/** Fill *options, of size bytes, with the defaults.
 *
 * Reentrancy: calls nothing. Threads: any. Allocates: no. */
WEIR_API void weir_log_file_options_init(weir_log_file_options *options,
                                         size_t size);

/**
 * Open a directory: lock it, and find out what survived. A torn tail is cut
 * off, damage before it becomes a declared loss, and `report` is told of both.
 * If the directory cannot be used, nothing in it is touched.
 *
 * Returns WEIR_OK, WEIR_EINVAL, WEIR_ENOMEM, WEIR_EENTROPY, WEIR_ELOCKED,
 * WEIR_EFORMAT (a file that does not belong there, or a newer format),
 * WEIR_EACCESS, WEIR_EFULL or WEIR_EIO.
 *
 * Reentrancy: calls clock, wall, entropy, report. Threads: any. Allocates: yes.
 */
WEIR_API int weir_log_file_open(const weir_log_file_options *options,
                                weir_log_file **log);

/**
 * Close: everything is synced, whatever the policy, and the next open need not
 * look for anything. Free the hub first, but keep its allocator, since appends
 * under way are answered.
 *
 * Returns WEIR_OK, WEIR_EBUSY (a round is under way, and nothing has happened),
 * WEIR_ENOMEM, WEIR_EFULL, WEIR_EACCESS or WEIR_EIO. But for WEIR_EBUSY the log
 * is freed, whatever it returns, and the next open finds out by itself.
 *
 * Reentrancy: calls clock, wall, entropy, weir_log_answer, report. Threads: the
 * hub's, no run under way. Allocates: yes.
 */
WEIR_API int weir_log_file_close(weir_log_file *log);

/**
 * Fill in *log, whose size the caller has set (weir_log_init), for
 * weir_hub_options.log.
 *
 * Returns WEIR_OK, WEIR_EINVAL or WEIR_EGONE (NULL).
 *
 * Reentrancy: calls nothing. Threads: the hub's. Allocates: no.
 */
WEIR_API int weir_log_file_get_log(weir_log_file *file, weir_log *log);

/**
 * How long the host may wait before weir_log_file_begin has something to do, in
 * milliseconds: 0 is now, -1 not before something is appended or the round that
 * is under way has ended. To be asked after every turn, as weir_hub_get_timeout
 * is.
 *
 * Reentrancy: calls clock, wall. Threads: the hub's. Allocates: no.
 */
WEIR_API int weir_log_file_get_timeout(weir_log_file *log);

/**
 * Begin a round: what is to be written and synced, which files are to be made
 * and removed. It is followed by weir_log_file_run and weir_log_file_end, once
 * each.
 *
 * Returns WEIR_OK (there is a round), WEIR_EAGAIN (there is nothing to do),
 * WEIR_EBUSY (a round is under way), WEIR_EGONE (NULL) or WEIR_ENOMEM.
 *
 * Reentrancy: calls clock, wall, entropy, report. Threads: the hub's.
 * Allocates: yes.
 */
WEIR_API int weir_log_file_begin(weir_log_file *log);

/**
 * Do what blocks. While it runs, everything else of this log may be called on
 * the hub's thread but weir_log_file_end and weir_log_file_close.
 *
 * Reentrancy: calls nothing of the host's. Threads: any, one at a time; what
 * makes another thread call it has to order memory (a queue or a pipe does).
 * Allocates: no.
 */
WEIR_API void weir_log_file_run(weir_log_file *log);

/**
 * End the round: answer the appends that it has made safe, or refuse them.
 *
 * Returns WEIR_OK, WEIR_EINVAL (no round has been run), WEIR_EGONE (NULL), or
 * what failed: WEIR_ENOMEM, WEIR_EFULL, WEIR_EACCESS or WEIR_EIO.
 *
 * Reentrancy: calls clock, wall, report, and through weir_log_answer wake and
 * trace. Threads: the hub's; not inside a storage function. Allocates: yes.
 */
WEIR_API int weir_log_file_end(weir_log_file *log);

/** A stream in a log. */
typedef struct weir_log_file_stream {
  size_t size;     /**< of this struct */
  const void *key; /**< valid until the next call on this log */
  size_t key_len;
  const void *meta;
  size_t meta_len;
  uint64_t generation;
  uint64_t epoch; /**< the newest */
  uint64_t trimmed;
  uint64_t last;
  uint64_t ended;
  uint64_t ended_at; /**< ms since 1970; 0 is open */
  uint32_t newest;   /**< 1 if no other generation hides it */
  uint32_t failed;   /**< 1 if it ended by failing */
  uint64_t reserved[4];
} weir_log_file_stream;

/**
 * The streams of a log, one by one, in no particular order, also those that a
 * newer one of the same key hides: *at begins as 0, and belongs to this
 * function. Nothing may be opened or appended in between.
 *
 * Returns WEIR_OK, WEIR_EDONE (there are no more), WEIR_EGONE (NULL) or
 * WEIR_EINVAL.
 *
 * Reentrancy: calls nothing. Threads: the hub's. Allocates: no.
 */
WEIR_API int weir_log_file_next_stream(const weir_log_file *log, uint64_t *at,
                                       weir_log_file_stream *stream);

/** Counters, since the log was opened unless a comment says otherwise. */
typedef struct weir_log_file_info {
  size_t size;       /**< of this struct */
  uint64_t bytes;    /**< now: of all segments */
  uint64_t segments; /**< now */
  uint64_t streams;  /**< now */
  uint64_t appends;
  uint64_t events;
  uint64_t written; /**< bytes */
  uint64_t syncs;   /**< fdatasync of segments */
  uint64_t reads;
  uint64_t failures; /**< of the file system */
  uint64_t lost;     /**< events found damaged */
  uint64_t cut;      /**< bytes cut off at open */
  uint64_t removed;  /**< segments, by retention */
  uint64_t reserved[8];
} weir_log_file_info;

/**
 * Fill *info, whose size the caller has set.
 *
 * Returns WEIR_OK, WEIR_EINVAL or WEIR_EGONE (NULL).
 *
 * Reentrancy: calls nothing. Threads: the hub's. Allocates: no.
 */
WEIR_API int weir_log_file_get_info(const weir_log_file *log,
                                    weir_log_file_info *info);

#ifdef __cplusplus
}
#endif

#endif /* WEIR_LOG_FILE_H */
