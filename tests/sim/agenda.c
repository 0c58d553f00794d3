/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "agenda.h"

#include <stdlib.h>

struct agenda_item {
  uint64_t at;
  uint64_t order;
  agenda_act *act;
  void *who;
  uint64_t what;
};

static bool is_before(const struct agenda_item *a,
                      const struct agenda_item *b) {
  return a->at != b->at ? a->at < b->at : a->order < b->order;
}

static void swap(struct agenda_item *a, struct agenda_item *b) {
  const struct agenda_item other = *a;

  *a = *b;
  *b = other;
}

void agenda_plan(struct agenda *agenda, uint64_t after, agenda_act *act,
                 void *who, uint64_t what) {
  struct agenda_item *items;
  size_t i;

  if (agenda->count == agenda->cap) {
    agenda->cap = agenda->cap * 2 + 64;
    agenda->items =
        realloc(agenda->items, agenda->cap * sizeof agenda->items[0]);
    if (agenda->items == NULL) {
      abort();
    }
  }
  items = agenda->items;
  i = agenda->count++;
  items[i].at = agenda->now + after;
  items[i].order = agenda->planned++;
  items[i].act = act;
  items[i].who = who;
  items[i].what = what;
  for (; i != 0 && is_before(&items[i], &items[(i - 1) / 2]); i = (i - 1) / 2) {
    swap(&items[i], &items[(i - 1) / 2]);
  }
}

uint64_t agenda_next(const struct agenda *agenda) {
  return agenda->count == 0 ? UINT64_MAX : agenda->items[0].at;
}

bool agenda_step(struct agenda *agenda) {
  struct agenda_item *items = agenda->items;
  struct agenda_item item;
  size_t i = 0;
  size_t child;

  if (agenda->count == 0) {
    return false;
  }
  item = items[0];
  items[0] = items[--agenda->count];
  while ((child = 2 * i + 1) < agenda->count) {
    if (child + 1 < agenda->count &&
        is_before(&items[child + 1], &items[child])) {
      child += 1;
    }
    if (!is_before(&items[child], &items[i])) {
      break;
    }
    swap(&items[i], &items[child]);
    i = child;
  }
  agenda->now = item.at;
  item.act(item.who, item.what);
  return true;
}

void agenda_free(struct agenda *agenda) {
  free(agenda->items);
  agenda->items = NULL;
  agenda->count = 0;
  agenda->cap = 0;
}
