/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef WEIR__PUBLISH_H
#define WEIR__PUBLISH_H

/* What goes into a generation: events, its end, signals. */

#include "generation.h"

/* Publish events: see weir_stream_publish. */
int weir__publish(struct weir__generation *generation,
                  struct weir_stream *producer, const weir_event *events,
                  size_t count, uint64_t *last);

/* Put the end. Also into one that is broken, to have its end logged. *seq may
 * be NULL. WEIR_OK, or as weir_stream_end. */
int weir__publish_end(struct weir__generation *generation,
                      struct weir_stream *producer,
                      const struct weir__final *final, uint64_t *seq);

/* End it with texts of this library's own, without a tag. */
int weir__publish_done(struct weir__generation *generation, const char *reason);
int weir__publish_failed(struct weir__generation *generation, const char *code);

/* Make the page of a signal; page NULL: nobody will hear it, and it is only
 * checked. WEIR_OK, or as weir_stream_signal. */
int weir__publish_signal_page(struct weir__generation *generation,
                              const weir_event *signal,
                              struct weir__page **page);

/* Send it to those who are connected: see weir_stream_signal. */
int weir__publish_signal(struct weir__generation *generation,
                         const weir_event *signal, uint64_t *reached);

#endif /* WEIR__PUBLISH_H */
