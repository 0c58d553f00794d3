/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* for seteuid, syscall */

/* The file log's system calls, in a real directory: what the system says when
 * it says no, and what becomes of reads and writes that are done in pieces. */

#include "file_io.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__linux__) && defined(SYS_statx) && defined(__has_include)
#if __has_include(<linux/seccomp.h>) && __has_include(<linux/filter.h>)
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#define HAVE_SECCOMP 1
#endif
#endif

#include <weir/log_file.h>

#include "../kit.h"

static char top[KIT_DIRECTORY]; /* everything is below it */
static char path[128];          /* of the log */
static struct weir__io_system system_;
static const struct weir__io *const io = &system_.io;

static void setup(void) {
  kit_directory(top);
  snprintf(path, sizeof path, "%s/log", top);
  weir__io_system_init(&system_);
}

static void teardown(void) {
  io->leave(io->user);
}

static const char *below(const char *name) {
  static char text[256];

  snprintf(text, sizeof text, "%s/%s", path, name);
  return text;
}

/* A macro, since the type of a resource depends on the libc. */
#define LIMIT(resource, most)                         \
  do {                                                \
    struct rlimit now;                                \
    ck_assert_int_eq(getrlimit((resource), &now), 0); \
    now.rlim_cur = (most);                            \
    ck_assert_int_eq(setrlimit((resource), &now), 0); \
  } while (0)

/* --- The directory ---------------------------------------------------------*/

START_TEST(entering) {
  struct weir__io_system other;
  struct stat status;

  ck_assert_int_eq(io->enter(io->user, path), 0);
  ck_assert_int_eq(stat(path, &status), 0);
  ck_assert_int_eq(status.st_mode & 0777, 0700);
  /* It is locked, and stays so when another has tried. */
  weir__io_system_init(&other);
  ck_assert_int_eq(other.io.enter(&other, path), -EWOULDBLOCK);
  ck_assert_int_eq(other.io.enter(&other, path), -EWOULDBLOCK);
  ck_assert_int_eq(access(below("lock"), F_OK), 0);
  io->leave(io->user);
  ck_assert_int_eq(access(below("lock"), F_OK), -1);
  ck_assert_int_eq(other.io.enter(&other, path), 0);
  other.io.leave(&other);
  other.io.leave(&other);
}
END_TEST

/* A lock file that was there before is locked and left. */
START_TEST(a_lock_that_was_there) {
  int fd;

  ck_assert_int_eq(mkdir(path, 0700), 0);
  fd = open(below("lock"), O_RDWR | O_CREAT, 0600);
  ck_assert_int_ge(fd, 0);
  ck_assert_int_eq(flock(fd, LOCK_EX), 0);
  ck_assert_int_eq(io->enter(io->user, path), -EWOULDBLOCK);
  ck_assert_int_eq(flock(fd, LOCK_UN), 0);
  ck_assert_int_eq(io->enter(io->user, path), 0);
  io->leave(io->user);
  ck_assert_int_eq(access(below("lock"), F_OK), 0);
  ck_assert_int_eq(flock(fd, LOCK_EX | LOCK_NB), 0);
  (void)close(fd);
}
END_TEST

/* Somebody takes it for one that was left behind. */
START_TEST(a_lock_that_is_removed) {
  struct weir__io_system other;

  weir__io_system_init(&other);
  ck_assert_int_eq(io->enter(io->user, path), 0);
  ck_assert_int_eq(unlink(below("lock")), 0);
  ck_assert_int_eq(other.io.enter(other.io.user, path), -EWOULDBLOCK);
  io->leave(io->user);
  ck_assert_int_eq(other.io.enter(other.io.user, path), 0);
  other.io.leave(other.io.user);
}
END_TEST

