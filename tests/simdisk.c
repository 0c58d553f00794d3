/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "simdisk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kit.h"

uint64_t sim_draw(uint64_t *seed) {
  uint64_t z = *seed += UINT64_C(0x9e3779b97f4a7c15);

  z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
  return z ^ z >> 31;
}

static void *make(size_t size) {
  void *made = calloc(1, size);

  kit_need(made != NULL);
  return made;
}

static void *grow(void *bytes, size_t size) {
  void *grown = realloc(bytes, size);

  kit_need(grown != NULL);
  return grown;
}

/* --- Files and names -------------------------------------------------------*/

static struct simfile *make_file(struct simdisk *disk) {
  struct simfile *file = make(sizeof *file);

  file->next = disk->files;
  file->number = file->next == NULL ? 1 : file->next->number + 1;
  disk->files = file;
  return file;
}

static void reserve(struct simfile *file, uint64_t size) {
  uint64_t cap = file->cap == 0 ? 4096 : file->cap;

  if (size <= file->cap) {
    return;
  }
  while (cap < size) {
    cap *= 2;
  }
  file->live = grow(file->live, (size_t)cap);
  file->disk = grow(file->disk, (size_t)cap);
  memset(file->live + file->cap, 0, (size_t)(cap - file->cap));
  memset(file->disk + file->cap, 0, (size_t)(cap - file->cap));
  file->cap = cap;
}

static size_t find_name(const struct simname *names, size_t count,
                        const char *text) {
  size_t i = 0;

  while (i < count && strcmp(names[i].text, text) != 0) {
    i += 1;
  }
  return i;
}

/* Let a name stand for a file, or for none. */
static void set_name(struct simname **names, size_t *count, const char *text,
                     struct simfile *file) {
  const size_t i = find_name(*names, *count, text);

  if (file == NULL) {
    if (i < *count) {
      *count -= 1;
      (*names)[i] = (*names)[*count];
    }
    return;
  }
  if (i == *count) {
    *names = grow(*names, (*count + 1) * sizeof **names);
    kit_need(strlen(text) < sizeof(*names)[i].text);
    strcpy((*names)[i].text, text);
    *count += 1;
  }
  (*names)[i].file = file;
}

static struct simfile *find_file(const struct simdisk *disk, const char *text) {
  const size_t i = find_name(disk->names, disk->name_count, text);

  return i == disk->name_count ? NULL : disk->names[i].file;
}

static bool is_named(const struct simname *names, size_t count,
                     const struct simfile *file) {
  size_t i = 0;

  while (i < count && names[i].file != file) {
    i += 1;
  }
  return i < count;
}

/* --- What is not synced ----------------------------------------------------*/

static struct simitem *add_item(struct simdisk *disk, int kind,
                                struct simfile *file) {
  struct simitem *item;

  if (disk->item_count == disk->item_cap) {
    disk->item_cap = disk->item_cap * 2 + 64;
    disk->items = grow(disk->items, disk->item_cap * sizeof *disk->items);
  }
  item = &disk->items[disk->item_count++];
  memset(item, 0, sizeof *item);
  item->kind = kind;
  item->file = file;
  return item;
}

static void remove_item(struct simdisk *disk, size_t i) {
  free(disk->items[i].bytes);
  disk->item_count -= 1;
  memmove(&disk->items[i], &disk->items[i + 1],
          (disk->item_count - i) * sizeof *disk->items);
}

static void note_sector(struct simdisk *disk, struct simfile *file, uint64_t at,
                        size_t from, size_t to) {
  struct simitem *item = add_item(disk, SIM_ITEM_SECTOR, file);

  item->at = at;
  item->from = from;
  item->to = to;
  item->bytes = make(SIM_SECTOR);
  memcpy(item->bytes, file->live + at, SIM_SECTOR);
}

static void note_size(struct simdisk *disk, struct simfile *file) {
  add_item(disk, SIM_ITEM_SIZE, file)->at = file->live_size;
}

