/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef SIM_STORE_H
#define SIM_STORE_H

/* Storage that outlives processes: the facts of the model, behind the interface
 * of weir/log.h. It answers now, later, out of order, twice, wrongly or never;
 * what it does is sound all the same, and what it is asked for has to be. */

#include <weir/weir.h>

#include "model.h"

struct host;

/* What one process has of it: gone with the process. */
struct port;

/* Fill in *log for the hub of a process. */
struct port *store_open(struct host *host, weir_log *log);

/* The process has died: what it asked for may still be done, but nobody will be
 * told. */
void store_leave(struct port *port);

/* Its hub has been freed: every handle is closed now. */
void store_expect_closed(const struct port *port);

/* The machine of the storage has crashed: of some streams what was last is
 * lost. All processes are dead. */
void store_crash(void);

/* What goes on by itself: loss, and retention. */
void store_decay(void);

/* Is a hub right to wait for an answer? */
bool store_is_asked(const struct port *port);

/* Calls whose answer, or one of whose answers, has not been given; also those
 * that never will be. */
size_t store_owes(const struct port *port);

void store_free(void);

#endif /* SIM_STORE_H */
