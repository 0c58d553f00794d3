/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/* What an open chose: checked, shared, and kept in the log in a form that is
 * read back whatever has become of it. */

#include "../kit.h"

#include <stdlib.h>
#include <string.h>

#include "settings.h"

/* --- Surroundings --------------------------------------------------------- */

static void free_core(struct weir__core *core) {
  const weir_allocator allocator = core->allocator;

  weir__free(&allocator, core, sizeof *core);
}

static const struct weir__floors floors = {.free = free_core};

static struct weir__core *make_core(struct kit_memory *memory) {
  weir_hub_options options;
  struct weir__core *core;

  kit_memory_init(memory);
  weir_hub_options_init(&options, sizeof options);
  options.allocator = &memory->allocator;
  ck_assert_int_eq(weir__core_new(&options, sizeof *core, &floors, &core),
                   WEIR_OK);
  return core;
}

static void free_all(struct weir__core *core, struct kit_memory *memory) {
  weir__core_release(core);
  ck_assert_uint_eq(memory->live, 0);
}

/* A number below bound. */
static size_t draw(uint64_t *chance, size_t bound) {
  *chance = *chance * UINT64_C(6364136223846793005) + 1442695040888963407u;
  return (size_t)(*chance >> 33) % bound;
}

static void set_prefix(weir_open_options *options, const char *prefix) {
  options->prefix = prefix;
  options->prefix_len = strlen(prefix);
}

static void set_members(weir_open_options *options, const char *members) {
  options->members = members;
  options->members_len = strlen(members);
}

/* Everything chosen, all of it unlike the defaults. */
static void choose_all(weir_open_options *options) {
  weir_open_options_init(options, sizeof *options);
  options->flags = WEIR_OPEN_SHARED | WEIR_OPEN_ENVELOPE;
  set_prefix(options, "x-");
  set_members(options, "\"app\":\"y\"");
  options->first_event = 35000;
  options->idle = 55000;
  options->lifetime = UINT64_C(0x0102030405060708);
  options->abandoned = 1;
  options->linger = UINT64_MAX;
  options->label = UINT64_C(0x1112131415161718);
  options->on_first_event = WEIR_ACTION_FAIL;
  options->on_idle = WEIR_ACTION_END;
  options->on_lifetime = WEIR_ACTION_NOTICE;
  options->on_abandoned = WEIR_ACTION_FAIL;
}

static struct weir__settings *make(struct weir__core *core,
                                   const weir_open_options *options) {
  struct weir__settings *settings = NULL;

  ck_assert_int_eq(weir__settings_new(core, options, NULL, &settings), WEIR_OK);
  ck_assert_uint_eq(settings->refs, 1);
  return settings;
}

static void check_same(const struct weir__settings *a,
                       const struct weir__settings *b) {
  ck_assert_int_eq(a->shared, b->shared);
  ck_assert_int_eq(a->envelope, b->envelope);
  ck_assert_mem_eq(a->after, b->after, sizeof a->after);
  ck_assert_mem_eq(a->action, b->action, sizeof a->action);
  ck_assert_uint_eq(a->linger, b->linger);
  ck_assert_uint_eq(a->label, b->label);
  ck_assert_uint_eq(a->prefix_len, b->prefix_len);
  ck_assert_uint_eq(a->members_len, b->members_len);
  ck_assert(memcmp(a->text, b->text, (size_t)a->prefix_len + a->members_len) ==
            0);
}

/* --- Choosing ------------------------------------------------------------- */

START_TEST(options_have_defaults_at_any_size) {
  weir_open_options full;
  size_t size;
  size_t i;

  weir_open_options_init(&full, sizeof full);
  ck_assert_uint_eq(full.size, sizeof full);
  ck_assert_uint_eq(full.linger, 600000);
  full.linger = 0;
  for (i = sizeof full.size; i < sizeof full; ++i) {
    ck_assert_uint_eq(((const unsigned char *)&full)[i], 0);
  }
  full.linger = 600000;
  for (size = sizeof size + 8; size <= sizeof full + 16; size += 8) {
    unsigned char *options = kit_fence(size);

    memset(options, 0xdd, size);
    weir_open_options_init((void *)options, size);
    ck_assert(memcmp(options, &size, sizeof size) == 0);
    for (i = sizeof size; i < size; ++i) {
      ck_assert_uint_eq(
          options[i], i < sizeof full ? ((const unsigned char *)&full)[i] : 0);
    }
  }
  weir_open_options_init(NULL, sizeof full);
}
END_TEST

