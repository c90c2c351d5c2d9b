/*
 * A PKCS#11 library that passes everything on to another one (DISGUISE_MODULE), but for what the environment says of
 * its token. Read at each call; nothing is kept.
 *
 *   DISGUISE_FLAGS       flags that the token has besides its own
 *   DISGUISE_TIME        what the token's clock shows
 *   DISGUISE_WITHOUT     a mechanism that the token does not have
 *   DISGUISE_SMALLER     the largest key that any mechanism takes, in bits
 *   DISGUISE_SIGNS_NOT   any value: no mechanism signs
 *   DISGUISE_LABEL       what the token is called, as it is
 */
#include "cryptoki.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

static CK_FUNCTION_LIST list;
static CK_FUNCTION_LIST_PTR real;

static unsigned long number(const char *name) {
  const char *text = getenv(name);
  return text == NULL ? 0 : strtoul(text, NULL, 0);
}

static CK_RV token_info(CK_SLOT_ID slot, CK_TOKEN_INFO_PTR info) {
  CK_RV rv = real->C_GetTokenInfo(slot, info);
  if (rv != CKR_OK || !(info->flags & CKF_TOKEN_INITIALIZED)) return rv;
  const char *time = getenv("DISGUISE_TIME"), *label = getenv("DISGUISE_LABEL");
  info->flags |= number("DISGUISE_FLAGS");
  if (time != NULL) memcpy(info->utcTime, time, strnlen(time, sizeof info->utcTime));
  if (label != NULL) memcpy(info->label, label, strnlen(label, sizeof info->label));
  return rv;
}

static CK_RV mechanism_list(CK_SLOT_ID slot, CK_MECHANISM_TYPE_PTR types, CK_ULONG_PTR count) {
  CK_RV rv = real->C_GetMechanismList(slot, types, count);
  if (rv != CKR_OK || types == NULL || getenv("DISGUISE_WITHOUT") == NULL) return rv;
  /* The place of the one that is missing goes to one that nobody asks for. */
  for (CK_ULONG i = 0; i < *count; i++)
    if (types[i] == number("DISGUISE_WITHOUT")) types[i] = CKM_VENDOR_DEFINED;
  return rv;
}

static CK_RV mechanism_info(CK_SLOT_ID slot, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO_PTR info) {
  CK_RV rv = real->C_GetMechanismInfo(slot, type, info);
  if (rv == CKR_OK && getenv("DISGUISE_SMALLER") != NULL) info->ulMaxKeySize = number("DISGUISE_SMALLER");
  if (rv == CKR_OK && getenv("DISGUISE_SIGNS_NOT") != NULL) info->flags &= ~CKF_SIGN;
  return rv;
}

__attribute__((visibility("default"))) CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR result) {
  void *library = dlopen(getenv("DISGUISE_MODULE"), RTLD_NOW | RTLD_LOCAL);
  CK_C_GetFunctionList get = library == NULL ? NULL : (CK_C_GetFunctionList)dlsym(library, "C_GetFunctionList");
  if (get == NULL || get(&real) != CKR_OK) return CKR_GENERAL_ERROR;
  list = *real;
  list.C_GetTokenInfo = token_info;
  list.C_GetMechanismList = mechanism_list;
  list.C_GetMechanismInfo = mechanism_info;
  *result = &list;
  return CKR_OK;
}
