/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "clients.h"

/* ms for which a key that was replaced is remembered. */
#define REMEMBER 600000

void weir__clients_init(struct weir__clients *clients,
                        struct weir__core *core) {
  clients->core = core;
  weir__map_init(&clients->map, &core->allocator, &core->secret);
  weir__link_init(&clients->remembered);
  weir__timer_init(&clients->timer, WEIR__TIMER_HUB);
}

static void free_client(struct weir__clients *clients,
                        struct weir__client *client) {
  weir__map_remove(&clients->map, &client->node);
  weir__link_remove(&client->remembered);
  weir__core_free(clients->core, client, sizeof *client + client->node.key_len);
}

void weir__clients_free(struct weir__clients *clients) {
  struct weir__node *node;

  for (node = weir__map_any(&clients->map); node != NULL;
       node = weir__map_any(&clients->map)) {
    free_client(clients, weir__owner(node, struct weir__client, node));
  }
  weir__map_free(&clients->map);
  weir__timer_stop(&clients->core->wheel, &clients->timer);
}

static int make_client(struct weir__clients *clients, const void *key,
                       size_t key_len, struct weir__client **made) {
  struct weir__client *client =
      weir__core_alloc(clients->core, sizeof *client + key_len);

  if (client == NULL) {
    return WEIR_ENOMEM;
  }
  memset(client, 0, sizeof *client);
  memcpy(client->key, key, key_len);
  client->node.key = client->key;
  client->node.key_len = (uint32_t)key_len;
  weir__link_init(&client->remembered);
  if (weir__map_insert(&clients->map, &client->node) != WEIR_OK) {
    weir__core_free(clients->core, client, sizeof *client + key_len);
    return WEIR_ENOMEM;
  }
  *made = client;
  return WEIR_OK;
}

static bool was_replaced_lately(const struct weir__client *client,
                                uint64_t now) {
  return client->replaced_at != 0 &&
         now < weir__later(client->replaced_at, REMEMBER);
}

int weir__clients_admit(struct weir__clients *clients,
                        const struct weir__generation *generation,
                        const void *name, size_t name_len, int policy,
                        struct weir__client **admitted, bool *replace) {
  const struct weir__core *core = clients->core;
  const uint64_t limit = core->options.max_client_subscribers;
  const size_t stream_len = generation->node.key_len;
  unsigned char key[1 + WEIR_KEY_MAX + WEIR_CLIENT_MAX];
  const size_t key_len = 1 + stream_len + name_len;
  struct weir__client *client;
  struct weir__node *node;

  *admitted = NULL;
  *replace = false;
  if (name_len == 0) {
    return WEIR_OK;
  }
  key[0] = (unsigned char)stream_len;
  memcpy(key + 1, generation->key, stream_len);
  memcpy(key + 1 + stream_len, name, name_len);
  node = weir__map_find(&clients->map, key, key_len);
  if (node == NULL) {
    return make_client(clients, key, key_len, admitted);
  }
  client = weir__owner(node, struct weir__client, node);
  if (client->count != 0) {
    if (policy == WEIR_CLIENT_REJECT) {
      return WEIR_EEXISTS;
    }
    *replace = policy == WEIR_CLIENT_REPLACE &&
               !was_replaced_lately(client, core->now);
    if (!*replace && limit != 0 && client->count >= limit) {
      return WEIR_ECLIENT;
    }
  }
  *admitted = client;
  return WEIR_OK;
}

void weir__clients_add(struct weir__client *client,
                       struct weir_subscriber *subscriber) {
  if (client == NULL) {
    return;
  }
  weir__link_remove(&client->remembered);
  subscriber->client = client;
  subscriber->another = client->first;
  client->first = subscriber;
  client->count += 1;
}

void weir__clients_replace(struct weir__clients *clients,
                           const struct weir_subscriber *subscriber,
                           uint32_t retry) {
  struct weir__core *core = clients->core;
  struct weir__client *client = subscriber->client;

  /* Once it has been let go of itself, it takes nobody's place. */
  while (subscriber->standing == WEIR__READING && subscriber->another != NULL) {
    /* Never 0, which would be "never". */
    client->replaced_at = core->now != 0 ? core->now : 1;
    core->info.replaced += 1;
    subscriber->another->retry =
        retry + weir__core_draw(core, WEIR__REPLACED_JITTER);
    weir__reader_leave(subscriber->another, WEIR__REPLACED);
  }
}

void weir__clients_drop(struct weir__clients *clients,
                        struct weir__client *client) {
  if (client != NULL && client->count == 0 && client->replaced_at == 0) {
    free_client(clients, client);
  }
}

void weir__clients_left(struct weir__clients *clients,
                        struct weir_subscriber *subscriber) {
  struct weir__core *core = clients->core;
  struct weir__client *client = subscriber->client;
  struct weir_subscriber **link;

  if (client == NULL) {
    return;
  }
  link = &client->first;
  while (*link != subscriber) {
    link = &(*link)->another;
  }
  *link = subscriber->another;
  subscriber->client = NULL;
  client->count -= 1;
  if (client->count != 0) {
    return;
  }
  if (!was_replaced_lately(client, core->now)) {
    free_client(clients, client);
    return;
  }
  client->left_at = core->now;
  weir__link_append(&clients->remembered, &client->remembered);
  if (!weir__timer_running(&clients->timer)) {
    weir__core_start(core, &clients->timer, weir__later(core->now, REMEMBER));
  }
}

void weir__clients_expired(struct weir__timer *timer) {
  struct weir__clients *clients =
      weir__owner(timer, struct weir__clients, timer);
  struct weir__core *core = clients->core;
  struct weir__client *client;

  if (weir__link_alone(&clients->remembered)) {
    return;
  }
  client =
      weir__owner(clients->remembered.next, struct weir__client, remembered);
  if (core->now - client->left_at >= REMEMBER) {
    free_client(clients, client);
  }
  /* One at a time, so that many do not hold the host up. */
  if (!weir__link_alone(&clients->remembered)) {
    client =
        weir__owner(clients->remembered.next, struct weir__client, remembered);
    weir__core_start(core, &clients->timer,
                     weir__later(client->left_at, REMEMBER));
  }
}
