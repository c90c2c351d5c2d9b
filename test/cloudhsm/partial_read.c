/*
 * Reads CKA_ID, CKA_EC_POINT and CKA_LABEL of the first private key that a PKCS#11 library shows, with one
 * C_GetAttributeValue, and prints the return value, the three lengths, and what the first and the last hold.
 * pkcs11js throws all of a read away when one attribute cannot be read: only C sees the others.
 *
 *   partial_read <library> <PIN>
 */
#include "cryptoki.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

int main(int count, char **arguments) {
  CK_FUNCTION_LIST_PTR p11;
  CK_C_INITIALIZE_ARGS locking = {.flags = CKF_OS_LOCKING_OK};
  CK_SLOT_ID slot;
  CK_SESSION_HANDLE session;
  CK_OBJECT_HANDLE key;
  CK_ULONG one = 1, found = 0;
  CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
  CK_ATTRIBUTE wanted = {CKA_CLASS, &class, sizeof class};
  char id[32] = "", point[200] = "", label[32] = "";
  CK_ATTRIBUTE read[] = {{CKA_ID, id, sizeof id - 1}, {CKA_EC_POINT, point, sizeof point}, {CKA_LABEL, label, sizeof label - 1}};
  void *library = count == 3 ? dlopen(arguments[1], RTLD_NOW) : NULL;
  CK_C_GetFunctionList get = library == NULL ? NULL : (CK_C_GetFunctionList)dlsym(library, "C_GetFunctionList");
  if (get == NULL || get(&p11) != CKR_OK || p11->C_Initialize(&locking) != CKR_OK) return 1;
  if (p11->C_GetSlotList(CK_TRUE, &slot, &one) != CKR_OK) return 2;
  if (p11->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &session) != CKR_OK) return 3;
  if (p11->C_Login(session, CKU_USER, (CK_UTF8CHAR_PTR)arguments[2], strlen(arguments[2])) != CKR_OK) return 4;
  if (p11->C_FindObjectsInit(session, &wanted, 1) != CKR_OK) return 5;
  if (p11->C_FindObjects(session, &key, 1, &found) != CKR_OK || found != 1) return 6;
  p11->C_FindObjectsFinal(session);
  CK_RV rv = p11->C_GetAttributeValue(session, key, read, 3);
  printf("%#lx %ld %ld %ld %s %s\n", rv, (long)read[0].ulValueLen, (long)read[1].ulValueLen, (long)read[2].ulValueLen, id,
         label);
  p11->C_Finalize(NULL);
  return 0;
}
