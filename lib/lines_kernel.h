/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/* The loops of lines.c, for one width of vectors. Included once for each, with
 * these defined: TARGET (a function attribute), NAME(x) (what x is called),
 * BLOCK (64 bytes in registers), LOAD, STORE (to an aligned place too), LEAST
 * (the least of two blocks, byte by byte), IS_LOW (whether a byte is below 14,
 * as CR, LF and NUL are), BREAKS (a bit for each CR or LF; those of CR apart
 * too), IS_ASCII (no byte is NUL or above 127). */

/* A block with line breaks: bit n of breaks is set where one is. At each, what
 * follows is stored once more, behind the name of the next line, so that no
 * step waits for the one before. Needs room for 64 * 7 + 64 + 8 bytes, and 65
 * bytes that can be read behind the block. This one knows CR, and that the LF
 * of a CRLF may be in the next block: then *skip is 1. */
TARGET static size_t NAME(break_any)(unsigned char *dst,
                                     const unsigned char *src, uint64_t breaks,
                                     size_t *skip, size_t *count) {
  unsigned char *d = dst;
  size_t begin = *skip;
  size_t at;

  for (; breaks != 0; breaks &= breaks - 1) {
    at = lowest(breaks);
    if (at < begin) {
      continue; /* the LF of a CRLF */
    }
    memcpy(d, src + begin, 64);
    d += at - begin;
    memcpy(d, "\ndata: ", 8);
    d += 7;
    *count += 1;
    begin = at + 1 + (src[at] == '\r' && src[at + 1] == '\n');
  }
  if (begin < 64) {
    memcpy(d, src + begin, 64);
    d += 64 - begin;
    begin = 64;
  }
  *skip = begin - 64;
  return (size_t)(d - dst);
}

/* This one only knows LF, of which each adds six bytes. */
TARGET static inline size_t NAME(break_lf)(unsigned char *dst,
                                           const unsigned char *src,
                                           uint64_t breaks, size_t *count) {
  unsigned char *d = dst;
  size_t at;

  memcpy(d, src, 64);
  do {
    at = lowest(breaks);
    memcpy(d + at, "\ndata: ", 8);
    memcpy(d + at + 7, src + at + 1, 64);
    d += 6;
    *count += 1;
    breaks &= breaks - 1;
  } while (breaks != 0);
  return (size_t)(d - dst) + 64;
}

/* Copy 256 bytes to an aligned place, unless there may be a break in them. */
TARGET static bool NAME(copy_4)(unsigned char *dst, const unsigned char *src) {
  const BLOCK a = LOAD(src);
  const BLOCK b = LOAD(src + 64);
  const BLOCK c = LOAD(src + 128);
  const BLOCK d = LOAD(src + 192);

  if (IS_LOW(LEAST(LEAST(a, b), LEAST(c, d)))) {
    return false;
  }
  STORE(dst, a);
  STORE(dst + 64, b);
  STORE(dst + 128, c);
  STORE(dst + 192, d);
  return true;
}

TARGET static void NAME(copy)(unsigned char *dst, size_t cap,
                              const unsigned char *src, size_t len,
                              struct weir__progress *progress) {
  unsigned char *d = dst;
  size_t at = 0;
  size_t skip = 0;
  uint64_t breaks;
  uint64_t returns; /* those that are CR */
  unsigned blocks;
  BLOCK block;

  /* 129 bytes: a block, and what is read behind it. */
  while (len - at >= 129 && cap - (size_t)(d - dst) >= BLOCK_ROOM) {
    if (len - at >= 512 && cap - (size_t)(d - dst) >= 1024 && skip == 0) {
      /* A store that crosses a cache line costs two. */
      block = LOAD(src + at);
      if (!IS_LOW(block)) {
        const size_t aligned = 64 - ((uintptr_t)d & 63);

        STORE(d, block);
        d += aligned;
        at += aligned;
        while (len - at >= 256 + 65 && cap - (size_t)(d - dst) >= 1024 &&
               NAME(copy_4)(d, src + at)) {
          d += 256;
          at += 256;
        }
      }
    }
    for (blocks = 0;
         blocks < 4 && len - at >= 129 && cap - (size_t)(d - dst) >= BLOCK_ROOM;
         ++blocks) {
      block = LOAD(src + at);
      if (skip == 0 && !IS_LOW(block)) {
        STORE(d, block);
        d += 64;
      } else {
        breaks = BREAKS(block, &returns);
        if (breaks == 0) { /* nor an LF to be passed over */
          STORE(d, block);
          d += 64;
        } else if (returns == 0 && skip == 0) {
          d += NAME(break_lf)(d, src + at, breaks, &progress->breaks);
        } else {
          d += NAME(break_any)(d, src + at, breaks, &skip, &progress->breaks);
        }
      }
      at += 64;
    }
  }
  progress->read = at + skip;
  progress->written = (size_t)(d - dst);
}

TARGET static size_t NAME(ascii)(const unsigned char *src, size_t len) {
  size_t at = 0;

  while (len - at >= 64 && IS_ASCII(LOAD(src + at))) {
    at += 64;
  }
  return at;
}

#undef TARGET
#undef NAME
#undef BLOCK
#undef LOAD
#undef STORE
#undef LEAST
#undef IS_LOW
#undef BREAKS
#undef IS_ASCII
