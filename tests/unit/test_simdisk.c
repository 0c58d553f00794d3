/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/* The simulated disk: what tests of storage believe has to be tested itself. */

#include "../kit.h"
#include "../simdisk.h"

#include <errno.h>
#include <string.h>

static struct simdisk disk;
static const struct weir__io *const io = &disk.io;
static unsigned changes;

static void count(void *user) {
  (void)user;
  changes += 1;
}

static void setup(void) {
  simdisk_init(&disk);
  changes = 0;
  disk.changed = count;
}

static void teardown(void) {
  simdisk_die(&disk);
  simdisk_free(&disk);
}

static int make(const char *name) {
  const int fd = io->open(io->user, name, true);

  ck_assert_int_ge(fd, 0);
  return fd;
}

static void put(int fd, const void *bytes, size_t len, uint64_t at) {
  ck_assert_int_eq(io->write(io->user, fd, bytes, len, at), (int64_t)len);
}

/* A file of n sectors of a letter, on the disk. */
static int make_synced(const char *name, size_t n, char letter) {
  char sector[SIM_SECTOR];
  const int fd = make(name);
  size_t i;

  memset(sector, letter, sizeof sector);
  for (i = 0; i < n; ++i) {
    put(fd, sector, sizeof sector, i * SIM_SECTOR);
  }
  ck_assert_int_eq(io->sync(io->user, fd), 0);
  ck_assert_int_eq(io->sync_names(io->user), 0);
  return fd;
}

/* How many states there are, and of them those in which a file has these
 * bytes first; (NULL: in which it is there). */
static size_t count_states(const char *name, const char *bytes,
                           size_t *matches) {
  struct simdisk state;
  struct simcuts cuts;
  unsigned char *got;
  uint64_t size;
  size_t states = 0;

  *matches = 0;
  simcuts_init(&cuts, &disk);
  while (simcuts_next(&cuts, &state)) {
    got = simdisk_bytes(&state, name, &size);
    *matches += got != NULL &&
                (bytes == NULL || (size >= strlen(bytes) &&
                                   memcmp(got, bytes, strlen(bytes)) == 0));
    states += 1;
    simdisk_free(&state);
  }
  simcuts_free(&cuts);
  return states;
}

START_TEST(files_are_as_files_are) {
  char got[8] = "";
  int fd = make("a");

  ck_assert_int_eq(io->open(io->user, "a", true), -EEXIST);
  ck_assert_int_eq(io->open(io->user, "b", false), -ENOENT);
  put(fd, "hello", 5, 1000);
  ck_assert_int_eq(io->size(io->user, fd), 1005);
  ck_assert_int_eq(io->read(io->user, fd, got, 8, 1002), 3);
  ck_assert_str_eq(got, "llo");
  ck_assert_int_eq(io->read(io->user, fd, got, 8, 1005), 0);
  ck_assert_int_eq(io->truncate(io->user, fd, 1003), 0);
  ck_assert_int_eq(io->truncate(io->user, fd, 1006), 0);
  ck_assert_int_eq(io->read(io->user, fd, got, 8, 1000), 6);
  ck_assert_mem_eq(got, "hel\0\0\0", 6);
  ck_assert_int_eq(io->rename(io->user, "a", "b"), 0);
  ck_assert_int_eq(io->rename(io->user, "a", "b"), -ENOENT);
  ck_assert_int_eq(io->remove(io->user, "b"), 0);
  ck_assert_int_eq(io->remove(io->user, "b"), -ENOENT);
  /* It has no name any more. */
  ck_assert_int_eq(io->size(io->user, fd), -ENOENT);
  io->close(io->user, fd);
  ck_assert_uint_eq(changes, 6);
}
END_TEST

START_TEST(what_is_synced_stays) {
  size_t matches;

  make_synced("a", 3, 'x');
  ck_assert_uint_eq(count_states("a", "xxx", &matches), 1);
  ck_assert_uint_eq(matches, 1);
}
END_TEST

/* A file is there when its name has been synced, and has in it what has. */
START_TEST(names_and_bytes_are_synced_apart) {
  const int fd = make("a");
  size_t matches;
  size_t states;

  put(fd, "hello", 5, 0);
  states = count_states("a", NULL, &matches);
  ck_assert(matches != 0 && matches < states);
  ck_assert_int_eq(io->sync_names(io->user), 0);
  states = count_states("a", NULL, &matches);
  ck_assert_uint_eq(matches, states);
  states = count_states("a", "hello", &matches);
  ck_assert(matches != 0 && matches < states);
  ck_assert_int_eq(io->sync(io->user, fd), 0);
  ck_assert_uint_eq(count_states("a", "hello", &matches), 1);
  ck_assert_uint_eq(matches, 1);
}
END_TEST

