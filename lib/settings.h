/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef WEIR__SETTINGS_H
#define WEIR__SETTINGS_H

/* What whoever began a generation chose for it: kept with it in the log, and
 * shared among generations that chose the same. */

#include "core.h"

/* The watchdogs, in the order in which they stand in the log. */
enum {
  WEIR__FIRST_EVENT,
  WEIR__IDLE,
  WEIR__LIFETIME,
  WEIR__ABANDONED,
  WEIR__WATCHDOGS
};

struct weir__settings {
  size_t refs;
  bool shared;
  bool envelope;
  uint16_t prefix_len;
  uint16_t members_len;
  uint64_t after[WEIR__WATCHDOGS]; /* ms; 0 is off */
  uint8_t action[WEIR__WATCHDOGS];
  uint64_t linger;
  uint64_t label;
  char text[]; /* prefix, members */
};

/* Check what an open chose, and keep it; *like is shared if it is the same.
 * WEIR_OK, WEIR_EINVAL, WEIR_EUTF8, WEIR_EJSON or WEIR_ENOMEM. */
int weir__settings_new(struct weir__core *core,
                       const weir_open_options *options,
                       struct weir__settings *like,
                       struct weir__settings **settings);

/* Those of an open that chose nothing. WEIR_OK or WEIR_ENOMEM. */
int weir__settings_default(struct weir__core *core, bool shared,
                           struct weir__settings **settings);

void weir__settings_release(struct weir__core *core,
                            struct weir__settings *settings);

/* The form that storage keeps. At most WEIR__META_MOST bytes. */
#define WEIR__META_MOST 1160
size_t weir__settings_write(const struct weir__settings *settings,
                            unsigned char meta[WEIR__META_MOST]);

/* Read it back. WEIR_OK, WEIR_ELOG (it is not what this library writes) or
 * WEIR_ENOMEM. */
int weir__settings_read(struct weir__core *core, const void *meta, size_t len,
                        struct weir__settings *like,
                        struct weir__settings **settings);

#endif /* WEIR__SETTINGS_H */
