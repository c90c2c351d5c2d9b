#ifndef HASH_H
#define HASH_H

#include <stddef.h>
#include <stdint.h>

#define HASH_OF_NOTHING 0xcbf29ce484222325UL

/* FNV-1a, of what was hashed before and these bytes. */
static inline uint64_t hash(uint64_t before, const void *bytes, size_t length) {
  for (size_t i = 0; i < length; i++) before = (before ^ ((const uint8_t *)bytes)[i]) * 0x100000001b3UL;
  return before;
}

#endif