START_TEST(answer_fails_after_35_and_55_seconds) {
  weir_open_options options;

  weir_open_options_init(&options, sizeof options);
  weir_open_options_set_answer(&options);
  ck_assert_uint_eq(options.first_event, 35000);
  ck_assert_uint_eq(options.idle, 55000);
  ck_assert_int_eq(options.on_first_event, WEIR_ACTION_FAIL);
  ck_assert_int_eq(options.on_idle, WEIR_ACTION_FAIL);
  ck_assert_uint_eq(options.lifetime, 0);
  ck_assert_uint_eq(options.abandoned, 0);
  ck_assert_uint_eq(options.linger, 600000);
}
END_TEST

START_TEST(settings_are_what_was_chosen) {
  struct kit_memory memory;
  struct weir__core *core = make_core(&memory);
  struct weir__settings *settings;
  weir_open_options options;

  choose_all(&options);
  settings = make(core, &options);
  ck_assert_int_eq(settings->shared, 1);
  ck_assert_int_eq(settings->envelope, 1);
  ck_assert_uint_eq(settings->after[WEIR__FIRST_EVENT], 35000);
  ck_assert_uint_eq(settings->after[WEIR__IDLE], 55000);
  ck_assert_uint_eq(settings->after[WEIR__LIFETIME],
                    UINT64_C(0x0102030405060708));
  ck_assert_uint_eq(settings->after[WEIR__ABANDONED], 1);
  ck_assert_uint_eq(settings->action[WEIR__FIRST_EVENT], WEIR_ACTION_FAIL);
  ck_assert_uint_eq(settings->action[WEIR__IDLE], WEIR_ACTION_END);
  ck_assert_uint_eq(settings->action[WEIR__LIFETIME], WEIR_ACTION_NOTICE);
  ck_assert_uint_eq(settings->action[WEIR__ABANDONED], WEIR_ACTION_FAIL);
  ck_assert_uint_eq(settings->linger, UINT64_MAX);
  ck_assert_uint_eq(settings->prefix_len, 2);
  ck_assert_uint_eq(settings->members_len, 9);
  ck_assert(memcmp(settings->text, "x-\"app\":\"y\"", 11) == 0);
  weir__settings_release(core, settings);
  weir__settings_release(core, NULL);
  free_all(core, &memory);
}
END_TEST

/* The hub's prefix unless the open has one; one of length 0 is none. */
START_TEST(prefix_is_the_hubs_unless_chosen) {
  struct kit_memory memory;
  struct weir__core *core = make_core(&memory);
  struct weir__settings *settings;
  weir_open_options options;

  weir_open_options_init(&options, sizeof options);
  settings = make(core, &options);
  ck_assert_uint_eq(settings->prefix_len, 5);
  ck_assert(memcmp(settings->text, "weir.", 5) == 0);
  weir__settings_release(core, settings);
  set_prefix(&options, "");
  settings = make(core, &options);
  ck_assert_uint_eq(settings->prefix_len, 0);
  weir__settings_release(core, settings);
  set_prefix(&options, "a");
  settings = make(core, &options);
  ck_assert_uint_eq(settings->prefix_len, 1);
  ck_assert_int_eq(settings->text[0], 'a');
  weir__settings_release(core, settings);
  free_all(core, &memory);
}
END_TEST