/* Three sectors, each written twice: three versions of each, and torn ones. */
START_TEST(every_subset_of_sectors) {
  const int fd = make_synced("a", 3, 'x');
  size_t matches;
  size_t states;
  size_t i;

  for (i = 0; i < 3; ++i) {
    put(fd, "y", 1, i * SIM_SECTOR);
    put(fd, "z", 1, i * SIM_SECTOR + 1);
  }
  states = count_states("a", "xx", &matches);
  ck_assert_uint_eq(states, 27);
  ck_assert_uint_eq(matches, 9);
  (void)count_states("a", "yx", &matches);
  ck_assert_uint_eq(matches, 9);
  (void)count_states("a", "yz", &matches);
  ck_assert_uint_eq(matches, 9);
  /* Never the second without the first. */
  (void)count_states("a", "xz", &matches);
  ck_assert_uint_eq(matches, 0);
}
END_TEST

/* A torn sector has some of the bytes that were written, from the first on. */
START_TEST(torn_sectors) {
  struct simdisk state;
  struct simcuts cuts;
  unsigned char *got;
  uint64_t size;
  size_t torn = 0;
  size_t i;

  put(make_synced("a", 40, 'x'), "123456789", 9, 100);
  for (i = 1; i < 40; ++i) {
    put(0, "y", 1, i * SIM_SECTOR);
  }
  simcuts_init(&cuts, &disk);
  while (simcuts_next(&cuts, &state)) {
    got = simdisk_bytes(&state, "a", &size);
    ck_assert_uint_eq(size, 40 * SIM_SECTOR);
    i = strspn((char *)got + 100, "123456789");
    ck_assert_mem_eq(got + 100, "123456789", i);
    ck_assert_mem_eq(got + 100 + i, "xxxxxxxxx", 9 - i);
    torn += i != 0 && i != 9;
    simdisk_free(&state);
  }
  ck_assert_uint_gt(torn, 0);
  ck_assert(!cuts.is_exhaustive);
  ck_assert_uint_gt(cuts.seen_count, 256);
  simcuts_free(&cuts);
}
END_TEST

/* What is known of two names is independent; what is known of one is not. */
START_TEST(names_in_any_order) {
  size_t matches;

  make_synced("a", 1, 'a');
  make_synced("b", 1, 'b');
  make_synced("c.new", 1, 'c');
  ck_assert_int_eq(io->rename(io->user, "c.new", "c"), 0);
  ck_assert_int_eq(io->remove(io->user, "c"), 0);
  ck_assert_int_eq(io->remove(io->user, "a"), 0);
  ck_assert_int_eq(io->remove(io->user, "b"), 0);
  ck_assert_uint_eq(count_states("a", NULL, &matches), 12);
  ck_assert_uint_eq(matches, 6);
  (void)count_states("c.new", NULL, &matches);
  ck_assert_uint_eq(matches, 4);
  (void)count_states("c", "c", &matches);
  ck_assert_uint_eq(matches, 4);
  ck_assert_int_eq(io->sync_names(io->user), 0);
  ck_assert_uint_eq(count_states("a", NULL, &matches), 1);
}
END_TEST

START_TEST(calls_fail) {
  int fd = make_synced("a", 1, 'x');
  char got[8];

  simdisk_fail(&disk, SIM_WRITE, 2, SIM_ERROR, ENOSPC);
  simdisk_fail(&disk, SIM_WRITE, 3, SIM_SHORT, 0);
  simdisk_fail(&disk, SIM_READ, 1, SIM_ERROR, EINTR);
  simdisk_fail_on(&disk, SIM_READ, 3, SIM_SHORT, 0);
  put(fd, "1", 1, 0);
  ck_assert_int_eq(io->write(io->user, fd, "12345", 5, 0), -ENOSPC);
  ck_assert_int_eq(io->write(io->user, fd, "12345", 5, 0), 3);
  ck_assert_int_eq(io->write(io->user, fd, "12345", 5, 0), 5);
  ck_assert_int_eq(io->read(io->user, fd, got, 8, 0), -EINTR);
  ck_assert_int_eq(io->read(io->user, fd, got, 8, 0), 8);
  ck_assert_int_eq(io->read(io->user, fd, got, 8, 0), 4);
  ck_assert_int_eq(io->read(io->user, fd, got, 1, 0), 1);
  simdisk_heal(&disk);
  ck_assert_int_eq(io->read(io->user, fd, got, 8, 0), 8);
  simdisk_fail(&disk, SIM_ANY, 2, SIM_ERROR, EMFILE);
  fd = make("b");
  ck_assert_int_eq(io->open(io->user, "c", true), -EMFILE);
  disk.fd_most = 3;
  fd = make("c");
  ck_assert_int_eq(io->open(io->user, "a", false), -EMFILE);
  io->close(io->user, fd);
  ck_assert_int_ge(io->open(io->user, "a", false), 0);
  simdisk_fail(&disk, SIM_OPEN, 1, SIM_VANISH, 0);
  ck_assert_int_eq(io->open(io->user, "b", false), -ENOENT);
}
END_TEST

