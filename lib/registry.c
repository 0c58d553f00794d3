/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "registry.h"

#include "scan.h"

/* Generations that are drained at a time. */
#define DRAIN_AT_ONCE 64

void weir__registry_init(struct weir__registry *registry,
                         struct weir__core *core) {
  registry->core = core;
  weir__map_init(&registry->streams, &core->allocator, &core->secret);
  weir__clients_init(&registry->clients, core);
  weir__link_init(&registry->drained);
  registry->drain_over = 0;
}

struct weir__generation *weir__registry_find(
    const struct weir__registry *registry, const void *key, size_t key_len) {
  struct weir__node *node = weir__map_find(&registry->streams, key, key_len);

  return node == NULL ? NULL : weir__owner(node, struct weir__generation, node);
}

/* Text that may stand in JSON, in a header and in a URL. */
int weir__registry_check_key(const void *key, size_t key_len) {
  const unsigned char *p = key;
  size_t i;

  if (key_len == 0 || key_len > WEIR_KEY_MAX) {
    return WEIR_EINVAL;
  }
  for (i = 0; i < key_len; ++i) {
    if (p[i] < 0x20 || p[i] == 0x7f) {
      return WEIR_EINVAL;
    }
  }
  return weir__is_text(key, key_len) ? WEIR_OK : WEIR_EUTF8;
}

/* A new generation of a key of which none is known. */
int weir__registry_add(struct weir__registry *registry, const void *key,
                       size_t key_len, struct weir__generation **added) {
  const uint64_t limit = registry->core->options.max_streams;
  int rv;

  if (limit != 0 && registry->streams.count >= limit) {
    return WEIR_ESTREAMS;
  }
  rv = weir__generation_new(registry->core, key, key_len, added);
  if (rv != WEIR_OK) {
    return rv;
  }
  if (weir__map_insert(&registry->streams, &(*added)->node) != WEIR_OK) {
    weir__generation_release(*added);
    return WEIR_ENOMEM;
  }
  (*added)->registered = true;
  return WEIR_OK;
}

/* Forget a generation that another of the same key remembers. */
static void forget_previous(struct weir__generation *later) {
  struct weir__generation *generation = later->previous;

  later->previous = generation->previous;
  generation->previous = NULL;
  weir__generation_forget(generation);
  weir__generation_release(generation);
}

/* A new generation in the place of one, which is remembered. Those before it
 * are only for as long as storage has not got all of them, since their readers
 * elsewhere wait for that. */
void weir__registry_succeed(struct weir__registry *registry,
                            struct weir__generation *old,
                            struct weir__generation *added) {
  struct weir__generation *later = old;

  weir__map_replace(&registry->streams, &old->node, &added->node);
  added->registered = true;
  /* The registry's hold on the old one is its successor's now. */
  added->previous = old;
  while (later->previous != NULL) {
    if (weir__generation_is_owing(later->previous)) {
      later = later->previous;
    } else {
      forget_previous(later);
    }
  }
}

int weir__registry_newer(struct weir__registry *registry,
                         struct weir__generation *generation,
                         struct weir__generation **newer) {
  const void *key = generation->key;
  const size_t key_len = generation->node.key_len;
  struct weir__generation *newest = weir__registry_find(registry, key, key_len);
  int rv = WEIR_OK;

  if (newest == NULL) {
    rv = weir__registry_add(registry, key, key_len, newer);
  } else if (newest != generation) {
    *newer = newest;
  } else {
    rv = weir__generation_new(registry->core, key, key_len, newer);
    if (rv == WEIR_OK) {
      weir__registry_succeed(registry, generation, *newer);
    }
  }
  return rv;
}

