/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef SERVER_H
#define SERVER_H

/* What the parts of the server share. */

#include <weir/weir.h>

#include "conn.h"
#include "options.h"

struct demo;
struct durable;

struct server {
  struct options options;
  struct conn_pool pool;
  weir_hub *hub;
  weir_hub *trial_hub; /* that nobody sees */
  weir_stream *trial;  /* of it: refuses what every new stream refuses */
  weir_http_options http;
  struct text cors;        /* header fields for every response */
  struct demo *demos;      /* those that are typing */
  struct durable *durable; /* NULL: everything is in memory */
  weir_log log;            /* of its */
  uint64_t started;        /* ms */
  uint64_t requests;
  bool draining;
};

#endif /* SERVER_H */