static void note_name(struct simdisk *disk, const char *name, const char *old,
                      struct simfile *file) {
  struct simitem *item = add_item(disk, SIM_ITEM_NAME, file);

  strcpy(item->name, name);
  strcpy(item->old, old);
}

/* It is open, or has a name on the disk or in the directory, or may have. */
static bool is_kept(const struct simdisk *disk, const struct simfile *file) {
  size_t i = 0;

  while (i < disk->item_count && (disk->items[i].kind != SIM_ITEM_NAME ||
                                  disk->items[i].file != file)) {
    i += 1;
  }
  return file->fds != 0 || i < disk->item_count ||
         is_named(disk->names, disk->name_count, file) ||
         is_named(disk->disk_names, disk->disk_name_count, file);
}

/* A file that is not kept leaves nothing behind. */
static void forget_files(struct simdisk *disk) {
  struct simfile **at = &disk->files;
  struct simfile *file;
  size_t i;

  while (*at != NULL) {
    file = *at;
    if (is_kept(disk, file)) {
      at = &file->next;
      continue;
    }
    for (i = disk->item_count; i > 0; --i) {
      if (disk->items[i - 1].file == file) {
        remove_item(disk, i - 1);
      }
    }
    *at = file->next;
    free(file->live);
    free(file->disk);
    free(file);
  }
}

/* Something has changed. */
static void changed(struct simdisk *disk) {
  disk->changes += 1;
  if (disk->changed != NULL) {
    disk->changed(disk->changed_user);
  }
}

/* --- What goes wrong -------------------------------------------------------*/

static const struct simplan *count_call(struct simdisk *disk, int kind) {
  const struct simplan *plan;
  size_t calls;
  size_t i;

  disk->calls += 1;
  disk->calls_of[kind] += 1;
  for (i = 0; i < disk->plan_count; ++i) {
    plan = &disk->plans[i];
    calls = plan->kind == SIM_ANY ? disk->calls : disk->calls_of[kind];
    if ((plan->kind == SIM_ANY || plan->kind == kind) && calls >= plan->nth &&
        calls <= plan->until) {
      return plan;
    }
  }
  return NULL;
}

/* Whether a call fails with an error before anything is done. Only some calls
 * know the other ways of failing; for the rest they are EIO. */
static int fails(const struct simplan *plan, int other) {
  if (plan == NULL || plan->what == other) {
    return 0;
  }
  return plan->what == SIM_ERROR                               ? -plan->value
         : plan->what == SIM_SHORT || plan->what == SIM_VANISH ? 0
                                                               : -EIO;
}

static void add_plan(struct simdisk *disk, int kind, size_t nth, size_t until,
                     int what, int value) {
  const size_t calls = kind == SIM_ANY ? disk->calls : disk->calls_of[kind];
  struct simplan *plan = &disk->plans[disk->plan_count++];

  ck_assert_uint_le(disk->plan_count, sizeof disk->plans / sizeof *disk->plans);
  plan->kind = kind;
  plan->nth = calls + nth;
  plan->until = until == SIZE_MAX ? until : calls + until;
  plan->what = what;
  plan->value = value;
}

void simdisk_fail(struct simdisk *disk, int kind, size_t nth, int what,
                  int value) {
  add_plan(disk, kind, nth, nth, what, value);
}

void simdisk_fail_some(struct simdisk *disk, int kind, size_t nth, size_t count,
                       int what, int value) {
  add_plan(disk, kind, nth, nth + count - 1, what, value);
}

void simdisk_fail_on(struct simdisk *disk, int kind, size_t nth, int what,
                     int value) {
  add_plan(disk, kind, nth, SIZE_MAX, what, value);
}

void simdisk_heal(struct simdisk *disk) {
  disk->plan_count = 0;
}

/* --- The calls -------------------------------------------------------------*/