void weir__registry_forget(struct weir__registry *registry,
                           struct weir__generation *generation) {
  struct weir__generation *previous = generation->previous;
  /* One that is registered, itself or as what another follows, is found. */
  struct weir__generation *newest =
      weir__owner(weir__map_find(&registry->streams, generation->key,
                                 generation->node.key_len),
                  struct weir__generation, node);

  if (newest == generation && generation->phase == WEIR__VOID &&
      generation->fault != WEIR_OK && previous != NULL) {
    /* As far as anybody knows nothing came of it: the one before it is the
     * newest, as before. */
    generation->previous = NULL;
    weir__map_replace(&registry->streams, &generation->node, &previous->node);
  } else if (newest == generation) {
    weir__map_remove(&registry->streams, &generation->node);
  } else {
    /* What times fire for is in the registry, or remembered by what is. */
    while (newest->previous != generation) {
      newest = newest->previous;
    }
    forget_previous(newest);
    return;
  }
  weir__generation_forget(generation);
  weir__generation_release(generation);
}

/* Make empty shells of the handles of a generation. */
static void empty(struct weir__generation *generation) {
  struct weir__link *rings[2] = {&generation->subscribers, NULL};
  struct weir__link *producers = &generation->producers;
  int i;

  if (generation->backing != NULL) {
    rings[1] = &generation->backing->undecided;
  }
  for (i = 0; i < 2; ++i) {
    while (rings[i] != NULL && !weir__link_alone(rings[i])) {
      weir_subscriber_detach(
          weir__owner(rings[i]->next, struct weir_subscriber, sibling));
    }
  }
  weir__link_splice(producers, &generation->opens);
  while (!weir__link_alone(producers)) {
    weir__producer_gone(
        weir__owner(producers->next, struct weir_stream, sibling));
  }
}

void weir__registry_free(struct weir__registry *registry) {
  struct weir__link *generations = &registry->core->generations;
  struct weir__generation *generation;
  struct weir__node *node;

  weir__link_remove(&registry->drained);
  /* Also those that only their handles know still. */
  while (!weir__link_alone(generations)) {
    generation = weir__owner(generations->next, struct weir__generation, all);
    weir__link_remove(&generation->all);
    weir__generation_hold(generation);
    empty(generation);
    weir__generation_release(generation);
  }
  for (node = weir__map_any(&registry->streams); node != NULL;
       node = weir__map_any(&registry->streams)) {
    generation = weir__owner(node, struct weir__generation, node);
    weir__map_remove(&registry->streams, node);
    weir__generation_forget(generation);
    weir__generation_release(generation);
  }
  weir__map_free(&registry->streams);
  weir__clients_free(&registry->clients);
}

void weir__registry_hint(struct weir__registry *registry, const void *key,
                         size_t key_len, uint64_t last) {
  struct weir__generation *generation =
      weir__registry_find(registry, key, key_len);

  /* A hint of more than this hub has written itself says that it is no longer
   * the writer. */
  if (generation != NULL && generation->phase == WEIR__KNOWN &&
      generation->backing != NULL && !generation->ended &&
      (generation->history.follow ||
       weir__generation_pending(generation) == 0) &&
      generation->reader_count != 0 && last > generation->history.committed) {
    weir__tend_look(generation);
    weir__tend_advance(generation);
  }
}

void weir__registry_drain(struct weir__registry *registry, uint64_t over) {
  weir__link_remove(&registry->drained);
  weir__link_append(&registry->core->generations, &registry->drained);
  registry->drain_over = over;
}

static void drain(const struct weir__registry *registry,
                  const struct weir__generation *generation) {
  struct weir__link *link;

  for (link = generation->subscribers.next; link != &generation->subscribers;
       link = link->next) {
    weir__reader_drain(weir__owner(link, struct weir_subscriber, sibling),
                       registry->drain_over);
  }
}

void weir__registry_drain_more(struct weir__registry *registry) {
  struct weir__link *generations = &registry->core->generations;
  struct weir__link *next;
  int i;

  /* Also those that only their readers know still. Nobody comes any more to
   * those that are new. */
  for (i = 0; i < DRAIN_AT_ONCE && weir__registry_is_draining(registry); ++i) {
    next = generations->next;
    weir__link_remove(next);
    if (next != &registry->drained) {
      weir__link_append(generations, next);
      drain(registry, weir__owner(next, struct weir__generation, all));
    }
  }
}
