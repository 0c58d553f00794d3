/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef SERVER_DURABLE_H
#define SERVER_DURABLE_H

/* Streams that survive the process: weir's file log, with a second thread that
 * does nothing but wait for the disk. */

#include "server.h"

/* The labels of streams (weir_open_options.label) say who produces them. */
enum {
  LABEL_NONE = 0, /* somebody over HTTP, who may come back */
  LABEL_DEMO = 1  /* a demo of this process, which goes with it */
};

/* Open the log in the directory that the options name, and put it into the
 * hub's options. false after a word on standard error. */
bool durable_open(struct server *server);

/* The hub is there: watch for the thread's answers, and end what nobody will go
 * on with. */
bool durable_start(struct server *server);

/* ms until there is something to do, -1 for none; and have it done. */
int durable_timeout(const struct server *server);
void durable_turn(struct server *server);

/* The descriptor on which the thread's answers come, and what to do then. */
void *durable_user(struct server *server);
void durable_answer(struct server *server);

/* The hub has been freed: close. */
void durable_close(struct server *server);

#endif /* SERVER_DURABLE_H */
