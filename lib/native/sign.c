/*
 * C_SignInit, C_Sign (PKCS#11 v2.40 §5.11) and the verification of the signature as one piece of work on a thread.
 *
 * pkcs11js has no asynchronous C_SignInit: where that asks the cluster, as CloudHSM's does unless it is told not to,
 * the one JavaScript thread would wait for the network with every signature. It also lets go of the input of an
 * asynchronous C_Sign (pkcs11js#121): here the input is copied before the call returns to JavaScript.
 *
 * Where there are more callers than sessions, the thread that has signed goes on with the next of them in the same
 * session (relay.h), and JavaScript hears of it afterwards.
 */
#include "clock.h"
#include "library.h"
#include "node.h"
#include "office.h"
#include "relay.h"
#include "threads.h"
#include "verify.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* A DigestInfo around SHA-512 has 83 bytes, a signature of RSA-8192 has 1,024. */
#define MAX_INPUT 128
#define MAX_SIGNATURE 1024

/* How long one that is done may wait for others before JavaScript is told, of the time that it stood by. */
#define SHARE_OF_STANDING 0.25
#define MOST_PATIENCE_MS 4

/*
 * A thread for each C_Sign under way. More of them than there are cores stand back: each has one signature, JavaScript
 * all. As many as there are cores need not: where no more is to be signed, nothing else is as urgent.
 */
static struct crew first_signers = CREW("hsm-sign", 1, 0);
static struct crew signers = CREW("hsm-sign", 0, 10);

struct signing {
  struct heir heir;
  struct errand errand;
  napi_ref callback;
  CK_FUNCTION_LIST_PTR p11;
  CK_SESSION_HANDLE session;
  CK_OBJECT_HANDLE key;
  CK_MECHANISM mechanism;
  CK_RSA_PKCS_PSS_PARAMS pss;
  CK_BYTE input[MAX_INPUT];
  CK_ULONG input_length;
  CK_BYTE signature[MAX_SIGNATURE];
  CK_ULONG signature_length;
  CK_RV rv;
  double token_ms;
  /* Of one that stood by: since when, and for how long. */
  double stood_since, stood_ms;
  /* Where others stand by for its session, or it does for theirs. */
  struct relay *relay;
  /* Of the one that has got its session. */
  uint32_t inherited_by;
  struct verifier *verifier;
  enum verdict verdict;
  size_t data_length;
  /* What the signature is verified over. */
  CK_BYTE data[];
};

static double now_ms(void) {
  return (double)now_ns() / 1e6;
}

static CK_RV sign_by_token(struct signing *signing) {
  CK_RV rv = signing->p11->C_SignInit(signing->session, &signing->mechanism, signing->key);
  if (rv != CKR_OK) return rv;
  rv = signing->p11->C_Sign(signing->session, signing->input, signing->input_length, signing->signature,
                            &signing->signature_length);
  /* One that has written more than there was room for cannot go on. */
  return rv == CKR_OK && signing->signature_length > MAX_SIGNATURE ? CKR_GENERAL_ERROR : rv;
}

/*
 * The oldest of those that stand by gets the session, if that has just given a signature that was found to be right:
 * what is to become of it after anything else is for JavaScript to say.
 */
static struct signing *pass_on(struct signing *signing) {
  if (signing->relay == NULL || signing->verdict != VALID) return NULL;
  struct signing *heir = (struct signing *)take_heir(signing->relay);
  if (heir == NULL) return NULL;
  heir->session = signing->session;
  signing->inherited_by = heir->heir.ticket;
  return heir;
}

/*
 * How long JavaScript need not hear of it, in nanoseconds: it has nothing to do for a session that has an heir. Who
 * asked for this one has waited four times as long already; and no more than a quarter of those that stand by are used
 * up meanwhile, before it brings others.
 */
static int64_t patience(const struct signing *signing) {
  if (signing->inherited_by == 0) return 0;
  double ms = signing->stood_ms * SHARE_OF_STANDING;
  return (int64_t)((ms < MOST_PATIENCE_MS ? ms : MOST_PATIENCE_MS) * 1e6);
}

/*
 * On a thread: no JavaScript here. It is done before the one that has its session begins: so JavaScript is told of it,
 * and to whom the session went, before it is told of that one.
 */
