/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef WEIR__FILE_FORMAT_H
#define WEIR__FILE_FORMAT_H

/* The bytes of a log's files, as weir_log_file(5) has them; nothing here
 * touches a file. Numbers have their least byte first, whatever the machine.
 *
 * A segment is a head, then records, each aligned to 8 bytes, then zeros, and
 * at its very end the head again, so that no single sector can take all of it
 * away. One that is closed has, instead of the zeros, an index: for every
 * stream in it where its events are and how it stood, a directory of those, and
 * a trailer at its very end.
 *
 * Head, trailer, entry and the head of a record are 64 bytes. The last 4 of the
 * first three are the checksum of those before; a record begins with that of
 * all that follows, and with that of its head. */

#include <stdbool.h>
#include <string.h>

#include <weir/cursor.h>

#include "crc32c.h"

#define WEIR__FILE_VERSION 1

#define WEIR__HEAD_SIZE 64   /* of a segment's, also at its end */
#define WEIR__RECORD_SIZE 64 /* of a record's own head */
#define WEIR__ENTRY_SIZE 64  /* of the directory */
#define WEIR__TRAILER_SIZE 64
#define WEIR__STATE_SIZE 56 /* without epochs, key and meta */

/* Where a record's payload may end at most: offsets are kept in units of 8. */
#define WEIR__SEGMENT_MOST UINT64_C(0x400000000)

/* Epochs that a stream remembers. By default nobody uses one for ten minutes
 * before it has another, and events are kept for a day: that is fewer. */
#define WEIR__EPOCHS_MOST 256

struct weir__head {
  uint32_t version;
  uint64_t number; /* of the segment, from 1 */
  uint64_t salt; /* 64 random bits: only they make a checksum come out right */
  uint64_t made; /* ms since 1970 */
};

enum weir__record_kind {
  WEIR__RECORD_EVENT = 1, /* payload: the frame */
  WEIR__RECORD_STATE = 2, /* payload: a whole state; a stream begins with one */
  WEIR__RECORD_TAKE = 3,  /* seq is the last of all epochs before */
  WEIR__RECORD_TRIM = 4   /* events up to seq are gone */
};

struct weir__file_record {
  uint32_t size; /* of the payload */
  uint8_t kind;
  uint8_t flags; /* WEIR_RECORD_... */
  uint32_t left; /* records of the same batch that follow */
  uint64_t generation;
  uint64_t epoch;
  uint64_t seq;
  uint64_t time;   /* ms since 1970 */
  uint64_t synced; /* of this segment, when the record was made */
};

/* A stream as a whole. Points to what is somebody else's. */
struct weir__file_state {
  const void *key;
  const void *meta;
  uint16_t key_len;
  uint16_t meta_len;
  uint32_t epoch_count;
  const unsigned char *epochs; /* as they stand in the file */
  uint64_t order; /* of generations: a later one has a greater number */
  uint64_t trimmed;
  uint64_t last;
  uint64_t ended;
  uint64_t ended_at; /* ms since 1970 */
  bool failed;       /* the end is a failure */
};

struct weir__entry_of_directory {
  uint64_t generation;
  uint64_t first; /* number of the first event here; last + 1: there is none */
  uint64_t last;
  uint64_t previous;  /* segment with events before these; 0: none */
  uint64_t positions; /* where the offsets are: 4 bytes each, in units of 8 */
  uint64_t state;     /* where the state is */
  uint32_t state_size;
};

struct weir__trailer {
  uint64_t number; /* of the segment */
  uint64_t salt;
  uint64_t data_end;  /* where the records end and the index begins */
  uint64_t directory; /* where it is */
  uint64_t newest;    /* time of the newest record */
  uint32_t entries;
  uint32_t crc; /* of the index: of all from data_end to the trailer */
};

/* Where numbers stand in memory as they stand in a file, they are copied as a
 * whole; byte by byte, compilers do not see through two of them in a row. */
#if defined(__BYTE_ORDER__) && defined(__ORDER_LITTLE_ENDIAN__)
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define WEIR__LITTLE
#endif
#endif

