/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef WEIR__TEND_H
#define WEIR__TEND_H

/* What a generation has to do with storage without a producer's doing: what is
 * asked of it and when, and what is put off until this hub may write. */

#include "publish.h"

/* Begin it, with its first epoch: it is VOID. Without a log it is KNOWN then;
 * else CREATING. `after` is the newest that storage has of the key, 0 for
 * none. */
void weir__tend_begin(struct weir__generation *generation,
                      struct weir__settings *settings, uint64_t after,
                      uint64_t epoch);

/* Ask storage to make this hub its writer. WEIR_OK or WEIR_EENTROPY; and
 * whether that is under way. It has a log. */
int weir__tend_take(struct weir__generation *generation);
bool weir__tend_is_taking(const struct weir__generation *generation);

/* Have a look at the head, begun after this. */
void weir__tend_look(struct weir__generation *generation);

/* Whether somebody waits to hear what there is; and have storage look the key
 * up, of which it knows nothing. It has a log. */
bool weir__tend_is_asked(const struct weir__generation *generation);
void weir__tend_ask(struct weir__generation *generation);

/* There is none, and all have been heard for whom that is sure: have storage
 * look the key up again for those who are left, if there are any. */
void weir__tend_ask_again(struct weir__generation *generation);

/* Whether it is sure that there is no generation, or that this one is over, or,
 * if that is asked, how far it is: a lookup of the key has said so that was to
 * be number `seek` (see weir__storage_next_seek), since another hub may have
 * begun one, or gone on with this. If not, that is asked for. It has a log. */
bool weir__tend_is_sure(struct weir__generation *generation, uint32_t seek,
                        bool how_far);

/* What that has said of one that is over, or of which it was asked how far it
 * is: whether the key does not lead there any more; and why nobody knows, if
 * others write it. */
bool weir__tend_is_astray(const struct weir__generation *generation,
                          bool how_far);
int weir__tend_doubt(const struct weir__generation *generation, bool how_far);

/* Whether there is an end to be logged as soon as this hub may write. */
bool weir__tend_owes_end(const struct weir__generation *generation);

/* Whether one of those before it, which would be forgotten with it, has not
 * come to its end with storage. */
bool weir__tend_owes_before(const struct weir__generation *generation);

/* Whether somebody waits for what others write, or may have written. If so,
 * look in `after` ms (0: do not); or now, and then again. */
bool weir__tend_is_watched(const struct weir__generation *generation);
void weir__tend_look_later(struct weir__generation *generation, uint64_t after);
void weir__tend_watch(struct weir__generation *generation);

/* A decided subscriber has come, or gone. */
void weir__tend_joined(struct weir__generation *generation);
void weir__tend_left(struct weir__generation *generation);

/* Let it end with this as soon as this hub may write it, and tell its producers
 * to stop: WEIR_OK, and the final is its own, or WEIR_EENTROPY. It has a log,
 * and has not ended. */
int weir__tend_owe(struct weir__generation *generation,
                   struct weir__final *final);

/* It has been ended with this, which is its own now: to be put again if another
 * writer comes before it. */
void weir__tend_keep(struct weir__generation *generation,
                     struct weir__final *final);

/* The reason of an end: another generation of the key hides it. */
#define WEIR__HIDDEN "replaced_by_new_stream"

/* End it with a static reason, telling its producers to stop: at once, or as
 * soon as this hub may write it. WEIR_OK, or as weir_stream_end. */
int weir__tend_cancel(struct weir__generation *generation, const void *reason,
                      size_t reason_len);

/* Drop events up to and including `through`. */
void weir__tend_trim(struct weir__generation *generation, uint64_t through);

/* Do what there is to be done with storage, and decide what can be decided, as
 * long as that goes on by itself; later, if it is not legal now. */
void weir__tend_advance(struct weir__generation *generation);

/* The same, but nobody is gone through for a decision before something has come
 * up: enough for one more who waits for storage. It has a log. */
void weir__tend_proceed(struct weir__generation *generation);

/* Advance if something has come up. The last line of what may call storage. */
void weir__tend_after(struct weir__generation *generation);

/* For weir__floors. */
void weir__tend_work(struct weir__work *work);

#endif /* WEIR__TEND_H */
