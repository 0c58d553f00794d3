/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "attaching.h"

#include "cursor.h"

#define FLAGS (WEIR_ATTACH_PING | WEIR_ATTACH_STRICT)

/* How often an attach follows its key to another generation. */
#define MOVES 4

/* A claim with room for its texts. */
union claim {
  struct weir__claim claim;
  char room[sizeof(struct weir__claim) + WEIR_CURSOR_MAX + WEIR_CLIENT_MAX];
};

static const char *client_of(const struct weir__claim *claim) {
  return claim->text + claim->text_len;
}

static void trace_attach(struct weir__generation *generation, const char *text,
                         size_t text_len, const weir_resolution *resolution,
                         void *user) {
  struct weir__core *core = generation->core;
  weir_trace what = {0};

  core->info.verdicts[resolution->verdict] += 1;
  what.kind = WEIR_TRACE_ATTACH;
  what.key = generation->key;
  what.key_len = generation->node.key_len;
  what.generation = weir__generation_name(generation);
  what.text = text;
  what.text_len = text_len;
  what.epoch = resolution->position.epoch;
  what.seq = resolution->position.seq;
  what.verdict = resolution->verdict;
  what.user = user;
  weir__core_trace(core, &what);
}

static void resolve(const struct weir__generation *generation,
                    const struct weir__claim *claim,
                    weir_resolution *resolution) {
  const struct weir__generation *previous = generation->previous;
  weir_state state;
  weir_state before;

  weir__history_state(&generation->history, &state);
  if (previous != NULL) {
    weir__history_state(&previous->history, &before);
  }
  weir__state_resolve(&state, previous != NULL ? &before : NULL, claim->parsed,
                      &claim->cursor, claim->start, resolution);
}

/* Whether a claim can be judged by what is known; if not, what has to be known
 * is asked for: which generation is the newest if this one is over, or how far
 * it is if the cursor is beyond that. */
static bool is_judgeable(struct weir__generation *generation,
                         struct weir__claim *claim) {
  const struct weir__history *history = &generation->history;
  weir_resolution resolution;

  if (generation->backing == NULL) {
    return true;
  }
  if (generation->phase == WEIR__KNOWN) {
    resolve(generation, claim, &resolution);
    /* Who names the end has seen it, whatever came after it. */
    if (resolution.verdict == WEIR_VERDICT_FINISHED &&
        claim->parsed == WEIR_OK && claim->cursor.epoch != 0) {
      return true;
    }
    claim->beyond = resolution.verdict == WEIR_VERDICT_AHEAD ||
                    resolution.verdict == WEIR_VERDICT_FOREIGN;
    /* Storage may have it, and another hub have sent it, before this one is
     * told so. */
    claim->flying = resolution.verdict == WEIR_VERDICT_AHEAD &&
                    !history->follow && claim->cursor.seq <= history->put;
    if (claim->flying) {
      return false;
    }
  }
  return generation->phase != WEIR__ASKED &&
         generation->phase != WEIR__CREATING &&
         weir__tend_is_sure(generation, claim->seek, claim->beyond);
}

/* Whether a claim is to be judged where its key leads now: another hub, or this
 * one, has begun the next meanwhile. That is not followed for ever. */
static bool is_astray(const struct weir__registry *registry,
                      const struct weir__generation *generation,
                      const struct weir__claim *claim) {
  const struct weir__generation *newest =
      weir__registry_find(registry, generation->key, generation->node.key_len);

  return claim->moves < MOVES &&
         (weir__tend_is_astray(generation, claim->beyond) ||
          (newest != NULL && newest != generation));
}

/* Why a claim cannot be judged now. What is not known to be stored may be what
 * the cursor is of. */
static int doubt(const struct weir__generation *generation,
                 const struct weir__claim *claim) {
  const int rv = generation->broken && claim->beyond &&
                         generation->refusal == WEIR_EUNKNOWN
                     ? WEIR_EUNKNOWN
                     : weir__tend_doubt(generation, claim->beyond);

  /* Storage led on and on. */
  return rv == WEIR_EEXISTS ? WEIR_ELOG : rv;
}

/* Judge a claim, and begin to read if there is something to read. WEIR_OK:
 * *verdict says what became of it. The host, which is told, may have let go of
 * the subscriber in there, if it has it already. */
