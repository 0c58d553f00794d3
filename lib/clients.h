/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef WEIR__CLIENTS_H
#define WEIR__CLIENTS_H

/* Client keys: which subscribers of a stream belong to one client, and what
 * becomes of a second. A key whose subscriber was replaced is remembered for a
 * while, in which nobody is replaced any more: so two tabs that displace each
 * other do that once. */

#include "reader.h"

struct weir__client {
  struct weir__link remembered;  /* while it has no subscriber */
  struct weir_subscriber *first; /* weir_subscriber.another */
  uint32_t count;
  uint64_t replaced_at; /* 0: never */
  uint64_t left_at;     /* when the last went */
  struct weir__node node;
  unsigned char key[]; /* length of the stream's key, that key, the client's */
};

struct weir__clients {
  struct weir__core *core;
  struct weir__map map;
  struct weir__link remembered; /* the longest gone first */
  struct weir__timer timer;
};

void weir__clients_init(struct weir__clients *clients, struct weir__core *core);
void weir__clients_free(struct weir__clients *clients);

/* Whether a client may come in. WEIR_OK: *client is what to give to
 * weir__clients_add or weir__clients_drop (NULL: anonymous), and *replace says
 * whether those who are there have to go. WEIR_EEXISTS, WEIR_ECLIENT or
 * WEIR_ENOMEM. */
int weir__clients_admit(struct weir__clients *clients,
                        const struct weir__generation *generation,
                        const void *name, size_t name_len, int policy,
                        struct weir__client **client, bool *replace);

/* It has come in. */
void weir__clients_add(struct weir__client *client,
                       struct weir_subscriber *subscriber);

/* It takes the place of the others, which are shown out and told to stay away
 * for `retry` ms. The host, which is told, may let go of any of them. */
void weir__clients_replace(struct weir__clients *clients,
                           const struct weir_subscriber *subscriber,
                           uint32_t retry);

/* It has not. */
void weir__clients_drop(struct weir__clients *clients,
                        struct weir__client *client);

/* It is no longer attached. */
void weir__clients_left(struct weir__clients *clients,
                        struct weir_subscriber *subscriber);

/* The timer has fired: forget those who have been gone for long. */
void weir__clients_expired(struct weir__timer *timer);

#endif /* WEIR__CLIENTS_H */
