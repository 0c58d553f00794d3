/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef WEIRLOG_FORMAT_H
#define WEIRLOG_FORMAT_H

/* The bytes of a log, as weir_log_file(5) has them: from memory into structs,
 * and whether they are sound. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VERSION 1
#define HEAD 64 /* bytes of a head, an entry, a trailer, a record's head */
#define EPOCHS_MOST 256
#define KEY_MOST 255
#define NUMBER_MOST (UINT64_C(0x7fffffffffffffff) - 1)

struct head {
  uint32_t version;
  uint64_t number;
  uint64_t salt;
};

enum kind { EVENT = 1, STATE = 2, TAKE = 3, TRIM = 4 };

enum { FLAG_END = 1, FLAG_FAILED = 2 };

struct record {
  uint32_t size; /* of the payload */
  uint8_t kind;
  uint8_t flags;
  uint32_t left;
  uint64_t generation;
  uint64_t epoch;
  uint64_t number;
  uint64_t time;
  uint64_t synced;
};

struct epoch {
  uint64_t name;
  uint64_t last;
};

/* Points into the bytes that it was read from. */
struct state {
  const unsigned char *key;
  size_t key_len;
  uint64_t order;
  uint64_t trimmed;
  uint64_t last;
  uint64_t ended;
  uint64_t ended_at;
  struct epoch epochs[EPOCHS_MOST];
  size_t epoch_count;
};

struct entry {
  uint64_t generation;
  uint64_t first;
  uint64_t last;
  uint64_t previous;
  uint64_t positions;
  uint64_t state;
  uint32_t state_size;
};

struct trailer {
  uint64_t number;
  uint64_t salt;
  uint64_t index;
  uint64_t directory;
  uint32_t entries;
  uint32_t checksum; /* of the index */
};

uint32_t le32(const unsigned char *bytes);

/* CRC-32C; goes on with that of what stands before, which is 0 of nothing. */
uint32_t crc32c(uint32_t crc, const void *bytes, size_t len);

/* Each of these says whether there is a sound one, whatever it means. */
bool read_head(const unsigned char *bytes, struct head *head);
bool read_trailer(const unsigned char *bytes, struct trailer *trailer);
bool read_entry(const unsigned char *bytes, struct entry *entry);
bool read_state(const unsigned char *bytes, size_t len, struct state *state);

/* The head of a record at an offset, and whether all of it, as it stands in
 * `bytes`, is sound. */
bool read_record(const unsigned char *bytes, uint64_t salt, uint64_t offset,
                 struct record *record);
bool is_whole(const unsigned char *bytes, uint64_t salt,
              const struct record *record);

/* Bytes of a record, with the zeros behind it. */
uint64_t record_length(const struct record *record);

#endif /* WEIRLOG_FORMAT_H */