static int admit(struct weir__registry *registry,
                 struct weir__generation *generation,
                 const struct weir__claim *claim,
                 struct weir_subscriber *subscriber, int *verdict) {
  struct weir__core *core = registry->core;
  const uint64_t limit = core->options.max_stream_subscribers;
  /* The claim of one that waited goes when it begins to read. */
  const uint32_t retry_replaced = claim->retry_replaced;
  const size_t text_len = claim->text_len;
  char text[WEIR_CURSOR_MAX];
  struct weir__page *greeting;
  struct weir__client *client;
  weir_resolution resolution;
  bool replace;
  int rv;

  if (core->draining) {
    return WEIR_EDRAINING;
  }
  if (generation->phase == WEIR__VOID) {
    *verdict = WEIR_VERDICT_UNKNOWN;
    core->info.verdicts[WEIR_VERDICT_UNKNOWN] += generation->fault == WEIR_OK;
    return generation->fault;
  }
  memcpy(text, claim->text, text_len);
  resolve(generation, claim, &resolution);
  *verdict = resolution.verdict;
  if (resolution.verdict == WEIR_VERDICT_FINISHED) {
    trace_attach(generation, text, text_len, &resolution, subscriber->user);
    return WEIR_OK;
  }
  rv = doubt(generation, claim);
  if (rv != WEIR_OK) {
    return rv;
  }
  rv = weir__clients_admit(&registry->clients, generation, client_of(claim),
                           claim->client_len, claim->on_duplicate, &client,
                           &replace);
  if (rv != WEIR_OK) {
    return rv;
  }
  /* Who takes the place of another needs none. */
  if (!replace && limit != 0 && generation->reader_count >= limit) {
    weir__clients_drop(&registry->clients, client);
    return WEIR_ECROWD;
  }
  rv = weir__reader_greet(generation, &resolution, text, text_len,
                          subscriber->retry, &greeting);
  if (rv != WEIR_OK) {
    weir__clients_drop(&registry->clients, client);
    return rv;
  }
  weir__reader_begin(subscriber, generation, &resolution, greeting);
  weir__clients_add(client, subscriber);
  core->info.attaches += 1;
  trace_attach(generation, text, text_len, &resolution, subscriber->user);
  if (replace) {
    weir__clients_replace(&registry->clients, subscriber, retry_replaced);
  }
  return WEIR_OK;
}

/* Count what a limit or a policy refused. */
static void count_refusal(struct weir__core *core, int error) {
  static const int refusals[] = {
      WEIR_EEXISTS,      WEIR_EMALFORMED, WEIR_EDRAINING, WEIR_ESTREAMS,
      WEIR_ESUBSCRIBERS, WEIR_ECROWD,     WEIR_ECLIENT,   WEIR_ERESIDENT};
  size_t i;

  for (i = 0; i < sizeof refusals / sizeof refusals[0]; ++i) {
    core->info.refused += error == refusals[i];
  }
}

uint32_t weir__attaching_retry(const struct weir__core *core, int error,
                               uint32_t retry, uint32_t retry_replaced) {
  if (error == WEIR_EDRAINING && core->drain_retry != 0) {
    return core->drain_retry;
  }
  /* Who has to wait for another to go need not hurry. */
  return error == WEIR_EEXISTS ? retry_replaced : retry;
}

/* The attach of a subscriber that waits is decided: not so. */
static void refuse(struct weir__core *core, struct weir_subscriber *subscriber,
                   int error) {
  const struct weir__claim *claim = subscriber->todo.claim;

  if (!claim->inside) {
    count_refusal(core, error);
  }
  subscriber->retry = weir__attaching_retry(core, error, subscriber->retry,
                                            claim->retry_replaced);
  weir__reader_refuse(subscriber, WEIR_VERDICT_PENDING, error);
  weir__reader_decided(subscriber);
}

/* Decide the attach of a subscriber that waits. */
static void decide_attach(struct weir__registry *registry,
                          struct weir_subscriber *subscriber) {
  int verdict = WEIR_VERDICT_PENDING;
  int rv = admit(registry, subscriber->generation, subscriber->todo.claim,
                 subscriber, &verdict);

  if (subscriber->standing == WEIR__GONE) {
    return;
  }
  if (rv != WEIR_OK) {
    refuse(registry->core, subscriber, rv);
    return;
  }
  if (verdict == WEIR_VERDICT_FINISHED || verdict == WEIR_VERDICT_UNKNOWN) {
    weir__reader_refuse(subscriber, verdict, WEIR_OK);
  }
  weir__reader_decided(subscriber);
}