static int sim_enter(void *user, const char *path) {
  struct simdisk *disk = user;
  const int rv = fails(count_call(disk, SIM_ENTER), 0);

  (void)path;
  if (rv != 0) {
    return rv;
  }
  if (disk->is_locked) {
    return -EWOULDBLOCK;
  }
  disk->is_locked = true;
  return 0;
}

static void sim_leave(void *user) {
  struct simdisk *disk = user;

  disk->is_locked = false;
}

static int by_name(const void *a, const void *b) {
  return strcmp(((const struct simname *)a)->text,
                ((const struct simname *)b)->text);
}

static int sim_list(void *user,
                    int (*found)(void *arg, const char *name, bool regular),
                    void *arg) {
  struct simdisk *disk = user;
  const int failed = fails(count_call(disk, SIM_LIST), 0);
  const size_t count = disk->name_count;
  struct simname *names;
  size_t i;
  int rv = 0;

  if (failed != 0) {
    return failed;
  }
  /* A copy, since what is found may be removed at once. */
  names = make((count + 1) * sizeof *names);
  if (count != 0) {
    memcpy(names, disk->names, count * sizeof *names);
  }
  qsort(names, count, sizeof *names, by_name);
  for (i = 0; rv == 0 && i < count; ++i) {
    rv = found(arg, names[i].text, true);
  }
  free(names);
  return rv;
}

static int give_fd(struct simdisk *disk, struct simfile *file) {
  const size_t most = sizeof disk->fds / sizeof disk->fds[0];
  size_t fd = 0;

  while (fd < most && disk->fds[fd] != NULL) {
    fd += 1;
  }
  kit_need(fd < most);
  disk->fds[fd] = file;
  disk->open += 1;
  file->fds += 1;
  return (int)fd;
}

static int sim_open(void *user, const char *name, bool is_new) {
  struct simdisk *disk = user;
  const struct simplan *plan = count_call(disk, is_new ? SIM_MAKE : SIM_OPEN);
  const int rv = fails(plan, SIM_VANISH);
  struct simfile *file;

  if (rv != 0) {
    return rv;
  }
  if (plan != NULL && plan->what == SIM_VANISH && !is_new &&
      find_file(disk, name) != NULL) {
    simdisk_remove(disk, name);
  }
  file = find_file(disk, name);
  if (is_new == (file != NULL)) {
    return is_new ? -EEXIST : -ENOENT;
  }
  if (disk->fd_most != 0 && disk->open >= disk->fd_most) {
    return -EMFILE;
  }
  if (is_new) {
    file = make_file(disk);
    set_name(&disk->names, &disk->name_count, name, file);
    note_name(disk, name, "", file);
    changed(disk);
  }
  return give_fd(disk, file);
}

static struct simfile *file_of(const struct simdisk *disk, int fd) {
  kit_need(fd >= 0);
  kit_need((size_t)fd < sizeof disk->fds / sizeof disk->fds[0]);
  kit_need(disk->fds[fd] != NULL);
  return disk->fds[fd];
}

static void sim_close(void *user, int fd) {
  struct simdisk *disk = user;
  struct simfile *file = file_of(disk, fd);

  file->fds -= 1;
  disk->fds[fd] = NULL;
  disk->open -= 1;
  if (!is_kept(disk, file)) {
    forget_files(disk);
  }
}

/* The file is removed by somebody else. */
static void vanish(struct simdisk *disk, const struct simplan *plan,
                   const struct simfile *file) {
  size_t i;

  if (plan != NULL && plan->what == SIM_VANISH) {
    for (i = disk->name_count; i > 0; --i) {
      if (disk->names[i - 1].file == file) {
        simdisk_remove(disk, disk->names[i - 1].text);
      }
    }
  }
}

static int64_t sim_size(void *user, int fd) {
  struct simdisk *disk = user;
  const struct simplan *plan = count_call(disk, SIM_SIZE);
  const struct simfile *file = file_of(disk, fd);
  const int rv = fails(plan, SIM_VANISH);

  if (rv != 0) {
    return rv;
  }
  vanish(disk, plan, file);
  return is_named(disk->names, disk->name_count, file)
             ? (int64_t)file->live_size
             : -ENOENT;
}

