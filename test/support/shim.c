/*
 * A PKCS#11 library that passes everything on to another one (SHIM_MODULE), but for what the file SHIM_CONTROL
 * says of C_Sign. The file is one line of five numbers, read at every C_Sign:
 *
 *   epoch delay_us wrong rv failing
 *
 * Each C_Sign takes delay_us longer. After a change of epoch, the next `failing` calls return rv, and the next
 * `wrong` ones return CKR_OK with a signature that is not one. When two threads use one session at once the
 * process is aborted: CloudHSM leaves the result of that undefined.
 */
#define CK_PTR *
#define CK_DECLARE_FUNCTION(returnType, name) returnType name
#define CK_DECLARE_FUNCTION_POINTER(returnType, name) returnType(*name)
#define CK_CALLBACK_FUNCTION(returnType, name) returnType(*name)
#ifndef NULL_PTR
#define NULL_PTR 0
#endif
#include "pkcs11.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define MAX_SESSIONS 4096

static CK_FUNCTION_LIST list;
static CK_FUNCTION_LIST_PTR real;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static CK_SESSION_HANDLE in_use[MAX_SESSIONS];
static long epoch, wrong, failing;

struct order {
  long delay_us;
  int is_wrong;
  CK_RV rv;
};

/* What the control file wants of this call. Called with the lock held. */
static struct order next_order(void) {
  struct order order = {0, 0, CKR_OK};
  long now_epoch = 0, now_wrong = 0, now_failing = 0;
  unsigned long rv = CKR_OK;
  FILE *file = fopen(getenv("SHIM_CONTROL"), "r");
  if (file == NULL) return order;
  if (fscanf(file, "%ld %ld %ld %lu %ld", &now_epoch, &order.delay_us, &now_wrong, &rv, &now_failing) == 5 &&
      now_epoch != epoch) {
    epoch = now_epoch;
    wrong = now_wrong;
    failing = now_failing;
  }
  fclose(file);
  if (failing > 0) {
    failing -= 1;
    order.rv = rv;
  } else if (wrong > 0) {
    wrong -= 1;
    order.is_wrong = 1;
  }
  return order;
}

static void enter(CK_SESSION_HANDLE session) {
  int free_place = -1;
  for (int i = 0; i < MAX_SESSIONS; i++) {
    if (in_use[i] == session) {
      fprintf(stderr, "shim: two threads use session %lu\n", session);
      abort();
    }
    if (in_use[i] == 0 && free_place < 0) free_place = i;
  }
  if (free_place >= 0) in_use[free_place] = session;
}

static void leave(CK_SESSION_HANDLE session) {
  for (int i = 0; i < MAX_SESSIONS; i++)
    if (in_use[i] == session) in_use[i] = 0;
}

static CK_RV shim_sign(CK_SESSION_HANDLE session, CK_BYTE_PTR data, CK_ULONG data_length, CK_BYTE_PTR signature,
                       CK_ULONG_PTR signature_length) {
  pthread_mutex_lock(&lock);
  struct order order = next_order();
  enter(session);
  pthread_mutex_unlock(&lock);

  struct timespec delay = {order.delay_us / 1000000, (order.delay_us % 1000000) * 1000};
  if (order.delay_us > 0) nanosleep(&delay, NULL);
  CK_RV rv = real->C_Sign(session, data, data_length, signature, signature_length);
  if (rv == CKR_OK && order.is_wrong) signature[*signature_length / 2] ^= 1;

  pthread_mutex_lock(&lock);
  leave(session);
  pthread_mutex_unlock(&lock);
  return order.rv == CKR_OK ? rv : order.rv;
}

CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR result) {
  void *library = dlopen(getenv("SHIM_MODULE"), RTLD_NOW | RTLD_LOCAL);
  CK_C_GetFunctionList get = library == NULL ? NULL : (CK_C_GetFunctionList)dlsym(library, "C_GetFunctionList");
  if (get == NULL || get(&real) != CKR_OK) return CKR_GENERAL_ERROR;
  list = *real;
  list.C_Sign = shim_sign;
  *result = &list;
  return CKR_OK;
}