START_TEST(no_directory) {
  char deep[160];

  snprintf(deep, sizeof deep, "%s/a/b", top);
  ck_assert_int_eq(io->enter(io->user, deep), -ENOENT);
  ck_assert_int_eq(io->enter(io->user, "/dev/null"), -ENOTDIR);
  ck_assert_int_eq(mkdir(path, 0700), 0);
  /* What should be the lock cannot be opened. */
  ck_assert_int_eq(mkdir(below("lock"), 0700), 0);
  ck_assert_int_eq(io->enter(io->user, path), -EISDIR);
}
END_TEST

/* As somebody who may do nothing there. */
START_TEST(no_permission) {
  char deep[160];

  snprintf(deep, sizeof deep, "%s/a", path);
  ck_assert_int_eq(chmod(top, 0755), 0);
  ck_assert_int_eq(mkdir(path, 0755), 0);
  if (getuid() == 0) {
    ck_assert_int_eq(seteuid(65534), 0);
  } else {
    ck_assert_int_eq(chmod(path, 0500), 0);
  }
  ck_assert_int_eq(io->enter(io->user, path), -EACCES);
  ck_assert_int_eq(io->enter(io->user, deep), -EACCES);
  if (getuid() == 0) {
    ck_assert_int_eq(seteuid(0), 0);
  } else {
    ck_assert_int_eq(chmod(path, 0700), 0);
  }
}
END_TEST

/* The calls of the library's come here: see below what happens before that for
 * the file. */
static int lock_changes;

int flock(int fd, int operation) {
  struct stat status;

  ck_assert_int_eq(fstat(fd, &status), 0);
  if (S_ISDIR(status.st_mode)) {
    return (int)syscall(SYS_flock, fd, operation);
  }
  if (lock_changes > 0) {
    ck_assert_int_eq(unlink(below("lock")), 0);
  }
  if (lock_changes > 1) {
    ck_assert_int_eq(symlink("another", below("lock")), 0);
  }
  return (int)syscall(SYS_flock, fd, operation);
}

/* Who had the lock has removed it in the last moment, and perhaps another has
 * made one of his own: what was locked is nothing. */
START_TEST(a_lock_that_goes) {
  lock_changes = _i + 1;
  ck_assert_int_eq(io->enter(io->user, path), -EWOULDBLOCK);
  lock_changes = 0;
  /* His is not touched. */
  ck_assert_int_eq(unlink(below("lock")), _i == 0 ? -1 : 0);
  ck_assert_int_eq(io->enter(io->user, path), 0);
}
END_TEST

/* The least descriptor that is free. */
static int next_fd(void) {
  int fd = dup(0);

  ck_assert_int_ge(fd, 0);
  (void)close(fd);
  return fd;
}

struct names {
  char text[512];
  int until; /* so many */
};

static int found(void *arg, const char *name, bool regular) {
  struct names *names = arg;

  strcat(names->text, regular ? " " : " !");
  strcat(names->text, name);
  return --names->until == 0 ? 7 : 0;
}

static int remove_other(void *arg, const char *name, bool regular) {
  (void)arg;
  (void)regular;
  return unlink(below(strcmp(name, "a") == 0 ? "b" : "a"));
}

static int close_it(void *arg, const char *name, bool regular) {
  const int *fd = arg;

  (void)name;
  (void)regular;
  return close(*fd);
}

START_TEST(listing) {
  struct names names = {"", 0};

  ck_assert_int_eq(io->enter(io->user, path), 0);
  ck_assert_int_eq(io->list(io->user, found, &names), 0);
  ck_assert_str_eq(names.text, "");
  ck_assert_int_eq(mkdir(below("directory"), 0700), 0);
  ck_assert_int_eq(io->list(io->user, found, &names), 0);
  ck_assert_str_eq(names.text, " !directory");
  io->close(io->user, io->open(io->user, "file", true));
  names.text[0] = '\0';
  names.until = 1;
  ck_assert_int_eq(io->list(io->user, found, &names), 7);
  ck_assert_ptr_null(strchr(names.text + 1, ' '));
}
END_TEST

