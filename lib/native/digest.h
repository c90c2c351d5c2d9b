/*
 * The digest of a document that comes piece by piece: a small one is hashed at once, a large one on a thread.
 *
 * All but the wait's `over` happens on the JavaScript thread.
 */
#ifndef HSM_SIGNER_DIGEST_H
#define HSM_SIGNER_DIGEST_H

#include "openssl.h"

#include <stddef.h>
#include <stdint.h>

struct digest;

/** What waits for the threads. */
struct digest_wait {
  /** On any thread, once; it has to hold the digest itself until then. */
  void (*over)(struct digest_wait *wait);
};

/** NULL where there is no OpenSSL, no such hash (its name) or no memory. Whoever gets it holds it. */
struct digest *begin_digest(const char *hash);

struct digest *hold_digest(struct digest *digest);
/** The last one who lets go of it ends it. On any thread. */
void let_go_of_digest(struct digest *digest);

/**
 * Takes a copy of the bytes. *much is 0, or how many bytes are queued, where they are so many that no more should come
 * before some of them are hashed: in this digest, or in all together.
 *
 * Returns 0 where there is no memory, or the digest has ended.
 */
int update_digest(struct digest *digest, const uint8_t *bytes, size_t length, size_t *much);

/** Until no more than so many bytes are queued; 0, and nothing, where there is a wait that has not ended. */
int await_digest(struct digest *digest, size_t at_most, struct digest_wait *wait);

/** After it was over. */
void end_wait(struct digest *digest);

/** Whether there are bytes that are not hashed yet. */
int is_digest_queued(struct digest *digest);

/**
 * Into EVP_MAX_MD_SIZE bytes, of which it takes *length; when nothing is queued, and only once. Returns 0 where something
 * went wrong.
 */
int end_digest(struct digest *digest, uint8_t *target, unsigned *length);

/** What is queued is of no use any more. */
void abandon_digest(struct digest *digest);

#endif
