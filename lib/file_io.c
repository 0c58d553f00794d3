/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* for O_CLOEXEC, flock, EDQUOT, fallocate, statx */
#endif
#define _FILE_OFFSET_BITS 64

#include "file_io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <weir/base.h>

/* The file that is locked: empty, and removed by whoever has made it. */
#define LOCK "lock"

#define MODE_DIRECTORY 0700
#define MODE_FILE 0600

static int result(int rv) {
  return rv < 0 ? -errno : rv;
}

static void system_leave(void *user) {
  struct weir__io_system *system = user;

  if (system->lock >= 0) {
    if (system->made_lock) {
      (void)unlinkat(system->directory, LOCK, 0);
    }
    (void)close(system->lock);
  }
  if (system->directory >= 0) {
    (void)close(system->directory);
  }
  system->lock = -1;
  system->directory = -1;
}

/* Open the file to be locked, and make it if it is not there. */
static int open_lock(struct weir__io_system *system) {
  const int flags = O_RDWR | O_CREAT | O_CLOEXEC;

  system->lock = openat(system->directory, LOCK, flags | O_EXCL, MODE_FILE);
  system->made_lock = system->lock >= 0;
  if (system->lock < 0 && errno == EEXIST) {
    system->lock = openat(system->directory, LOCK, flags, MODE_FILE);
  }
  return result(system->lock);
}

/* Whether what has been locked is still what others would lock: who made it may
 * have removed it meanwhile. */
static bool is_lock(const struct weir__io_system *system) {
  struct stat mine = {0};
  struct stat named = {0};

  (void)fstat(system->lock, &mine);
  return fstatat(system->directory, LOCK, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
         mine.st_ino == named.st_ino;
}

/* The directory itself is locked as well, where that can be: people remove
 * files of that name. */
static int lock(struct weir__io_system *system) {
  int rv = result(flock(system->directory, LOCK_EX | LOCK_NB));

  if (rv == -EWOULDBLOCK) {
    return rv;
  }
  rv = open_lock(system);
  if (rv >= 0) {
    rv = result(flock(system->lock, LOCK_EX | LOCK_NB));
  }
  if (rv >= 0 && !is_lock(system)) {
    rv = -EWOULDBLOCK;
  }
  /* Only who has the lock may remove it. */
  system->made_lock = system->made_lock && rv >= 0;
  return rv < 0 ? rv : 0;
}

static int system_enter(void *user, const char *path) {
  struct weir__io_system *system = user;
  int rv;

  if (mkdir(path, MODE_DIRECTORY) != 0 && errno != EEXIST) {
    return -errno;
  }
  system->directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (system->directory < 0) {
    return -errno;
  }
  rv = lock(system);
  if (rv < 0) {
    system_leave(system);
  }
  return rv;
}

static int system_list(void *user,
                       int (*found)(void *arg, const char *name, bool regular),
                       void *arg) {
  const struct weir__io_system *system = user;
  const struct dirent *entry;
  struct stat status = {0};
  int copy = fcntl(system->directory, F_DUPFD_CLOEXEC, 0);
  DIR *directory = copy < 0 ? NULL : fdopendir(copy);
  int rv = 0;

  if (directory == NULL) {
    rv = -errno;
    if (copy >= 0) {
      (void)close(copy);
    }
    return rv;
  }
  rewinddir(directory);
  errno = 0;
  entry = readdir(directory);
  while (rv == 0 && entry != NULL) {
    if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
        strcmp(entry->d_name, LOCK) != 0) {
      rv = fstatat(system->directory, entry->d_name, &status,
                   AT_SYMLINK_NOFOLLOW) == 0
               ? found(arg, entry->d_name, S_ISREG(status.st_mode))
               : -errno;
    }
    errno = 0;
    entry = readdir(directory);
  }
  if (rv == 0 && errno != 0) {
    rv = -errno;
  }
  (void)closedir(directory);
  return rv;
}

static int system_open(void *user, const char *name, bool make) {
  const struct weir__io_system *system = user;

  return result(
      openat(system->directory, name,
             O_RDWR | O_CLOEXEC | O_NOFOLLOW | (make ? O_CREAT | O_EXCL : 0),
             MODE_FILE));
}

static void system_close(void *user, int fd) {
  (void)user;
  (void)close(fd);
}

static int64_t system_size(void *user, int fd) {
  struct stat status = {0};
  bool is_known = false;

  (void)user;
#ifdef STATX_NLINK
  /* Who asks for times as well, as fstat does, has Linux since 6.13 give each
   * write behind it a time of its own, and the next sync writes that down. But
   * some containers know nothing else. */
  {
    struct statx some = {0};

    is_known =
        statx(fd, "", AT_EMPTY_PATH, STATX_NLINK | STATX_SIZE, &some) == 0;
    if (is_known) {
      status.st_nlink = some.stx_nlink;
      status.st_size = (off_t)some.stx_size;
    }
  }
#endif
  if (!is_known && fstat(fd, &status) != 0) {
    return -errno;
  }
  return status.st_nlink == 0 ? -ENOENT : (int64_t)status.st_size;
}