/* Those of an open that chose nothing, by both ways. */
START_TEST(defaults_are_those_of_an_open_that_chose_nothing) {
  struct kit_memory memory;
  struct weir__core *core = make_core(&memory);
  struct weir__settings *chosen;
  struct weir__settings *settings;
  struct weir__settings *other;
  weir_open_options options;

  weir_open_options_init(&options, sizeof options);
  chosen = make(core, &options);
  ck_assert_int_eq(weir__settings_default(core, false, &settings), WEIR_OK);
  ck_assert_ptr_ne(settings, chosen);
  check_same(settings, chosen);
  weir__settings_release(core, settings);
  /* What was chosen last is shared. */
  core->settings = chosen;
  ck_assert_int_eq(weir__settings_default(core, false, &settings), WEIR_OK);
  ck_assert_ptr_eq(settings, chosen);
  ck_assert_uint_eq(chosen->refs, 2);
  ck_assert_int_eq(weir__settings_default(core, true, &other), WEIR_OK);
  ck_assert_ptr_ne(other, chosen);
  ck_assert_int_eq(other->shared, 1);
  weir__settings_release(core, other);
  weir__settings_release(core, settings);
  weir__settings_release(core, chosen);
  free_all(core, &memory);
}
END_TEST

/* 64 bytes of prefix, 1024 of members. */
START_TEST(texts_are_limited) {
  struct kit_memory memory;
  struct weir__core *core = make_core(&memory);
  struct weir__settings *settings = NULL;
  weir_open_options options;
  char text[1100];
  size_t len;

  for (len = 63; len <= 65; ++len) {
    weir_open_options_init(&options, sizeof options);
    memset(text, 'p', len);
    text[len] = '\0';
    set_prefix(&options, text);
    ck_assert_int_eq(weir__settings_new(core, &options, NULL, &settings),
                     len > 64 ? WEIR_EINVAL : WEIR_OK);
    if (len <= 64) {
      ck_assert_uint_eq(settings->prefix_len, len);
      weir__settings_release(core, settings);
    }
  }
  for (len = 1023; len <= 1025; ++len) {
    weir_open_options_init(&options, sizeof options);
    memset(text, 'm', len);
    text[len] = '\0';
    memcpy(text, "\"a\":\"", 5);
    text[len - 1] = '"';
    set_members(&options, text);
    ck_assert_int_eq(weir__settings_new(core, &options, NULL, &settings),
                     len > 1024 ? WEIR_EINVAL : WEIR_OK);
    if (len <= 1024) {
      ck_assert_uint_eq(settings->members_len, len);
      weir__settings_release(core, settings);
    }
  }
  free_all(core, &memory);
}
END_TEST

START_TEST(what_is_wrong_is_refused) {
  static const struct {
    const char *prefix;
    const char *members;
    int want;
  } bad[] = {
      {"a\nb", "", WEIR_EINVAL},
      {"a\rb", "", WEIR_EINVAL},
      {"\xff", "", WEIR_EUTF8},
      {"\xc3", "", WEIR_EUTF8},
      {"a", "\"a\":\"\xff\"", WEIR_EUTF8},
      {"a", "1", WEIR_EJSON},
      {"a", "{\"a\":1}", WEIR_EJSON},
      {"a", "\"a\":1,", WEIR_EJSON},
      {"a", "\"a\":1},{\"b\":2", WEIR_EJSON},
      {"a", "\"a\":\n1", WEIR_EJSON},
      {"a", " ", WEIR_EJSON},
  };
  struct kit_memory memory;
  struct weir__core *core = make_core(&memory);
  struct weir__settings *settings = NULL;
  weir_open_options options;
  size_t i;

  for (i = 0; i < sizeof bad / sizeof bad[0]; ++i) {
    weir_open_options_init(&options, sizeof options);
    set_prefix(&options, bad[i].prefix);
    set_members(&options, bad[i].members);
    ck_assert_int_eq(weir__settings_new(core, &options, NULL, &settings),
                     bad[i].want);
  }
  weir_open_options_init(&options, sizeof options);
  options.prefix = "a\0b";
  options.prefix_len = 3;
  ck_assert_int_eq(weir__settings_new(core, &options, NULL, &settings),
                   WEIR_EINVAL);
  for (i = 0; i < 4; ++i) {
    int32_t *actions[4];

    weir_open_options_init(&options, sizeof options);
    actions[0] = &options.on_first_event;
    actions[1] = &options.on_idle;
    actions[2] = &options.on_lifetime;
    actions[3] = &options.on_abandoned;
    *actions[i] = WEIR_ACTION_FAIL + 1;
    ck_assert_int_eq(weir__settings_new(core, &options, NULL, &settings),
                     WEIR_EINVAL);
    *actions[i] = -1;
    ck_assert_int_eq(weir__settings_new(core, &options, NULL, &settings),
                     WEIR_EINVAL);
  }
  ck_assert_ptr_null(settings);
  free_all(core, &memory);
}
END_TEST

