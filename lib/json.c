/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "json.h"

#include "scan.h"
#include "util.h"

#define NESTING 100

struct input {
  const unsigned char *p;
  const unsigned char *end;
};

static bool value(struct input *in, int nesting);

static void blanks(struct input *in) {
  while (in->p < in->end && (*in->p == ' ' || *in->p == '\t' ||
                             *in->p == '\n' || *in->p == '\r')) {
    in->p += 1;
  }
}

static bool next_is(const struct input *in, char c) {
  return in->p < in->end && *in->p == (unsigned char)c;
}

static bool accept(struct input *in, char c) {
  if (!next_is(in, c)) {
    return false;
  }
  in->p += 1;
  return true;
}

static bool word(struct input *in, const char *text) {
  const size_t len = strlen(text);

  if ((size_t)(in->end - in->p) < len || memcmp(in->p, text, len) != 0) {
    return false;
  }
  in->p += len;
  return true;
}

static bool digits(struct input *in) {
  const unsigned char *from = in->p;

  while (in->p < in->end && *in->p >= '0' && *in->p <= '9') {
    in->p += 1;
  }
  return in->p > from;
}

static bool number(struct input *in) {
  (void)accept(in, '-');
  if (!accept(in, '0') && !digits(in)) {
    return false;
  }
  if (accept(in, '.') && !digits(in)) {
    return false;
  }
  if (accept(in, 'e') || accept(in, 'E')) {
    if (!accept(in, '+')) {
      (void)accept(in, '-');
    }
    return digits(in);
  }
  return true;
}

static bool is_hex(unsigned char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') ||
         (c >= 'A' && c <= 'F');
}

static bool escape(struct input *in) {
  int i;

  if (accept(in, 'u')) {
    for (i = 0; i < 4; ++i) {
      if (in->p == in->end || !is_hex(*in->p)) {
        return false;
      }
      in->p += 1;
    }
    return true;
  }
  if (in->p == in->end || *in->p == '\0' ||
      strchr("\"\\/bfnrt", *in->p) == NULL) {
    return false;
  }
  in->p += 1;
  return true;
}

static bool string(struct input *in) {
  if (!accept(in, '"')) {
    return false;
  }
  while (in->p < in->end && *in->p >= 0x20) {
    if (accept(in, '"')) {
      return true;
    }
    if (accept(in, '\\')) {
      if (!escape(in)) {
        return false;
      }
    } else {
      in->p += 1;
    }
  }
  return false;
}

static bool member(struct input *in, int nesting) {
  blanks(in);
  if (!string(in)) {
    return false;
  }
  blanks(in);
  return accept(in, ':') && value(in, nesting);
}

static bool members(struct input *in, int nesting) {
  do {
    if (!member(in, nesting)) {
      return false;
    }
  } while (accept(in, ','));
  return true;
}

static bool elements(struct input *in, int nesting) {
  do {
    if (!value(in, nesting)) {
      return false;
    }
  } while (accept(in, ','));
  return true;
}

/* What follows an opening bracket, up to the closing one. */
static bool inside(struct input *in, char close, int nesting,
                   bool (*list)(struct input *in, int nesting)) {
  blanks(in);
  return accept(in, close) || (list(in, nesting) && accept(in, close));
}

/* A value with the blanks around it. */
static bool value(struct input *in, int nesting) {
  bool good;

  if (nesting == NESTING) {
    return false;
  }
  blanks(in);
  if (accept(in, '{')) {
    good = inside(in, '}', nesting + 1, members);
  } else if (accept(in, '[')) {
    good = inside(in, ']', nesting + 1, elements);
  } else if (next_is(in, '"')) {
    good = string(in);
  } else {
    good =
        word(in, "true") || word(in, "false") || word(in, "null") || number(in);
  }
  blanks(in);
  return good;
}

bool weir__is_json(const void *text, size_t len) {
  struct input in;

  if (len == 0) {
    return false;
  }
  in.p = text;
  in.end = in.p + len;
  return value(&in, 0) && in.p == in.end;
}

bool weir__is_json_members(const void *text, size_t len) {
  struct input in;

  if (len == 0) {
    return false;
  }
  in.p = text;
  in.end = in.p + len;
  return weir__is_field(text, len) && members(&in, 1) && in.p == in.end;
}