static int64_t sim_read(void *user, int fd, void *dst, size_t len,
                        uint64_t at) {
  struct simdisk *disk = user;
  const struct simplan *plan = count_call(disk, SIM_READ);
  const struct simfile *file = file_of(disk, fd);
  const int rv = fails(plan, SIM_SHORT);

  if (rv != 0) {
    return rv;
  }
  vanish(disk, plan, file);
  if (plan != NULL && plan->what == SIM_SHORT) {
    len = (len + 1) / 2;
  }
  if (disk->bad != 0 && at <= disk->bad && disk->bad - at < len) {
    return -EIO;
  }
  if (at >= file->live_size) {
    return 0;
  }
  if (len > file->live_size - at) {
    len = (size_t)(file->live_size - at);
  }
  memcpy(dst, file->live + at, len);
  return (int64_t)len;
}

static uint64_t used_room(const struct simdisk *disk) {
  const struct simfile *file;
  uint64_t sum = 0;

  for (file = disk->files; file != NULL; file = file->next) {
    sum += file->live_size;
  }
  return sum;
}

/* How much of a write there is room for. */
static size_t fit(const struct simdisk *disk, const struct simfile *file,
                  size_t len, uint64_t at) {
  const uint64_t used = used_room(disk);
  const uint64_t left = used < disk->room ? disk->room - used : 0;
  const uint64_t most =
      left > UINT64_MAX - file->live_size ? UINT64_MAX : file->live_size + left;

  return at >= most ? 0 : len < most - at ? len : (size_t)(most - at);
}

/* A sync of a sector has failed, which is to be written all the same. */
static bool is_in_limbo(const struct simdisk *disk, const struct simfile *file,
                        uint64_t at) {
  const struct simitem *item;
  size_t i;

  for (i = 0; i < disk->item_count; ++i) {
    item = &disk->items[i];
    if (item->limbo && item->file == file && item->at == at &&
        item->kind == SIM_ITEM_SECTOR) {
      return true;
    }
  }
  return false;
}

/* Write part of a sector: nothing changes if that is what it is, and is known
 * to be. */
static void write_sector(struct simdisk *disk, struct simfile *file,
                         uint64_t at, size_t from, size_t to,
                         const unsigned char *src) {
  if (memcmp(file->live + at + from, src, to - from) != 0 ||
      is_in_limbo(disk, file, at)) {
    memcpy(file->live + at + from, src, to - from);
    note_sector(disk, file, at, from, to);
  }
}

static void write_bytes(struct simdisk *disk, struct simfile *file,
                        const unsigned char *src, size_t len, uint64_t at) {
  size_t from;
  size_t n;

  reserve(file, (at + len + SIM_SECTOR - 1) / SIM_SECTOR * SIM_SECTOR);
  if (at + len > file->live_size) {
    file->live_size = at + len;
    note_size(disk, file);
  }
  for (; len != 0; len -= n, at += n, src += n) {
    from = (size_t)(at % SIM_SECTOR);
    n = SIM_SECTOR - from < len ? SIM_SECTOR - from : len;
    write_sector(disk, file, at - from, from, from + n, src);
  }
}

static int64_t sim_write(void *user, int fd, const void *src, size_t len,
                         uint64_t at) {
  struct simdisk *disk = user;
  const struct simplan *plan = count_call(disk, SIM_WRITE);
  struct simfile *file = file_of(disk, fd);
  const int rv = fails(plan, SIM_SHORT);

  if (rv != 0) {
    return rv;
  }
  vanish(disk, plan, file);
  if (plan != NULL && plan->what == SIM_SHORT) {
    len = (len + 1) / 2;
  }
  len = fit(disk, file, len, at);
  if (len == 0) {
    return -disk->full_error;
  }
  write_bytes(disk, file, src, len, at);
  changed(disk);
  return (int64_t)len;
}

