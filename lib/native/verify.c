#include "verify.h"

#include "openssl.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* Of r and of s with P-521; of a signature by them, in DER: two INTEGERs in a SEQUENCE. */
#define MAX_COORDINATE 66
#define MAX_ECDSA_DER (3 + 2 * (3 + MAX_COORDINATE))

struct verifier {
  atomic_uint holders;
  /* Ready but for data and signature: each verification has a copy, which costs less than to set one up. */
  EVP_MD_CTX *prepared;
  struct signature_form form;
};

static int is_possible(struct signature_form form) {
  uint32_t coordinate = form.signature_length / 2;
  return form.padding != 0 ||
         (coordinate > 0 && coordinate <= MAX_COORDINATE && form.signature_length == 2 * coordinate);
}

/* MGF1 is of the signature's own hash where nothing else is said. */
static int prepare(EVP_MD_CTX *context, const char *hash, EVP_PKEY *key, struct signature_form form) {
  EVP_PKEY_CTX *key_context;
  if (openssl.EVP_DigestVerifyInit_ex(context, &key_context, hash, NULL, NULL, key, NULL) != 1) return 0;
  if (form.padding == 0) return 1;
  if (openssl.EVP_PKEY_CTX_set_rsa_padding(key_context, (int)form.padding) <= 0) return 0;
  return form.salt_length == 0 ||
         openssl.EVP_PKEY_CTX_set_rsa_pss_saltlen(key_context, (int)form.salt_length) > 0;
}

struct verifier *make_verifier(const uint8_t *spki, size_t spki_length, const char *hash, struct signature_form form) {
  if (!has_openssl() || !is_possible(form)) return NULL;
  struct verifier *verifier = calloc(1, sizeof *verifier);
  EVP_PKEY *key = openssl.d2i_PUBKEY(NULL, &spki, (long)spki_length);
  EVP_MD_CTX *prepared = openssl.EVP_MD_CTX_new();
  int is_ready = verifier != NULL && key != NULL && prepared != NULL && prepare(prepared, hash, key, form);
  /* The context holds the key itself. */
  openssl.EVP_PKEY_free(key);
  if (!is_ready) {
    openssl.EVP_MD_CTX_free(prepared);
    openssl.ERR_clear_error();
    free(verifier);
    return NULL;
  }
  verifier->prepared = prepared;
  verifier->form = form;
  return hold_verifier(verifier);
}

struct verifier *hold_verifier(struct verifier *verifier) {
  atomic_fetch_add(&verifier->holders, 1);
  return verifier;
}

void let_go_of_verifier(struct verifier *verifier) {
  if (verifier == NULL || atomic_fetch_sub(&verifier->holders, 1) > 1) return;
  openssl.EVP_MD_CTX_free(verifier->prepared);
  free(verifier);
}

/* INTEGER: minimal two's complement of a big-endian number that is not negative (X.690 §8.3.2). */
static size_t write_integer(uint8_t *target, const uint8_t *number, size_t length) {
  while (length > 1 && *number == 0) {
    number += 1;
    length -= 1;
  }
  size_t sign = *number >= 0x80;
  target[0] = 0x02;
  target[1] = (uint8_t)(sign + length);
  target[2] = 0;
  memcpy(target + 2 + sign, number, length);
  return 2 + sign + length;
}

/* ECDSA-Sig-Value (RFC 3279 §2.2.3) of r‖s, into MAX_ECDSA_DER bytes. */
static size_t write_ecdsa(uint8_t *der, const uint8_t *raw, size_t coordinate) {
  uint8_t integers[2 * (3 + MAX_COORDINATE)];
  size_t length = write_integer(integers, raw, coordinate);
  length += write_integer(integers + length, raw + coordinate, coordinate);
  size_t header = 0;
  der[header++] = 0x30;
  if (length >= 0x80) der[header++] = 0x81;
  der[header++] = (uint8_t)length;
  memcpy(der + header, integers, length);
  return header + length;
}

enum verdict verify(struct verifier *verifier, const uint8_t *data, size_t data_length, const uint8_t *signature,
                    size_t signature_length) {
  uint8_t der[MAX_ECDSA_DER];
  if (signature_length != verifier->form.signature_length) return WRONG;
  if (verifier->form.padding == 0) {
    signature_length = write_ecdsa(der, signature, signature_length / 2);
    signature = der;
  }
  EVP_MD_CTX *context = openssl.EVP_MD_CTX_new();
  enum verdict verdict = UNDECIDED;
  if (context != NULL && openssl.EVP_MD_CTX_copy_ex(context, verifier->prepared) == 1) {
    int result = openssl.EVP_DigestVerify(context, signature, signature_length, data, data_length);
    if (result == 1) verdict = VALID;
    if (result == 0) verdict = WRONG;
  }
  openssl.EVP_MD_CTX_free(context);
  if (verdict != VALID) openssl.ERR_clear_error();
  return verdict;
}
