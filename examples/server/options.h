/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef SERVER_OPTIONS_H
#define SERVER_OPTIONS_H

/* The command line. Most options are weir's own, under their names. */

#include <weir/weir.h>

struct options {
  const char *listen;        /* ADDR:PORT */
  const char *cors;          /* an origin, `*`, or NULL */
  const char *publish_token; /* or NULL: everybody may publish */
  uint64_t max_body;
  uint64_t drain;           /* ms */
  uint64_t request_timeout; /* ms */
  uint64_t idle_timeout;    /* ms */
  weir_hub_options hub;
  weir_open_options open;
  weir_attach_options attach;
  weir_log_file_options log; /* path NULL: everything is in memory */
};

/* Fill in the defaults, then what the command line says. Returns -1 to go on;
 * otherwise there has been a word on standard output or error, and it is the
 * exit status. */
int options_parse(struct options *options, int argc, char **argv);

/* The first option of a command line, which was parsed before, that cannot be
 * used, or not with those before it. NULL: it is none of them. */
const char *options_blame(int argc, char **argv,
                          int (*try)(const struct options *options));

#endif /* SERVER_OPTIONS_H */
