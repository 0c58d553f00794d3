/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "stalled.h"

/* Readers that are looked at in one call. */
#define LOOKS 512

static struct weir_subscriber *reader_of(struct weir__link *link) {
  return weir__owner(link, struct weir_subscriber, source.link);
}

/* First see what would be leaving if those went who have stalled for longest:
 * what anything else holds stays, whoever goes. Then only those go without whom
 * it would not do, and none if it does not. Where so many have stalled that not
 * all are looked at, those go who free anything, and the next call goes on
 * behind the others. */
void weir__stalled_relieve(struct weir__core *core, uint64_t leaving) {
  struct weir__link tried;
  struct weir__link spared;
  struct weir__link *link;
  struct weir__link *before;
  uint64_t most;
  unsigned looks;
  bool enough;
  bool all;

  weir__link_init(&tried);
  weir__link_init(&spared);
  for (looks = 0; looks < LOOKS && core->leaving < leaving &&
                  !weir__link_alone(&core->holding);
       ++looks) {
    link = core->holding.next;
    weir__link_remove(link);
    weir__link_append(&tried, link);
    weir__reader_yield(reader_of(link));
  }
  enough = core->leaving >= leaving;
  all = weir__link_alone(&core->holding);
  for (link = tried.prev; link != &tried; link = before) {
    before = link->prev;
    most = core->leaving;
    weir__reader_keep(reader_of(link));
    if (core->leaving < (enough ? leaving : all ? 0 : most)) {
      weir__reader_yield(reader_of(link));
    } else {
      weir__link_remove(link);
      weir__link_append(spared.next, link);
    }
  }
  if (enough) {
    weir__link_splice(&spared, &core->holding);
  }
  weir__link_splice(&core->holding, &spared);
  while (!weir__link_alone(&tried)) {
    core->info.evicted += 1;
    weir__reader_doom(reader_of(tried.next), WEIR_ERESIDENT);
  }
}
