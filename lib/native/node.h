/* Node-API, and what every function of the addon needs. */
#ifndef HSM_SIGNER_NODE_H
#define HSM_SIGNER_NODE_H

#define NAPI_VERSION 8
#include <node_api.h>

/** Throws an Error; the value is for return. */
static inline napi_value fail(napi_env env, const char *what) {
  napi_throw_error(env, NULL, what);
  return NULL;
}

/** What the files of the addon export; 0 where they cannot. */
int export_signing(napi_env env, napi_value exports);
int export_hashing(napi_env env, napi_value exports);

#endif
