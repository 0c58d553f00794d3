/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef WEIR_SIMDISK_H
#define WEIR_SIMDISK_H

/* A directory on a disk that exists in memory only, behind the table of system
 * calls that the file log makes. It knows what has been synced and what has
 * not; so it can say in which states a power cut may leave the disk: any subset
 * of the sectors, sizes and names that were not synced, sectors torn included.
 * And it fails on demand. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "file_io.h"

#define SIM_SECTOR 512

/* The kinds of calls. */
enum {
  SIM_ENTER,
  SIM_LIST,
  SIM_OPEN,
  SIM_MAKE, /* an open that makes the file */
  SIM_SIZE,
  SIM_READ,
  SIM_WRITE,
  SIM_RESERVE,
  SIM_TRUNCATE,
  SIM_SYNC,
  SIM_SYNC_NAMES,
  SIM_RENAME,
  SIM_REMOVE,
  SIM_KINDS,
  SIM_ANY = SIM_KINDS
};

/* What goes wrong with a call: see simdisk_fail. */
enum {
  SIM_ERROR = 1, /* nothing is done; `value` is the errno */
  SIM_SHORT,     /* half of the bytes are read or written, at least one */
  SIM_KEEP,      /* a sync fails; what it should have written may still be read,
                    is taken to be clean from now on, and may be on the disk or not
                  */
  SIM_DROP,      /* a sync fails; what did not come to the disk is forgotten */
  SIM_VANISH /* the file is removed by somebody else before the call is made */
};

struct simplan {
  int kind;
  size_t nth;   /* of calls_of[kind], or of calls */
  size_t until; /* and so are all up to this one */
  int what;
  int value;
};

/* A file, under whatever name. */
struct simfile {
  struct simfile *next;
  size_t number;
  unsigned char *live; /* as processes see it */
  uint64_t live_size;
  unsigned char *disk; /* as it has been synced; both have room for cap */
  uint64_t disk_size;
  uint64_t cap; /* what lies behind a size is zero */
  size_t fds;
  bool failed; /* a sync of it has */
};

struct simname {
  char text[48];
  struct simfile *file;
};

enum { SIM_ITEM_SECTOR, SIM_ITEM_SIZE, SIM_ITEM_NAME };

/* Something that has not been synced. */
struct simitem {
  int kind;
  struct simfile *file;
  bool limbo;  /* a sync of it has failed: another one does nothing for it */
  uint64_t at; /* of the sector; SIZE: the size */
  size_t from; /* the bytes of it that were written */
  size_t to;   /* before this one */
  unsigned char *bytes; /* the whole sector after that write */
  char name[48];        /* NAME: the name that now stands for file, or (NULL)
                           for nothing */
  char old[48];         /* of a rename: what it was before */
};

struct simdisk {
  struct weir__io io; /* what the log is opened with */
  /* To be set by the test. */
  uint64_t room;  /* bytes that all files may have together; at first any */
  int full_error; /* what is said when that is not enough: ENOSPC */
  size_t fd_most; /* files that may be open at a time; 0 is any number */
  uint64_t bad;   /* this byte of a file cannot be read; 0: all can */
  /* Called after everything that changes what a power cut could leave. */
  void (*changed)(void *user);
  void *changed_user;
  uint64_t seed; /* of what is drawn */
  /* What has happened. */
  size_t calls; /* all that can fail */
  size_t calls_of[SIM_KINDS];
  size_t changes;
  size_t resyncs; /* syncs of files of which one had failed */
  size_t open;    /* files, now */
  bool is_locked;
  /* Inside. */
  struct simfile *files;
  struct simname *names; /* as they are */
  size_t name_count;
  struct simname *disk_names; /* as they have been synced */
  size_t disk_name_count;
  struct simitem *items; /* what has not been synced, oldest first */
  size_t item_count;
  size_t item_cap;
  struct simfile *fds[256];
  struct simplan plans[8];
  size_t plan_count;
};

void simdisk_init(struct simdisk *disk);
void simdisk_free(struct simdisk *disk);

/* Let the nth call of a kind from now on, from 1, go wrong. */
void simdisk_fail(struct simdisk *disk, int kind, size_t nth, int what,
                  int value);

/* Let all calls of a kind go wrong from the nth on, or so many of them. */
void simdisk_fail_on(struct simdisk *disk, int kind, size_t nth, int what,
                     int value);
void simdisk_fail_some(struct simdisk *disk, int kind, size_t nth, size_t count,
                       int what, int value);

/* All is well again. */
void simdisk_heal(struct simdisk *disk);

/* The process has died: its files are closed, its lock is gone. What it has
 * written is not. */
void simdisk_die(struct simdisk *disk);

/* The bytes of a file, to be looked at or corrupted (which a power cut might
 * undo, but simdisk_copy does not). NULL if there is none. */
unsigned char *simdisk_bytes(struct simdisk *disk, const char *name,
                             uint64_t *size);

/* The name of the nth file in the order of names, from 0; NULL: there are no
 * more. Valid until a name changes. */
const char *simdisk_name(const struct simdisk *disk, size_t n);

/* Make a file of these bytes, remove one, change a size, rename: all of it on
 * the disk. */
void simdisk_put(struct simdisk *disk, const char *name, const void *bytes,
                 uint64_t size);
void simdisk_remove(struct simdisk *disk, const char *name);
void simdisk_resize(struct simdisk *disk, const char *name, uint64_t size);
void simdisk_move(struct simdisk *disk, const char *from, const char *to);

/* Another disk, with the same on it as seen by a process; synced. */
void simdisk_copy(const struct simdisk *disk, struct simdisk *copy);

/* The same bytes under the same names? */
bool simdisk_is_same(const struct simdisk *a, const struct simdisk *b);

/* The states in which a power cut may leave a disk now. */
struct simcuts {
  const struct simdisk *disk;
  /* While at most so many sectors are not synced: every subset of them, and of
   * what they were meanwhile if that is not too much. Else, and then too: every
   * prefix, and so many subsets that are drawn. */
  size_t sectors;
  size_t subsets;
  uint64_t combinations; /* that are not too much: 65536 */
  uint64_t seed;
  /* Inside. */
  struct simunit *units;
  size_t unit_count;
  size_t sector_count;
  bool is_exhaustive; /* all versions of everything */
  uint64_t whole;     /* subsets of the newest versions; 0: too many */
  uint64_t next;
  uint64_t end;
  unsigned char *chosen; /* by item */
  size_t torn;           /* the item that is torn; item_count: none */
  size_t torn_at;
  uint64_t *seen; /* hashes of the states that have been, where a table has
                     them; 0 is free */
  size_t seen_cap;
  size_t seen_count;
};

/* Begin; sectors, subsets and seed may be changed before the first is asked
 * for. The disk stays as it is meanwhile. */
void simcuts_init(struct simcuts *cuts, const struct simdisk *disk);
void simcuts_free(struct simcuts *cuts);

/* The next state, as a disk of its own, which the caller frees; none comes
 * twice. false: there are no more. */
bool simcuts_next(struct simcuts *cuts, struct simdisk *state);

/* What the last one was, for messages. Valid until the next. */
const char *simcuts_describe(const struct simcuts *cuts);

/* A number drawn from a seed, which goes on. */
uint64_t sim_draw(uint64_t *seed);

#endif /* WEIR_SIMDISK_H */