START_TEST(listing_fails) {
  int fd;

  ck_assert_int_eq(io->enter(io->user, path), 0);
  io->close(io->user, io->open(io->user, "a", true));
  /* What has been read of the directory goes before it is looked at; and the
   * directory goes before the rest of it has been read. */
  fd = next_fd();
  ck_assert_int_eq(io->list(io->user, close_it, &fd), -EBADF);
  io->close(io->user, io->open(io->user, "b", true));
  ck_assert_int_eq(io->list(io->user, remove_other, NULL), -ENOENT);
  fd = system_.directory;
  system_.directory = open("/dev/null", O_RDONLY);
  ck_assert_int_eq(io->list(io->user, remove_other, NULL), -ENOTDIR);
  (void)close(system_.directory);
  system_.directory = fd;
  LIMIT(RLIMIT_NOFILE, (rlim_t)next_fd());
  ck_assert_int_eq(io->list(io->user, remove_other, NULL), -EMFILE);
  LIMIT(RLIMIT_NOFILE, 64);
}
END_TEST

/* --- Files -----------------------------------------------------------------*/

START_TEST(files) {
  char bytes[8];
  int fd;

  ck_assert_int_eq(io->enter(io->user, path), 0);
  ck_assert_int_eq(io->open(io->user, "a", false), -ENOENT);
  fd = io->open(io->user, "a", true);
  ck_assert_int_ge(fd, 0);
  ck_assert_int_eq(io->open(io->user, "a", true), -EEXIST);
  ck_assert_int_eq(weir__io_write(io, fd, "abcd", 4, 2), WEIR_OK);
  ck_assert_int_eq(io->size(io->user, fd), 6);
  ck_assert_int_eq(weir__io_read(io, fd, bytes, 6, 0), WEIR_OK);
  ck_assert_mem_eq(bytes, "\0\0abcd", 6);
  ck_assert_int_eq(weir__io_read(io, fd, bytes, 6, 1), WEIR_EIO);
  ck_assert_int_eq(weir__io_truncate(io, fd, 3), WEIR_OK);
  ck_assert_int_eq(weir__io_sync(io, fd), WEIR_OK);
  ck_assert_int_eq(io->size(io->user, fd), 3);
  ck_assert_int_eq(io->rename(io->user, "a", "b"), 0);
  ck_assert_int_eq(io->rename(io->user, "a", "b"), -ENOENT);
  ck_assert_int_eq(io->sync_names(io->user), 0);
  ck_assert_int_eq(io->remove(io->user, "b"), 0);
  ck_assert_int_eq(io->remove(io->user, "b"), -ENOENT);
  ck_assert_int_eq(io->size(io->user, fd), -ENOENT);
  io->close(io->user, fd);
  /* Nothing is open any more. */
  ck_assert_int_eq(io->size(io->user, fd), -EBADF);
  ck_assert_int_eq(io->read(io->user, fd, bytes, 1, 0), -EBADF);
  ck_assert_int_eq(io->write(io->user, fd, bytes, 1, 0), -EBADF);
  ck_assert_int_eq(weir__io_truncate(io, fd, 0), WEIR_EIO);
  ck_assert_int_eq(weir__io_sync(io, fd), WEIR_EIO);
}
END_TEST

START_TEST(links_are_not_followed) {
  ck_assert_int_eq(io->enter(io->user, path), 0);
  ck_assert_int_eq(symlink("/dev/zero", below("a")), 0);
  ck_assert_int_eq(io->open(io->user, "a", false), -ELOOP);
}
END_TEST

/* Room for a file is its size, too; where no system call has any, whoever asks
 * does without. */
