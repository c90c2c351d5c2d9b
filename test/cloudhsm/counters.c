#include "counters.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static const char *const counter_names[COUNTERS] = {
#define CK_PKCS11_FUNCTION_INFO(name) #name,
#include "pkcs11f.h"
#undef CK_PKCS11_FUNCTION_INFO
    [CLUSTER_REQUESTS] = "cluster requests",
    [PINS_REFUSED] = "PINs refused",
    [PINS_REFUSED_IN_A_ROW] = "PINs refused in a row",
    [CALLS_FAILED] = "calls failed",
    [CALLS_HUNG] = "calls hung",
    [WRONG_SIGNATURES] = "wrong signatures",
};

static char cluster_requests[FUNCTIONS] = {
    [F_C_Login] = 1,           [F_C_Logout] = 1,           [F_C_CreateObject] = 1,   [F_C_DestroyObject] = 1,
    [F_C_FindObjectsInit] = 1, [F_C_FindObjects] = 1,      [F_C_FindObjectsFinal] = 1,
    [F_C_GetAttributeValue] = 1, [F_C_SignInit] = 1,       [F_C_Sign] = 1,           [F_C_SignFinal] = 1,
    [F_C_Verify] = 1,          [F_C_VerifyFinal] = 1,      [F_C_GenerateKey] = 1,    [F_C_GenerateKeyPair] = 1,
    [F_C_WrapKey] = 1,         [F_C_UnwrapKey] = 1,        [F_C_DeriveKey] = 1,      [F_C_GenerateRandom] = 1,
};

struct counter {
  char name[24];
  uint64_t count;
};
static struct counter *counters;

int open_counters(void) {
  const char *path = getenv("SIM_COUNTERS");
  int file = path == NULL ? -1 : open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (file < 0 || ftruncate(file, COUNTERS * sizeof *counters) != 0) return 0;
  counters = mmap(NULL, COUNTERS * sizeof *counters, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  if (counters == MAP_FAILED) return 0;
  for (int i = 0; i < COUNTERS; i++)
    snprintf(counters[i].name, sizeof counters[i].name, "%s", counter_names[i]);
  return 1;
}

uint64_t add(int counter, uint64_t number) {
  return __atomic_add_fetch(&counters[counter].count, number, __ATOMIC_SEQ_CST);
}

void reset(int counter) {
  __atomic_store_n(&counters[counter].count, 0, __ATOMIC_SEQ_CST);
}

const char *counter_name(int counter) {
  return counter_names[counter];
}

int is_cluster_request(enum function function) {
  return cluster_requests[function];
}

void set_cluster_request(enum function function, int is_one) {
  cluster_requests[function] = is_one;
}
