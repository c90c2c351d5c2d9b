/*
 * A PKCS#11 library that passes everything on to another one (TOKEN_SHARE_MODULE) and adds up, in the file
 * TOKEN_SHARE_SUMS, what C_SignInit and C_Sign took: CPU time of the threads that called them, in nanoseconds, user and
 * system, and the calls of C_Sign. Two numbers of 64 bits, for all processes together.
 */
#define _GNU_SOURCE
#include "cryptoki.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

struct sums {
  _Atomic uint64_t nanoseconds;
  _Atomic uint64_t signatures;
};

static CK_FUNCTION_LIST list;
static CK_FUNCTION_LIST_PTR real;
static struct sums *sums;

static uint64_t cpu_of_thread(void) {
  struct timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static CK_RV sign_init(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE key) {
  uint64_t begin = cpu_of_thread();
  CK_RV rv = real->C_SignInit(session, mechanism, key);
  atomic_fetch_add(&sums->nanoseconds, cpu_of_thread() - begin);
  return rv;
}

static CK_RV sign(CK_SESSION_HANDLE session, CK_BYTE_PTR data, CK_ULONG data_length, CK_BYTE_PTR signature,
                  CK_ULONG_PTR signature_length) {
  uint64_t begin = cpu_of_thread();
  CK_RV rv = real->C_Sign(session, data, data_length, signature, signature_length);
  atomic_fetch_add(&sums->nanoseconds, cpu_of_thread() - begin);
  atomic_fetch_add(&sums->signatures, 1);
  return rv;
}

static struct sums *open_sums(void) {
  const char *path = getenv("TOKEN_SHARE_SUMS");
  int file = path == NULL ? -1 : open(path, O_RDWR | O_CREAT, 0600);
  if (file == -1 || ftruncate(file, sizeof(struct sums)) != 0) return NULL;
  void *mapped = mmap(NULL, sizeof(struct sums), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  return mapped == MAP_FAILED ? NULL : mapped;
}

__attribute__((visibility("default"))) CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR result) {
  const char *path = getenv("TOKEN_SHARE_MODULE");
  void *library = path == NULL ? NULL : dlopen(path, RTLD_NOW | RTLD_LOCAL);
  CK_C_GetFunctionList get = library == NULL ? NULL : (CK_C_GetFunctionList)dlsym(library, "C_GetFunctionList");
  if (sums == NULL) sums = open_sums();
  if (sums == NULL || get == NULL || get(&real) != CKR_OK) return CKR_GENERAL_ERROR;
  list = *real;
  list.C_SignInit = sign_init;
  list.C_Sign = sign;
  *result = &list;
  return CKR_OK;
}