/* --- Sharing -------------------------------------------------------------- */

/* Change one thing; false when there are no more. */
static bool change(weir_open_options *options, int which) {
  static const char other[] = "xx";

  switch (which) {
    case 0:
      options->flags ^= WEIR_OPEN_SHARED;
      return true;
    case 1:
      options->flags ^= WEIR_OPEN_ENVELOPE;
      return true;
    case 2:
      set_prefix(options, other);
      return true;
    case 3:
      set_prefix(options, "x");
      return true;
    case 4:
      set_members(options, "\"app\":\"z\"");
      return true;
    case 5:
      set_members(options, "");
      return true;
    case 6:
      options->first_event += 1;
      return true;
    case 7:
      options->idle += 1;
      return true;
    case 8:
      options->lifetime += 1;
      return true;
    case 9:
      options->abandoned += 1;
      return true;
    case 10:
      options->linger -= 1;
      return true;
    case 11:
      options->on_first_event = WEIR_ACTION_END;
      return true;
    case 12:
      options->on_idle = WEIR_ACTION_FAIL;
      return true;
    case 13:
      options->on_lifetime = WEIR_ACTION_FAIL;
      return true;
    case 14:
      options->on_abandoned = WEIR_ACTION_NOTICE;
      return true;
    case 15:
      options->label += 1;
      return true;
    default:
      return false;
  }
}

/* The same choice is kept once, however it came; another one is another. */
START_TEST(the_same_choice_is_shared) {
  struct kit_memory memory;
  struct weir__core *core = make_core(&memory);
  unsigned char meta[WEIR__META_MOST];
  struct weir__settings *first;
  struct weir__settings *settings;
  weir_open_options options;
  size_t calls;
  size_t len;
  int which;

  choose_all(&options);
  first = make(core, &options);
  len = weir__settings_write(first, meta);
  calls = memory.calls;
  ck_assert_int_eq(weir__settings_new(core, &options, first, &settings),
                   WEIR_OK);
  ck_assert_ptr_eq(settings, first);
  ck_assert_uint_eq(first->refs, 2);
  ck_assert_int_eq(weir__settings_read(core, meta, len, first, &settings),
                   WEIR_OK);
  ck_assert_ptr_eq(settings, first);
  ck_assert_uint_eq(first->refs, 3);
  ck_assert_uint_eq(memory.calls, calls);
  /* What concerns one call alone is not part of it. */
  options.key = "k";
  options.key_len = 1;
  options.on_duplicate = WEIR_DUPLICATE_REPLACE;
  options.flags |= WEIR_OPEN_EXISTING | WEIR_OPEN_UNENDED;
  ck_assert_int_eq(weir__settings_new(core, &options, first, &settings),
                   WEIR_OK);
  ck_assert_ptr_eq(settings, first);
  ck_assert_uint_eq(first->refs, 4);
  for (which = 0;; ++which) {
    choose_all(&options);
    if (!change(&options, which)) {
      break;
    }
    ck_assert_int_eq(weir__settings_new(core, &options, first, &settings),
                     WEIR_OK);
    ck_assert_msg(settings != first, "change %d is not seen", which);
    ck_assert_uint_eq(settings->refs, 1);
    weir__settings_release(core, settings);
  }
  ck_assert_uint_eq(first->refs, 4);
  for (which = 0; which < 4; ++which) {
    weir__settings_release(core, first);
  }
  free_all(core, &memory);
}
END_TEST