/* It waits where the key leads now. */
static void move_on(struct weir__registry *registry,
                    struct weir_subscriber *subscriber) {
  struct weir__claim *claim = subscriber->todo.claim;
  struct weir__generation *newer = NULL;
  int rv = weir__registry_newer(registry, subscriber->generation, &newer);

  if (rv != WEIR_OK) {
    refuse(registry->core, subscriber, rv);
    return;
  }
  claim->seek = weir__storage_next_seek(&newer->backing->storage);
  claim->moves += 1;
  weir__reader_move(subscriber, newer);
  weir__generation_touch(newer);
}

void weir__attaching_settle(struct weir__registry *registry,
                            struct weir__generation *generation) {
  struct weir__link *undecided;
  struct weir_subscriber *subscriber;
  struct weir__claim *claim;
  struct weir__link asking;
  bool beyond;

  if (generation->backing == NULL) {
    return;
  }
  undecided = &generation->backing->undecided;
  weir__link_init(&asking);
  while (!weir__link_alone(undecided)) {
    subscriber = weir__owner(undecided->next, struct weir_subscriber, sibling);
    claim = subscriber->todo.claim;
    beyond = claim->beyond;
    if (is_judgeable(generation, claim)) {
      if (is_astray(registry, generation, claim)) {
        move_on(registry, subscriber);
      } else {
        decide_attach(registry, subscriber);
      }
    } else if (claim->flying || claim->beyond != beyond) {
      weir__link_remove(&subscriber->sibling);
      weir__link_append(&asking, &subscriber->sibling);
    } else {
      /* It waits for what it has waited for, and so do those behind it: for
       * the generation to be known, or for what was begun no earlier. */
      break;
    }
  }
  weir__link_splice(&asking, undecided);
  weir__link_splice(undecided, &asking);
}

/* What an attach asks for, checked. */
static int make_claim(struct weir__core *core,
                      const weir_attach_options *options,
                      struct weir__claim *claim) {
  size_t text_len = 0;
  int rv = WEIR_EABSENT;

  memset(claim, 0, sizeof *claim);
  if (options->client_len > WEIR_CLIENT_MAX ||
      (options->start != WEIR_FROM_START && options->start != WEIR_FROM_HEAD) ||
      options->on_duplicate < WEIR_CLIENT_REPLACE ||
      options->on_duplicate > WEIR_CLIENT_REJECT ||
      (options->flags & ~(uint32_t)FLAGS) != 0 || options->reserved0 != 0 ||
      !weir__is_zero(options->reserved, sizeof options->reserved) ||
      options->retry == 0 || !weir__is_retry(options->retry) ||
      options->retry_jitter > WEIR_RETRY_MAX - options->retry ||
      options->retry_replaced < WEIR__RETRY_LEAST ||
      options->retry_replaced > WEIR_RETRY_MAX - WEIR__REPLACED_JITTER ||
      (options->heartbeat != 0 &&
       options->heartbeat_jitter >= options->heartbeat) ||
      (options->lifetime != 0 &&
       (options->lifetime_jitter >= options->lifetime ||
        options->lifetime_jitter > UINT32_MAX))) {
    return WEIR_EINVAL;
  }
  if (options->request != NULL) {
    rv = weir_cursor_pick(options->request, claim->text, WEIR_CURSOR_MAX,
                          &text_len);
  }
  if (rv == WEIR_OK) {
    rv = weir_cursor_parse(core->options.cursor_format, claim->text, text_len,
                           &claim->cursor);
  }
  if (rv == WEIR_EINVAL) {
    return rv;
  }
  if (rv == WEIR_EMALFORMED && (options->flags & WEIR_ATTACH_STRICT) != 0) {
    return rv;
  }
  claim->parsed = rv;
  claim->start = options->start;
  claim->on_duplicate = options->on_duplicate;
  claim->retry_replaced = options->retry_replaced;
  claim->text_len = (uint16_t)text_len;
  claim->client_len = (uint16_t)options->client_len;
  weir__copy(claim->text + text_len, options->client, options->client_len);
  return WEIR_OK;
}

/* The generation that an attach is about: one that is known, or one that
 * storage is asked for. NULL: there is none, for certain. */
