/*
 * Calls are counted in a file that all processes share (SIM_COUNTERS): records of a name, in 24 bytes, and a
 * 64-bit count.
 */
#ifndef COUNTERS_H
#define COUNTERS_H

#include "cryptoki.h"

#include <stdint.h>

enum function {
#define CK_PKCS11_FUNCTION_INFO(name) F_##name,
#include "pkcs11f.h"
#undef CK_PKCS11_FUNCTION_INFO
  FUNCTIONS,
  CLUSTER_REQUESTS = FUNCTIONS,
  /* By these a test sees that a PIN was tried once; they outlive the process, as the user's lock does. */
  PINS_REFUSED,
  PINS_REFUSED_IN_A_ROW,
  /* Of faults.c. */
  CALLS_FAILED,
  CALLS_HUNG,
  WRONG_SIGNATURES,
  COUNTERS
};

int open_counters(void);

/* @returns the count afterwards */
uint64_t add(int counter, uint64_t number);
void reset(int counter);

/* Of a function, or of one of the counts behind them. */
const char *counter_name(int counter);

/* Whether CloudHSM's library asks the cluster for it each time; the rest it knows or does itself. */
int is_cluster_request(enum function function);
void set_cluster_request(enum function function, int is_one);

#endif