START_TEST(without_memory_nothing_is_kept) {
  struct kit_memory memory;
  struct weir__core *core = make_core(&memory);
  unsigned char meta[WEIR__META_MOST];
  struct weir__settings *settings;
  weir_open_options options;
  size_t len;

  choose_all(&options);
  settings = make(core, &options);
  len = weir__settings_write(settings, meta);
  weir__settings_release(core, settings);
  settings = NULL;
  memory.fail_at = memory.calls + 1;
  memory.fail_on = true;
  ck_assert_int_eq(weir__settings_new(core, &options, NULL, &settings),
                   WEIR_ENOMEM);
  ck_assert_int_eq(weir__settings_default(core, true, &settings), WEIR_ENOMEM);
  ck_assert_int_eq(weir__settings_read(core, meta, len, NULL, &settings),
                   WEIR_ENOMEM);
  ck_assert_ptr_null(settings);
  free_all(core, &memory);
}
END_TEST

/* --- In storage ----------------------------------------------------------- */

/* The form is part of what logs hold: it does not change unnoticed. */
START_TEST(form_in_storage_is_pinned) {
  static const unsigned char want[] = {
      1,                                              /* version */
      3,                                              /* shared, envelope */
      2,                                              /* of the prefix */
      9,    0,                                        /* of the members */
      0xb8, 0x88, 0,    0,    0,    0,    0,    0,    /* 35000 */
      0xd8, 0xd6, 0,    0,    0,    0,    0,    0,    /* 55000 */
      8,    7,    6,    5,    4,    3,    2,    1,    /* lifetime */
      1,    0,    0,    0,    0,    0,    0,    0,    /* abandoned */
      2,    1,    0,    2,                            /* actions */
      0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, /* linger */
      0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11, /* label */
      'x',  '-',  '"',  'a',  'p',  'p',  '"',  ':',  '"', 'y', '"'};
  struct kit_memory memory;
  struct weir__core *core = make_core(&memory);
  unsigned char meta[WEIR__META_MOST];
  struct weir__settings *settings;
  struct weir__settings *back;
  weir_open_options options;

  choose_all(&options);
  settings = make(core, &options);
  ck_assert_uint_eq(weir__settings_write(settings, meta), sizeof want);
  ck_assert_mem_eq(meta, want, sizeof want);
  ck_assert_int_eq(weir__settings_read(core, kit_fenced(want, sizeof want),
                                       sizeof want, NULL, &back),
                   WEIR_OK);
  check_same(back, settings);
  weir__settings_release(core, back);
  weir__settings_release(core, settings);
  free_all(core, &memory);
}
END_TEST

START_TEST(label_is_found_in_meta) {
  static const unsigned char older[80] = {0};
  struct kit_memory memory;
  struct weir__core *core = make_core(&memory);
  unsigned char meta[WEIR__META_MOST];
  struct weir__settings *settings;
  weir_open_options options;
  uint64_t label = 7;
  size_t len;
  size_t cut;

  choose_all(&options);
  settings = make(core, &options);
  len = weir__settings_write(settings, meta);
  ck_assert_int_eq(weir_meta_get_label(kit_fenced(meta, len), len, &label),
                   WEIR_OK);
  ck_assert_uint_eq(label, UINT64_C(0x1112131415161718));
  label = 7;
  for (cut = 0; cut < 57; ++cut) {
    ck_assert_int_eq(weir_meta_get_label(kit_fenced(meta, cut), cut, &label),
                     WEIR_ELOG);
  }
  ck_assert_int_eq(weir_meta_get_label(older, sizeof older, &label), WEIR_ELOG);
  ck_assert_int_eq(weir_meta_get_label(NULL, 0, &label), WEIR_EINVAL);
  ck_assert_int_eq(weir_meta_get_label(meta, len, NULL), WEIR_EINVAL);
  ck_assert_uint_eq(label, 7);
  weir__settings_release(core, settings);
  free_all(core, &memory);
}
END_TEST

