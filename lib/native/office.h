/*
 * How a thread tells JavaScript that something is done.
 *
 * What several threads have done meanwhile is told all at once: to call a JavaScript thread costs about as much as
 * what it is told.
 */
#ifndef HSM_SIGNER_OFFICE_H
#define HSM_SIGNER_OFFICE_H

#include "node.h"

#include <stdint.h>

/** Where a JavaScript thread is told. Lasts as long as the process. */
struct office;

/** The first member of whatever JavaScript waits for. */
struct errand {
  struct errand *next;
  struct office *office;
  /** On the JavaScript thread: says that it is done, and frees it; env is NULL where there is nobody to tell. */
  void (*tell)(napi_env env, struct errand *errand);
};

/** For the addon, once for each time that it is loaded; 0 where it cannot be. */
int open_office(napi_env env);

/** From now on the process lives until it is told; 0 where it cannot be. */
int begin_errand(napi_env env, struct errand *errand);

/** Instead of what follows: nobody is told. On the JavaScript thread. */
void take_back_errand(napi_env env, struct errand *errand);

/**
 * Has it told, soon; or later by so many nanoseconds, if nothing else has to be told before: so there is more to tell
 * at once. On any thread.
 */
void finish_errand(struct errand *errand, int64_t patience);

/** Calls what is referred to. What it throws is nobody's and ends the process, as it does in every callback. */
void call_back(napi_env env, napi_ref callback, size_t count, const napi_value *arguments);

#endif