static int64_t system_read(void *user, int fd, void *dst, size_t len,
                           uint64_t at) {
  const ssize_t n = pread(fd, dst, len, (off_t)at);

  (void)user;
  return n < 0 ? -errno : n;
}

static int64_t system_write(void *user, int fd, const void *src, size_t len,
                            uint64_t at) {
  const ssize_t n = pwrite(fd, src, len, (off_t)at);

  (void)user;
  return n < 0 ? -errno : n;
}

static int system_reserve(void *user, int fd, uint64_t size) {
  (void)user;
#ifdef __linux__
  return result(fallocate(fd, 0, 0, (off_t)size));
#else
  (void)fd;
  (void)size;
  return 0;
#endif
}

static int system_truncate(void *user, int fd, uint64_t size) {
  (void)user;
  return result(ftruncate(fd, (off_t)size));
}

static int system_sync(void *user, int fd) {
  (void)user;
  return result(fdatasync(fd));
}

static int system_sync_names(void *user) {
  const struct weir__io_system *system = user;

  return result(fsync(system->directory));
}

static int system_rename(void *user, const char *from, const char *to) {
  const struct weir__io_system *system = user;

  return result(renameat(system->directory, from, system->directory, to));
}

static int system_remove(void *user, const char *name) {
  const struct weir__io_system *system = user;

  return result(unlinkat(system->directory, name, 0));
}

void weir__io_system_init(struct weir__io_system *system) {
  static const struct weir__io table = {
      NULL,
      system_enter,
      system_leave,
      system_list,
      system_open,
      system_close,
      system_size,
      system_read,
      system_write,
      system_reserve,
      system_truncate,
      system_sync,
      system_sync_names,
      system_rename,
      system_remove,
  };

  system->io = table;
  system->io.user = system;
  system->directory = -1;
  system->lock = -1;
}

int weir__io_error(int64_t negative) {
  switch (-negative) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return WEIR_EFULL;
    case EACCES:
    case EPERM:
    case EROFS:
      return WEIR_EACCESS;
    case ENOMEM:
    case EMFILE:
    case ENFILE:
      return WEIR_ENOMEM;
    case EWOULDBLOCK:
      return WEIR_ELOCKED;
    default:
      return WEIR_EIO;
  }
}

int weir__io_read(const struct weir__io *io, int fd, void *dst, size_t len,
                  uint64_t at) {
  unsigned char *p = dst;
  int64_t n;

  while (len != 0) {
    n = io->read(io->user, fd, p, len, at);
    if (n == -EINTR) {
      continue;
    }
    if (n <= 0) {
      return n == 0 ? WEIR_EIO : weir__io_error(n);
    }
    p += n;
    at += (uint64_t)n;
    len -= (size_t)n;
  }
  return WEIR_OK;
}

int weir__io_write(const struct weir__io *io, int fd, const void *src,
                   size_t len, uint64_t at) {
  const unsigned char *p = src;
  int64_t n;

  while (len != 0) {
    n = io->write(io->user, fd, p, len, at);
    if (n == -EINTR) {
      continue;
    }
    if (n <= 0) {
      return n == 0 ? WEIR_EIO : weir__io_error(n);
    }
    p += n;
    at += (uint64_t)n;
    len -= (size_t)n;
  }
  return WEIR_OK;
}

int weir__io_open(const struct weir__io *io, const char *name, bool make) {
  int fd;

  do {
    fd = io->open(io->user, name, make);
  } while (fd == -EINTR);
  return fd;
}

int weir__io_reserve(const struct weir__io *io, int fd, uint64_t size) {
  int rv;

  do {
    rv = io->reserve(io->user, fd, size);
  } while (rv == -EINTR);
  switch (-rv) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
    case EIO:
      return weir__io_error(rv);
    default:
      return WEIR_OK;
  }
}

int weir__io_truncate(const struct weir__io *io, int fd, uint64_t size) {
  int rv;

  do {
    rv = io->truncate(io->user, fd, size);
  } while (rv == -EINTR);
  return rv < 0 ? weir__io_error(rv) : WEIR_OK;
}

int weir__io_sync(const struct weir__io *io, int fd) {
  int rv;

  do {
    rv = io->sync(io->user, fd);
  } while (rv == -EINTR);
  return rv < 0 ? weir__io_error(rv) : WEIR_OK;
}

int weir__io_sync_names(const struct weir__io *io) {
  int rv;

  do {
    rv = io->sync_names(io->user);
  } while (rv == -EINTR);
  return rv < 0 ? weir__io_error(rv) : WEIR_OK;
}

int weir__io_rename(const struct weir__io *io, const char *from,
                    const char *to) {
  int rv;

  do {
    rv = io->rename(io->user, from, to);
  } while (rv == -EINTR);
  return rv < 0 ? weir__io_error(rv) : WEIR_OK;
}

int weir__io_remove(const struct weir__io *io, const char *name) {
  int rv;

  do {
    rv = io->remove(io->user, name);
  } while (rv == -EINTR);
  /* Somebody else may have done it. */
  return rv < 0 && rv != -ENOENT ? weir__io_error(rv) : WEIR_OK;
}