/* Room is what sizes come to, so a file that gets one has it reserved. */
static int sim_reserve(void *user, int fd, uint64_t size) {
  struct simdisk *disk = user;
  const struct simplan *plan = count_call(disk, SIM_RESERVE);
  struct simfile *file = file_of(disk, fd);
  const int rv = fails(plan, 0);

  if (rv != 0) {
    return rv;
  }
  vanish(disk, plan, file);
  if (fit(disk, file, (size_t)size, 0) < size) {
    return -disk->full_error;
  }
  reserve(file, (size + SIM_SECTOR - 1) / SIM_SECTOR * SIM_SECTOR);
  if (size > file->live_size) {
    file->live_size = size;
    note_size(disk, file);
  }
  changed(disk);
  return 0;
}

static int sim_truncate(void *user, int fd, uint64_t size) {
  struct simdisk *disk = user;
  const struct simplan *plan = count_call(disk, SIM_TRUNCATE);
  struct simfile *file = file_of(disk, fd);
  const int rv = fails(plan, 0);

  if (rv != 0) {
    return rv;
  }
  vanish(disk, plan, file);
  reserve(file, (size + SIM_SECTOR - 1) / SIM_SECTOR * SIM_SECTOR);
  if (size < file->live_size) {
    memset(file->live + size, 0, (size_t)(file->live_size - size));
  }
  if (size != file->live_size) {
    file->live_size = size;
    note_size(disk, file);
  }
  changed(disk);
  return 0;
}

/* What of a file waits to be synced. */
static bool is_dirty(const struct simitem *item, const struct simfile *file) {
  return item->file == file && item->kind != SIM_ITEM_NAME && !item->limbo;
}

/* A sector or a size is on the disk: what was in limbo of it is past. */
static void sync_item(struct simdisk *disk, const struct simitem *synced) {
  const struct simitem *item;
  size_t i;

  if (synced->kind == SIM_ITEM_SIZE) {
    synced->file->disk_size = synced->at;
  } else {
    memcpy(synced->file->disk + synced->at, synced->bytes, SIM_SECTOR);
  }
  for (i = disk->item_count; i > 0; --i) {
    item = &disk->items[i - 1];
    if (item->limbo && item->file == synced->file &&
        item->kind == synced->kind &&
        (item->kind == SIM_ITEM_SIZE || item->at == synced->at)) {
      remove_item(disk, i - 1);
    }
  }
}

static void sync_file(struct simdisk *disk, const struct simfile *file) {
  struct simitem item;
  size_t i = 0;

  while (i < disk->item_count) {
    if (!is_dirty(&disk->items[i], file)) {
      i += 1;
      continue;
    }
    item = disk->items[i];
    disk->items[i].bytes = NULL;
    remove_item(disk, i);
    sync_item(disk, &item);
    free(item.bytes);
    i = 0;
  }
}

/* A sync fails. Kept: nobody will write it any more, and nobody knows what was
 * written. Dropped: what was not written is not to be read either. */
static void sync_badly(struct simdisk *disk, struct simfile *file, int what) {
  struct simitem *item;
  size_t i;

  for (i = disk->item_count; i > 0; --i) {
    item = &disk->items[i - 1];
    if (!is_dirty(item, file)) {
      continue;
    }
    if (what == SIM_KEEP) {
      item->limbo = true;
    } else if (item->kind == SIM_ITEM_SIZE) {
      file->disk_size = file->live_size;
      remove_item(disk, i - 1);
    } else {
      if (sim_draw(&disk->seed) % 2 == 0) {
        memcpy(file->live + item->at, file->disk + item->at, SIM_SECTOR);
      } else {
        memcpy(file->disk + item->at, file->live + item->at, SIM_SECTOR);
      }
      remove_item(disk, i - 1);
    }
  }
}