static struct work *sign_on_thread(struct work *work) {
  struct signing *signing = (struct signing *)work;
  double start = now_ms();
  if (signing->heir.ticket != 0) signing->stood_ms = start - signing->stood_since;
  signing->rv = sign_by_token(signing);
  signing->token_ms = now_ms() - start;
  if (signing->rv == CKR_OK && signing->verifier != NULL)
    signing->verdict = verify(signing->verifier, signing->data, signing->data_length, signing->signature,
                              signing->signature_length);
  struct signing *heir = pass_on(signing);
  finish_errand(&signing->errand, patience(signing));
  return heir == NULL ? NULL : &heir->heir.work;
}

static void end(napi_env env, struct signing *signing) {
  if (signing->callback != NULL) napi_delete_reference(env, signing->callback);
  let_go_of_verifier(signing->verifier);
  let_go_of_relay(signing->relay);
  free(signing);
}

/* A signature of the token and, where there is one, the verdict on it. */
static int read_result(napi_env env, const struct signing *signing, napi_value *signature, napi_value *verdict) {
  return napi_create_buffer_copy(env, signing->signature_length, signing->signature, NULL, signature) == napi_ok &&
         (signing->verdict == UNDECIDED || napi_get_boolean(env, signing->verdict == VALID, verdict) == napi_ok);
}

/*
 * callback(rv, stoodMs, tokenMs, heir, signature, isValid): the ticket of the one that has the session now, or 0; and
 * the last two where rv is CKR_OK.
 */
static void tell(napi_env env, struct errand *errand) {
  struct signing *signing = (struct signing *)((char *)errand - offsetof(struct signing, errand));
  napi_value undefined, arguments[6];
  if (env != NULL && napi_get_undefined(env, &undefined) == napi_ok &&
      napi_create_double(env, (double)signing->rv, &arguments[0]) == napi_ok &&
      napi_create_double(env, signing->stood_ms, &arguments[1]) == napi_ok &&
      napi_create_double(env, signing->token_ms, &arguments[2]) == napi_ok &&
      napi_create_uint32(env, signing->inherited_by, &arguments[3]) == napi_ok) {
    arguments[4] = arguments[5] = undefined;
    if (signing->rv != CKR_OK || read_result(env, signing, &arguments[4], &arguments[5]))
      call_back(env, signing->callback, 6, arguments);
  }
  end(env, signing);
}

/* Bytes of a Buffer that has exactly so many. */
static int read_bytes(napi_env env, napi_value value, void *target, size_t length) {
  void *bytes;
  size_t found;
  if (napi_get_buffer_info(env, value, &bytes, &found) != napi_ok || found != length) return 0;
  memcpy(target, bytes, length);
  return 1;
}

static int read_input(napi_env env, napi_value value, struct signing *signing) {
  void *bytes;
  size_t length;
  if (napi_get_buffer_info(env, value, &bytes, &length) != napi_ok || length > MAX_INPUT) return 0;
  memcpy(signing->input, bytes, length);
  signing->input_length = length;
  return 1;
}

/* [mechanism], or [mechanism, hashAlg, mgf, sLen] of RSASSA-PSS, as a Uint32Array. */
static int read_mechanism(napi_env env, napi_value value, struct signing *signing) {
  napi_typedarray_type type;
  size_t length;
  void *data;
  if (napi_get_typedarray_info(env, value, &type, &length, &data, NULL, NULL) != napi_ok ||
      type != napi_uint32_array || (length != 1 && length != 4))
    return 0;
  const uint32_t *numbers = data;
  signing->mechanism.mechanism = numbers[0];
  if (length == 1) return 1;
  signing->pss = (CK_RSA_PKCS_PSS_PARAMS){numbers[1], numbers[2], numbers[3]};
  signing->mechanism.pParameter = &signing->pss;
  signing->mechanism.ulParameterLen = sizeof signing->pss;
  return 1;
}

/* An external, or NULL for undefined. */
static int read_optional(napi_env env, napi_value value, void **given) {
  napi_valuetype type;
  *given = NULL;
  if (napi_typeof(env, value, &type) != napi_ok) return 0;
  return type == napi_undefined || napi_get_value_external(env, value, given) == napi_ok;
}

/* What was signed, if a verifier is given for it. */
static int read_verification(napi_env env, napi_value verifier, const void *data, size_t length,
                             struct signing *signing) {
  void *given;
  if (!read_optional(env, verifier, &given)) return 0;
  if (given == NULL) return 1;
  signing->verifier = hold_verifier(given);
  if (length > 0) memcpy(signing->data, data, length);
  signing->data_length = length;
  return 1;
}