START_TEST(room) {
  int fd;

  ck_assert_int_eq(io->enter(io->user, path), 0);
  fd = io->open(io->user, "a", true);
  ck_assert_int_eq(weir__io_write(io, fd, "abcd", 4, 0), WEIR_OK);
  ck_assert_int_eq(weir__io_reserve(io, fd, 65536), WEIR_OK);
#ifdef __linux__
  ck_assert_int_eq(io->size(io->user, fd), 65536);
  ck_assert_int_eq(weir__io_reserve(io, fd, 0), WEIR_OK);
  ck_assert_int_eq(io->size(io->user, fd), 65536);
#endif
  io->close(io->user, fd);
}
END_TEST

/* A file that may not grow any more takes what there is room for. */
START_TEST(no_room) {
  struct rlimit before;
  int fd;

  ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
  ck_assert_int_eq(io->enter(io->user, path), 0);
  fd = io->open(io->user, "a", true);
  (void)signal(SIGXFSZ, SIG_IGN);
  LIMIT(RLIMIT_FSIZE, 6);
  ck_assert_int_eq(weir__io_write(io, fd, "abcd", 4, 0), WEIR_OK);
  ck_assert_int_eq(weir__io_write(io, fd, "efgh", 4, 4), WEIR_EFULL);
  ck_assert_int_eq(io->size(io->user, fd), 6);
  ck_assert_int_eq(weir__io_truncate(io, fd, 7), WEIR_EFULL);
#ifdef __linux__
  ck_assert_int_eq(weir__io_reserve(io, fd, 7), WEIR_EFULL);
#endif
  io->close(io->user, fd);
  fd = open("/dev/full", O_RDWR);
  if (fd >= 0) {
    ck_assert_int_eq(weir__io_write(io, fd, "abcd", 4, 0), WEIR_EFULL);
    (void)close(fd);
  }
  /* What is counted for coverage is written when the test is over. */
  ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &before), 0);
}
END_TEST

START_TEST(errors) {
  static const struct {
    int number;
    int error;
  } rows[] = {
      {ENOSPC, WEIR_EFULL},        {EDQUOT, WEIR_EFULL},  {EFBIG, WEIR_EFULL},
      {EACCES, WEIR_EACCESS},      {EPERM, WEIR_EACCESS}, {EROFS, WEIR_EACCESS},
      {ENOMEM, WEIR_ENOMEM},       {EMFILE, WEIR_ENOMEM}, {ENFILE, WEIR_ENOMEM},
      {EWOULDBLOCK, WEIR_ELOCKED}, {EIO, WEIR_EIO},       {ENOENT, WEIR_EIO},
      {ENOTDIR, WEIR_EIO}};
  size_t i;

  for (i = 0; i < sizeof rows / sizeof rows[0]; ++i) {
    ck_assert_int_eq(weir__io_error(-rows[i].number), rows[i].error);
  }
}
END_TEST

/* --- In pieces ------------------------------------------------------------ */

/* One byte at a time, with a signal before each; and nothing at all from place
 * 6 on. */
static int64_t one_byte(void *dst, const void *src, uint64_t at) {
  static bool was_interrupted;

  was_interrupted = !was_interrupted;
  if (was_interrupted) {
    return -EINTR;
  }
  if (at >= 6) {
    return 0;
  }
  memcpy(dst, src, 1);
  return 1;
}

static unsigned char medium[8] = "abcdefg";

static int64_t read_one(void *user, int fd, void *dst, size_t len,
                        uint64_t at) {
  (void)user;
  (void)fd;
  (void)len;
  return one_byte(dst, medium + at, at);
}

static int64_t write_one(void *user, int fd, const void *src, size_t len,
                         uint64_t at) {
  (void)user;
  (void)fd;
  (void)len;
  return one_byte(medium + at, src, at);
}

static int interrupted;

static int truncate_late(void *user, int fd, uint64_t size) {
  (void)user;
  (void)fd;
  (void)size;
  return interrupted-- > 0 ? -EINTR : 0;
}

static int reserved;

