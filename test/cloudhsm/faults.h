/*
 * What goes wrong. Faults are ordered in a control file (SIM_CONTROL), the bytes of one `struct order`, which
 * every process maps: a count of calls that are to fail is one count for all of them. A new order is renamed into
 * the place of the former one, which is then marked: a process that sees the mark maps the file anew. So a look
 * at the present order costs a read of memory, it is never half written, and it holds for processes to come.
 *
 * order.ts writes it; README.md says what the faults are.
 */
#ifndef FAULTS_H
#define FAULTS_H

#include "counters.h"

#define MAX_FAULTS 32
#define MAX_NEW_KEYS 64
#define PASSWORD_SIZE 64

enum effect { LATENCY = 1, RETURN, WRONG_SIGNATURE, HANG };

/* A fault of a function's calls. */
struct fault {
  char function[24];    /* or "cluster requests", for each of them */
  uint64_t effect;
  uint64_t value;       /* microseconds, or the return value */
  uint64_t probability; /* of 2^32 */
  int64_t remaining;    /* calls; below 0: as long as the order is in force */
};

/* A key that is not on enough HSMs yet. */
struct new_key {
  uint64_t name;      /* see `name_of_key` in simulator.c */
  uint64_t usable_at; /* nanoseconds of CLOCK_MONOTONIC */
  int64_t refusals;
};

struct order {
  uint64_t is_superseded;
  /* Events: how many there have been since the simulator was made. */
  uint64_t disconnections, replacements, renewals, releases;
  uint64_t away_until; /* nanoseconds of CLOCK_REALTIME, the only clock of every runtime; 0: the cluster is there */
  uint64_t initialize_fails; /* while it is away */
  int64_t sessions_refused;  /* calls of C_OpenSession; below 0: all */
  uint64_t quorum_delay;     /* nanoseconds for which new keys cannot sign */
  int64_t quorum_refusals;   /* C_SignInits that new keys refuse */
  char password[PASSWORD_SIZE]; /* the right one; empty: the one below */
  char former_password[PASSWORD_SIZE]; /* SoftHSM2's */
  uint64_t fault_count;
  struct fault faults[MAX_FAULTS];
  uint64_t new_key_count;
  struct new_key new_keys[MAX_NEW_KEYS];
};

/* @returns 0 when there is a control file that is none */
int open_orders(void);

/* The order in force. It stays readable for ever, and changes only in what remains to be done. */
struct order *present_order(void);

/*
 * What is ordered for a call of this function: the call takes its time, or hangs until it is released. No lock
 * may be held, and nothing may have been done yet.
 *
 * @returns the return value for the call, or CKR_OK
 */
CK_RV suffer(enum function function);

/* Whether a signature that this function has made has to be a wrong one. */
int is_to_be_wrong(enum function function);

/* Whether the cluster is away. */
int is_away(const struct order *order);

/* Whether C_OpenSession has to say that there are too many. */
int is_session_refused(void);

void note_new_key(uint64_t name);
/* Whether there is any, so that others need not be named. */
int has_new_keys(void);
/* Whether a key is too new to sign with. */
int is_key_unavailable(uint64_t name);

#endif
