/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "opening.h"

#define FLAGS                                                  \
  (WEIR_OPEN_EXISTING | WEIR_OPEN_UNENDED | WEIR_OPEN_SHARED | \
   WEIR_OPEN_ENVELOPE | WEIR_OPEN_LOOK)

/* Who asks what there is, and does not just begin another if there is none. */
#define ASKS (WEIR_OPEN_EXISTING | WEIR_OPEN_UNENDED | WEIR_OPEN_LOOK)

/* How often an open tries to begin a generation when storage says each time
 * that there is another, which it then does not have or which has to go; or
 * follows its key. */
#define TRIES 8

/* Whether an open is not to be refused for one that is over. */
static bool is_wary(const struct weir_stream *producer) {
  return producer->on_duplicate == WEIR_DUPLICATE_REJECT && !producer->founder;
}

/* Whether it is to be known what storage says. */
static bool asks(const struct weir_stream *producer) {
  return (producer->flags & ASKS) != 0 || is_wary(producer);
}

/* And whether of one that is not over, too. */
static bool asks_how_far(const struct weir_stream *producer) {
  return (producer->flags & WEIR_OPEN_LOOK) != 0 || is_wary(producer);
}

/* The open of a producer begins a generation: in this one, of which storage
 * knows nothing. */
static void found(struct weir_stream *producer,
                  struct weir__generation *generation, uint64_t after,
                  uint64_t epoch) {
  producer->founder = true;
  producer->tries = (uint8_t)(producer->tries + 1);
  weir__tend_begin(generation, producer->settings, after, epoch);
}

/* What a new generation is named with, if the producer may begin one. */
static int draw_epoch(const struct weir_stream *producer, uint64_t *epoch) {
  return producer->tries >= TRIES ? WEIR_ELOG
                                  : weir__core_epoch(producer->core, epoch);
}

/* It begins the next generation of the key; the last one, if it is live, ends
 * with this reason. What can fail comes first, so that whoever was there is
 * left alone if it does. */
static void found_next(struct weir__registry *registry,
                       struct weir_stream *producer,
                       struct weir__generation *generation,
                       const char *reason) {
  struct weir__core *core = registry->core;
  struct weir__generation *next = NULL;
  const uint64_t after =
      generation->gone ? 0 : weir__generation_name(generation);
  uint64_t epoch = 0;
  int rv = draw_epoch(producer, &epoch);

  if (rv == WEIR_OK) {
    rv = weir__generation_new(core, generation->key, generation->node.key_len,
                              &next);
  }
  if (rv == WEIR_OK && next->backing != NULL &&
      !weir__storage_prepare(&next->backing->storage)) {
    rv = WEIR_ENOMEM;
  }
  if (rv == WEIR_OK && reason != NULL) {
    rv = weir__tend_cancel(generation, reason, strlen(reason));
    /* Another may have ended it, and this hub hear of it just now. */
    rv = rv == WEIR_EENDED ? WEIR_OK : rv;
  }
  if (next != NULL && (rv != WEIR_OK || producer->generation == NULL)) {
    weir__generation_release(next);
  }
  if (producer->generation == NULL) {
    /* The host, which was told of that end, has let go of it. */
    return;
  }
  if (rv != WEIR_OK) {
    weir__producer_refuse(producer, rv);
    return;
  }
  weir__registry_succeed(registry, generation, next);
  weir__producer_join(producer, next);
  found(producer, next, after, epoch);
  weir__tend_advance(next);
}

/* The key has a live generation: may this hub write it? */
static void join(struct weir_stream *producer,
                 struct weir__generation *generation) {
  int rv = weir__generation_is_writable(generation);

  if (rv == WEIR_OK) {
    weir__producer_accept(producer, true);
  } else if (weir__tend_is_taking(generation)) {
    producer->asked = true;
  } else if (producer->asked) {
    weir__producer_refuse(producer, generation->fault != WEIR_OK
                                        ? generation->fault
                                        : WEIR_EFENCED);
  } else {
    producer->asked = true;
    rv = weir__tend_take(generation);
    if (rv != WEIR_OK) {
      weir__producer_refuse(producer, rv);
    }
  }
}

