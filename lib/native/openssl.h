/*
 * The OpenSSL that the runtime contains and exports to addons.
 *
 * Node exports the one that it contains, in the version that it was built with; Deno none. So nothing is linked: what
 * is needed is looked for once, and declared here as OpenSSL 3 has it, all versions of it alike. OpenSSL promises that
 * for 3; of another one nothing is known.
 */
#ifndef HSM_SIGNER_OPENSSL_H
#define HSM_SIGNER_OPENSSL_H

#include <stddef.h>

typedef struct evp_pkey_st EVP_PKEY;
typedef struct evp_pkey_ctx_st EVP_PKEY_CTX;
typedef struct evp_md_st EVP_MD;
typedef struct evp_md_ctx_st EVP_MD_CTX;

/** Of a digest, in bytes, at most. */
#define EVP_MAX_MD_SIZE 64

struct openssl {
  unsigned int (*OPENSSL_version_major)(void);
  EVP_PKEY *(*d2i_PUBKEY)(EVP_PKEY **key, const unsigned char **der, long length);
  void (*EVP_PKEY_free)(EVP_PKEY *key);
  EVP_MD_CTX *(*EVP_MD_CTX_new)(void);
  void (*EVP_MD_CTX_free)(EVP_MD_CTX *context);
  int (*EVP_MD_CTX_copy_ex)(EVP_MD_CTX *to, const EVP_MD_CTX *from);
  EVP_MD *(*EVP_MD_fetch)(void *library, const char *name, const char *properties);
  void (*EVP_MD_free)(EVP_MD *hash);
  int (*EVP_DigestInit_ex)(EVP_MD_CTX *context, const EVP_MD *hash, void *engine);
  int (*EVP_DigestUpdate)(EVP_MD_CTX *context, const void *data, size_t length);
  int (*EVP_DigestFinal_ex)(EVP_MD_CTX *context, unsigned char *digest, unsigned int *length);
  int (*EVP_DigestVerifyInit_ex)(EVP_MD_CTX *context, EVP_PKEY_CTX **key_context, const char *hash, void *library,
                                 const char *properties, EVP_PKEY *key, const void *parameters);
  int (*EVP_DigestVerify)(EVP_MD_CTX *context, const unsigned char *signature, size_t signature_length,
                          const unsigned char *data, size_t data_length);
  int (*EVP_PKEY_CTX_set_rsa_padding)(EVP_PKEY_CTX *context, int padding);
  int (*EVP_PKEY_CTX_set_rsa_pss_saltlen)(EVP_PKEY_CTX *context, int length);
  void (*ERR_clear_error)(void);
};

/** To be used only where there is one. */
extern struct openssl openssl;

/** Whether the runtime exports an OpenSSL that is known here. */
int has_openssl(void);

#endif
