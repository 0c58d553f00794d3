/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef WEIR__FILE_STORE_H
#define WEIR__FILE_STORE_H

/* What the rooms of the file log share: the log, its segments, its streams, and
 * what happens to a stream when a record is read or written. */

#include <weir/log_file.h>

#include "file_format.h"
#include "file_io.h"
#include "map.h"
#include "util.h"

/* Places of readers that are kept, besides one of each stream. */
#define WEIR__RECALLED_MOST 64

struct weir__round;

/* Where the events of one stream are in a segment that has no index yet. */
struct weir__run {
  struct weir__node node; /* in segment->runs, by generation */
  uint64_t generation;
  uint64_t previous; /* the segment with the events before; 0: none */
  uint64_t begun;    /* written: where its first record is */
  uint64_t first;    /* number of the first event */
  uint64_t seen;     /* read through: where its newest record is */
  uint32_t count;
  uint32_t cap;
  uint32_t *places; /* in units of 8 bytes; 0: lost */
};

struct weir__segment {
  struct weir__link link;      /* in log->segments, by number */
  struct weir__link open_link; /* in log->open */
  uint64_t number;
  uint64_t salt;
  int fd;            /* -1: not open */
  uint64_t size;     /* of the file */
  uint64_t tail;     /* where the records end, those that wait included */
  uint64_t written;  /* up to here they are in the file */
  uint64_t synced;   /* and up to here on the disk */
  uint64_t wanted;   /* up to here somebody waits for it to be */
  uint64_t newest;   /* time of the newest record; WEIR_NEVER: nobody knows */
  uint64_t dirty_at; /* since when something is written and not synced; clock */
  unsigned char *pending; /* records that wait to be written, at `written` */
  size_t pending_len;
  size_t pending_cap;
  uint64_t filled; /* up to here there are zeros in it, or more; 0: who knows */
  bool named;      /* its file is there, under its name */
  bool sealed;     /* has an index; nothing is added */
  bool full;       /* nothing is added, and it wants an index */
  bool distrusted; /* a sync has failed: it gets no index, and no more syncs */
  bool unreadable; /* its head is gone */
  /* Of the oldest. What has to stay of it is elsewhere: in segments up to this
   * one, all of which have to be synced, and in that up to a place. */
  bool carried;
  uint64_t carried_by;
  uint64_t carried_to;
  unsigned cramped; /* so often there was no room on the disk for that */
  bool gone;        /* its file is; it stays here until that is elsewhere */
  const char *told; /* what has failed of it, as the host has heard last */
  /* Until it has an index. */
  struct weir__map runs;
  /* From then on. */
  uint64_t directory;
  uint64_t entries;
};

/* Where events of a stream were last read that are in a segment with an index.
 * What was acknowledged stays where it is. */
struct weir__recalled {
  uint64_t segment;
  uint64_t first;
  uint64_t last; /* 0: nowhere */
  uint64_t positions;
};

/* One generation. */
struct weir__file_stream {
  struct weir__node node; /* in log->by_generation */
  struct weir__node name; /* in log->by_key, if it is the newest of its key */
  struct weir__link ended_link; /* in log->ended, until it is too old */
  uint64_t generation;
  uint64_t order;
  uint64_t trimmed;
  uint64_t last;        /* acknowledged */
  uint64_t put;         /* appended */
  uint64_t ended;       /* acknowledged */
  uint64_t ended_at;    /* ms since 1970 */
  uint64_t newest;      /* number of the segment with its newest record */
  uint64_t run_segment; /* the segment that `run` is in; 0: none */
  struct weir__run *run;
  uint64_t voided; /* up to here it had events once that are void */
  struct weir__recalled read;
  weir_epoch *epochs;
  uint32_t epoch_count;
  uint32_t epoch_cap;
  uint32_t weight; /* its part of log->weight */
  uint32_t holds;  /* handles, calls under way, and who hides it */
  struct weir__file_stream *hides; /* until it is sure to stay */
  bool failed;                     /* the end is a failure */
  bool is_named;                   /* `name` is in the map */
  bool past;                       /* nobody is to find it any more */
  bool purged;                     /* in no map; goes with the last handle */
  uint16_t key_len;
  uint16_t meta_len;
  unsigned char text[]; /* key, meta */
};

/* A call of weir's that waits for the disk. */
struct weir__op {
  struct weir__link link; /* in log->ops, oldest first */
  weir_hub *hub;
  uint64_t ticket;
  struct weir__file_stream *stream;
  uint64_t segment; /* what it has written is in there, */
  uint64_t place;   /* before this */
  int mode;         /* WEIR_LOG_CREATE, WEIR_LOG_TAKE; 0: an append */
  uint64_t last;    /* append: the new last */
  bool ends;
  bool fails;
  bool is_void; /* another epoch has begun before it was answered */
};

/* What was last read of a segment, whose bytes stay as they are. */
struct weir__window {
  unsigned char *memory;
  size_t cap;
  unsigned char *bytes; /* in the memory */
  uint64_t segment;     /* its number; 0: nothing has been read */
  uint64_t at;
  size_t len;
};

