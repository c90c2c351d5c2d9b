/*
 * A PKCS#11 library that can do nothing but C_SignInit and C_Sign, and signs anything with what is in the file
 * SCRIPTED_SIGNATURE. Of more than there is room for it says the whole length, and CKR_OK all the same.
 */
#include "cryptoki.h"

#include <stdio.h>
#include <stdlib.h>

static CK_RV sign_init(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE key) {
  (void)session;
  (void)key;
  return mechanism == NULL ? CKR_ARGUMENTS_BAD : CKR_OK;
}

static CK_RV sign(CK_SESSION_HANDLE session, CK_BYTE_PTR data, CK_ULONG data_length, CK_BYTE_PTR signature,
                  CK_ULONG_PTR signature_length) {
  (void)session;
  (void)data;
  (void)data_length;
  FILE *file = fopen(getenv("SCRIPTED_SIGNATURE"), "rb");
  if (file == NULL) return CKR_DEVICE_ERROR;
  CK_ULONG length = fread(signature, 1, *signature_length, file);
  while (fgetc(file) != EOF) length += 1;
  fclose(file);
  *signature_length = length;
  return CKR_OK;
}

static CK_FUNCTION_LIST list = {.version = {2, 40}, .C_SignInit = sign_init, .C_Sign = sign};

__attribute__((visibility("default"))) CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR result) {
  *result = &list;
  return CKR_OK;
}