static void forget_relay(napi_env env, void *relay, void *hint) {
  (void)env;
  (void)hint;
  let_go_of_relay(relay);
}

/* relay(): where signatures stand by for the sessions of one pool. */
static napi_value relay(napi_env env, napi_callback_info info) {
  napi_value result;
  (void)info;
  struct relay *made = make_relay();
  if (made == NULL || napi_create_external(env, made, forget_relay, NULL, &result) != napi_ok) {
    let_go_of_relay(made);
    return fail(env, "no memory for a relay");
  }
  return result;
}

/* closeRelay(relay): no session is handed over any more. */
static napi_value stop_relay(napi_env env, napi_callback_info info) {
  napi_value argument;
  size_t count = 1;
  void *closed;
  if (napi_get_cb_info(env, info, &count, &argument, NULL, NULL) != napi_ok || count != 1 ||
      napi_get_value_external(env, argument, &closed) != napi_ok)
    return fail(env, "closeRelay takes a relay");
  close_relay(closed);
  return NULL;
}

static int read_relay(napi_env env, napi_value value, struct signing *signing) {
  void *given;
  if (!read_optional(env, value, &given)) return 0;
  if (given != NULL) signing->relay = hold_relay(given);
  return 1;
}

/* A signature by the arguments library, mechanism, key, input, verifier, data, relay, callback: all but a session. */
static struct signing *read_signing(napi_env env, const napi_value *arguments) {
  size_t length;
  void *library, *data;
  if (napi_get_value_external(env, arguments[0], &library) != napi_ok ||
      napi_get_buffer_info(env, arguments[5], &data, &length) != napi_ok)
    return NULL;
  struct signing *signing = calloc(1, sizeof *signing + length);
  if (signing == NULL) return NULL;
  signing->heir.work.run = sign_on_thread;
  signing->errand.tell = tell;
  signing->p11 = library;
  signing->signature_length = sizeof signing->signature;
  if (read_mechanism(env, arguments[1], signing) &&
      read_bytes(env, arguments[2], &signing->key, sizeof signing->key) &&
      read_input(env, arguments[3], signing) &&
      read_verification(env, arguments[4], data, length, signing) &&
      read_relay(env, arguments[6], signing) &&
      napi_create_reference(env, arguments[7], 1, &signing->callback) == napi_ok)
    return signing;
  end(env, signing);
  return NULL;
}

static void count_first_signers(void) {
  first_signers.most = cores();
}

static int begin(napi_env env, struct signing *signing) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, count_first_signers);
  if (!begin_errand(env, &signing->errand)) return 0;
  struct work *work = &signing->heir.work;
  if (run_at_once(&first_signers, work) || run_on_thread(&signers, work)) return 1;
  /* No thread can be had any more: it waits for one of those that are there. */
  if (run_on_thread(&first_signers, work)) return 1;
  take_back_errand(env, &signing->errand);
  return 0;
}

/* sign(session, library, mechanism, key, input, verifier, data, relay, callback) */
static napi_value sign(napi_env env, napi_callback_info info) {
  napi_value arguments[9];
  size_t count = 9;
  if (napi_get_cb_info(env, info, &count, arguments, NULL, NULL) != napi_ok || count != 9)
    return fail(env, "sign takes a session and what is signed in it");
  struct signing *signing = read_signing(env, arguments + 1);
  if (signing == NULL) return fail(env, "an argument of sign has the wrong type or length, or there is no memory");
  if (!read_bytes(env, arguments[0], &signing->session, sizeof signing->session) || !begin(env, signing)) {
    end(env, signing);
    return fail(env, "a signature cannot be begun, or its session is none");
  }
  return NULL;
}

/*
 * standBy(library, mechanism, key, input, verifier, data, relay, callback): a ticket. The callback is called after that
 * of the signature whose session it got, which is told the ticket.
 */
static napi_value queue(napi_env env, napi_callback_info info) {
  napi_value arguments[8], ticket;
  size_t given = 8;
  if (napi_get_cb_info(env, info, &given, arguments, NULL, NULL) != napi_ok || given != 8)
    return fail(env, "standBy takes what is signed when there is a session");
  struct signing *signing = read_signing(env, arguments);
  if (signing == NULL) return fail(env, "an argument of standBy has the wrong type or length, or there is no memory");
  if (signing->relay == NULL || !begin_errand(env, &signing->errand)) {
    end(env, signing);
    return fail(env, "a signature cannot stand by, or has no relay");
  }
  signing->stood_since = now_ms();
  /* From then on a thread may have it, and JavaScript, which is here, cannot be told of it before this returns. */
  uint32_t number = stand_by(signing->relay, &signing->heir);
  return napi_create_uint32(env, number, &ticket) == napi_ok ? ticket : NULL;
}