static int reserve_badly(void *user, int fd, uint64_t size) {
  const int rv = truncate_late(user, fd, size);

  return rv != 0 ? rv : -reserved;
}

/* Rows: what is said when room is asked for, and what that comes to. */
static const struct {
  int number;
  int error;
} rooms[] = {{0, WEIR_OK},        {ENOSPC, WEIR_EFULL}, {EDQUOT, WEIR_EFULL},
             {EFBIG, WEIR_EFULL}, {EIO, WEIR_EIO},      {EOPNOTSUPP, WEIR_OK},
             {ENOSYS, WEIR_OK},   {EPERM, WEIR_OK}};

START_TEST(room_is_not_for_all) {
  struct weir__io other = system_.io;

  other.reserve = reserve_badly;
  reserved = rooms[_i].number;
  interrupted = 3;
  ck_assert_int_eq(weir__io_reserve(&other, 0, 1), rooms[_i].error);
  ck_assert_int_eq(interrupted, -1);
}
END_TEST

static int sync_late(void *user, int fd) {
  return truncate_late(user, fd, 0);
}

START_TEST(in_pieces) {
  struct weir__io slow = system_.io;
  char bytes[8] = "";

  slow.read = read_one;
  slow.write = write_one;
  slow.truncate = truncate_late;
  slow.sync = sync_late;
  ck_assert_int_eq(weir__io_read(&slow, 0, bytes, 5, 1), WEIR_OK);
  ck_assert_str_eq(bytes, "bcdef");
  ck_assert_int_eq(weir__io_read(&slow, 0, bytes, 5, 2), WEIR_EIO);
  ck_assert_int_eq(weir__io_write(&slow, 0, "12345", 5, 1), WEIR_OK);
  ck_assert_mem_eq(medium, "a12345g", 7);
  ck_assert_int_eq(weir__io_write(&slow, 0, "12345", 5, 2), WEIR_EIO);
  ck_assert_mem_eq(medium, "a11234g", 7);
  interrupted = 3;
  ck_assert_int_eq(weir__io_truncate(&slow, 0, 0), WEIR_OK);
  ck_assert_int_eq(interrupted, -1);
  interrupted = 3;
  ck_assert_int_eq(weir__io_sync(&slow, 0), WEIR_OK);
  ck_assert_int_eq(interrupted, -1);
}
END_TEST

static int named; /* what calls with names come to */

static int open_late(void *user, const char *name, bool is_new) {
  (void)name;
  (void)is_new;
  return truncate_late(user, 0, 0) != 0 ? -EINTR : named;
}

static int remove_late(void *user, const char *name) {
  return open_late(user, name, false);
}

static int rename_late(void *user, const char *from, const char *to) {
  (void)to;
  return open_late(user, from, false);
}

static int sync_names_late(void *user) {
  return open_late(user, NULL, false);
}

/* Names, however often a signal comes. */
START_TEST(interrupted_at_names) {
  struct weir__io slow = system_.io;

  slow.open = open_late;
  slow.remove = remove_late;
  slow.rename = rename_late;
  slow.sync_names = sync_names_late;
  named = _i == 0 ? 0 : -EIO;
  interrupted = 3;
  ck_assert_int_eq(weir__io_open(&slow, "a", true), named);
  ck_assert_int_eq(interrupted, -1);
  interrupted = 3;
  ck_assert_int_eq(weir__io_remove(&slow, "a"), _i == 0 ? WEIR_OK : WEIR_EIO);
  ck_assert_int_eq(interrupted, -1);
  interrupted = 3;
  ck_assert_int_eq(weir__io_rename(&slow, "a", "b"),
                   _i == 0 ? WEIR_OK : WEIR_EIO);
  ck_assert_int_eq(interrupted, -1);
  interrupted = 3;
  ck_assert_int_eq(weir__io_sync_names(&slow), _i == 0 ? WEIR_OK : WEIR_EIO);
  ck_assert_int_eq(interrupted, -1);
  named = -ENOENT;
  ck_assert_int_eq(weir__io_remove(&slow, "a"), WEIR_OK);
}
END_TEST

