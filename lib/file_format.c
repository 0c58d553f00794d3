/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "file_format.h"

#include <string.h>

#include <weir/base.h>

static const char head_magic[8] = {'w', 'e', 'i', 'r', 'l', 'o', 'g', '\n'};
static const char trailer_magic[8] = {'w', 'e', 'i', 'r', 'e', 'n', 'd', '\n'};

/* In a state, of its end. */
#define STATE_FAILED 1

static void put_le64(unsigned char *bytes, uint64_t number) {
#ifdef WEIR__LITTLE
  memcpy(bytes, &number, sizeof number);
#else
  weir__put_le32(bytes, (uint32_t)(number & UINT32_MAX));
  weir__put_le32(bytes + 4, (uint32_t)(number >> 32));
#endif
}

static uint16_t le16(const unsigned char *bytes) {
  return (uint16_t)(bytes[0] | bytes[1] << 8);
}

static void put_le16(unsigned char *bytes, uint16_t number) {
  bytes[0] = (unsigned char)(number & 0xff);
  bytes[1] = (unsigned char)(number >> 8);
}

/* Every structure of 64 bytes ends in the checksum of the rest of it. */
static uint32_t crc_of(const struct weir__crc32c *crc,
                       const unsigned char *bytes) {
  return weir__crc32c(crc, 0, bytes, 60);
}

static void seal(const struct weir__crc32c *crc, unsigned char *bytes) {
  weir__put_le32(bytes + 60, crc_of(crc, bytes));
}

static bool is_sound(const struct weir__crc32c *crc,
                     const unsigned char *bytes) {
  return weir__le32(bytes + 60) == crc_of(crc, bytes);
}

void weir__head_write(const struct weir__crc32c *crc,
                      const struct weir__head *head,
                      unsigned char bytes[WEIR__HEAD_SIZE]) {
  memset(bytes, 0, WEIR__HEAD_SIZE);
  memcpy(bytes, head_magic, sizeof head_magic);
  weir__put_le32(bytes + 8, head->version);
  put_le64(bytes + 16, head->number);
  put_le64(bytes + 24, head->salt);
  put_le64(bytes + 32, head->made);
  seal(crc, bytes);
}

int weir__head_read(const struct weir__crc32c *crc,
                    const unsigned char bytes[WEIR__HEAD_SIZE],
                    struct weir__head *head) {
  if (memcmp(bytes, head_magic, sizeof head_magic) != 0 ||
      !is_sound(crc, bytes)) {
    return WEIR_EIO;
  }
  head->version = weir__le32(bytes + 8);
  if (head->version != WEIR__FILE_VERSION) {
    return WEIR_EFORMAT;
  }
  head->number = weir__le64(bytes + 16);
  head->salt = weir__le64(bytes + 24);
  head->made = weir__le64(bytes + 32);
  return WEIR_OK;
}

/* The checksum of a head alone, which says how much was lost if the rest is
 * damaged. It comes first: behind what it is of, it would leave one of all that
 * the same whatever that is. */
static uint32_t head_crc(const struct weir__crc32c *crc, uint64_t salt,
                         const unsigned char *bytes) {
  return weir__record_crc(crc, salt, bytes + 8, WEIR__RECORD_SIZE - 8);
}

void weir__record_write(const struct weir__crc32c *crc, uint64_t salt,
                        uint64_t at, const struct weir__file_record *record,
                        unsigned char *bytes) {
  const size_t used = WEIR__RECORD_SIZE + (size_t)record->size;
  const size_t length = (size_t)weir__record_length(record->size);

  memset(bytes + used, 0, length - used);
  /* In words, which is how they are added up at once. */
  put_le64(bytes + 8, record->size | (uint64_t)record->kind << 32 |
                          (uint64_t)record->flags << 40);
  put_le64(bytes + 16, record->generation);
  put_le64(bytes + 24, record->epoch);
  put_le64(bytes + 32, record->seq);
  put_le64(bytes + 40, record->time);
  put_le64(bytes + 48, record->synced);
  put_le64(bytes + 56, record->left | at / 8 << 32);
  weir__put_le32(bytes + 4, head_crc(crc, salt, bytes));
  weir__put_le32(bytes, weir__record_crc(crc, salt, bytes + 4, length - 4));
}

