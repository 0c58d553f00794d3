/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/* What is JSON and what is text, against other readers of both; and what comes
 * out of an envelope is what was put into it. */

#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "control.h"
#include "json.h"
#include "scan.h"

#define NESTING 100

/* --- JSON, by a machine with a stack ---------------------------------------*/

struct machine {
  const unsigned char *p;
  const unsigned char *end;
  char stack[NESTING + 2]; /* what closes the lists that are open */
  size_t depth;
};

static void skip_blanks(struct machine *machine) {
  while (machine->p < machine->end && *machine->p != '\0' &&
         strchr(" \t\r\n", *machine->p) != NULL) {
    machine->p += 1;
  }
}

static int peek(const struct machine *machine) {
  return machine->p < machine->end ? *machine->p : -1;
}

static size_t count_digits(struct machine *machine) {
  const unsigned char *from = machine->p;

  while (peek(machine) >= '0' && peek(machine) <= '9') {
    machine->p += 1;
  }
  return (size_t)(machine->p - from);
}

static bool skip_number(struct machine *machine) {
  size_t n;

  machine->p += peek(machine) == '-';
  n = peek(machine) == '0';
  machine->p += n;
  if (n == 0 && count_digits(machine) == 0) {
    return false;
  }
  if (peek(machine) == '.') {
    machine->p += 1;
    if (count_digits(machine) == 0) {
      return false;
    }
  }
  if (peek(machine) == 'e' || peek(machine) == 'E') {
    machine->p += 1;
    machine->p += peek(machine) == '+' || peek(machine) == '-';
    return count_digits(machine) != 0;
  }
  return true;
}

static bool skip_string(struct machine *machine) {
  int c;
  int n;

  if (peek(machine) != '"') {
    return false;
  }
  for (machine->p += 1; (c = peek(machine)) != '"';) {
    machine->p += 1;
    if (c < 0x20) {
      return false;
    }
    if (c == '\\') {
      c = peek(machine);
      machine->p += c != -1;
      if (c <= 0 || strchr("\"\\/bfnrtu", c) == NULL) {
        return false;
      }
      for (n = 0; c == 'u' && n < 4; ++n) {
        if (peek(machine) <= 0 ||
            strchr("0123456789abcdefABCDEF", peek(machine)) == NULL) {
          return false;
        }
        machine->p += 1;
      }
    }
  }
  machine->p += 1;
  return true;
}

static bool skip_scalar(struct machine *machine) {
  static const char *const words[] = {"true", "false", "null"};
  size_t i;

  for (i = 0; i < 3; ++i) {
    if ((size_t)(machine->end - machine->p) >= strlen(words[i]) &&
        memcmp(machine->p, words[i], strlen(words[i])) == 0) {
      machine->p += strlen(words[i]);
      return true;
    }
  }
  return peek(machine) == '"' ? skip_string(machine) : skip_number(machine);
}

/* The name of a member and its colon, in an object. */
static bool skip_name(struct machine *machine) {
  skip_blanks(machine);
  if (machine->depth == 0 || machine->stack[machine->depth - 1] != '}') {
    return true;
  }
  if (!skip_string(machine)) {
    return false;
  }
  skip_blanks(machine);
  if (peek(machine) != ':') {
    return false;
  }
  machine->p += 1;
  skip_blanks(machine);
  return true;
}

/* A value has ended: close what ends with it. 1: another value follows; 0: all
 * is closed; -1: wrong. */
static int go_on(struct machine *machine) {
  for (;;) {
    skip_blanks(machine);
    if (machine->depth == 0) {
      return 0;
    }
    if (peek(machine) == ',') {
      machine->p += 1;
      return skip_name(machine) ? 1 : -1;
    }
    if (peek(machine) != machine->stack[machine->depth - 1]) {
      return -1;
    }
    machine->p += 1;
    machine->depth -= 1;
  }
}

/* At most so many values in each other. */
static bool is_nested(const unsigned char *text, size_t len, size_t most) {
  struct machine machine = {text, text + len, "", 0};
  int more = 1;

  skip_blanks(&machine);
  while (more == 1) {
    if (machine.depth == most) {
      return false;
    }
    if (peek(&machine) == '{' || peek(&machine) == '[') {
      machine.stack[machine.depth++] = peek(&machine) == '{' ? '}' : ']';
      machine.p += 1;
      skip_blanks(&machine);
      if (peek(&machine) != machine.stack[machine.depth - 1]) {
        if (!skip_name(&machine)) {
          return false;
        }
        continue;
      }
    } else if (!skip_scalar(&machine)) {
      return false;
    }
    more = go_on(&machine);
  }
  return more == 0 && machine.p == machine.end;
}

static bool is_json(const unsigned char *text, size_t len) {
  return is_nested(text, len, NESTING);
}