#ifdef HAVE_SECCOMP

/* Some containers deny what they do not know. */
START_TEST(calls_that_are_denied) {
  struct sock_filter rules[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_statx, 1, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_fallocate, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const struct sock_fprog program = {sizeof rules / sizeof rules[0], rules};
  struct stat status;
  int fd;

  ck_assert_int_eq(io->enter(io->user, path), 0);
  fd = io->open(io->user, "a", true);
  ck_assert_int_eq(weir__io_write(io, fd, "abcd", 4, 2), WEIR_OK);
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
      prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0) {
    ck_assert_int_eq(fallocate(fd, 0, 0, 65536), -1);
    ck_assert_int_eq(errno, EPERM);
    ck_assert_int_eq(weir__io_reserve(io, fd, 65536), WEIR_OK);
    /* Where times have 64 bits and words 32, fstat is statx. */
    if (fstat(fd, &status) == 0) {
      ck_assert_int_eq(io->size(io->user, fd), 6);
      ck_assert_int_eq(io->remove(io->user, "a"), 0);
      ck_assert_int_eq(io->size(io->user, fd), -ENOENT);
    }
  }
  io->close(io->user, fd);
}
END_TEST

#endif

/* --- A log on it -----------------------------------------------------------*/

/* With the clocks, bits and memory of the system. */
START_TEST(a_log_in_a_directory) {
  weir_log_file_options options;
  weir_log_file *log = NULL;

  ck_assert_int_eq(mkdir(path, 0700), 0);
  /* A file system of its own brings this; nothing else may be there. */
  ck_assert_int_eq(mkdir(below("lost+found"), 0700), 0);
  weir_log_file_options_init(&options, sizeof options);
  options.path = path;
  ck_assert_int_eq(weir_log_file_open(&options, &log), WEIR_OK);
  ck_assert_int_eq(weir_log_file_close(log), WEIR_OK);
  log = NULL;
  if (_i == 0) {
    ck_assert_int_eq(mkdir(below("weir-0000000000000001.log"), 0700), 0);
  } else {
    ck_assert_int_eq(symlink("lost+found", below("notes")), 0);
  }
  ck_assert_int_eq(weir_log_file_open(&options, &log), WEIR_EFORMAT);
  ck_assert_ptr_null(log);
  ck_assert_int_eq(access(below("lost+found"), F_OK), 0);
}
END_TEST

static TCase *file_io(void) {
  TCase *tcase = tcase_create("file_io");

  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_test(tcase, entering);
  tcase_add_test(tcase, a_lock_that_was_there);
  tcase_add_test(tcase, a_lock_that_is_removed);
  tcase_add_test(tcase, no_directory);
  tcase_add_test(tcase, no_permission);
  tcase_add_loop_test(tcase, a_lock_that_goes, 0, 2);
  tcase_add_test(tcase, listing);
  tcase_add_test(tcase, listing_fails);
  tcase_add_test(tcase, files);
  tcase_add_test(tcase, links_are_not_followed);
  tcase_add_test(tcase, room);
  tcase_add_test(tcase, no_room);
  tcase_add_test(tcase, errors);
  tcase_add_test(tcase, in_pieces);
  tcase_add_loop_test(tcase, interrupted_at_names, 0, 2);
  tcase_add_loop_test(tcase, room_is_not_for_all, 0,
                      (int)(sizeof rooms / sizeof rooms[0]));
  tcase_add_loop_test(tcase, a_log_in_a_directory, 0, 2);
#ifdef HAVE_SECCOMP
  /* The last: it denies for good. */
  tcase_add_test(tcase, calls_that_are_denied);
#endif
  return tcase;
}

KIT_MAIN("file_io", file_io())