struct weir_log_file {
  weir_log_file_options options;
  weir_allocator allocator;
  struct weir__io_system system;
  const struct weir__io *io;
  struct weir__crc32c crc;
  struct weir__secret secret; /* of all maps */
  struct weir__map by_key;
  struct weir__map by_generation;
  struct weir__link segments;   /* oldest first; the last one is active */
  struct weir__segment *active; /* NULL: there is none to append to */
  struct weir__link open;       /* those with an index whose files are open */
  size_t open_count;
  uint64_t numbers;        /* of segments, given so far */
  uint64_t settled;        /* before this one no round does anything */
  uint64_t orders;         /* of generations */
  uint64_t weight;         /* of all streams: what they have to have */
  uint64_t chance;         /* for epochs that are never written */
  uint64_t growth;         /* size of the next segment; 0: what it has to be */
  struct weir__link ended; /* streams, the longest ended first */
  struct weir__link ops;
  uint64_t again_at; /* when what has failed is tried again; clock */
  struct weir__round *round;
  /* Where readers were whose streams have others elsewhere. */
  struct {
    uint64_t generation;
    struct weir__recalled read;
  } recalled[WEIR__RECALLED_MOST];
  size_t recalled_count;       /* that were kept there so far */
  struct weir__window records; /* to be read by readers */
  struct weir__window places;  /* where those stand */
  weir_record *events; /* WEIR__READ_MOST that are read, or NULL; what nobody
                          sets in them is zero */
  int fault;           /* of what a directory was listed for */
  /* Recovery: the newest place where something is lost, nobody knows whose; 0:
   * there is none. */
  uint64_t damaged_segment;
  uint64_t damaged_at;
  unsigned char *batch; /* to make records in */
  size_t batch_cap;
  weir_log_file_info info;
};

/* --- Memory, time, words ---------------------------------------------------*/

void *weir__file_alloc(struct weir_log_file *log, size_t size);
void weir__file_free(struct weir_log_file *log, void *memory, size_t size);

/* Room for so many bytes in a buffer that grows; its contents stay. */
bool weir__file_reserve(struct weir_log_file *log, unsigned char **buffer,
                        size_t *cap, size_t size);

uint64_t weir__file_clock(const struct weir_log_file *log);
uint64_t weir__file_wall(const struct weir_log_file *log);
int weir__file_random(const struct weir_log_file *log, void *dst, size_t len);

/* Tell the host in a sentence. */
void weir__file_report(const struct weir_log_file *log, const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 2, 3)))
#endif
    ;

/* Tell that something of a segment has failed; but not again and again, while
 * that is tried again and again. */
void weir__file_report_failure(const struct weir_log_file *log,
                               struct weir__segment *segment, const char *what,
                               int error);

/* --- Streams ---------------------------------------------------------------*/

struct weir__file_stream *weir__file_find(const struct weir_log_file *log,
                                          uint64_t generation);
struct weir__file_stream *weir__file_find_key(const struct weir_log_file *log,
                                              const void *key, size_t key_len);

/* Keep a state that was read or is about to be written: a new stream, or what a
 * known one is. WEIR_OK or WEIR_ENOMEM. */
int weir__file_adopt(struct weir_log_file *log, uint64_t generation,
                     const struct weir__file_state *state,
                     struct weir__file_stream **stream);

/* The state of a stream as far as its event `last`. The epochs are written to
 * bytes, of 16 * epoch_count. */
void weir__file_state_of(const struct weir__file_stream *stream, uint64_t last,
                         unsigned char *epochs, struct weir__file_state *state);

/* Its newest epoch is this, from event base + 1 on: what any earlier one had
 * beyond base is void. WEIR_OK or WEIR_ENOMEM. */
int weir__file_add_epoch(struct weir_log_file *log,
                         struct weir__file_stream *stream, uint64_t epoch,
                         uint64_t base);

/* It has ended, perhaps by failing, or has not after all (seq 0). */
void weir__file_set_ended(struct weir_log_file *log,
                          struct weir__file_stream *stream, uint64_t seq,
                          uint64_t when, bool failed);

/* It is on the disk: what it hides stays hidden. */
void weir__file_confirm(struct weir_log_file *log,
                        struct weir__file_stream *stream);

/* Nobody can find it by its key any more, and what it hides unless that is
 * confirmed is found again. */
void weir__file_hide(struct weir_log_file *log,
                     struct weir__file_stream *stream);

/* The same, and it goes when nobody holds it. */
void weir__file_purge(struct weir_log_file *log,
                      struct weir__file_stream *stream);
void weir__file_hold(struct weir__file_stream *stream);
void weir__file_release(struct weir_log_file *log,
                        struct weir__file_stream *stream);

/* Free all of them. */
void weir__file_free_streams(struct weir_log_file *log);

#endif /* WEIR__FILE_STORE_H */
