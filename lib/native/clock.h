#ifndef HSM_SIGNER_CLOCK_H
#define HSM_SIGNER_CLOCK_H

#include <stdint.h>
#include <time.h>

#define SECOND_NS 1000000000

/** In nanoseconds, by the clock that nobody sets. */
static inline int64_t now_ns(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (int64_t)time.tv_sec * SECOND_NS + time.tv_nsec;
}

#endif
