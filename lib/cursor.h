/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef WEIR__CURSOR_H
#define WEIR__CURSOR_H

#include <stdbool.h>

#include <weir/cursor.h>

/* Whether a state, of this library's size, does not contradict itself. */
bool weir__state_is_sound(const weir_state *state);

/* The epoch that gave the number seq; the first for 0. The state is sound. */
const weir_epoch *weir__state_epoch_of(const weir_state *state, uint64_t seq);

/* Where an epoch stands among `count` of them; count if nowhere. */
size_t weir__epoch_find(const weir_epoch *epochs, size_t count, uint64_t epoch);

/* As weir_cursor_resolve, of states that are sound. */
void weir__state_resolve(const weir_state *state, const weir_state *previous,
                         int parsed, const weir_cursor *cursor, int start,
                         weir_resolution *resolution);

#endif /* WEIR__CURSOR_H */
