/*
 * Signatures that lack nothing but a session, for which there are more callers than sessions: they stand by, and the
 * thread that has done with a session takes the oldest of them and goes on. The JavaScript thread, which is at
 * something else then, is not waited for.
 *
 * There is one for each pool of sessions. Any thread may use it.
 */
#ifndef HSM_SIGNER_RELAY_H
#define HSM_SIGNER_RELAY_H

#include "threads.h"

#include <stdint.h>

struct relay;

/** The first member of whatever stands by. */
struct heir {
  struct work work;
  /** What JavaScript calls it by; never 0. */
  uint32_t ticket;
};

/** NULL without memory. Whoever gets it holds it. */
struct relay *make_relay(void);
struct relay *hold_relay(struct relay *relay);
/** The last one who lets go of it ends it; NULL is none. Whatever stands by holds it. */
void let_go_of_relay(struct relay *relay);

/** Queues it behind all others; its ticket. A thread may have it when this returns. */
uint32_t stand_by(struct relay *relay, struct heir *heir);
/** Takes the oldest away: whoever does so has a session for it. NULL where there is none, and of one that is closed. */
struct heir *take_heir(struct relay *relay);
/** Takes one away that is to have none; NULL where it has one already. */
struct heir *withdraw_heir(struct relay *relay, uint32_t ticket);
/** From now on nobody inherits. */
void close_relay(struct relay *relay);

#endif
