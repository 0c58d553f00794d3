/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "settings.h"

#include "json.h"
#include "scan.h"

#include <weir/log.h>

/* ms; the default of weir_open_options.linger. */
#define LINGER 600000

/* The form in storage, in bytes, numbers with the least byte first: version,
 * flags, prefix length, members length (2), the watchdogs' times (8 each),
 * their actions (1 each), linger (8), label (8), prefix, members. */
#define VERSION 1
#define FLAG_SHARED 0x1
#define FLAG_ENVELOPE 0x2
#define LABEL_AT (5 + WEIR__WATCHDOGS * 9 + 8)
#define HEAD (LABEL_AT + 8)

static bool is_action(int32_t action) {
  return action >= WEIR_ACTION_NOTICE && action <= WEIR_ACTION_FAIL;
}

static int check(const weir_open_options *options, const char *prefix,
                 size_t prefix_len) {
  if (prefix_len > WEIR_PREFIX_MAX || options->members_len > WEIR_MEMBERS_MAX ||
      !weir__is_field(prefix, prefix_len) ||
      !is_action(options->on_first_event) || !is_action(options->on_idle) ||
      !is_action(options->on_lifetime) || !is_action(options->on_abandoned)) {
    return WEIR_EINVAL;
  }
  if (!weir__is_text(prefix, prefix_len) ||
      !weir__is_text(options->members, options->members_len)) {
    return WEIR_EUTF8;
  }
  if (options->members_len != 0 &&
      !weir__is_json_members(options->members, options->members_len)) {
    return WEIR_EJSON;
  }
  return WEIR_OK;
}

static size_t size_of(const struct weir__settings *settings) {
  return sizeof *settings + settings->prefix_len + settings->members_len;
}

static bool same(const struct weir__settings *a,
                 const struct weir__settings *b) {
  return a->shared == b->shared && a->envelope == b->envelope &&
         a->linger == b->linger && a->label == b->label &&
         memcmp(a->after, b->after, sizeof a->after) == 0 &&
         memcmp(a->action, b->action, sizeof a->action) == 0 &&
         a->prefix_len == b->prefix_len && a->members_len == b->members_len;
}

/* Keep what head and the two texts say, or share what is the same. */
static int keep(struct weir__core *core, const struct weir__settings *head,
                const char *prefix, const char *members,
                struct weir__settings *like, struct weir__settings **settings) {
  struct weir__settings *made;

  if (like != NULL && same(like, head) &&
      weir__same(like->text, head->prefix_len, prefix, head->prefix_len) &&
      weir__same(like->text + head->prefix_len, head->members_len, members,
                 head->members_len)) {
    like->refs += 1;
    *settings = like;
    return WEIR_OK;
  }
  made = weir__core_alloc(core, size_of(head));
  if (made == NULL) {
    return WEIR_ENOMEM;
  }
  *made = *head;
  made->refs = 1;
  weir__copy(made->text, prefix, head->prefix_len);
  weir__copy(made->text + head->prefix_len, members, head->members_len);
  *settings = made;
  return WEIR_OK;
}

void weir_open_options_init(weir_open_options *options, size_t size) {
  static const weir_open_options defaults = {
      .linger = LINGER,
  };

  weir__start_as(options, size, &defaults, sizeof defaults);
}

void weir_open_options_set_answer(weir_open_options *options) {
  weir_open_options known;

  weir_open_options_init(&known, sizeof known);
  if (weir__load(&known, sizeof known, options) == WEIR_OK) {
    known.first_event = 35000;
    known.on_first_event = WEIR_ACTION_FAIL;
    known.idle = 55000;
    known.on_idle = WEIR_ACTION_FAIL;
    (void)weir__store(options, &known, sizeof known);
  }
}

int weir__settings_new(struct weir__core *core,
                       const weir_open_options *options,
                       struct weir__settings *like,
                       struct weir__settings **settings) {
  const bool own = options->prefix != NULL;
  const char *prefix = own ? options->prefix : core->options.prefix;
  const size_t prefix_len =
      own ? options->prefix_len : core->options.prefix_len;
  struct weir__settings head;
  int rv = check(options, prefix, prefix_len);

  if (rv != WEIR_OK) {
    return rv;
  }
  memset(&head, 0, sizeof head);
  head.shared = (options->flags & WEIR_OPEN_SHARED) != 0;
  head.envelope = (options->flags & WEIR_OPEN_ENVELOPE) != 0;
  head.prefix_len = (uint16_t)prefix_len;
  head.members_len = (uint16_t)options->members_len;
  head.after[WEIR__FIRST_EVENT] = options->first_event;
  head.after[WEIR__IDLE] = options->idle;
  head.after[WEIR__LIFETIME] = options->lifetime;
  head.after[WEIR__ABANDONED] = options->abandoned;
  head.action[WEIR__FIRST_EVENT] = (uint8_t)options->on_first_event;
  head.action[WEIR__IDLE] = (uint8_t)options->on_idle;
  head.action[WEIR__LIFETIME] = (uint8_t)options->on_lifetime;
  head.action[WEIR__ABANDONED] = (uint8_t)options->on_abandoned;
  head.linger = options->linger;
  head.label = options->label;
  return keep(core, &head, prefix, options->members, like, settings);
}

