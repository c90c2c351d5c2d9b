/* What JavaScript is given of digest.c. */
#include "digest.h"
#include "node.h"
#include "office.h"

#include <stddef.h>
#include <stdlib.h>

/* Somebody who waits until a digest is hashed so far. */
struct waiting {
  struct digest_wait wait;
  struct errand errand;
  struct digest *digest;
  napi_ref callback;
};

static void forget_digest(napi_env env, void *digest, void *hint) {
  (void)env;
  (void)hint;
  abandon_digest(digest);
  let_go_of_digest(digest);
}

/* digest(hash): of a document that is still to come; undefined where OpenSSL cannot do that. */
static napi_value digest(napi_env env, napi_callback_info info) {
  napi_value argument, result = NULL;
  size_t count = 1, length;
  char hash[16];
  if (napi_get_cb_info(env, info, &count, &argument, NULL, NULL) != napi_ok || count != 1 ||
      napi_get_value_string_utf8(env, argument, hash, sizeof hash, &length) != napi_ok)
    return fail(env, "digest takes the name of a hash");
  struct digest *made = begin_digest(hash);
  if (made != NULL && napi_create_external(env, made, forget_digest, NULL, &result) != napi_ok) {
    let_go_of_digest(made);
    return fail(env, "no memory for a digest");
  }
  return result;
}

static struct digest *digest_of(napi_env env, napi_value value) {
  void *digest;
  return napi_get_value_external(env, value, &digest) == napi_ok ? digest : NULL;
}

/* update(digest, bytes): 0, or how many are queued, where the caller should wait. */
static napi_value update(napi_env env, napi_callback_info info) {
  napi_value arguments[2], result;
  size_t count = 2, length, much;
  void *bytes;
  struct digest *digest;
  if (napi_get_cb_info(env, info, &count, arguments, NULL, NULL) != napi_ok || count != 2 ||
      (digest = digest_of(env, arguments[0])) == NULL ||
      napi_get_buffer_info(env, arguments[1], &bytes, &length) != napi_ok)
    return fail(env, "update takes a digest and bytes");
  if (!update_digest(digest, bytes, length, &much)) return fail(env, "cannot hash: no memory, or the digest has ended");
  if (napi_create_double(env, (double)much, &result) != napi_ok) return fail(env, "no memory for a number");
  return result;
}

static void end(napi_env env, struct waiting *waiting) {
  if (waiting->callback != NULL) napi_delete_reference(env, waiting->callback);
  let_go_of_digest(waiting->digest);
  free(waiting);
}

/* callback() */
static void tell(napi_env env, struct errand *errand) {
  struct waiting *waiting = (struct waiting *)((char *)errand - offsetof(struct waiting, errand));
  end_wait(waiting->digest);
  if (env != NULL) call_back(env, waiting->callback, 0, NULL);
  end(env, waiting);
}

static void over(struct digest_wait *wait) {
  finish_errand(&((struct waiting *)wait)->errand, 0);
}

/* settle(digest, atMost, callback), one at a time for each digest */
static napi_value settle(napi_env env, napi_callback_info info) {
  napi_value arguments[3];
  size_t count = 3;
  double at_most;
  struct digest *digest;
  if (napi_get_cb_info(env, info, &count, arguments, NULL, NULL) != napi_ok || count != 3 ||
      (digest = digest_of(env, arguments[0])) == NULL ||
      napi_get_value_double(env, arguments[1], &at_most) != napi_ok || !(at_most >= 0))
    return fail(env, "settle takes a digest, a number and a callback");
  struct waiting *waiting = calloc(1, sizeof *waiting);
  if (waiting == NULL) return fail(env, "no memory to wait for a digest");
  waiting->wait.over = over;
  waiting->errand.tell = tell;
  waiting->digest = hold_digest(digest);
  if (napi_create_reference(env, arguments[2], 1, &waiting->callback) != napi_ok ||
      !begin_errand(env, &waiting->errand)) {
    end(env, waiting);
    return fail(env, "cannot wait for a digest");
  }
  if (!await_digest(digest, (size_t)at_most, &waiting->wait)) {
    take_back_errand(env, &waiting->errand);
    end(env, waiting);
    return fail(env, "somebody waits for this digest already");
  }
  return NULL;
}

/* final(digest): once; undefined as long as bytes are queued. */
static napi_value final(napi_env env, napi_callback_info info) {
  napi_value argument, result;
  size_t count = 1;
  uint8_t bytes[EVP_MAX_MD_SIZE];
  unsigned length;
  struct digest *digest;
  if (napi_get_cb_info(env, info, &count, &argument, NULL, NULL) != napi_ok || count != 1 ||
      (digest = digest_of(env, argument)) == NULL)
    return fail(env, "final takes a digest");
  if (is_digest_queued(digest)) return NULL;
  if (!end_digest(digest, bytes, &length)) return fail(env, "cannot hash: the digest has ended, or OpenSSL has failed");
  if (napi_create_buffer_copy(env, length, bytes, NULL, &result) != napi_ok) return fail(env, "no memory for a digest");
  return result;
}

/* abandon(digest) */
static napi_value abandon(napi_env env, napi_callback_info info) {
  napi_value argument;
  size_t count = 1;
  struct digest *digest;
  if (napi_get_cb_info(env, info, &count, &argument, NULL, NULL) != napi_ok || count != 1 ||
      (digest = digest_of(env, argument)) == NULL)
    return fail(env, "abandon takes a digest");
  abandon_digest(digest);
  return NULL;
}

int export_hashing(napi_env env, napi_value exports) {
  napi_property_descriptor properties[] = {
      {"digest", NULL, digest, NULL, NULL, NULL, napi_enumerable, NULL},
      {"update", NULL, update, NULL, NULL, NULL, napi_enumerable, NULL},
      {"settle", NULL, settle, NULL, NULL, NULL, napi_enumerable, NULL},
      {"final", NULL, final, NULL, NULL, NULL, napi_enumerable, NULL},
      {"abandon", NULL, abandon, NULL, NULL, NULL, napi_enumerable, NULL},
  };
  return napi_define_properties(env, exports, sizeof properties / sizeof *properties, properties) == napi_ok;
}
