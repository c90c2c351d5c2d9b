#include "office.h"

#include "threads.h"

#include <stdatomic.h>
#include <stdlib.h>

struct office {
  napi_threadsafe_function tell;
  /* Errands under way; the process lives as long as there are any. */
  unsigned under_way;
  /* Done and not told yet, the last one first. */
  struct errand *_Atomic done;
};

void finish_errand(struct errand *errand) {
  struct office *office = errand->office;
  struct errand *former = atomic_load(&office->done);
  do errand->next = former;
  while (!atomic_compare_exchange_weak(&office->done, &former, errand));
  /* Whoever put the first one there has called already. */
  if (former == NULL) napi_call_threadsafe_function(office->tell, NULL, napi_tsfn_nonblocking);
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

static void close_office(void *unused) {
  (void)unused;
  await_all_work();
}

int open_office(napi_env env) {
  napi_value name;
  struct office *office = calloc(1, sizeof *office);
  return office != NULL && napi_create_string_utf8(env, "hsm-signer", NAPI_AUTO_LENGTH, &name) == napi_ok &&
         napi_create_threadsafe_function(env, NULL, NULL, name, 0, 1, NULL, NULL, office, tell_all,
                                         &office->tell) == napi_ok &&
         napi_unref_threadsafe_function(env, office->tell) == napi_ok &&
         napi_set_instance_data(env, office, NULL, NULL) == napi_ok &&
         napi_add_env_cleanup_hook(env, close_office, office) == napi_ok;
}
