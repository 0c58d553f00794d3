/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef WEIR_BASE_H
#define WEIR_BASE_H

/**
 * @file
 * Types, error numbers, and the house rules, which every other header obeys
 * without repeating them.
 *
 * - A function that can fail returns int: WEIR_OK (0) or a negative WEIR_E...
 *   Results go through trailing out-parameters, which a failed call leaves
 *   alone (only a length may say how much room WEIR_ENOSPACE asks for). A
 *   failed call leaves its object as it was, except that a stream whose storage
 *   refuses an event has failed.
 * - Bytes are a pointer and a length. Nothing has to end in NUL, nothing is
 *   kept: what a call is given is copied before it returns, unless its comment
 *   says otherwise. (NULL, 0) is an empty string. No other pointer is NULL
 *   unless its comment allows it; a struct that is NULL is WEIR_EINVAL.
 * - Structs that callers fill begin with their own size and have an init
 *   function, which is given that size too. Begin with it: the defaults of
 *   options are not zeros, and padding has to be zero as well. A shorter struct
 *   of an older header works, and so does a longer one of a newer header as
 *   long as what this library does not know of it is zero (else WEIR_EINVAL).
 *   Reserved fields are zero, and unknown flags are WEIR_EINVAL. Of structs
 *   that the library fills, the caller sets size first.
 * - A struct that the library hands to a callback may be shorter than the
 *   header's: a field newer than 0.1 is read only if `size` reaches it.
 * - Times are milliseconds. WEIR_NEVER is the end of time. A clock that steps
 *   back has stood still.
 * - A handle (weir_stream, weir_subscriber) is the caller's until it is
 *   released, whatever becomes of what it stands for: it answers with errors,
 *   never with a crash. Release, detach, free and weir_log_file_close accept
 *   NULL. Everything else answers WEIR_EGONE for a handle, a hub or a file log
 *   that is NULL, except that get_timeout answers -1 and get_user NULL.
 * - A hub, its handles and its log belong to one thread at a time. Different
 *   hubs share nothing. The library starts no thread and takes no lock.
 * - Callbacks: notices are handed out at one point only, by weir_hub_run or
 *   weir_hub_next, and everything may be called from them but weir_hub_run.
 *   Inside a storage function and inside the trace callback only
 *   weir_log_answer (trace: not that), weir_subscriber_consume, the get_
 *   functions, detach, release and what needs no hub may be called;
 *   weir_hub_free must not, and all else returns WEIR_EBUSY. See
 *   weir_threads(7).
 * - What does not say "calls nothing" may call clock, entropy and the
 *   allocator, which call nothing of weir's.
 */

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* For a DLL define it before this, as __declspec(dllexport) or dllimport. */
#ifndef WEIR_API
#if defined(__GNUC__) && !defined(_WIN32)
#define WEIR_API __attribute__((visibility("default")))
#else
#define WEIR_API
#endif
#endif

#define WEIR_VERSION_MAJOR 0
#define WEIR_VERSION_MINOR 1
#define WEIR_VERSION_PATCH 0

/** The end of time, and "no deadline". It fits in a signed 64-bit integer. */
#define WEIR_NEVER INT64_MAX

/* The most bytes of each. */
#define WEIR_KEY_MAX 255
#define WEIR_CLIENT_MAX 255
#define WEIR_TYPE_MAX 255
#define WEIR_PREFIX_MAX 64
#define WEIR_MEMBERS_MAX 1024
#define WEIR_REASON_MAX 255 /**< and a code */
#define WEIR_MESSAGE_MAX 4096
#define WEIR_META_MAX 4096 /**< weir_log_request.meta */

/**
 * Error numbers. The values are part of the ABI and never change; new ones
 * may come, so a caller treats any negative number that it does not know as a
 * failure.
 */
