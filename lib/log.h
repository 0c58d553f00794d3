/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef WEIR__LOG_H
#define WEIR__LOG_H

/* Calls to storage. A call is open until storage answers it, and what storage
 * was lent for it (pages, its handle) stays until then. Its owner may lose
 * interest earlier: when the deadline passes, or because it goes away itself;
 * the answer is then nobody's. */

#include <weir/log.h>

#include "core.h"

struct weir__page;

/* A generation's handle in storage, closed when neither its owner nor a call
 * needs it any more. */
struct weir__handle {
  struct weir__work work; /* to close it */
  struct weir__core *core;
  size_t refs;
  void *storage;
};

void weir__handle_release(struct weir__handle *handle);

/* The end of a call, for its owner: WEIR_LOG_YES with the answer, or a negative
 * result with what was answered or NULL. Storage must not be called from here.
 * handle is what a yes to an open brought: the owner's to release. */
typedef void weir__call_done(void *owner, int result, const weir_answer *answer,
                             struct weir__handle *handle);

struct weir__call {
  struct weir__node node; /* in core->calls, by ticket */
  struct weir__timer timer;
  struct weir__core *core;
  struct weir__handle *handle;
  weir__call_done *done; /* NULL: nobody waits for it any more */
  void *owner;
  struct weir__call **place; /* where the owner keeps it */
  uint64_t ticket;
  bool is_open;
  size_t page_count;
  struct weir__page *pages[];
};

/* What an open needs, so that it cannot fail for want of memory any more; NULL
 * if there is none. Then open with it, or give it back (or NULL). */
struct weir__call *weir__log_prepare(struct weir__core *core);
void weir__log_unprepare(struct weir__call *call);

/* Each starts a call, and done will be called once, perhaps before this
 * returns. *place is the call from before storage is called until just before
 * done is, and NULL then. The others return WEIR_OK or WEIR_ENOMEM: nothing has
 * happened. */
void weir__log_open(struct weir__call *call, const weir_log_request *request,
                    weir__call_done *done, void *owner,
                    struct weir__call **place);

/* The call holds the pages until it is answered. */
int weir__log_append(struct weir__handle *handle, const weir_record *records,
                     size_t count, struct weir__page *const *pages,
                     size_t page_count, weir__call_done *done, void *owner,
                     struct weir__call **place);

int weir__log_read(struct weir__handle *handle, uint64_t after, uint64_t upto,
                   size_t max_bytes, weir__call_done *done, void *owner,
                   struct weir__call **place);

int weir__log_trim(struct weir__handle *handle, uint64_t through,
                   weir__call_done *done, void *owner,
                   struct weir__call **place);

/* The owner goes: done will not be called. *place becomes NULL. */
void weir__call_abandon(struct weir__call **place);

/* The deadline of the call that has this timer has passed. */
void weir__call_expired(struct weir__timer *timer);

#endif /* WEIR__LOG_H */