static int sim_sync(void *user, int fd) {
  struct simdisk *disk = user;
  const struct simplan *plan = count_call(disk, SIM_SYNC);
  struct simfile *file = file_of(disk, fd);

  disk->resyncs += file->failed;
  file->failed = file->failed || (plan != NULL && plan->what != SIM_VANISH &&
                                  plan->value != EINTR);
  if (plan != NULL && (plan->what == SIM_KEEP || plan->what == SIM_DROP)) {
    sync_badly(disk, file, plan->what);
    changed(disk);
    return -EIO;
  }
  if (plan != NULL && plan->what == SIM_ERROR) {
    return -plan->value;
  }
  vanish(disk, plan, file);
  sync_file(disk, file);
  changed(disk);
  return 0;
}

static void sync_names(struct simdisk *disk) {
  const struct simitem *item;
  size_t i = 0;

  while (i < disk->item_count) {
    item = &disk->items[i];
    if (item->kind != SIM_ITEM_NAME) {
      i += 1;
      continue;
    }
    if (item->old[0] != '\0') {
      set_name(&disk->disk_names, &disk->disk_name_count, item->old, NULL);
    }
    set_name(&disk->disk_names, &disk->disk_name_count, item->name, item->file);
    remove_item(disk, i);
  }
  forget_files(disk);
}

static int sim_sync_names(void *user) {
  struct simdisk *disk = user;
  const int rv = fails(count_call(disk, SIM_SYNC_NAMES), 0);

  if (rv != 0) {
    return rv;
  }
  sync_names(disk);
  changed(disk);
  return 0;
}

static int sim_rename(void *user, const char *from, const char *to) {
  struct simdisk *disk = user;
  const struct simplan *plan = count_call(disk, SIM_RENAME);
  const int rv = fails(plan, SIM_VANISH);
  struct simfile *file;

  if (rv != 0) {
    return rv;
  }
  if (plan != NULL && plan->what == SIM_VANISH &&
      find_file(disk, from) != NULL) {
    simdisk_remove(disk, from);
  }
  file = find_file(disk, from);
  if (file == NULL) {
    return -ENOENT;
  }
  set_name(&disk->names, &disk->name_count, from, NULL);
  set_name(&disk->names, &disk->name_count, to, file);
  note_name(disk, to, from, file);
  changed(disk);
  return 0;
}

static int remove_name(struct simdisk *disk, const char *name) {
  if (find_file(disk, name) == NULL) {
    return -ENOENT;
  }
  set_name(&disk->names, &disk->name_count, name, NULL);
  note_name(disk, name, "", NULL);
  forget_files(disk);
  return 0;
}

static int sim_remove(void *user, const char *name) {
  struct simdisk *disk = user;
  int rv = fails(count_call(disk, SIM_REMOVE), 0);

  if (rv == 0) {
    rv = remove_name(disk, name);
  }
  if (rv == 0) {
    changed(disk);
  }
  return rv;
}

/* --- For tests -------------------------------------------------------------*/

void simdisk_init(struct simdisk *disk) {
  static const struct weir__io table = {
      NULL,         sim_enter, sim_leave,      sim_list,   sim_open,
      sim_close,    sim_size,  sim_read,       sim_write,  sim_reserve,
      sim_truncate, sim_sync,  sim_sync_names, sim_rename, sim_remove,
  };

  memset(disk, 0, sizeof *disk);
  disk->io = table;
  disk->io.user = disk;
  disk->room = UINT64_MAX;
  disk->full_error = ENOSPC;
}

void simdisk_free(struct simdisk *disk) {
  struct simfile *file;

  ck_assert_uint_eq(disk->open, 0);
  while (disk->item_count != 0) {
    remove_item(disk, disk->item_count - 1);
  }
  while (disk->files != NULL) {
    file = disk->files;
    disk->files = file->next;
    free(file->live);
    free(file->disk);
    free(file);
  }
  free(disk->items);
  free(disk->names);
  free(disk->disk_names);
  memset(disk, 0, sizeof *disk);
}

