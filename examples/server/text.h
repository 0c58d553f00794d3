/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef SERVER_TEXT_H
#define SERVER_TEXT_H

/* Bytes that grow, and the few things that are written and read with them. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Without memory, what is added is lost and `failed` says so: check it once, at
 * the end. */
struct text {
  char *data;
  size_t len;
  size_t cap;
  bool failed;
};

void text_free(struct text *text);
void text_add(struct text *text, const void *data, size_t len);
void text_put(struct text *text, const char *string);
void text_number(struct text *text, uint64_t number);

/* A JSON string, with its quotes. What is not UTF-8 comes out as it went in. */
void text_json(struct text *text, const void *data, size_t len);

/* A part of something that somebody else keeps. */
struct slice {
  const char *data;
  size_t len;
};

bool slice_is(struct slice slice, const char *string);

/* As above, but in any case of letters: for names of header fields. */
bool slice_is_name(struct slice slice, const char *string);

/* Percent-decode into text; false if there is a `%` without two hex digits. In
 * a query a plus is a blank. */
bool text_decode(struct text *text, struct slice slice, bool query);

/* The first value of a name in a query, decoded and appended to *value. false:
 * it is not there (or not well-formed, which *bad says). */
bool query_get(struct slice query, const char *name, struct text *value,
               bool *bad);

/* Which of the words the value of a name in a query is; *choice stays as it is
 * if the name is not there. false: it is none of them. */
bool query_choose(struct slice query, const char *name,
                  const char *const *words, int count, int *choice);

/* A number in decimal and nothing else; UINT64_MAX if it is larger. */
bool parse_number(struct slice slice, uint64_t *number);

#endif /* SERVER_TEXT_H */
