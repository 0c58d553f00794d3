/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef WEIR__REGISTRY_H
#define WEIR__REGISTRY_H

/* Which streams there are: keys to generations, and what became of the last
 * one. */

#include "clients.h"
#include "stream.h"

struct weir__registry {
  struct weir__core *core;
  struct weir__map streams; /* the newest generation of each key */
  struct weir__clients clients;
  struct weir__link drained; /* in core->generations: those before it are to be
                                drained; alone: all are */
  uint64_t drain_over;
};

void weir__registry_init(struct weir__registry *registry,
                         struct weir__core *core);

/* Let everything go; handles that are held stay as empty shells. */
void weir__registry_free(struct weir__registry *registry);

/* Whether a key may be one: WEIR_OK, WEIR_EINVAL or WEIR_EUTF8. Text that may
 * stand in JSON, in a header and in a URL. */
int weir__registry_check_key(const void *key, size_t key_len);

/* The newest generation of a key, as far as this hub knows; NULL if none. */
struct weir__generation *weir__registry_find(
    const struct weir__registry *registry, const void *key, size_t key_len);

/* A new one, of a key of which none is known. WEIR_OK, WEIR_ESTREAMS or
 * WEIR_ENOMEM. */
int weir__registry_add(struct weir__registry *registry, const void *key,
                       size_t key_len, struct weir__generation **added);

/* Put a new one, which is taken over, in the place of one that is known, which
 * is remembered. */
void weir__registry_succeed(struct weir__registry *registry,
                            struct weir__generation *old,
                            struct weir__generation *added);

/* The newest generation of its key, if that is another one; else a new one in
 * its place, of which storage is to be asked. WEIR_OK, WEIR_ESTREAMS or
 * WEIR_ENOMEM. */
int weir__registry_newer(struct weir__registry *registry,
                         struct weir__generation *generation,
                         struct weir__generation **newer);

/* Nobody will miss the generation: let it go. */
void weir__registry_forget(struct weir__registry *registry,
                           struct weir__generation *generation);

/* See weir_hub_hint. */
void weir__registry_hint(struct weir__registry *registry, const void *key,
                         size_t key_len, uint64_t last);

/* See weir_hub_drain. Goes through the generations a few at a time, while there
 * are more. */
void weir__registry_drain(struct weir__registry *registry, uint64_t over);
void weir__registry_drain_more(struct weir__registry *registry);

static inline bool weir__registry_is_draining(
    const struct weir__registry *registry) {
  return !weir__link_alone(&registry->drained);
}

#endif /* WEIR__REGISTRY_H */