static int find_to_read(struct weir__registry *registry,
                        const weir_attach_options *options,
                        struct weir__generation **found) {
  struct weir__generation *generation =
      weir__registry_find(registry, options->key, options->key_len);
  int rv = WEIR_OK;

  if (generation == NULL && registry->core->log.open != NULL) {
    rv = weir__registry_add(registry, options->key, options->key_len,
                            &generation);
  }
  *found = generation;
  return rv;
}

/* Let a subscriber wait until storage has said what there is; it may do so at
 * once. */
static int wait_for_storage(struct weir_subscriber *subscriber,
                            struct weir__generation *generation,
                            const struct weir__claim *claim, int *verdict) {
  const size_t size = sizeof *claim + claim->text_len + claim->client_len;
  struct weir__claim *kept = weir__core_alloc(subscriber->core, size);

  if (kept == NULL) {
    return WEIR_ENOMEM;
  }
  memcpy(kept, claim, size);
  kept->inside = true;
  weir__reader_wait(subscriber, generation, kept);
  do {
    generation = subscriber->generation;
    weir__tend_advance(generation);
    /* Where the key leads it may be decided at once, too. */
  } while (subscriber->standing == WEIR__UNDECIDED &&
           subscriber->generation != generation);
  if (subscriber->standing == WEIR__UNDECIDED) {
    kept->inside = false;
    *verdict = WEIR_VERDICT_PENDING;
    return WEIR_OK;
  }
  subscriber->source.notices &= (uint16_t)~WEIR__SAY_DECIDED;
  *verdict = subscriber->verdict;
  return subscriber->source.error;
}

/* See who it is, and let it in or not. */
static int receive(struct weir__registry *registry,
                   struct weir__generation *generation,
                   struct weir__claim *claim,
                   struct weir_subscriber *subscriber, int *verdict) {
  if (generation->backing != NULL) {
    claim->seek = weir__storage_next_seek(&generation->backing->storage);
  }
  if (generation->phase == WEIR__ASKED) {
    weir__tend_proceed(generation);
  }
  return is_judgeable(generation, claim) &&
                 !is_astray(registry, generation, claim)
             ? admit(registry, generation, claim, subscriber, verdict)
             : wait_for_storage(subscriber, generation, claim, verdict);
}

static int attach(struct weir__registry *registry,
                  const weir_attach_options *options,
                  struct weir_subscriber **attached, int *verdict) {
  struct weir__core *core = registry->core;
  const uint64_t limit = core->options.max_subscribers;
  struct weir__generation *generation;
  struct weir_subscriber *subscriber = NULL;
  union claim asked;
  int judged = WEIR_VERDICT_UNKNOWN;
  int rv = weir__registry_check_key(options->key, options->key_len);

  if (rv == WEIR_OK) {
    rv = make_claim(core, options, &asked.claim);
  }
  if (rv != WEIR_OK) {
    return rv;
  }
  if (core->draining) {
    return WEIR_EDRAINING;
  }
  if (limit != 0 && core->info.subscribers + core->undecided >= limit) {
    return WEIR_ESUBSCRIBERS;
  }
  /* The reader first: what is looked for is asked for. */
  rv = weir__reader_new(core, options, &subscriber);
  if (rv == WEIR_OK) {
    rv = find_to_read(registry, options, &generation);
  }
  if (rv != WEIR_OK) {
    weir_subscriber_release(subscriber);
    return rv;
  }
  if (generation == NULL) {
    weir_subscriber_release(subscriber);
    core->info.verdicts[WEIR_VERDICT_UNKNOWN] += 1;
    *attached = NULL;
    *verdict = WEIR_VERDICT_UNKNOWN;
    return WEIR_OK;
  }
  weir__generation_hold(generation);
  rv = receive(registry, generation, &asked.claim, subscriber, &judged);
  if (rv != WEIR_OK || judged == WEIR_VERDICT_FINISHED ||
      judged == WEIR_VERDICT_UNKNOWN) {
    weir_subscriber_release(subscriber);
    subscriber = NULL;
  }
  weir__tend_after(generation);
  weir__generation_release(generation);
  if (rv == WEIR_OK) {
    *attached = subscriber;
    *verdict = judged;
  }
  return rv;
}

int weir__attaching_attach(struct weir__registry *registry,
                           const weir_attach_options *options,
                           struct weir_subscriber **attached, int *verdict) {
  int rv = attach(registry, options, attached, verdict);

  count_refusal(registry->core, rv);
  return rv;
}
