/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef SERVER_LISTEN_H
#define SERVER_LISTEN_H

/* The socket that connections come from. */

#include <stddef.h>

/* Listen on ADDR:PORT; port 0 picks one. Returns the socket, or -1 after a word
 * on standard error. */
int listen_on(const char *address);

/* Say where: `listening on http://ADDR:PORT`, one line on standard output. */
void listen_say(int socket);

/* Take the next connection. -1: there is none; -2: there are no descriptors (or
 * no memory) left for it. */
int listen_accept(int socket);

/* Let this process have as many descriptors as it may. Returns how many of them
 * are for connections: some are kept back for the log, half if there are few.
 */
size_t listen_raise_limit(void);

#endif /* SERVER_LISTEN_H */