enum {
  WEIR_OK = 0,
  WEIR_ENOMEM = -1,        /**< out of memory; the same call may work later */
  WEIR_EINVAL = -2,        /**< an argument is not what the contract says */
  WEIR_ENOSPACE = -3,      /**< the caller's buffer is too small */
  WEIR_EOVERFLOW = -4,     /**< a length or a number left its range */
  WEIR_EAGAIN = -5,        /**< nothing now; a notice will say when */
  WEIR_EDONE = -6,         /**< nothing now and nothing ever again */
  WEIR_EBUSY = -7,         /**< not from here: see the house rules */
  WEIR_EGONE = -8,         /**< what the handle stood for has gone */
  WEIR_ENOENT = -9,        /**< no such stream */
  WEIR_EEXISTS = -10,      /**< already there, and the policy is to reject */
  WEIR_EENDED = -11,       /**< the generation has ended; nothing follows it */
  WEIR_EFENCED = -12,      /**< another writer has taken the generation over */
  WEIR_EMALFORMED = -13,   /**< not a cursor of this library */
  WEIR_EABSENT = -14,      /**< there is no cursor, or an empty one */
  WEIR_EDRAINING = -15,    /**< the hub is draining and takes nobody in */
  WEIR_ELOG = -16,         /**< storage failed, or broke its contract */
  WEIR_EUNKNOWN = -17,     /**< storage did not say whether it stored */
  WEIR_ESTALE = -18,       /**< an answer to a call that is no longer open */
  WEIR_EENTROPY = -19,     /**< no random bits could be had */
  WEIR_ESTREAMS = -20,     /**< limit: streams of the hub */
  WEIR_ESUBSCRIBERS = -21, /**< limit: subscribers of the hub */
  WEIR_ECROWD = -22,       /**< limit: subscribers of one stream */
  WEIR_ECLIENT = -23,      /**< limit: subscribers of one client key */
  WEIR_ETOOBIG = -24,      /**< limit: size or lines of one event */
  WEIR_ERESIDENT = -25,    /**< limit: bytes resident in the hub */
  WEIR_EPENDING = -26,     /**< limit: events that wait for storage */
  WEIR_EUTF8 = -27,        /**< not UTF-8, or a NUL, where text is checked */
  WEIR_EJSON = -28,        /**< not JSON, where JSON was promised */
  WEIR_ERESERVED = -29,    /**< an event type that weir or EventSource uses */
  WEIR_ESTALLED = -30,     /**< a client took nothing for too long */
  WEIR_EIO = -31,          /**< the file system failed */
  WEIR_EFULL = -32,        /**< no room on the disk, or in the quota */
  WEIR_ELOCKED = -33,      /**< another process has the directory */
  WEIR_EFORMAT = -34,      /**< not a log, or one of a newer version */
  WEIR_EACCESS = -35       /**< not allowed to use the directory */
};

/** This number and those below are the host's, for refusals by its storage;
 * weir never uses them. */
#define WEIR_EHOST (-10000)

/**
 * Say an error number in English: a static string, never NULL, even for a
 * number that is no error.
 *
 * Reentrancy: calls nothing. Threads: any. Allocates: no.
 */
WEIR_API const char *weir_strerror(int error);

/**
 * The version of the library that runs, as "major.minor.patch"; the macros
 * above are the version of the header that was compiled against.
 *
 * Reentrancy: calls nothing. Threads: any. Allocates: no.
 */
WEIR_API const char *weir_version(void);

/**
 * The library's memory, if malloc is not what a hub should use.
 *
 * alloc returns size bytes (never 0) aligned for any type, or NULL. free gets
 * what alloc gave with the size that it was asked for. Both are called on the
 * hub's thread only, for as long as the hub, a handle of it or a storage call
 * exists. Set both or none.
 */
typedef struct weir_allocator {
  size_t size; /**< of this struct */
  void *user;
  void *(*alloc)(void *user, size_t size);
  void (*free)(void *user, void *memory, size_t size);
} weir_allocator;

/** Fill *allocator, of size bytes, with zeros and its size: malloc and free.
 *
 * Reentrancy: calls nothing. Threads: any. Allocates: no. */
WEIR_API void weir_allocator_init(weir_allocator *allocator, size_t size);

#ifdef __cplusplus
}
#endif

#endif /* WEIR_BASE_H */
