/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "chance.h"

/* splitmix64 */
uint64_t chance_next(struct chance *chance) {
  uint64_t x = chance->state += 0x9e3779b97f4a7c15u;

  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

void chance_init(struct chance *chance, uint64_t seed, const char *what,
                 uint64_t number) {
  chance->state = seed;
  for (; *what != '\0'; ++what) {
    chance->state = chance_next(chance) ^ (uint64_t)*what;
  }
  chance->state = chance_next(chance) ^ number;
  (void)chance_next(chance);
}

uint64_t chance_below(struct chance *chance, uint64_t n) {
  return n == 0 ? 0 : chance_next(chance) % n;
}

uint64_t chance_between(struct chance *chance, uint64_t from, uint64_t to) {
  return from + chance_below(chance, to - from + 1);
}

bool chance_permille(struct chance *chance, unsigned n) {
  return chance_below(chance, 1000) < n;
}

uint64_t chance_size(struct chance *chance, uint64_t most) {
  uint64_t top = 1;
  uint64_t bits = 0;

  while (top < most) {
    top *= 2;
    bits += 1;
  }
  top = (uint64_t)1 << chance_below(chance, bits + 1);
  return chance_between(chance, 1, top < most ? top : most);
}
