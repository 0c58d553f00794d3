/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef WEIR_CONFORMANCE_H
#define WEIR_CONFORMANCE_H

/**
 * @file
 * The conformance kit: whether a log keeps what weir/log.h promises for it.
 * This header and conformance.c need nothing but weir and libc; copy both.
 *
 * How it works. Tickets belong to hubs, so the kit makes hubs. Their log is a
 * thin table of its own that hands every call on to the log under test, with
 * the same hub and ticket; it counts what is asked, and for some checks changes
 * a single argument (an epoch, a generation, max_bytes), so that the log is
 * asked what a hub of good will would not ask. What the log has answered is
 * read off the hubs: results from notices, states from verdicts and infos,
 * events from the bytes that a client gets. So the log is judged by what weir
 * makes of it, which is strict: what contradicts itself, or is not what was
 * asked for, is an error there. The hubs' time stands still; nothing is ever
 * late.
 *
 * Several hubs use the log at once, as several processes use one database: what
 * a log for one hub alone cannot do is left out with CONFORMANCE_ONE_HUB.
 */

#include <weir/weir.h>

/** conformance.flags: what the log offers. */
enum {
  CONFORMANCE_SHARED = 0x1, /**< it numbers the events of shared streams */
  CONFORMANCE_ONE_HUB = 0x2 /**< two hubs at a time are one too many */
};

/** A log under test. */
struct conformance {
  void *user;
  uint32_t flags; /**< CONFORMANCE_... */
  /** How often to pump before a call counts as not answered; 0 is 100,000. */
  uint32_t patience;
  /** Make a log that is empty, and fill in *log, which weir_log_init has been
   * called for. Returns 0 if that is not possible. */
  int (*make)(void *user, weir_log *log);
  /** All hubs are gone, and all handles closed. */
  void (*destroy)(void *user, weir_log *log);
  /** Close the log and open it again, as a clean restart of the process does:
   * all that was stored is there. *log is the old table, and then the new one.
   * Returns 0 if that fails. NULL: what this log keeps does not survive it. */
  int (*reopen)(void *user, weir_log *log);
  /** Let answers come that were not given at once: work off what is due, or
   * wait for a short time until something is. NULL: all come at once. */
  void (*pump)(void *user, weir_log *log);
  /** Told of every check; problem is NULL if it has passed. May be NULL. */
  void (*report)(void *user, const char *check, const char *problem);
};

/** Run all checks, each on a log of its own. Returns how many have failed. */
unsigned conformance_run(const struct conformance *subject);

#endif /* WEIR_CONFORMANCE_H */