bool weir__record_read(const struct weir__crc32c *crc, uint64_t salt,
                       uint64_t at, const unsigned char *bytes,
                       struct weir__file_record *record) {
  record->kind = bytes[12];
  /* Most of what is none is told at a glance. */
  if (record->kind < WEIR__RECORD_EVENT || record->kind > WEIR__RECORD_TRIM ||
      (uint64_t)weir__le32(bytes + 60) * 8 != at ||
      weir__le32(bytes + 4) != head_crc(crc, salt, bytes)) {
    return false;
  }
  record->size = weir__record_payload(bytes);
  record->flags = weir__record_flags(bytes);
  record->generation = weir__le64(bytes + 16);
  record->epoch = weir__record_epoch(bytes);
  record->seq = weir__le64(bytes + 32);
  record->time = weir__le64(bytes + 40);
  record->synced = weir__le64(bytes + 48);
  record->left = weir__le32(bytes + 56);
  return true;
}

size_t weir__state_size(const struct weir__file_state *state) {
  return WEIR__STATE_SIZE + state->epoch_count * (size_t)16 + state->key_len +
         state->meta_len;
}

void weir__epoch_write(const weir_epoch *epoch, unsigned char bytes[16]) {
  put_le64(bytes, epoch->epoch);
  put_le64(bytes + 8, epoch->last);
}

void weir__state_write(const struct weir__file_state *state,
                       unsigned char *bytes) {
  put_le16(bytes, state->key_len);
  put_le16(bytes + 2, state->meta_len);
  weir__put_le32(bytes + 4, state->epoch_count);
  put_le64(bytes + 8, state->order);
  put_le64(bytes + 16, state->trimmed);
  put_le64(bytes + 24, state->last);
  put_le64(bytes + 32, state->ended);
  put_le64(bytes + 40, state->ended_at);
  put_le64(bytes + 48, state->failed ? STATE_FAILED : 0);
  bytes += WEIR__STATE_SIZE;
  memcpy(bytes, state->epochs, state->epoch_count * (size_t)16);
  bytes += state->epoch_count * (size_t)16;
  memcpy(bytes, state->key, state->key_len);
  bytes += state->key_len;
  if (state->meta_len != 0) {
    memcpy(bytes, state->meta, state->meta_len);
  }
}

/* Whether the numbers of a state agree with each other. */
static bool is_state_sound(const struct weir__file_state *state) {
  weir_epoch epoch;
  uint64_t last = 0;
  uint32_t i;

  for (i = 0; i < state->epoch_count; ++i) {
    weir__state_epoch(state, i, &epoch);
    if (epoch.epoch == 0 || epoch.last < last) {
      return false;
    }
    last = epoch.last;
  }
  return last == state->last && last <= (uint64_t)WEIR_SEQ_MAX &&
         state->trimmed <= last && (state->ended == 0 || state->ended == last);
}

bool weir__state_read(const unsigned char *bytes, size_t len,
                      struct weir__file_state *state) {
  if (len < WEIR__STATE_SIZE) {
    return false;
  }
  state->key_len = le16(bytes);
  state->meta_len = le16(bytes + 2);
  state->epoch_count = weir__le32(bytes + 4);
  state->order = weir__le64(bytes + 8);
  state->trimmed = weir__le64(bytes + 16);
  state->last = weir__le64(bytes + 24);
  state->ended = weir__le64(bytes + 32);
  state->ended_at = weir__le64(bytes + 40);
  state->failed =
      state->ended != 0 && (weir__le64(bytes + 48) & STATE_FAILED) != 0;
  if (state->key_len == 0 || state->key_len > WEIR_KEY_MAX ||
      state->epoch_count == 0 || state->epoch_count > WEIR__EPOCHS_MOST ||
      weir__state_size(state) != len) {
    return false;
  }
  state->epochs = bytes + WEIR__STATE_SIZE;
  state->key = state->epochs + state->epoch_count * (size_t)16;
  state->meta = (const unsigned char *)state->key + state->key_len;
  return is_state_sound(state);
}

