/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "util.h"

#include <stdlib.h>

void *weir__alloc(const weir_allocator *allocator, size_t size) {
  return allocator->alloc != NULL ? allocator->alloc(allocator->user, size)
                                  : malloc(size);
}

void weir__free(const weir_allocator *allocator, void *memory, size_t size) {
  if (memory == NULL) {
    return;
  }
  if (allocator->free != NULL) {
    allocator->free(allocator->user, memory, size);
  } else {
    free(memory);
  }
}

/* SplitMix64 (Steele, Lea and Flood, 2014). */
uint64_t weir__draw(uint64_t *state) {
  uint64_t z;

  *state += UINT64_C(0x9e3779b97f4a7c15);
  z = *state;
  z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
  return z ^ z >> 31;
}

/* A struct begins with its size; one of no more than that says nothing. */
static bool is_struct(const void *callers, size_t *size) {
  if (callers == NULL) {
    return false;
  }
  memcpy(size, callers, sizeof *size);
  return *size > sizeof *size;
}

int weir__load(void *known, size_t known_size, const void *callers) {
  const unsigned char *bytes = callers;
  size_t size;
  size_t i;

  if (!is_struct(callers, &size)) {
    return WEIR_EINVAL;
  }
  for (i = known_size; i < size; ++i) {
    if (bytes[i] != 0) {
      return WEIR_EINVAL;
    }
  }
  memcpy(known, callers, size < known_size ? size : known_size);
  memcpy(known, &known_size, sizeof known_size);
  return WEIR_OK;
}

bool weir__is_zero(const uint64_t *field, size_t size) {
  uint64_t bits = 0;
  size_t i;

  for (i = 0; i < size / sizeof *field; ++i) {
    bits |= field[i];
  }
  return bits == 0;
}

int weir__store(void *callers, const void *known, size_t known_size) {
  size_t size;

  if (!is_struct(callers, &size)) {
    return WEIR_EINVAL;
  }
  if (size > known_size) {
    memset((char *)callers + known_size, 0, size - known_size);
  }
  memcpy(callers, known, size < known_size ? size : known_size);
  memcpy(callers, &size, sizeof size);
  return WEIR_OK;
}

void weir__start(void *callers, size_t size) {
  if (callers != NULL && size > sizeof size) {
    memset(callers, 0, size);
    memcpy(callers, &size, sizeof size);
  }
}

void weir__start_as(void *callers, size_t size, const void *known,
                    size_t known_size) {
  if (callers != NULL && size > sizeof size) {
    memcpy(callers, &size, sizeof size);
    (void)weir__store(callers, known, known_size);
  }
}