/* There is no generation under the key, or nobody knows. */
static void decide_void(struct weir_stream *producer,
                        struct weir__generation *generation) {
  uint64_t epoch = 0;
  int rv = generation->fault;

  if (rv == WEIR_OK &&
      (producer->flags & (WEIR_OPEN_EXISTING | WEIR_OPEN_LOOK)) != 0) {
    rv = WEIR_ENOENT;
  }
  if (rv == WEIR_OK) {
    rv = draw_epoch(producer, &epoch);
  }
  if (rv == WEIR_OK) {
    found(producer, generation, 0, epoch);
  } else {
    weir__producer_refuse(producer, rv);
  }
}

/* There is one, which this producer has not begun. */
static void decide_known(struct weir__registry *registry,
                         struct weir_stream *producer,
                         struct weir__generation *generation) {
  if (generation->gone) {
    found_next(registry, producer, generation, NULL);
  } else if ((producer->flags & WEIR_OPEN_LOOK) != 0) {
    weir__producer_accept(producer, true);
  } else if (generation->ending) {
    if ((producer->flags & (WEIR_OPEN_EXISTING | WEIR_OPEN_UNENDED)) != 0) {
      weir__producer_refuse(producer, WEIR_EENDED);
    } else {
      found_next(registry, producer, generation, NULL);
    }
  } else if (producer->on_duplicate == WEIR_DUPLICATE_REJECT) {
    weir__producer_refuse(producer, WEIR_EEXISTS);
  } else if (producer->on_duplicate == WEIR_DUPLICATE_REPLACE) {
    found_next(registry, producer, generation, WEIR__HIDDEN);
  } else {
    join(producer, generation);
  }
}

/* Whether an open can be decided by what is known; if not, what has to be known
 * is asked for. Who asks what there is wants no old news. */
static bool is_decidable(const struct weir_stream *producer,
                         struct weir__generation *generation) {
  return generation->backing == NULL || !asks(producer) ||
         weir__tend_is_sure(generation, producer->seek, asks_how_far(producer));
}

/* Its key leads elsewhere now, or nobody knows where. */
static void move_on(struct weir__registry *registry,
                    struct weir_stream *producer) {
  struct weir__generation *newer = NULL;
  int rv = WEIR_ELOG;

  if (producer->tries < TRIES) {
    rv = weir__registry_newer(registry, producer->generation, &newer);
  }
  if (rv != WEIR_OK) {
    weir__producer_refuse(producer, rv);
    return;
  }
  producer->tries = (uint8_t)(producer->tries + 1);
  weir__producer_join(producer, newer);
  weir__tend_advance(newer);
}

/* Decide the open of a producer, if that is possible now. */
static void decide_open(struct weir__registry *registry,
                        struct weir_stream *producer) {
  struct weir__generation *generation = producer->generation;
  int rv = WEIR_OK;
  bool how_far;

  if (generation->phase == WEIR__ASKED) {
    /* Storage knows more than this hub: from the beginning. */
    producer->founder = false;
    producer->asked = false;
  }
  if (!is_decidable(producer, generation)) {
    return;
  }
  if (generation->phase == WEIR__VOID) {
    decide_void(producer, generation);
  }
  if (generation->phase == WEIR__CREATING && !producer->founder &&
      producer->on_duplicate == WEIR_DUPLICATE_REJECT) {
    weir__producer_refuse(producer, WEIR_EEXISTS);
  }
  if (generation->phase != WEIR__KNOWN) {
    return;
  }
  if (producer->founder) {
    weir__producer_accept(producer, false);
    return;
  }
  if (asks(producer)) {
    how_far = asks_how_far(producer);
    if (weir__tend_is_astray(generation, how_far)) {
      move_on(registry, producer);
      return;
    }
    rv = weir__tend_doubt(generation, how_far);
  }
  if (rv != WEIR_OK) {
    weir__producer_refuse(producer, rv);
  } else {
    decide_known(registry, producer, generation);
  }
}

