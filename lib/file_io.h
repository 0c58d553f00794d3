/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef WEIR__FILE_IO_H
#define WEIR__FILE_IO_H

/* What the file log asks of the operating system, all of it: one small table,
 * so that tests can put another in its place, which fails, shortens, tears and
 * forgets. Names are those of files in the log's directory. Every function
 * returns what it says, or a negative errno. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct weir__io {
  void *user;
  /* Make the directory if need be, and lock it: 0, -EWOULDBLOCK (another has
   * it), or why not. */
  int (*enter)(void *user, const char *path);
  void (*leave)(void *user);
  /* Hand the name of every file to found, and whether it is a regular one; stop
   * when that is not 0 and return it. */
  int (*list)(void *user,
              int (*found)(void *arg, const char *name, bool regular),
              void *arg);
  /* Open a file for reading and writing; make: it must not be there yet. */
  int (*open)(void *user, const char *name, bool make);
  void (*close)(void *user, int fd);
  int64_t (*size)(void *user, int fd); /* -ENOENT: it has been removed */
  /* As pread and pwrite. */
  int64_t (*read)(void *user, int fd, void *dst, size_t len, uint64_t at);
  int64_t (*write)(void *user, int fd, const void *src, size_t len,
                   uint64_t at);
  /* Have room on the disk for a file of this size, and let it be of this size;
   * not every system can. */
  int (*reserve)(void *user, int fd, uint64_t size);
  int (*truncate)(void *user, int fd, uint64_t size);
  int (*sync)(void *user, int fd); /* fdatasync */
  int (*sync_names)(void *user);   /* fsync of the directory */
  int (*rename)(void *user, const char *from, const char *to);
  int (*remove)(void *user, const char *name);
};

/* That of this system. */
struct weir__io_system {
  struct weir__io io;
  int directory;
  int lock;
  bool made_lock; /* it was not there before */
};

void weir__io_system_init(struct weir__io_system *system);

/* Read or write all of it, however often that takes: WEIR_OK or an error of
 * weir's. What lies behind the end of a file cannot be read: WEIR_EIO. */
int weir__io_read(const struct weir__io *io, int fd, void *dst, size_t len,
                  uint64_t at);
int weir__io_write(const struct weir__io *io, int fd, const void *src,
                   size_t len, uint64_t at);

/* As the functions of the table, however often they are interrupted: a file, or
 * a negative errno. */
int weir__io_open(const struct weir__io *io, const char *name, bool make);

/* The same: WEIR_OK or an error of weir's. */
int weir__io_truncate(const struct weir__io *io, int fd, uint64_t size);
int weir__io_sync(const struct weir__io *io, int fd);
int weir__io_sync_names(const struct weir__io *io);
int weir__io_rename(const struct weir__io *io, const char *from,
                    const char *to);
/* Whoever has removed it: it is not there any more. */
int weir__io_remove(const struct weir__io *io, const char *name);

/* WEIR_OK, or why there is no room. What a system cannot reserve is not: then
 * there are holes. */
int weir__io_reserve(const struct weir__io *io, int fd, uint64_t size);

/* An error of weir's for a negative errno. */
int weir__io_error(int64_t negative);

#endif /* WEIR__FILE_IO_H */
