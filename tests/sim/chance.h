/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef SIM_CHANCE_H
#define SIM_CHANCE_H

/* Chance out of a seed. Everybody in the simulated world has a chance of his
 * own, named by what he is and his number: so what one does changes when
 * another is left out of the world only as far as they meet, and a failure
 * survives the shrinking. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct chance {
  uint64_t state;
};

void chance_init(struct chance *chance, uint64_t seed, const char *what,
                 uint64_t number);

uint64_t chance_next(struct chance *chance);

/* From 0 to n - 1; 0 for n of 0. */
uint64_t chance_below(struct chance *chance, uint64_t n);

/* Both included. */
uint64_t chance_between(struct chance *chance, uint64_t from, uint64_t to);

/* True so many times in 1000. */
bool chance_permille(struct chance *chance, unsigned n);

/* From 1 to most; small numbers are as likely as great ones, of each length. */
uint64_t chance_size(struct chance *chance, uint64_t most);

#endif /* SIM_CHANCE_H */
