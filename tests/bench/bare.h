/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef BENCH_BARE_H
#define BENCH_BARE_H

/* The limit of a server: it accepts, answers, and writes the same bytes to
 * everybody, and knows nothing else. */

#include "server.h"

/* A listening socket on a free port of this machine. */
int bare_listen(int *port);

/* Serve. control gets a byte for each command: how many events to write to all
 * at once; it is written back when that is done. */
_Noreturn void bare_run(int listener, int control);

/* The data of an event, with the time in it. */
void server_put_event(char event[EVENT_BYTES]);

#endif /* BENCH_BARE_H */
