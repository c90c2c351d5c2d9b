/*
 * C_SignInit, C_Sign (PKCS#11 v2.40 §5.11) and the verification of the signature as one piece of work on a thread.
 *
 * pkcs11js has no asynchronous C_SignInit: where that asks the cluster, as CloudHSM's does unless it is told not to,
 * the one JavaScript thread would wait for the network with every signature. It also lets go of the input of an
 * asynchronous C_Sign (pkcs11js#121): here the input is copied before the call returns to JavaScript.
 */
#include "library.h"
#include "node.h"
#include "office.h"
#include "threads.h"
#include "verify.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* A DigestInfo around SHA-512 has 83 bytes, a signature of RSA-8192 has 1,024. */
#define MAX_INPUT 128
#define MAX_SIGNATURE 1024

/* A thread for each C_Sign under way: all that it does is to wait for the HSM. */
static struct crew signers = CREW("hsm-sign", 0, 0);

struct signing {
  struct work work;
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
  struct verifier *verifier;
  enum verdict verdict;
  size_t data_length;
  /* What the signature is verified over. */
  CK_BYTE data[];
};

static double now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static CK_RV sign_by_token(struct signing *signing) {
  CK_RV rv = signing->p11->C_SignInit(signing->session, &signing->mechanism, signing->key);
  if (rv != CKR_OK) return rv;
  rv = signing->p11->C_Sign(signing->session, signing->input, signing->input_length, signing->signature,
                            &signing->signature_length);
  /* One that has written more than there was room for cannot go on. */
  return rv == CKR_OK && signing->signature_length > MAX_SIGNATURE ? CKR_GENERAL_ERROR : rv;
}

/* On a thread: no JavaScript here. */
static void sign_on_thread(struct work *work) {
  struct signing *signing = (struct signing *)work;
  double start = now_ms();
  signing->rv = sign_by_token(signing);
  signing->token_ms = now_ms() - start;
  if (signing->rv == CKR_OK && signing->verifier != NULL)
    signing->verdict = verify(signing->verifier, signing->data, signing->data_length, signing->signature,
                              signing->signature_length);
  finish_errand(&signing->errand);
}

static void end(napi_env env, struct signing *signing) {
  if (signing->callback != NULL) napi_delete_reference(env, signing->callback);
  let_go_of_verifier(signing->verifier);
  free(signing);
}

/* A signature of the token and, where there is one, the verdict on it. */
static int read_result(napi_env env, const struct signing *signing, napi_value *signature, napi_value *verdict) {
  return napi_create_buffer_copy(env, signing->signature_length, signing->signature, NULL, signature) == napi_ok &&
         (signing->verdict == UNDECIDED || napi_get_boolean(env, signing->verdict == VALID, verdict) == napi_ok);
}

/* callback(rv, tokenMs, signature, isValid), the last two where rv is CKR_OK. */
static void tell(napi_env env, struct errand *errand) {
  struct signing *signing = (struct signing *)((char *)errand - offsetof(struct signing, errand));
  napi_value undefined, arguments[4];
  if (env != NULL && napi_get_undefined(env, &undefined) == napi_ok &&
      napi_create_double(env, (double)signing->rv, &arguments[0]) == napi_ok &&
      napi_create_double(env, signing->token_ms, &arguments[1]) == napi_ok) {
    arguments[2] = arguments[3] = undefined;
    if (signing->rv != CKR_OK || read_result(env, signing, &arguments[2], &arguments[3]))
      call_back(env, signing->callback, 4, arguments);
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

/* What was signed, if a verifier is given for it. */
static int read_verification(napi_env env, napi_value verifier, const void *data, size_t length,
                             struct signing *signing) {
  napi_valuetype type;
  void *given;
  if (napi_typeof(env, verifier, &type) != napi_ok) return 0;
  if (type == napi_undefined) return 1;
  if (napi_get_value_external(env, verifier, &given) != napi_ok) return 0;
  signing->verifier = hold_verifier(given);
  if (length > 0) memcpy(signing->data, data, length);
  signing->data_length = length;
  return 1;
}

static int begin(napi_env env, struct signing *signing) {
  signing->work.run = sign_on_thread;
  signing->errand.tell = tell;
  if (!begin_errand(env, &signing->errand)) return 0;
  if (run_on_thread(&signers, &signing->work)) return 1;
  take_back_errand(env, &signing->errand);
  return 0;
}

/* sign(library, session, mechanism, key, input, verifier, data, callback) */
static napi_value sign(napi_env env, napi_callback_info info) {
  napi_value arguments[8];
  size_t count = 8, length;
  void *library, *data;
  if (napi_get_cb_info(env, info, &count, arguments, NULL, NULL) != napi_ok || count != 8 ||
      napi_get_value_external(env, arguments[0], &library) != napi_ok ||
      napi_get_buffer_info(env, arguments[6], &data, &length) != napi_ok)
    return fail(env, "sign takes a library, a session, a mechanism, a key, an input, a verifier, data and a callback");
  struct signing *signing = calloc(1, sizeof *signing + length);
  if (signing == NULL) return fail(env, "no memory for a signature");
  signing->p11 = library;
  signing->signature_length = sizeof signing->signature;
  if (!read_bytes(env, arguments[1], &signing->session, sizeof signing->session) ||
      !read_mechanism(env, arguments[2], signing) ||
      !read_bytes(env, arguments[3], &signing->key, sizeof signing->key) ||
      !read_input(env, arguments[4], signing) ||
      !read_verification(env, arguments[5], data, length, signing) ||
      napi_create_reference(env, arguments[7], 1, &signing->callback) != napi_ok) {
    end(env, signing);
    return fail(env, "an argument of sign has the wrong type or length");
  }
  if (!begin(env, signing)) {
    end(env, signing);
    return fail(env, "a signature cannot be begun");
  }
  return NULL;
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
  };
  return napi_define_properties(env, exports, sizeof properties / sizeof *properties, properties) == napi_ok;
}