int weir__settings_default(struct weir__core *core, bool shared,
                           struct weir__settings **settings) {
  struct weir__settings head;

  memset(&head, 0, sizeof head);
  head.shared = shared;
  head.prefix_len = (uint16_t)core->options.prefix_len;
  head.linger = LINGER;
  return keep(core, &head, core->options.prefix, "", core->settings, settings);
}

void weir__settings_release(struct weir__core *core,
                            struct weir__settings *settings) {
  if (settings != NULL) {
    settings->refs -= 1;
    if (settings->refs == 0) {
      weir__core_free(core, settings, size_of(settings));
    }
  }
}

static void put_le(unsigned char **p, uint64_t number, size_t len) {
  for (; len != 0; --len, number >>= 8) {
    *(*p)++ = (unsigned char)(number & 0xff);
  }
}

static uint64_t get_le(const unsigned char **p, size_t len) {
  uint64_t number = 0;
  size_t i;

  for (i = 0; i < len; ++i) {
    number |= (uint64_t) * (*p)++ << 8 * i;
  }
  return number;
}

size_t weir__settings_write(const struct weir__settings *settings,
                            unsigned char meta[WEIR__META_MOST]) {
  const size_t text_len = (size_t)settings->prefix_len + settings->members_len;
  unsigned char *p = meta;
  size_t i;

  put_le(&p, VERSION, 1);
  put_le(&p,
         (settings->shared ? FLAG_SHARED : 0u) |
             (settings->envelope ? FLAG_ENVELOPE : 0u),
         1);
  put_le(&p, settings->prefix_len, 1);
  put_le(&p, settings->members_len, 2);
  for (i = 0; i < WEIR__WATCHDOGS; ++i) {
    put_le(&p, settings->after[i], 8);
  }
  for (i = 0; i < WEIR__WATCHDOGS; ++i) {
    put_le(&p, settings->action[i], 1);
  }
  put_le(&p, settings->linger, 8);
  put_le(&p, settings->label, 8);
  weir__copy(p, settings->text, text_len);
  return HEAD + text_len;
}

int weir__settings_read(struct weir__core *core, const void *meta, size_t len,
                        struct weir__settings *like,
                        struct weir__settings **settings) {
  const unsigned char *p = meta;
  struct weir__settings head;
  weir_open_options text;
  uint64_t flags;
  size_t i;

  if (len < HEAD || get_le(&p, 1) != VERSION) {
    return WEIR_ELOG;
  }
  memset(&head, 0, sizeof head);
  flags = get_le(&p, 1);
  if ((flags & ~(uint64_t)(FLAG_SHARED | FLAG_ENVELOPE)) != 0) {
    return WEIR_ELOG;
  }
  head.shared = (flags & FLAG_SHARED) != 0;
  head.envelope = (flags & FLAG_ENVELOPE) != 0;
  head.prefix_len = (uint16_t)get_le(&p, 1);
  head.members_len = (uint16_t)get_le(&p, 2);
  for (i = 0; i < WEIR__WATCHDOGS; ++i) {
    head.after[i] = get_le(&p, 8);
  }
  for (i = 0; i < WEIR__WATCHDOGS; ++i) {
    head.action[i] = (uint8_t)get_le(&p, 1);
    if (head.action[i] > WEIR_ACTION_FAIL) {
      return WEIR_ELOG;
    }
  }
  head.linger = get_le(&p, 8);
  head.label = get_le(&p, 8);
  if (len != (size_t)HEAD + head.prefix_len + head.members_len) {
    return WEIR_ELOG;
  }
  /* The texts are checked as those of an open are. */
  memset(&text, 0, sizeof text);
  text.members = (const char *)p + head.prefix_len;
  text.members_len = head.members_len;
  if (check(&text, (const char *)p, head.prefix_len) != WEIR_OK) {
    return WEIR_ELOG;
  }
  return keep(core, &head, (const char *)p, text.members, like, settings);
}

int weir_meta_get_label(const void *meta, size_t len, uint64_t *label) {
  const unsigned char *p = meta;

  if (meta == NULL || label == NULL) {
    return WEIR_EINVAL;
  }
  if (len < HEAD || *p != VERSION) {
    return WEIR_ELOG;
  }
  p += LABEL_AT;
  *label = get_le(&p, 8);
  return WEIR_OK;
}
