/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include <weir/log.h>

#include "log.h"

#include "page.h"

#define DEADLINE 10000

void weir_log_init(weir_log *log, size_t size) {
  weir__start(log, size);
}

void weir_record_init(weir_record *record, size_t size) {
  weir__start(record, size);
}

void weir_answer_init(weir_answer *answer, size_t size) {
  weir__start(answer, size);
}

static void close_handle(struct weir__handle *handle) {
  struct weir__core *core = handle->core;

  core->inside += 1;
  core->log.close(core->log.user, handle->storage);
  core->inside -= 1;
  weir__core_free(core, handle, sizeof *handle);
  weir__core_release(core);
}

static void start_close(struct weir__work *work) {
  close_handle(weir__owner(work, struct weir__handle, work));
}

static struct weir__handle *new_handle(struct weir__core *core) {
  struct weir__handle *handle = weir__core_alloc(core, sizeof *handle);

  if (handle != NULL) {
    weir__work_init(&handle->work, start_close);
    handle->core = core;
    handle->refs = 1;
    handle->storage = NULL;
    weir__core_hold(core);
  }
  return handle;
}

void weir__handle_release(struct weir__handle *handle) {
  if (handle == NULL) {
    return;
  }
  handle->refs -= 1;
  if (handle->refs != 0) {
    return;
  }
  /* Storage hears of it when nothing is half done, since the host may let go of
   * anything in there; but once the hub is gone there is no later. */
  if (handle->core->gone) {
    close_handle(handle);
  } else {
    weir__core_work(handle->core, &handle->work);
  }
}

/* Storage has no use for the frames any more. */
static void release_pages(struct weir__call *call) {
  size_t i;

  for (i = 0; i < call->page_count; ++i) {
    weir__page_release(call->pages[i]);
  }
}

/* The call is over for storage: give everything else back. */
static void free_call(struct weir__call *call) {
  struct weir__core *core = call->core;

  weir__timer_stop(&core->wheel, &call->timer);
  weir__map_remove(&core->calls, &call->node);
  if (call->is_open && call->handle != NULL) {
    weir__core_free(core, call->handle, sizeof *call->handle);
    weir__core_release(core);
  } else {
    weir__handle_release(call->handle);
  }
  weir__core_free(core, call,
                  sizeof *call + call->page_count * sizeof call->pages[0]);
  core->info.calls -= 1;
  weir__core_release(core);
}

/* Tell the owner, if there still is one. It does not hear of the call again. */
static void tell(struct weir__call *call, int result, const weir_answer *answer,
                 struct weir__handle *handle) {
  weir__call_done *done = call->done;
  struct weir__core *core = call->core;

  if (result < 0 && result != WEIR_ENOENT && result != WEIR_EEXISTS) {
    core->info.log_errors += 1;
  }
  if (done == NULL) {
    weir__handle_release(handle);
    return;
  }
  call->done = NULL;
  *call->place = NULL;
  core->inside += 1;
  done(call->owner, result, answer, handle);
  core->inside -= 1;
}

/* What a refusal by storage is called here: its own numbers do not get out, but
 * for those that mean the same there, and the host's. */
static int translate(int error) {
  switch (error) {
    case WEIR_ENOMEM:
    case WEIR_ENOENT:
    case WEIR_EEXISTS:
    case WEIR_EENDED:
    case WEIR_EFENCED:
    case WEIR_EUNKNOWN:
    case WEIR_EIO:
    case WEIR_EFULL:
    case WEIR_EACCESS:
      return error;
    default:
      return error <= WEIR_EHOST ? error : WEIR_ELOG;
  }
}

/* The call has come to its end. */
static void conclude(struct weir__call *call, int result,
                     const weir_answer *answer) {
  struct weir__core *core = call->core;
  struct weir__handle *handle = NULL;

  weir__core_hold(core);
  if (call->is_open && result == WEIR_LOG_YES) {
    handle = call->handle;
    handle->storage = answer->handle;
    call->handle = NULL;
  }
  /* Nothing is closed from in here. */
  core->inside += 1;
  release_pages(call);
  tell(call, result < 0 ? translate(result) : result, answer, handle);
  free_call(call);
  core->inside -= 1;
  weir__core_release(core);
}

static struct weir__call *new_call(struct weir__core *core,
                                   struct weir__handle *handle,
                                   size_t page_count) {
  struct weir__call *call =
      weir__core_alloc(core, sizeof *call + page_count * sizeof call->pages[0]);

  if (call == NULL) {
    return NULL;
  }
  memset(call, 0, sizeof *call);
  call->core = core;
  call->handle = handle;
  call->page_count = page_count;
  call->ticket = ++core->tickets;
  call->node.key = &call->ticket;
  call->node.key_len = sizeof call->ticket;
  if (weir__map_insert(&core->calls, &call->node) != WEIR_OK) {
    weir__core_free(core, call,
                    sizeof *call + page_count * sizeof call->pages[0]);
    return NULL;
  }
  weir__timer_init(&call->timer, WEIR__TIMER_CALL);
  weir__core_hold(core);
  core->info.calls += 1;
  return call;
}

/* Make a call on a handle, which is lent to it. */
static struct weir__call *new_handle_call(struct weir__handle *handle,
                                          size_t page_count) {
  struct weir__call *call = new_call(handle->core, handle, page_count);

  if (call != NULL) {
    handle->refs += 1;
  }
  return call;
}

/* Storage is about to be called. */
static uint64_t enter(struct weir__call *call, weir__call_done *done,
                      void *owner, struct weir__call **place) {
  struct weir__core *core = call->core;

  weir__core_start(
      core, &call->timer,
      weir__later(core->now,
                  core->log.deadline != 0 ? core->log.deadline : DEADLINE));
  call->done = done;
  call->owner = owner;
  call->place = place;
  *place = call;
  weir__core_hold(core);
  core->inside += 1;
  return call->ticket;
}

