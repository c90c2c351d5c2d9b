#define _GNU_SOURCE
#include "openssl.h"

#include <dlfcn.h>
#include <pthread.h>
#include <string.h>

#define MAJOR 3

struct openssl openssl;

static const struct {
  const char *name;
  void *target;
} functions[] = {
    {"OPENSSL_version_major", &openssl.OPENSSL_version_major},
    {"d2i_PUBKEY", &openssl.d2i_PUBKEY},
    {"EVP_PKEY_free", &openssl.EVP_PKEY_free},
    {"EVP_MD_CTX_new", &openssl.EVP_MD_CTX_new},
    {"EVP_MD_CTX_free", &openssl.EVP_MD_CTX_free},
    {"EVP_MD_CTX_copy_ex", &openssl.EVP_MD_CTX_copy_ex},
    {"EVP_MD_fetch", &openssl.EVP_MD_fetch},
    {"EVP_MD_free", &openssl.EVP_MD_free},
    {"EVP_DigestInit_ex", &openssl.EVP_DigestInit_ex},
    {"EVP_DigestUpdate", &openssl.EVP_DigestUpdate},
    {"EVP_DigestFinal_ex", &openssl.EVP_DigestFinal_ex},
    {"EVP_DigestVerifyInit_ex", &openssl.EVP_DigestVerifyInit_ex},
    {"EVP_DigestVerify", &openssl.EVP_DigestVerify},
    {"EVP_PKEY_CTX_set_rsa_padding", &openssl.EVP_PKEY_CTX_set_rsa_padding},
    {"EVP_PKEY_CTX_set_rsa_pss_saltlen", &openssl.EVP_PKEY_CTX_set_rsa_pss_saltlen},
    {"ERR_clear_error", &openssl.ERR_clear_error},
};

static int is_known;

static void look_for_openssl(void) {
  for (size_t index = 0; index < sizeof functions / sizeof *functions; index += 1) {
    void *found = dlsym(RTLD_DEFAULT, functions[index].name);
    if (found == NULL) return;
    memcpy(functions[index].target, &found, sizeof found);
  }
  is_known = openssl.OPENSSL_version_major() == MAJOR;
}

int has_openssl(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, look_for_openssl);
  return is_known;
}
