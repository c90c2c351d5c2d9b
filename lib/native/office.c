#include "office.h"

#include "clock.h"
#include "threads.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

struct office {
  napi_threadsafe_function tell;
  /* Errands under way; the process lives as long as there are any. */
  unsigned under_way;
  /* Done and not told yet, the last one first. */
  struct errand *_Atomic done;
  /* Whether JavaScript has been called and has not come yet. */
  atomic_int is_called;
  /*
   * When it is to be called for those that may wait, or 0 where none does. It may be left standing when they have been
   * told: then JavaScript is called once for nothing.
   */
  _Atomic int64_t due;
  /* The thread that calls then, if nothing else has called before. */
  atomic_int has_bell;
  pthread_t bell;
  /* For the bell, and for whoever says that there is something to wait for. */
  pthread_mutex_t lock;
  pthread_cond_t is_due_set;
  int is_closed;
};

static void call(struct office *office) {
  atomic_store(&office->due, 0);
  if (!atomic_exchange(&office->is_called, 1))
    napi_call_threadsafe_function(office->tell, NULL, napi_tsfn_nonblocking);
}

static void wait_until(struct office *office, int64_t due) {
  struct timespec time = {due / SECOND_NS, due % SECOND_NS};
  pthread_cond_timedwait(&office->is_due_set, &office->lock, &time);
}

static void *ring(void *argument) {
  struct office *office = argument;
  pthread_mutex_lock(&office->lock);
  while (!office->is_closed) {
    int64_t due = atomic_load(&office->due);
    if (due == 0) pthread_cond_wait(&office->is_due_set, &office->lock);
    else if (now_ns() < due) wait_until(office, due);
    else call(office);
  }
  pthread_mutex_unlock(&office->lock);
  return NULL;
}

static void wake_bell(struct office *office, int is_closed) {
  pthread_mutex_lock(&office->lock);
  office->is_closed |= is_closed;
  pthread_cond_signal(&office->is_due_set);
  pthread_mutex_unlock(&office->lock);
}

/* Whether one that is among those that are done is told by then, though nobody calls for it now. */
static int is_told_by(struct office *office, int64_t then) {
  int64_t due = 0;
  if (atomic_load(&office->is_called)) return 1;
  if (!atomic_load(&office->has_bell)) return 0;
  if (!atomic_compare_exchange_strong(&office->due, &due, then)) return due <= then && now_ns() < due;
  wake_bell(office, 0);
  return 1;
}

void finish_errand(struct errand *errand, int64_t patience) {
  struct office *office = errand->office;
  struct errand *former = atomic_load(&office->done);
  do errand->next = former;
  while (!atomic_compare_exchange_weak(&office->done, &former, errand));
  if (patience <= 0 || !is_told_by(office, now_ns() + patience)) call(office);
}

void call_back(napi_env env, napi_ref callback, size_t count, const napi_value *arguments) {
  napi_value function, undefined, exception;
  if (napi_get_reference_value(env, callback, &function) == napi_ok &&
      napi_get_undefined(env, &undefined) == napi_ok)
    napi_call_function(env, undefined, function, count, arguments, NULL);
  /* Those that come after this one are to be told all the same. */
  if (napi_get_and_clear_last_exception(env, &exception) == napi_ok) {
    napi_valuetype type;
    if (napi_typeof(env, exception, &type) == napi_ok && type != napi_undefined) napi_fatal_exception(env, exception);
  }
}

static struct errand *in_order(struct errand *done) {
  struct errand *result = NULL;
  while (done != NULL) {
    struct errand *next = done->next;
    done->next = result;
    result = done;
    done = next;
  }
  return result;
}

/* Back on the JavaScript thread, after one or several were done. */
static void tell_all(napi_env env, napi_value unused, void *data, void *nothing) {
  struct office *office = data;
  (void)unused;
  (void)nothing;
  /* In this order: whoever finds it called has put his there before it is emptied. */
  atomic_store(&office->is_called, 0);
  struct errand *errand = in_order(atomic_exchange(&office->done, NULL));
  while (errand != NULL) {
    struct errand *next = errand->next;
    napi_handle_scope scope;
    int has_scope = env != NULL && napi_open_handle_scope(env, &scope) == napi_ok;
    errand->tell(has_scope ? env : NULL, errand);
    if (has_scope) napi_close_handle_scope(env, scope);
    office->under_way -= 1;
    errand = next;
  }
  if (env != NULL && office->under_way == 0) napi_unref_threadsafe_function(env, office->tell);
}

int begin_errand(napi_env env, struct errand *errand) {
  void *data;
  if (napi_get_instance_data(env, &data) != napi_ok || data == NULL) return 0;
  struct office *office = data;
  if (!atomic_load(&office->has_bell))
    atomic_store(&office->has_bell, start_thread(&office->bell, ring, office, "hsm-bell"));
  if (office->under_way == 0 && napi_ref_threadsafe_function(env, office->tell) != napi_ok) return 0;
  office->under_way += 1;
  errand->office = office;
  return 1;
}

void take_back_errand(napi_env env, struct errand *errand) {
  struct office *office = errand->office;
  office->under_way -= 1;
  if (office->under_way == 0) napi_unref_threadsafe_function(env, office->tell);
}

/* All that is done is told to nobody, and the bell is silent. */
static void close_office(void *data) {
  struct office *office = data;
  await_all_work();
  wake_bell(office, 1);
  if (atomic_load(&office->has_bell)) pthread_join(office->bell, NULL);
  tell_all(NULL, NULL, office, NULL);
}

static struct office *make_office(void) {
  pthread_condattr_t by_the_monotonic_clock;
  struct office *office = calloc(1, sizeof *office);
  if (office == NULL) return NULL;
  pthread_mutex_init(&office->lock, NULL);
  pthread_condattr_init(&by_the_monotonic_clock);
  pthread_condattr_setclock(&by_the_monotonic_clock, CLOCK_MONOTONIC);
  pthread_cond_init(&office->is_due_set, &by_the_monotonic_clock);
  pthread_condattr_destroy(&by_the_monotonic_clock);
  return office;
}

int open_office(napi_env env) {
  napi_value name;
  struct office *office = make_office();
  return office != NULL && napi_create_string_utf8(env, "hsm-signer", NAPI_AUTO_LENGTH, &name) == napi_ok &&
         napi_create_threadsafe_function(env, NULL, NULL, name, 0, 1, NULL, NULL, office, tell_all,
                                         &office->tell) == napi_ok &&
         napi_unref_threadsafe_function(env, office->tell) == napi_ok &&
         napi_set_instance_data(env, office, NULL, NULL) == napi_ok &&
         napi_add_env_cleanup_hook(env, close_office, office) == napi_ok;
}
