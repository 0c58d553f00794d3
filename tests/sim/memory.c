/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "memory.h"

#include <stdlib.h>
#include <string.h>

#include "trace.h"

#define LIVE 0x6c697665u

/* What stands before each block. */
struct memory_block {
  struct memory_block *next;
  struct memory_block *before;
  size_t size;
  union {
    unsigned mark;
    max_align_t align;
  };
};

static void *take(void *user, size_t size) {
  struct memory *memory = user;
  struct memory_block *block;

  memory->calls += 1;
  if (size == 0) {
    trace_fail(12, "0 bytes were asked for");
  }
  if (memory->scarce != 0 && chance_permille(&memory->chance, memory->scarce)) {
    memory->failures += 1;
    return NULL;
  }
  block = malloc(sizeof *block + size);
  if (block == NULL) {
    abort();
  }
  block->size = size;
  block->mark = LIVE;
  block->before = NULL;
  block->next = memory->blocks;
  if (block->next != NULL) {
    block->next->before = block;
  }
  memory->blocks = block;
  memory->live += size;
  /* Nothing is to be expected there. */
  memset(block + 1, 0xa5, size);
  return block + 1;
}

static void give(void *user, void *bytes, size_t size) {
  struct memory *memory = user;
  struct memory_block *block = (struct memory_block *)bytes - 1;

  if (block->mark != LIVE || block->size != size) {
    trace_fail(12, "%zu bytes were freed that were not taken", size);
  }
  block->mark = 0;
  if (block->next != NULL) {
    block->next->before = block->before;
  }
  if (block->before != NULL) {
    block->before->next = block->next;
  } else {
    memory->blocks = block->next;
  }
  memory->live -= size;
  memset(bytes, 0x5a, size);
  free(block);
}

void memory_init(struct memory *memory, uint64_t seed, uint64_t number) {
  memset(memory, 0, sizeof *memory);
  chance_init(&memory->chance, seed, "memory", number);
  memory->allocator.size = sizeof memory->allocator;
  memory->allocator.user = memory;
  memory->allocator.alloc = take;
  memory->allocator.free = give;
}

void memory_drop(struct memory *memory) {
  struct memory_block *block;

  while (memory->blocks != NULL) {
    block = memory->blocks;
    memory->blocks = block->next;
    free(block);
  }
  memory->live = 0;
}