static inline uint32_t weir__le32(const unsigned char *bytes) {
#ifdef WEIR__LITTLE
  uint32_t number;

  memcpy(&number, bytes, sizeof number);
  return number;
#else
  return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 |
         (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
#endif
}

static inline void weir__put_le32(unsigned char *bytes, uint32_t number) {
#ifdef WEIR__LITTLE
  memcpy(bytes, &number, sizeof number);
#else
  bytes[0] = (unsigned char)(number & 0xff);
  bytes[1] = (unsigned char)(number >> 8 & 0xff);
  bytes[2] = (unsigned char)(number >> 16 & 0xff);
  bytes[3] = (unsigned char)(number >> 24);
#endif
}

static inline uint64_t weir__le64(const unsigned char *bytes) {
#ifdef WEIR__LITTLE
  uint64_t number;

  memcpy(&number, bytes, sizeof number);
  return number;
#else
  return (uint64_t)weir__le32(bytes) | (uint64_t)weir__le32(bytes + 4) << 32;
#endif
}

static inline uint64_t weir__align8(uint64_t n) {
  return (n + 7) & ~UINT64_C(7);
}

/* Bytes of a record with so much payload. */
static inline uint64_t weir__record_length(uint32_t payload) {
  return weir__align8(WEIR__RECORD_SIZE + (uint64_t)payload);
}

void weir__head_write(const struct weir__crc32c *crc,
                      const struct weir__head *head,
                      unsigned char bytes[WEIR__HEAD_SIZE]);

/* WEIR_OK; WEIR_EFORMAT: another version, of which nothing but that is known;
 * WEIR_EIO: it is damaged. */
int weir__head_read(const struct weir__crc32c *crc,
                    const unsigned char bytes[WEIR__HEAD_SIZE],
                    struct weir__head *head);

/* Write the head of a record that stands at this place, whose payload stands
 * behind it already, and the zeros behind that. */
void weir__record_write(const struct weir__crc32c *crc, uint64_t salt,
                        uint64_t at, const struct weir__file_record *record,
                        unsigned char *bytes);

/* Read a head. false: it is none. */
bool weir__record_read(const struct weir__crc32c *crc, uint64_t salt,
                       uint64_t at, const unsigned char *bytes,
                       struct weir__file_record *record);

/* Bytes of the payload, as what stands there says, which may be no head. */
static inline uint32_t weir__record_payload(const unsigned char *bytes) {
  return weir__le32(bytes + 8);
}

/* Both checksums of a record go on from the salt of its segment, so that what
 * lies around from elsewhere, or was sent by somebody who wished that it were
 * one, is no record. */
static inline uint32_t weir__record_crc(const struct weir__crc32c *crc,
                                        uint64_t salt,
                                        const unsigned char *bytes,
                                        size_t len) {
  return weir__crc32c(crc, (uint32_t)((salt ^ salt >> 32) & UINT32_MAX), bytes,
                      len);
}

/* Whether a record with so much payload, which is there, is what it was when it
 * was written, the zeros behind it included. */
static inline bool weir__record_is_whole(const struct weir__crc32c *crc,
                                         uint64_t salt,
                                         const unsigned char *bytes,
                                         uint32_t size) {
  const size_t length = (size_t)weir__record_length(size);

  return weir__le32(bytes) ==
         weir__record_crc(crc, salt, bytes + 4, length - 4);
}

/* Whether the record at this place, of which all is there that its head says,
 * is whole and this event of a stream. */
static inline bool weir__record_is_event(const struct weir__crc32c *crc,
                                         uint64_t salt, uint64_t at,
                                         uint64_t generation, uint64_t seq,
                                         const unsigned char *bytes) {
  return bytes[12] == WEIR__RECORD_EVENT &&
         (uint64_t)weir__le32(bytes + 60) * 8 == at &&
         weir__le64(bytes + 16) == generation &&
         weir__le64(bytes + 32) == seq &&
         weir__record_is_whole(crc, salt, bytes, weir__record_payload(bytes));
}

/* What it says besides. */
static inline uint8_t weir__record_flags(const unsigned char *bytes) {
  return bytes[13];
}
static inline uint64_t weir__record_epoch(const unsigned char *bytes) {
  return weir__le64(bytes + 24);
}

/* Bytes of a state, and write it. */
size_t weir__state_size(const struct weir__file_state *state);
void weir__state_write(const struct weir__file_state *state,
                       unsigned char *bytes);
/* false: it is none. Points into the bytes. */
bool weir__state_read(const unsigned char *bytes, size_t len,
                      struct weir__file_state *state);

/* Number i of the epochs of a state. */
void weir__state_epoch(const struct weir__file_state *state, uint32_t i,
                       weir_epoch *epoch);
void weir__epoch_write(const weir_epoch *epoch, unsigned char bytes[16]);

void weir__entry_write(const struct weir__crc32c *crc,
                       const struct weir__entry_of_directory *entry,
                       unsigned char bytes[WEIR__ENTRY_SIZE]);
/* false: it is damaged. */
bool weir__entry_read(const struct weir__crc32c *crc,
                      const unsigned char bytes[WEIR__ENTRY_SIZE],
                      struct weir__entry_of_directory *entry);

/* Whether its numbers agree with each other, and it points to what stands from
 * `begin` on and before `end`. */
bool weir__entry_is_sound(const struct weir__entry_of_directory *entry,
                          uint64_t begin, uint64_t end);

void weir__trailer_write(const struct weir__crc32c *crc,
                         const struct weir__trailer *trailer,
                         unsigned char bytes[WEIR__TRAILER_SIZE]);
bool weir__trailer_read(const struct weir__crc32c *crc,
                        const unsigned char bytes[WEIR__TRAILER_SIZE],
                        struct weir__trailer *trailer);

#endif /* WEIR__FILE_FORMAT_H */