void simdisk_die(struct simdisk *disk) {
  size_t fd;

  for (fd = 0; fd < sizeof disk->fds / sizeof disk->fds[0]; ++fd) {
    if (disk->fds[fd] != NULL) {
      sim_close(disk, (int)fd);
    }
  }
  disk->is_locked = false;
}

/* Everything of a file is on the disk as it is. */
static void settle_file(struct simdisk *disk, struct simfile *file) {
  size_t i;

  for (i = disk->item_count; i > 0; --i) {
    if (disk->items[i - 1].file == file &&
        disk->items[i - 1].kind != SIM_ITEM_NAME) {
      remove_item(disk, i - 1);
    }
  }
  if (file->cap != 0) {
    memcpy(file->disk, file->live, (size_t)file->cap);
  }
  file->disk_size = file->live_size;
}

unsigned char *simdisk_bytes(struct simdisk *disk, const char *name,
                             uint64_t *size) {
  struct simfile *file = find_file(disk, name);

  if (file == NULL) {
    return NULL;
  }
  reserve(file, 1);
  settle_file(disk, file);
  *size = file->live_size;
  /* From here on the disk has what processes see. */
  return file->live;
}

const char *simdisk_name(const struct simdisk *disk, size_t n) {
  if (n >= disk->name_count) {
    return NULL;
  }
  qsort(disk->names, disk->name_count, sizeof *disk->names, by_name);
  return disk->names[n].text;
}

void simdisk_remove(struct simdisk *disk, const char *name) {
  char copy[48];

  strcpy(copy, name);
  sync_names(disk);
  ck_assert_int_eq(remove_name(disk, copy), 0);
  sync_names(disk);
}

void simdisk_put(struct simdisk *disk, const char *name, const void *bytes,
                 uint64_t size) {
  struct simfile *file = make_file(disk);

  reserve(file, size + 1);
  if (size != 0) {
    memcpy(file->live, bytes, (size_t)size);
  }
  file->live_size = size;
  settle_file(disk, file);
  set_name(&disk->names, &disk->name_count, name, file);
  set_name(&disk->disk_names, &disk->disk_name_count, name, file);
  forget_files(disk);
}

void simdisk_resize(struct simdisk *disk, const char *name, uint64_t size) {
  struct simfile *file = find_file(disk, name);

  kit_need(file != NULL);
  reserve(file, (size + SIM_SECTOR - 1) / SIM_SECTOR * SIM_SECTOR);
  if (size < file->live_size) {
    memset(file->live + size, 0, (size_t)(file->live_size - size));
  }
  file->live_size = size;
  settle_file(disk, file);
}

void simdisk_move(struct simdisk *disk, const char *from, const char *to) {
  struct simfile *file = find_file(disk, from);

  kit_need(file != NULL);
  sync_names(disk);
  set_name(&disk->names, &disk->name_count, from, NULL);
  set_name(&disk->names, &disk->name_count, to, file);
  set_name(&disk->disk_names, &disk->disk_name_count, from, NULL);
  set_name(&disk->disk_names, &disk->disk_name_count, to, file);
  forget_files(disk);
}

void simdisk_copy(const struct simdisk *disk, struct simdisk *copy) {
  size_t i;

  simdisk_init(copy);
  for (i = 0; i < disk->name_count; ++i) {
    simdisk_put(copy, disk->names[i].text, disk->names[i].file->live,
                disk->names[i].file->live_size);
  }
}

bool simdisk_is_same(const struct simdisk *a, const struct simdisk *b) {
  const struct simfile *one;
  const struct simfile *two;
  size_t i;

  if (a->name_count != b->name_count) {
    return false;
  }
  for (i = 0; i < a->name_count; ++i) {
    one = a->names[i].file;
    two = find_file(b, a->names[i].text);
    if (two == NULL || one->live_size != two->live_size ||
        (one->live_size != 0 &&
         memcmp(one->live, two->live, (size_t)one->live_size) != 0)) {
      return false;
    }
  }
  return true;
}
