/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "format.h"

#include <string.h>

uint32_t le32(const unsigned char *bytes) {
  return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 |
         (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

static uint64_t le64(const unsigned char *bytes) {
  return (uint64_t)le32(bytes) | (uint64_t)le32(bytes + 4) << 32;
}

static size_t le16(const unsigned char *bytes) {
  return (size_t)bytes[0] | (size_t)bytes[1] << 8;
}

uint32_t crc32c(uint32_t crc, const void *bytes, size_t len) {
  static uint32_t table[256];
  const unsigned char *p = bytes;
  uint32_t value;
  uint32_t i;
  int bit;

  if (table[1] == 0) {
    for (i = 0; i < 256; ++i) {
      value = i;
      for (bit = 0; bit < 8; ++bit) {
        value =
            (value & 1) != 0 ? value >> 1 ^ UINT32_C(0x82f63b78) : value >> 1;
      }
      table[i] = value;
    }
  }
  crc = ~crc;
  for (; len != 0; --len, ++p) {
    crc = crc >> 8 ^ table[(crc ^ *p) & 0xff];
  }
  return ~crc;
}

static bool is_sealed(const unsigned char *bytes) {
  return le32(bytes + 60) == crc32c(0, bytes, 60);
}

bool read_head(const unsigned char *bytes, struct head *head) {
  head->version = le32(bytes + 8);
  head->number = le64(bytes + 16);
  head->salt = le64(bytes + 24);
  return memcmp(bytes, "weirlog\n", 8) == 0 && is_sealed(bytes);
}

bool read_trailer(const unsigned char *bytes, struct trailer *trailer) {
  trailer->number = le64(bytes + 8);
  trailer->salt = le64(bytes + 16);
  trailer->index = le64(bytes + 24);
  trailer->directory = le64(bytes + 32);
  trailer->entries = le32(bytes + 48);
  trailer->checksum = le32(bytes + 52);
  return memcmp(bytes, "weirend\n", 8) == 0 && is_sealed(bytes);
}

bool read_entry(const unsigned char *bytes, struct entry *entry) {
  entry->generation = le64(bytes);
  entry->first = le64(bytes + 8);
  entry->last = le64(bytes + 16);
  entry->previous = le64(bytes + 24);
  entry->positions = le64(bytes + 32);
  entry->state = le64(bytes + 40);
  entry->state_size = le32(bytes + 48);
  return is_sealed(bytes) && entry->first != 0 && entry->last <= NUMBER_MOST &&
         entry->first - 1 <= entry->last;
}

bool read_state(const unsigned char *bytes, size_t len, struct state *state) {
  size_t meta_len;
  uint64_t last = 0;
  size_t i;

  if (len < 56 || le32(bytes + 4) == 0 || le32(bytes + 4) > EPOCHS_MOST) {
    return false;
  }
  state->key_len = le16(bytes);
  meta_len = le16(bytes + 2);
  state->epoch_count = le32(bytes + 4);
  state->order = le64(bytes + 8);
  state->trimmed = le64(bytes + 16);
  state->last = le64(bytes + 24);
  state->ended = le64(bytes + 32);
  state->ended_at = le64(bytes + 40);
  if (state->key_len == 0 || state->key_len > KEY_MOST ||
      len != 56 + 16 * state->epoch_count + state->key_len + meta_len) {
    return false;
  }
  for (i = 0; i < state->epoch_count; ++i) {
    state->epochs[i].name = le64(bytes + 56 + 16 * i);
    state->epochs[i].last = le64(bytes + 56 + 16 * i + 8);
    if (state->epochs[i].name == 0 || state->epochs[i].last < last) {
      return false;
    }
    last = state->epochs[i].last;
  }
  state->key = bytes + 56 + 16 * state->epoch_count;
  return last == state->last && last <= NUMBER_MOST && state->trimmed <= last &&
         (state->ended == 0 || state->ended == last);
}

/* What the checksums of a segment's records go on from. */
static uint32_t seed(uint64_t salt) {
  return (uint32_t)((salt ^ salt >> 32) & UINT32_MAX);
}

bool read_record(const unsigned char *bytes, uint64_t salt, uint64_t offset,
                 struct record *record) {
  record->size = le32(bytes + 8);
  record->kind = bytes[12];
  record->flags = bytes[13];
  record->generation = le64(bytes + 16);
  record->epoch = le64(bytes + 24);
  record->number = le64(bytes + 32);
  record->time = le64(bytes + 40);
  record->synced = le64(bytes + 48);
  record->left = le32(bytes + 56);
  return record->kind >= EVENT && record->kind <= TRIM &&
         le32(bytes + 60) == offset / 8 && offset % 8 == 0 &&
         le32(bytes + 4) == crc32c(seed(salt), bytes + 8, HEAD - 8);
}

uint64_t record_length(const struct record *record) {
  return (HEAD + (uint64_t)record->size + 7) / 8 * 8;
}

bool is_whole(const unsigned char *bytes, uint64_t salt,
              const struct record *record) {
  return le32(bytes) ==
         crc32c(seed(salt), bytes + 4, (size_t)(record_length(record) - 4));
}
