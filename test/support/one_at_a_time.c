/*
 * A PKCS#11 library that passes everything on to another one (ONE_AT_A_TIME_MODULE), one call at a time.
 *
 * p11-kit's client has one connection for all sessions, and up to 0.25 forgets a thread that waits on it: where the
 * server dies between the head and the body of an answer, whoever had read the head for another thread waits for
 * ever (rpc_socket_read of rpc-transport.c). One call at a time never meets that, and the server does one at a time
 * anyway. What is not listed here is not there.
 */
#include "cryptoki.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static CK_FUNCTION_LIST_PTR real;

#define ONE_AT_A_TIME(name, parameters, arguments) \
  static CK_RV name parameters {                   \
    pthread_mutex_lock(&lock);                     \
    CK_RV rv = real->C_##name arguments;           \
    pthread_mutex_unlock(&lock);                   \
    return rv;                                     \
  }

#define SESSION CK_SESSION_HANDLE session
#define BYTES(name) CK_BYTE_PTR name, CK_ULONG name##_length

ONE_AT_A_TIME(Initialize, (void *arguments), (arguments))
ONE_AT_A_TIME(Finalize, (void *nothing), (nothing))
ONE_AT_A_TIME(GetInfo, (CK_INFO_PTR info), (info))
ONE_AT_A_TIME(GetSlotList, (CK_BBOOL with_token, CK_SLOT_ID_PTR slots, CK_ULONG_PTR count), (with_token, slots, count))
ONE_AT_A_TIME(GetSlotInfo, (CK_SLOT_ID slot, CK_SLOT_INFO_PTR info), (slot, info))
ONE_AT_A_TIME(GetTokenInfo, (CK_SLOT_ID slot, CK_TOKEN_INFO_PTR info), (slot, info))
ONE_AT_A_TIME(GetMechanismList, (CK_SLOT_ID slot, CK_MECHANISM_TYPE_PTR types, CK_ULONG_PTR count),
              (slot, types, count))
ONE_AT_A_TIME(GetMechanismInfo, (CK_SLOT_ID slot, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO_PTR info),
              (slot, type, info))
ONE_AT_A_TIME(OpenSession,
              (CK_SLOT_ID slot, CK_FLAGS flags, void *application, CK_NOTIFY notify, CK_SESSION_HANDLE_PTR session),
              (slot, flags, application, notify, session))
ONE_AT_A_TIME(CloseSession, (SESSION), (session))
ONE_AT_A_TIME(CloseAllSessions, (CK_SLOT_ID slot), (slot))
ONE_AT_A_TIME(GetSessionInfo, (SESSION, CK_SESSION_INFO_PTR info), (session, info))
ONE_AT_A_TIME(Login, (SESSION, CK_USER_TYPE user, BYTES(pin)), (session, user, pin, pin_length))
ONE_AT_A_TIME(Logout, (SESSION), (session))
ONE_AT_A_TIME(GetAttributeValue, (SESSION, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_PTR attributes, CK_ULONG count),
              (session, object, attributes, count))
ONE_AT_A_TIME(FindObjectsInit, (SESSION, CK_ATTRIBUTE_PTR attributes, CK_ULONG count), (session, attributes, count))
ONE_AT_A_TIME(FindObjects, (SESSION, CK_OBJECT_HANDLE_PTR objects, CK_ULONG room, CK_ULONG_PTR count),
              (session, objects, room, count))
ONE_AT_A_TIME(FindObjectsFinal, (SESSION), (session))
ONE_AT_A_TIME(DestroyObject, (SESSION, CK_OBJECT_HANDLE object), (session, object))
ONE_AT_A_TIME(GenerateKeyPair,
              (SESSION, CK_MECHANISM_PTR mechanism, CK_ATTRIBUTE_PTR public, CK_ULONG public_count,
               CK_ATTRIBUTE_PTR private, CK_ULONG private_count, CK_OBJECT_HANDLE_PTR public_key,
               CK_OBJECT_HANDLE_PTR private_key),
              (session, mechanism, public, public_count, private, private_count, public_key, private_key))
ONE_AT_A_TIME(GenerateRandom, (SESSION, BYTES(bytes)), (session, bytes, bytes_length))
ONE_AT_A_TIME(SignInit, (SESSION, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE key), (session, mechanism, key))
ONE_AT_A_TIME(Sign, (SESSION, BYTES(data), CK_BYTE_PTR signature, CK_ULONG_PTR signature_length),
              (session, data, data_length, signature, signature_length))
ONE_AT_A_TIME(VerifyInit, (SESSION, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE key), (session, mechanism, key))
ONE_AT_A_TIME(Verify, (SESSION, BYTES(data), BYTES(signature)),
              (session, data, data_length, signature, signature_length))

__attribute__((visibility("default"))) CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR result) {
  static CK_FUNCTION_LIST list = {
      .C_Initialize = Initialize,
      .C_Finalize = Finalize,
      .C_GetInfo = GetInfo,
      .C_GetFunctionList = C_GetFunctionList,
      .C_GetSlotList = GetSlotList,
      .C_GetSlotInfo = GetSlotInfo,
      .C_GetTokenInfo = GetTokenInfo,
      .C_GetMechanismList = GetMechanismList,
      .C_GetMechanismInfo = GetMechanismInfo,
      .C_OpenSession = OpenSession,
      .C_CloseSession = CloseSession,
      .C_CloseAllSessions = CloseAllSessions,
      .C_GetSessionInfo = GetSessionInfo,
      .C_Login = Login,
      .C_Logout = Logout,
      .C_GetAttributeValue = GetAttributeValue,
      .C_FindObjectsInit = FindObjectsInit,
      .C_FindObjects = FindObjects,
      .C_FindObjectsFinal = FindObjectsFinal,
      .C_DestroyObject = DestroyObject,
      .C_GenerateKeyPair = GenerateKeyPair,
      .C_GenerateRandom = GenerateRandom,
      .C_SignInit = SignInit,
      .C_Sign = Sign,
      .C_VerifyInit = VerifyInit,
      .C_Verify = Verify,
  };
  void *library = dlopen(getenv("ONE_AT_A_TIME_MODULE"), RTLD_NOW | RTLD_LOCAL);
  CK_C_GetFunctionList get = library == NULL ? NULL : (CK_C_GetFunctionList)dlsym(library, "C_GetFunctionList");
  if (get == NULL || get(&real) != CKR_OK) return CKR_GENERAL_ERROR;
  list.version = real->version;
  *result = &list;
  return CKR_OK;
}
