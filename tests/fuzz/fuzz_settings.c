/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/* What an open chose, as storage keeps it: bytes that are taken for settings
 * are what writing them anew gives, and what an open chose comes back. */

#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "settings.h"

static void free_core(struct weir__core *core) {
  const weir_allocator allocator = core->allocator;

  weir__free(&allocator, core, sizeof *core);
}

static const struct weir__floors floors = {.free = free_core};

/* Whatever they are, they are written as they were read. */
static void check_read(struct weir__core *core, const struct fuzz_bytes *meta) {
  unsigned char again[WEIR__META_MOST];
  struct weir__settings *settings = NULL;
  struct weir__settings *same = NULL;
  uint64_t label = 0;
  const int rv =
      weir__settings_read(core, meta->data, meta->len, NULL, &settings);

  if (rv != WEIR_OK) {
    ck_assert_int_eq(rv, WEIR_ELOG);
    kit_need(settings == NULL);
    (void)weir_meta_get_label(meta->data, meta->len, &label);
    return;
  }
  kit_need(fuzz_same(again, weir__settings_write(settings, again), meta->data,
                     meta->len));
  ck_assert_int_eq(weir_meta_get_label(meta->data, meta->len, &label), WEIR_OK);
  ck_assert_uint_eq(label, settings->label);
  ck_assert_int_eq(
      weir__settings_read(core, meta->data, meta->len, settings, &same),
      WEIR_OK);
  kit_need(same == settings && settings->refs == 2);
  weir__settings_release(core, same);
  weir__settings_release(core, settings);
}

static bool is_action(int32_t action) {
  return action == WEIR_ACTION_NOTICE || action == WEIR_ACTION_END ||
         action == WEIR_ACTION_FAIL;
}

/* What weir__settings_new has to say to an open. */
static int judge(const weir_open_options *options) {
  const unsigned char *prefix = options->prefix;
  const unsigned char *members = options->members;

  if (options->prefix_len > WEIR_PREFIX_MAX ||
      options->members_len > WEIR_MEMBERS_MAX ||
      fuzz_has(prefix, options->prefix_len, "\r\n") ||
      !is_action(options->on_first_event) || !is_action(options->on_idle) ||
      !is_action(options->on_lifetime) || !is_action(options->on_abandoned)) {
    return WEIR_EINVAL;
  }
  if (!fuzz_is_text(prefix, options->prefix_len) ||
      !fuzz_is_text(members, options->members_len)) {
    return WEIR_EUTF8;
  }
  return options->members_len == 0 ||
                 weir__is_json_members(members, options->members_len)
             ? WEIR_OK
             : WEIR_EJSON;
}

static void check_open(struct weir__core *core, struct fuzz_input *input) {
  unsigned char meta[WEIR__META_MOST];
  weir_open_options options;
  struct weir__settings *settings = NULL;
  struct weir__settings *again = NULL;
  struct fuzz_bytes prefix;
  struct fuzz_bytes members;
  uint32_t actions;
  size_t len;
  int rv;

  weir_open_options_init(&options, sizeof options);
  options.flags = fuzz_byte(input) & (WEIR_OPEN_SHARED | WEIR_OPEN_ENVELOPE);
  actions = (uint32_t)fuzz_number(input, 2);
  options.on_first_event = (int32_t)(actions & 3);
  options.on_idle = (int32_t)(actions >> 2 & 3);
  options.on_lifetime = (int32_t)(actions >> 4 & 3);
  options.on_abandoned = (int32_t)(actions >> 6 & 7) - 4;
  options.on_abandoned *= (actions >> 15) == 1;
  options.first_event = fuzz_extreme(input);
  options.idle = fuzz_extreme(input);
  options.lifetime = fuzz_extreme(input);
  options.abandoned = fuzz_extreme(input);
  options.linger = fuzz_extreme(input);
  options.label = fuzz_extreme(input);
  prefix = fuzz_some(input, 4096);
  members = fuzz_take(input, SIZE_MAX);
  options.prefix = prefix.data;
  options.prefix_len = prefix.len;
  options.members = members.data;
  options.members_len = members.len;
  rv = weir__settings_new(core, &options, NULL, &settings);
  ck_assert_int_eq(rv, judge(&options));
  if (rv == WEIR_OK) {
    len = weir__settings_write(settings, meta);
    ck_assert_int_eq(weir__settings_read(core, meta, len, settings, &again),
                     WEIR_OK);
    kit_need(again == settings);
    kit_need(again->shared == ((options.flags & WEIR_OPEN_SHARED) != 0));
    kit_need(again->envelope == ((options.flags & WEIR_OPEN_ENVELOPE) != 0));
    ck_assert_uint_eq(again->after[WEIR__FIRST_EVENT], options.first_event);
    ck_assert_uint_eq(again->after[WEIR__IDLE], options.idle);
    ck_assert_uint_eq(again->after[WEIR__LIFETIME], options.lifetime);
    ck_assert_uint_eq(again->after[WEIR__ABANDONED], options.abandoned);
    ck_assert_int_eq(again->action[WEIR__ABANDONED], options.on_abandoned);
    ck_assert_uint_eq(again->linger, options.linger);
    ck_assert_uint_eq(again->label, options.label);
    kit_need(
        fuzz_same(again->text, again->prefix_len, prefix.data, prefix.len));
    kit_need(fuzz_same(again->text + again->prefix_len, again->members_len,
                       members.data, members.len));
    weir__settings_release(core, again);
    weir__settings_release(core, settings);
  }
  free(prefix.data);
  free(members.data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct fuzz_input input = {data, size};
  struct fuzz_bytes meta = fuzz_copy(data, size);
  struct kit_memory memory;
  weir_hub_options options;
  struct weir__core *core;

  kit_memory_init(&memory);
  weir_hub_options_init(&options, sizeof options);
  options.allocator = &memory.allocator;
  ck_assert_int_eq(weir__core_new(&options, sizeof *core, &floors, &core),
                   WEIR_OK);
  check_read(core, &meta);
  check_open(core, &input);
  weir__core_release(core);
  ck_assert_uint_eq(memory.live, 0);
  free(meta.data);
  return 0;
}
