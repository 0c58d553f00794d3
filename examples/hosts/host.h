/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef HOST_H
#define HOST_H

/*
 * What the programs in this directory have in common, so that each of them is
 * about its server library alone:
 *
 *     PUT  /streams/KEY[?on_duplicate=replace|reject]   open a stream
 *     POST /streams/KEY/events[?type=T]                 publish the body
 *     POST /streams/KEY/end[?reason=R]                  end it
 *     GET  /streams/KEY[?from=head][&client=C]          read it
 *     GET  /stats                                       counters
 *
 * The command line, the listening socket and what is cut out of requests are
 * the reference server's: see ../server and `--help`.
 */

#include <weir/weir.h>

#include "../server/http1.h"
#include "../server/listen.h"
#include "../server/options.h"
#include "../server/text.h"

#include <stdbool.h>

struct host {
  struct options options;
  weir_http_options http; /* for every response to a reader */
  weir_hub *hub;
  size_t readers;   /* handles of theirs */
  uint64_t quit_at; /* ms of the monotonic clock; 0: not draining */
};

/* Read the command line into host->options. Returns -1 to go on, or the exit
 * status. The hub is for the program to make, with notices of its own. */
int host_configure(struct host *host, int argc, char **argv);

/* What a request wants. */
struct host_request {
  enum {
    HOST_NOTHING, /* that there is here */
    HOST_HEAD,    /* is served by none, and gets no body */
    HOST_READ,    /* the only one that weir_hub_attach is for */
    HOST_OPEN,
    HOST_PUBLISH,
    HOST_END,
    HOST_STATS
  } wish;
  char key[256]; /* of the stream, decoded */
  size_t key_len;
  struct slice query;
};

/* A string, or an empty slice for NULL. */
struct slice host_slice(const char *string);

/* Understand a request. A path may have its query behind it. The query has to
 * stay while *request is used. */
void host_parse(struct host_request *request, const char *method,
                struct slice path, struct slice query);

/* For HOST_READ: attach the client, whose cursor may stand in Last-Event-ID or
 * in the query. There is always a response. Where response->stream is 1, its
 * head and then the bytes of *subscriber are to be sent; elsewhere there is no
 * subscriber, and weir_http_write_body has the body. The response needs
 * *request. */
void host_attach(struct host *host, const struct host_request *request,
                 struct slice last_event_id, void *user,
                 weir_subscriber **subscriber, weir_response *response);

/* Let a handle go; NULL is none. weir's own count of subscribers will not do to
 * stop by: it is without those that have only their last bytes to take. */
void host_release(struct host *host, weir_subscriber *subscriber);

/* For all else: do it, and append what became of it to *json, in which
 * application/json is. Returns the status. */
int host_produce(struct host *host, const struct host_request *request,
                 struct slice body, struct text *json);

/* How a program with one loop stops. On a signal: tell the readers to go, which
 * takes until they have been sent that; the second time, do not wait. */
void host_drain(struct host *host);

/* How long the loop may sleep. As weir_hub_get_timeout. */
int host_get_timeout(struct host *host);

/* After each turn: whether to stop, since all have gone or --drain is over. */
bool host_drained(const struct host *host);

#endif /* HOST_H */