static struct weir__call *find_call(const struct weir__core *core,
                                    uint64_t ticket) {
  struct weir__node *node =
      weir__map_find(&core->calls, &ticket, sizeof ticket);

  return node == NULL ? NULL : weir__owner(node, struct weir__call, node);
}

/* Storage has returned. Unless it says yes it will not answer; and unless it
 * says no, nobody knows what it has done. */
static void leave(struct weir__core *core, uint64_t ticket, int returned) {
  struct weir__call *call;

  core->inside -= 1;
  if (returned != WEIR_LOG_YES) {
    call = find_call(core, ticket);
    if (call != NULL) {
      conclude(call, returned < 0 ? returned : WEIR_EUNKNOWN, NULL);
    }
  }
  weir__core_release(core);
}

struct weir__call *weir__log_prepare(struct weir__core *core) {
  struct weir__handle *handle = new_handle(core);
  struct weir__call *call;

  if (handle == NULL) {
    return NULL;
  }
  call = new_call(core, handle, 0);
  if (call == NULL) {
    weir__core_free(core, handle, sizeof *handle);
    weir__core_release(core);
    return NULL;
  }
  call->is_open = true;
  return call;
}

void weir__log_unprepare(struct weir__call *call) {
  if (call != NULL) {
    free_call(call);
  }
}

void weir__log_open(struct weir__call *call, const weir_log_request *request,
                    weir__call_done *done, void *owner,
                    struct weir__call **place) {
  struct weir__core *core = call->core;
  const uint64_t ticket = enter(call, done, owner, place);

  leave(core, ticket,
        core->log.open(core->log.user, (weir_hub *)(void *)core, ticket,
                       request));
}

int weir__log_append(struct weir__handle *handle, const weir_record *records,
                     size_t count, struct weir__page *const *pages,
                     size_t page_count, weir__call_done *done, void *owner,
                     struct weir__call **place) {
  struct weir__core *core = handle->core;
  struct weir__call *call = new_handle_call(handle, page_count);
  uint64_t ticket;
  size_t i;

  if (call == NULL) {
    return WEIR_ENOMEM;
  }
  for (i = 0; i < page_count; ++i) {
    call->pages[i] = pages[i];
    weir__page_hold(pages[i]);
  }
  core->info.appends += 1;
  ticket = enter(call, done, owner, place);
  leave(core, ticket,
        core->log.append(core->log.user, (weir_hub *)(void *)core, ticket,
                         handle->storage, records, count));
  return WEIR_OK;
}

int weir__log_read(struct weir__handle *handle, uint64_t after, uint64_t upto,
                   size_t max_bytes, weir__call_done *done, void *owner,
                   struct weir__call **place) {
  struct weir__core *core = handle->core;
  struct weir__call *call = new_handle_call(handle, 0);
  uint64_t ticket;

  if (call == NULL) {
    return WEIR_ENOMEM;
  }
  core->info.reads += 1;
  ticket = enter(call, done, owner, place);
  leave(core, ticket,
        core->log.read(core->log.user, (weir_hub *)(void *)core, ticket,
                       handle->storage, after, upto, max_bytes));
  return WEIR_OK;
}

int weir__log_trim(struct weir__handle *handle, uint64_t through,
                   weir__call_done *done, void *owner,
                   struct weir__call **place) {
  struct weir__core *core = handle->core;
  struct weir__call *call = new_handle_call(handle, 0);
  uint64_t ticket;

  if (call == NULL) {
    return WEIR_ENOMEM;
  }
  ticket = enter(call, done, owner, place);
  leave(core, ticket,
        core->log.trim(core->log.user, (weir_hub *)(void *)core, ticket,
                       handle->storage, through));
  return WEIR_OK;
}

void weir__call_abandon(struct weir__call **place) {
  struct weir__call *call = *place;

  if (call != NULL) {
    weir__timer_stop(&call->core->wheel, &call->timer);
    call->done = NULL;
    *place = NULL;
  }
}

void weir__call_expired(struct weir__timer *timer) {
  tell(weir__owner(timer, struct weir__call, timer), WEIR_EUNKNOWN, NULL, NULL);
}

int weir_log_answer(weir_hub *hub, uint64_t ticket,
                    const weir_answer *callers) {
  struct weir__core *core = (struct weir__core *)(void *)hub;
  struct weir__call *call;
  weir_answer answer;
  bool stale;

  if (hub == NULL) {
    return WEIR_EGONE;
  }
  call = find_call(core, ticket);
  if (call == NULL) {
    core->info.stale += 1;
    return WEIR_ESTALE;
  }
  weir_answer_init(&answer, sizeof answer);
  if (weir__load(&answer, sizeof answer, callers) != WEIR_OK ||
      answer.shared > 1 || answer.failed > 1 || answer.reserved0 != 0 ||
      !weir__is_zero(answer.reserved, sizeof answer.reserved)) {
    conclude(call, WEIR_EUNKNOWN, NULL);
    return WEIR_EINVAL;
  }
  if (core->inside == 0 && !core->gone) {
    /* Storage has been waited for: what it brings is as old as that. */
    weir__core_tick(core);
  }
  stale = call->done == NULL;
  core->info.stale += stale;
  conclude(call,
           answer.result == WEIR_LOG_YES || answer.result < 0 ? answer.result
                                                              : WEIR_EUNKNOWN,
           &answer);
  return stale ? WEIR_ESTALE : WEIR_OK;
}