/* Members are an object without its braces, on one line. */
static bool is_members(const unsigned char *text, size_t len) {
  struct kit_bytes object = {NULL, 0, 0};
  struct machine machine = {text, text + len, "", 0};
  bool good;

  skip_blanks(&machine);
  kit_bytes_add(&object, "{", 1);
  kit_bytes_add(&object, text, len);
  kit_bytes_add(&object, "}", 1);
  good = is_json((unsigned char *)object.data, object.len) &&
         machine.p != machine.end && !fuzz_has(text, len, "\r\n");
  kit_bytes_free(&object);
  return good;
}

/* --- The envelope ----------------------------------------------------------*/

static unsigned hex(const char *digits) {
  char text[5] = {digits[0], digits[1], digits[2], digits[3], '\0'};

  return (unsigned)strtoul(text, NULL, 16);
}

/* What a JSON string says; of \u, only what weir writes. */
static void unquote(const char *json, size_t len, struct kit_bytes *text) {
  static const char from[] = "\"\\/bfnrt";
  static const char to[] = "\"\\/\b\f\n\r\t";
  const char *end = json + len;
  const char *escape;
  char c;

  kit_bytes_add(text, NULL, 0);
  for (; json < end; ++json) {
    kit_need((unsigned char)*json >= 0x20 && *json != '"');
    if (*json != '\\') {
      kit_bytes_add(text, json, 1);
    } else if (*++json == 'u') {
      kit_need(end - json >= 5 && hex(json + 1) < 0x80);
      c = (char)hex(json + 1);
      kit_bytes_add(text, &c, 1);
      json += 4;
    } else {
      escape = strchr(from, *json);
      kit_need(escape != NULL && *escape != '\0');
      kit_bytes_add(text, &to[escape - from], 1);
    }
  }
}

/* An event in an envelope, as a client gets it. */
static void check_envelope(const struct fuzz_bytes *data, bool json) {
  static const char head[] =
      "{\"stream\":\"k\",\"generation\":\"b\",\"index\":0,\"data\":";
  const weir_cursor cursor = {1, 1};
  struct weir__scheme scheme;
  struct weir__content content;
  struct weir__out out;
  struct kit_client client;
  struct kit_bytes text = {NULL, 0, 0};
  struct fuzz_bytes frame;
  const char *value;
  size_t len;

  memset(&scheme, 0, sizeof scheme);
  scheme.key = "k";
  scheme.key_len = 1;
  scheme.generation = 1;
  scheme.prefix = "weir.";
  scheme.prefix_len = 5;
  scheme.envelope = true;
  scheme.lines = 1000;
  memset(&content, 0, sizeof content);
  content.data = data->data;
  content.data_len = data->len;
  content.json = json;
  if (weir__check_content(&scheme, &content) != WEIR_OK) {
    kit_need(!fuzz_is_text(data->data, data->len) ||
             (json && !is_json(data->data, data->len)));
    return;
  }
  weir__out_init(&out, NULL, 0);
  weir__put_content(&out, &scheme, &content, &cursor);
  frame.len = out.len;
  frame.data = malloc(frame.len);
  kit_need(frame.data != NULL);
  weir__out_init(&out, frame.data, frame.len);
  weir__put_content(&out, &scheme, &content, &cursor);
  kit_need(out.len == frame.len && !out.overflow);
  kit_need(weir__check_frame(&scheme, &cursor, frame.data, frame.len));

  kit_client_init(&client, "");
  kit_client_feed(&client, frame.data, frame.len);
  ck_assert_uint_eq(client.count, 1);
  ck_assert_str_eq(client.last_id, "b-1");
  value = client.events[0].data;
  len = client.events[0].data_len;
  kit_need(is_nested((const unsigned char *)value, len, NESTING + 1));
  kit_need(strncmp(value, head, sizeof head - 1) == 0);
  value += sizeof head - 1;
  len -= sizeof head; /* and the brace at its end */
  if (json) {
    kit_need(is_json((const unsigned char *)value, len));
  } else {
    kit_need(len >= 2 && value[0] == '"' && value[len - 1] == '"');
    unquote(value + 1, len - 2, &text);
    kit_need(fuzz_same(text.data, text.len, data->data, data->len));
  }
  kit_bytes_free(&text);
  kit_client_free(&client);
  free(frame.data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct fuzz_input input = {data, size};
  const struct fuzz_bytes text = fuzz_take(&input, SIZE_MAX);

  kit_need(weir__is_text(text.data, text.len) ==
           fuzz_is_text(text.data, text.len));
  kit_need(weir__is_json(text.data, text.len) == is_json(text.data, text.len));
  kit_need(weir__is_json_members(text.data, text.len) ==
           is_members(text.data, text.len));
  check_envelope(&text, false);
  check_envelope(&text, true);
  free(text.data);
  return 0;
}