/* The largest that can be chosen fits. */
START_TEST(form_fits_in_its_room) {
  struct kit_memory memory;
  struct weir__core *core = make_core(&memory);
  unsigned char *meta = kit_fence(WEIR__META_MOST);
  struct weir__settings *settings;
  struct weir__settings *back;
  weir_open_options options;
  char prefix[65];
  char members[1025];
  size_t len;

  memset(prefix, 'p', 64);
  prefix[64] = '\0';
  memset(members, 'm', 1024);
  memcpy(members, "\"a\":\"", 5);
  memcpy(members + 1023, "\"", 2);
  choose_all(&options);
  set_prefix(&options, prefix);
  set_members(&options, members);
  settings = make(core, &options);
  len = weir__settings_write(settings, meta);
  ck_assert_uint_le(len, WEIR__META_MOST);
  ck_assert_int_eq(weir__settings_read(core, meta, len, NULL, &back), WEIR_OK);
  check_same(back, settings);
  weir__settings_release(core, back);
  weir__settings_release(core, settings);
  free_all(core, &memory);
}
END_TEST

static uint64_t draw_time(uint64_t *chance) {
  uint64_t time =
      (uint64_t)draw(chance, 1u << 31) << 33 | (uint64_t)draw(chance, 1u << 31);

  return time >> draw(chance, 64);
}

START_TEST(random_choices_come_back) {
  static const char *const prefixes[] = {"", "weir.", "p", "\xc3\xa4."};
  static const char *const members[] = {"", "\"a\":1", "\"b\":[1,{}], \"c\":2",
                                        "\"\xe2\x82\xac\":null"};
  uint64_t chance = (uint64_t)_i + 1;
  struct kit_memory memory;
  struct weir__core *core = make_core(&memory);
  int round;

  for (round = 0; round < 500; ++round) {
    unsigned char meta[WEIR__META_MOST];
    struct weir__settings *settings;
    struct weir__settings *back;
    weir_open_options options;
    size_t len;

    weir_open_options_init(&options, sizeof options);
    options.flags = (uint32_t)draw(&chance, 16);
    set_prefix(&options, prefixes[draw(&chance, 4)]);
    set_members(&options, members[draw(&chance, 4)]);
    options.first_event = draw_time(&chance);
    options.idle = draw_time(&chance);
    options.lifetime = draw_time(&chance);
    options.abandoned = draw_time(&chance);
    options.linger = draw_time(&chance);
    options.on_first_event = (int32_t)draw(&chance, 3);
    options.on_idle = (int32_t)draw(&chance, 3);
    options.on_lifetime = (int32_t)draw(&chance, 3);
    options.on_abandoned = (int32_t)draw(&chance, 3);
    settings = make(core, &options);
    len = weir__settings_write(settings, meta);
    ck_assert_int_eq(weir__settings_read(core, meta, len, NULL, &back),
                     WEIR_OK);
    check_same(back, settings);
    weir__settings_release(core, back);
    weir__settings_release(core, settings);
  }
  free_all(core, &memory);
}
END_TEST

static bool are_sound(const struct weir__settings *settings) {
  size_t i;

  for (i = 0; i < WEIR__WATCHDOGS; ++i) {
    if (settings->action[i] > WEIR_ACTION_FAIL) {
      return false;
    }
  }
  return settings->prefix_len <= WEIR_PREFIX_MAX;
}

/* Read it: either it is refused, or it is what this library writes. */
static void check_read(struct weir__core *core, const unsigned char *meta,
                       size_t len) {
  unsigned char again[WEIR__META_MOST];
  struct weir__settings *settings = NULL;
  const int rv = weir__settings_read(core, meta, len, NULL, &settings);

  if (rv == WEIR_OK) {
    if (!are_sound(settings)) {
      ck_abort_msg("it is read, and nobody can have chosen it");
    }
    if (weir__settings_write(settings, again) != len ||
        memcmp(again, meta, len) != 0) {
      ck_abort_msg("it is read, and written otherwise");
    }
    weir__settings_release(core, settings);
  } else if (rv != WEIR_ELOG || settings != NULL) {
    ck_abort_msg("%s", weir_strerror(rv));
  }
}