void weir__opening_settle(struct weir__registry *registry,
                          struct weir__generation *generation) {
  struct weir__generation *newest;
  struct weir_stream *producer;
  struct weir__link pending;

  weir__link_init(&pending);
  weir__link_splice(&pending, &generation->opens);
  while (!weir__link_alone(&pending)) {
    producer = weir__owner(pending.next, struct weir_stream, sibling);
    weir__link_remove(&producer->sibling);
    weir__link_append(&generation->opens, &producer->sibling);
    /* One of those before may have begun the next generation, which has its own
     * fate. */
    newest = weir__registry_find(registry, generation->key,
                                 generation->node.key_len);
    if (newest == NULL) {
      move_on(registry, producer);
      continue;
    }
    if (newest != generation) {
      /* Only with a log does one wait behind another. */
      weir__producer_join(producer, newest);
      weir__generation_touch(newest);
    }
    decide_open(registry, producer);
  }
}

/* The settings of an open, shared with those of the last one if they are the
 * same. */
static int choose_settings(struct weir__core *core,
                           const weir_open_options *options,
                           struct weir__settings **settings) {
  int rv = weir__settings_new(core, options, core->settings, settings);

  if (rv == WEIR_OK && *settings != core->settings) {
    weir__settings_release(core, core->settings);
    core->settings = *settings;
    core->settings->refs += 1;
  }
  return rv;
}

/* Whether opens wait for storage to answer. */
static bool is_asking(const struct weir__generation *generation) {
  return generation->backing != NULL &&
         (!weir__link_alone(&generation->opens) ||
          generation->phase == WEIR__ASKED || weir__tend_is_taking(generation));
}

int weir__opening_open(struct weir__registry *registry,
                       const weir_open_options *options,
                       struct weir_stream **stream) {
  struct weir__core *core = registry->core;
  struct weir__generation *generation;
  struct weir__settings *settings;
  struct weir_stream *producer;
  bool asking;
  int rv = weir__registry_check_key(options->key, options->key_len);

  if (rv == WEIR_OK &&
      (options->on_duplicate < WEIR_DUPLICATE_JOIN ||
       options->on_duplicate > WEIR_DUPLICATE_REJECT ||
       (options->flags & ~(uint32_t)FLAGS) != 0 ||
       !weir__is_zero(options->reserved, sizeof options->reserved) ||
       ((options->flags & WEIR_OPEN_SHARED) != 0 && core->log.open == NULL))) {
    rv = WEIR_EINVAL;
  }
  if (rv != WEIR_OK) {
    return rv;
  }
  if (core->draining) {
    return WEIR_EDRAINING;
  }
  rv = choose_settings(core, options, &settings);
  if (rv != WEIR_OK) {
    return rv;
  }
  rv = weir__producer_new(core, options, settings, &producer);
  if (rv != WEIR_OK) {
    weir__settings_release(core, settings);
    return rv;
  }
  generation = weir__registry_find(registry, options->key, options->key_len);
  if (generation == NULL) {
    rv = weir__registry_add(registry, options->key, options->key_len,
                            &generation);
  }
  if (rv != WEIR_OK) {
    weir_stream_release(producer);
    return rv;
  }
  asking = is_asking(generation);
  weir__producer_join(producer, generation);
  if (asking) {
    /* The others wait for storage, as before. What this one begins may drive
     * the generation out. */
    weir__generation_hold(generation);
    decide_open(registry, producer);
    weir__tend_proceed(generation);
    weir__generation_release(generation);
  } else {
    weir__tend_advance(generation);
  }
  producer->silent = false;
  if (!producer->pending && producer->source.error != WEIR_OK) {
    rv = producer->source.error;
    weir_stream_release(producer);
    return rv;
  }
  *stream = producer;
  return WEIR_OK;
}