/* withdraw(relay, ticket): whether it stood by still, and never gets a session now. */
static napi_value withdraw(napi_env env, napi_callback_info info) {
  napi_value arguments[2], result;
  size_t given = 2;
  void *from;
  uint32_t ticket;
  if (napi_get_cb_info(env, info, &given, arguments, NULL, NULL) != napi_ok || given != 2 ||
      napi_get_value_external(env, arguments[0], &from) != napi_ok ||
      napi_get_value_uint32(env, arguments[1], &ticket) != napi_ok)
    return fail(env, "withdraw takes a relay and a ticket");
  struct signing *signing = (struct signing *)withdraw_heir(from, ticket);
  if (signing != NULL) {
    take_back_errand(env, &signing->errand);
    end(env, signing);
  }
  return napi_get_boolean(env, signing != NULL, &result) == napi_ok ? result : NULL;
}

static void forget_verifier(napi_env env, void *verifier, void *hint) {
  (void)env;
  (void)hint;
  let_go_of_verifier(verifier);
}

/*
 * verifier(spki, hash, form): what verifies signatures with a public key; the form as a Uint32Array of a struct
 * signature_form. Undefined where OpenSSL cannot do that.
 */
static napi_value verifier(napi_env env, napi_callback_info info) {
  napi_value arguments[3], result = NULL;
  size_t count = 3, spki_length, hash_length, form_length;
  napi_typedarray_type type;
  void *spki, *form;
  char hash[16];
  if (napi_get_cb_info(env, info, &count, arguments, NULL, NULL) != napi_ok || count != 3 ||
      napi_get_buffer_info(env, arguments[0], &spki, &spki_length) != napi_ok ||
      napi_get_value_string_utf8(env, arguments[1], hash, sizeof hash, &hash_length) != napi_ok ||
      napi_get_typedarray_info(env, arguments[2], &type, &form_length, &form, NULL, NULL) != napi_ok ||
      type != napi_uint32_array || form_length != 3)
    return fail(env, "verifier takes a key, a hash and a form");
  const uint32_t *numbers = form;
  struct signature_form wanted = {numbers[0], numbers[1], numbers[2]};
  struct verifier *made = make_verifier(spki, spki_length, hash, wanted);
  if (made != NULL && napi_create_external(env, made, forget_verifier, NULL, &result) != napi_ok) {
    let_go_of_verifier(made);
    return fail(env, "no memory for a verifier");
  }
  return result;
}

/* library(path): the functions of a PKCS#11 library, and what C_GetFunctionList gives from now on. */
static napi_value library(napi_env env, napi_callback_info info) {
  napi_value argument, result;
  size_t count = 1, length;
  char path[4096];
  const char *reason;
  if (napi_get_cb_info(env, info, &count, &argument, NULL, NULL) != napi_ok || count != 1 ||
      napi_get_value_string_utf8(env, argument, path, sizeof path, &length) != napi_ok ||
      length + 1 >= sizeof path)
    return fail(env, "library takes a path");
  CK_FUNCTION_LIST_PTR p11 = choose_library(path, &reason);
  if (p11 == NULL) return fail(env, reason);
  if (napi_create_external(env, p11, NULL, NULL, &result) != napi_ok) return fail(env, "no memory for a library");
  return result;
}

int export_signing(napi_env env, napi_value exports) {
  napi_property_descriptor properties[] = {
      {"library", NULL, library, NULL, NULL, NULL, napi_enumerable, NULL},
      {"verifier", NULL, verifier, NULL, NULL, NULL, napi_enumerable, NULL},
      {"sign", NULL, sign, NULL, NULL, NULL, napi_enumerable, NULL},
      {"relay", NULL, relay, NULL, NULL, NULL, napi_enumerable, NULL},
      {"closeRelay", NULL, stop_relay, NULL, NULL, NULL, napi_enumerable, NULL},
      {"standBy", NULL, queue, NULL, NULL, NULL, napi_enumerable, NULL},
      {"withdraw", NULL, withdraw, NULL, NULL, NULL, napi_enumerable, NULL},
  };
  return napi_define_properties(env, exports, sizeof properties / sizeof *properties, properties) == napi_ok;
}