/* Every truncation, with a byte that faults behind it, and every longer one. */
START_TEST(truncations_are_refused) {
  struct kit_memory memory;
  struct weir__core *core = make_core(&memory);
  unsigned char meta[WEIR__META_MOST + 8];
  struct weir__settings *settings;
  weir_open_options options;
  size_t whole;
  size_t len;

  choose_all(&options);
  settings = make(core, &options);
  memset(meta, 0, sizeof meta);
  whole = weir__settings_write(settings, meta);
  weir__settings_release(core, settings);
  for (len = 0; len <= whole + 8; ++len) {
    ck_assert_int_eq(
        weir__settings_read(core, kit_fenced(meta, len), len, NULL, &settings),
        len == whole ? WEIR_OK : WEIR_ELOG);
  }
  weir__settings_release(core, settings);
  ck_assert_int_eq(weir__settings_read(core, NULL, 0, NULL, &settings),
                   WEIR_ELOG);
  free_all(core, &memory);
}
END_TEST

/* Every byte with every other value, also where the text ends at a byte that
 * faults; and every truncation of these. */
START_TEST(corruptions_are_refused_or_read) {
  struct kit_memory memory;
  struct weir__core *core = make_core(&memory);
  unsigned char meta[WEIR__META_MOST];
  unsigned char *fenced;
  struct weir__settings *settings;
  weir_open_options options;
  size_t len;
  size_t at;
  int byte;

  choose_all(&options);
  if (_i == 1) {
    set_members(&options, "");
  } else if (_i == 2) {
    set_prefix(&options, "");
    set_members(&options, "");
  }
  settings = make(core, &options);
  len = weir__settings_write(settings, meta);
  weir__settings_release(core, settings);
  fenced = kit_fence(len);
  for (at = 0; at < len; ++at) {
    for (byte = 0; byte < 256; ++byte) {
      memcpy(fenced, meta, len);
      fenced[at] = (unsigned char)byte;
      check_read(core, fenced, len);
    }
    memmove(fenced + 1, meta, len - 1);
    check_read(core, fenced + 1, len - 1);
  }
  free_all(core, &memory);
}
END_TEST

/* Random bytes behind a good head. */
START_TEST(random_bytes_are_refused_or_read) {
  uint64_t chance = (uint64_t)_i + 1;
  struct kit_memory memory;
  struct weir__core *core = make_core(&memory);
  unsigned char *end = (unsigned char *)kit_fence(128) + 128;
  int round;

  for (round = 0; round < 20000; ++round) {
    const size_t len = draw(&chance, 129);
    size_t i;

    for (i = 0; i < len; ++i) {
      end[(ptrdiff_t)i - (ptrdiff_t)len] =
          (unsigned char)(draw(&chance, 3) == 0 ? draw(&chance, 256)
                                                : draw(&chance, 3));
    }
    if (len != 0 && draw(&chance, 10) != 0) {
      end[-(ptrdiff_t)len] = 1;
    }
    check_read(core, end - len, len);
  }
  free_all(core, &memory);
}
END_TEST

int main(void) {
  TCase *choosing = tcase_create("choosing");
  TCase *sharing = tcase_create("sharing");
  TCase *storage = tcase_create("storage");
  TCase *cases[3];

  tcase_add_test(choosing, options_have_defaults_at_any_size);
  tcase_add_test(choosing, answer_fails_after_35_and_55_seconds);
  tcase_add_test(choosing, settings_are_what_was_chosen);
  tcase_add_test(choosing, prefix_is_the_hubs_unless_chosen);
  tcase_add_test(choosing, defaults_are_those_of_an_open_that_chose_nothing);
  tcase_add_test(choosing, texts_are_limited);
  tcase_add_test(choosing, what_is_wrong_is_refused);
  tcase_add_test(sharing, the_same_choice_is_shared);
  tcase_add_test(sharing, without_memory_nothing_is_kept);
  tcase_add_test(storage, form_in_storage_is_pinned);
  tcase_add_test(storage, label_is_found_in_meta);
  tcase_add_test(storage, form_fits_in_its_room);
  tcase_add_loop_test(storage, random_choices_come_back, 0, 2);
  tcase_add_test(storage, truncations_are_refused);
  tcase_add_loop_test(storage, corruptions_are_refused_or_read, 0, 3);
  tcase_add_loop_test(storage, random_bytes_are_refused_or_read, 0, 2);
  cases[0] = choosing;
  cases[1] = sharing;
  cases[2] = storage;
  return kit_main("settings", cases, 3);
}