void weir__state_epoch(const struct weir__file_state *state, uint32_t i,
                       weir_epoch *epoch) {
  epoch->epoch = weir__le64(state->epochs + i * (size_t)16);
  epoch->last = weir__le64(state->epochs + i * (size_t)16 + 8);
}

void weir__entry_write(const struct weir__crc32c *crc,
                       const struct weir__entry_of_directory *entry,
                       unsigned char bytes[WEIR__ENTRY_SIZE]) {
  put_le64(bytes, entry->generation);
  put_le64(bytes + 8, entry->first);
  put_le64(bytes + 16, entry->last);
  put_le64(bytes + 24, entry->previous);
  put_le64(bytes + 32, entry->positions);
  put_le64(bytes + 40, entry->state);
  weir__put_le32(bytes + 48, entry->state_size);
  put_le64(bytes + 52, 0);
  seal(crc, bytes);
}

bool weir__entry_read(const struct weir__crc32c *crc,
                      const unsigned char bytes[WEIR__ENTRY_SIZE],
                      struct weir__entry_of_directory *entry) {
  entry->generation = weir__le64(bytes);
  entry->first = weir__le64(bytes + 8);
  entry->last = weir__le64(bytes + 16);
  entry->previous = weir__le64(bytes + 24);
  entry->positions = weir__le64(bytes + 32);
  entry->state = weir__le64(bytes + 40);
  entry->state_size = weir__le32(bytes + 48);
  return is_sound(crc, bytes);
}

bool weir__entry_is_sound(const struct weir__entry_of_directory *entry,
                          uint64_t begin, uint64_t end) {
  return entry->generation != 0 && entry->first != 0 &&
         entry->last <= (uint64_t)WEIR_SEQ_MAX &&
         entry->first - 1 <= entry->last &&
         entry->last - (entry->first - 1) <= UINT32_MAX &&
         entry->positions >= begin && entry->positions <= entry->state &&
         (entry->last - (entry->first - 1)) * 4 <=
             entry->state - entry->positions &&
         entry->state <= end && entry->state_size <= end - entry->state;
}

void weir__trailer_write(const struct weir__crc32c *crc,
                         const struct weir__trailer *trailer,
                         unsigned char bytes[WEIR__TRAILER_SIZE]) {
  memcpy(bytes, trailer_magic, sizeof trailer_magic);
  put_le64(bytes + 8, trailer->number);
  put_le64(bytes + 16, trailer->salt);
  put_le64(bytes + 24, trailer->data_end);
  put_le64(bytes + 32, trailer->directory);
  put_le64(bytes + 40, trailer->newest);
  weir__put_le32(bytes + 48, trailer->entries);
  weir__put_le32(bytes + 52, trailer->crc);
  weir__put_le32(bytes + 56, 0);
  seal(crc, bytes);
}

bool weir__trailer_read(const struct weir__crc32c *crc,
                        const unsigned char bytes[WEIR__TRAILER_SIZE],
                        struct weir__trailer *trailer) {
  if (memcmp(bytes, trailer_magic, sizeof trailer_magic) != 0 ||
      !is_sound(crc, bytes)) {
    return false;
  }
  trailer->number = weir__le64(bytes + 8);
  trailer->salt = weir__le64(bytes + 16);
  trailer->data_end = weir__le64(bytes + 24);
  trailer->directory = weir__le64(bytes + 32);
  trailer->newest = weir__le64(bytes + 40);
  trailer->entries = weir__le32(bytes + 48);
  trailer->crc = weir__le32(bytes + 52);
  return true;
}
