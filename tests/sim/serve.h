/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef SIM_SERVE_H
#define SIM_SERVE_H

/* A connection: on one side a server that pulls from a subscriber and writes
 * to a socket, in all the ways that servers do; in between a network; on the
 * other side a client. */

#include <weir/weir.h>

#include "chance.h"
#include "watch.h"

struct client;
struct host;

/* What a client asks for. */
struct ask {
  unsigned key;
  int32_t from;
  char header[200]; /* Last-Event-ID; "" is none */
  char query[220];
  char cursor[200]; /* that which counts */
  char name[8];     /* the client's key; "" is anonymous */
};

struct conn;

/* Connect to the host in a place. */
struct conn *serve_connect(struct client *client, unsigned place,
                           const struct ask *ask);

/* The client closes the connection. */
void serve_hang_up(struct conn *conn);

/* It reads from a server that wrote the stream once, and has not been told that
 * another does now, or has begun anew: it stays behind, for as long as nobody
 * publishes there. */
bool serve_is_deposed(const struct conn *conn);

void serve_notice(struct host *host, const weir_notice *notice);

/* The host has come to rest: nobody may be forgotten. */
void serve_check(struct host *host);

void serve_host_died(struct host *host);
void serve_host_shut(struct host *host);

/* Some connection of a host that has a subscriber; NULL: there is none. For
 * what hosts do in notices. */
struct conn *serve_any(struct host *host, struct chance *chance);

/* Pull, close, detach, or signal to it alone: whatever, at any time. */
void serve_meddle(struct conn *conn, struct chance *chance);

void serve_free(void);

#endif /* SIM_SERVE_H */