START_TEST(room) {
  const int fd = make("a");

  disk.room = 10;
  ck_assert_int_eq(io->write(io->user, fd, "123456", 6, 0), 6);
  ck_assert_int_eq(io->write(io->user, fd, "123456", 6, 6), 4);
  ck_assert_int_eq(io->write(io->user, fd, "123456", 6, 10), -ENOSPC);
  ck_assert_int_eq(io->write(io->user, fd, "abcdef", 6, 2), 6);
  disk.full_error = EDQUOT;
  ck_assert_int_eq(io->write(io->user, fd, "123456", 6, 10), -EDQUOT);
  disk.room = 11;
  ck_assert_int_eq(io->write(io->user, fd, "123456", 6, 10), 1);
}
END_TEST

/* After a sync that failed, another one says yes and does nothing: what was to
 * be written may be read, and may be on the disk or not, or is forgotten. */
START_TEST(syncs_that_fail) {
  const int fd = make_synced("a", 1, 'x');
  char got[2] = "";
  size_t matches;

  put(fd, "y", 1, 0);
  simdisk_fail(&disk, SIM_SYNC, 1, _i == 0 ? SIM_KEEP : SIM_DROP, 0);
  ck_assert_int_eq(io->sync(io->user, fd), -EIO);
  ck_assert_int_eq(io->sync(io->user, fd), 0);
  ck_assert_int_eq(io->read(io->user, fd, got, 1, 0), 1);
  if (_i == 0) {
    ck_assert_str_eq(got, "y");
    ck_assert_uint_eq(count_states("a", "x", &matches), 2);
    ck_assert_uint_eq(matches, 1);
    /* What is written over it is written as ever. */
    put(fd, "z", 1, 0);
    ck_assert_int_eq(io->sync(io->user, fd), 0);
    ck_assert_uint_eq(count_states("a", "z", &matches), 1);
  } else {
    ck_assert_uint_eq(count_states("a", got, &matches), 1);
  }
  ck_assert_uint_eq(matches, 1);
}
END_TEST

static int found(void *arg, const char *name, bool regular) {
  ck_assert(regular);
  strcat(arg, name);
  return strcmp(name, "c") == 0 ? 7 : 0;
}

START_TEST(a_process_dies) {
  char names[8] = "";

  ck_assert_int_eq(io->enter(io->user, "x"), 0);
  ck_assert_int_eq(io->enter(io->user, "x"), -EWOULDBLOCK);
  put(make("b"), "1", 1, 0);
  make("d");
  make("c");
  make("a");
  simdisk_die(&disk);
  ck_assert_uint_eq(disk.open, 0);
  ck_assert_int_eq(io->enter(io->user, "x"), 0);
  ck_assert_int_eq(io->list(io->user, found, names), 7);
  ck_assert_str_eq(names, "abc");
  ck_assert_str_eq(simdisk_name(&disk, 3), "d");
  ck_assert_ptr_null(simdisk_name(&disk, 4));
  io->leave(io->user);
}
END_TEST

int main(void) {
  TCase *const disks = tcase_create("disk");
  TCase *const cuts = tcase_create("cuts");
  TCase *const all[] = {disks, cuts};

  tcase_add_checked_fixture(disks, setup, teardown);
  tcase_add_test(disks, files_are_as_files_are);
  tcase_add_test(disks, calls_fail);
  tcase_add_test(disks, room);
  tcase_add_loop_test(disks, syncs_that_fail, 0, 2);
  tcase_add_test(disks, a_process_dies);
  tcase_add_checked_fixture(cuts, setup, teardown);
  tcase_add_test(cuts, what_is_synced_stays);
  tcase_add_test(cuts, names_and_bytes_are_synced_apart);
  tcase_add_test(cuts, every_subset_of_sectors);
  tcase_add_test(cuts, torn_sectors);
  tcase_add_test(cuts, names_in_any_order);
  return kit_main("simdisk", all, sizeof all / sizeof all[0]);
}
