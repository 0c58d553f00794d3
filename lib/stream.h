/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef WEIR__STREAM_H
#define WEIR__STREAM_H

/* A producer's handle, as those who decide about opens see it. */

#include "tend.h"

/* A new one, whose open is to be decided inside the call. Takes over the
 * settings. */
int weir__producer_new(struct weir__core *core,
                       const weir_open_options *options,
                       struct weir__settings *settings,
                       struct weir_stream **made);

/* It stands for this generation from now on. */
void weir__producer_join(struct weir_stream *producer,
                         struct weir__generation *generation);

/* Its open has succeeded (and is decided later all the same if there is no
 * memory for an end that waits for it), or not. */
void weir__producer_accept(struct weir_stream *producer, bool joined);
void weir__producer_refuse(struct weir_stream *producer, int error);

/* The hub goes. */
void weir__producer_gone(struct weir_stream *producer);

/* For weir__floors. */
bool weir__producer_take(struct weir_stream *producer, weir_notice *notice,
                         bool *more);
void weir__producer_destroy(struct weir_stream *producer);

#endif /* WEIR__STREAM_H */
