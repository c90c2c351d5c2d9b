#include "library.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

struct library {
  struct library *next;
  CK_FUNCTION_LIST_PTR p11;
  char path[];
};

/* All that were ever loaded, by the one JavaScript thread. */
static struct library *libraries;
/* The one that pkcs11js is about to ask for. */
static struct library *chosen;

static struct library *load(const char *path, const char **reason) {
  for (struct library *known = libraries; known != NULL; known = known->next)
    if (strcmp(known->path, path) == 0) return known;
  void *handle = dlopen(path, RTLD_LAZY | RTLD_LOCAL);
  if (handle == NULL) {
    *reason = dlerror();
    return NULL;
  }
  CK_C_GetFunctionList get = (CK_C_GetFunctionList)dlsym(handle, "C_GetFunctionList");
  CK_FUNCTION_LIST_PTR p11;
  struct library *made = malloc(sizeof *made + strlen(path) + 1);
  *reason = "it is not a PKCS#11 library, or does not want to be one now (C_GetFunctionList)";
  if (get == NULL || made == NULL || get(&p11) != CKR_OK) {
    free(made);
    return NULL;
  }
  strcpy(made->path, path);
  made->p11 = p11;
  made->next = libraries;
  return libraries = made;
}

CK_FUNCTION_LIST_PTR choose_library(const char *path, const char **reason) {
  chosen = load(path, reason);
  return chosen == NULL ? NULL : chosen->p11;
}

__attribute__((visibility("default"))) CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR list) {
  if (list == NULL) return CKR_ARGUMENTS_BAD;
  if (chosen == NULL) return CKR_GENERAL_ERROR;
  *list = chosen->p11;
  return CKR_OK;
}
