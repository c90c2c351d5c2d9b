/*
 * Verification of a signature by the OpenSSL that the runtime brings along and exports to addons.
 *
 * A verifier is for one public key and one way to sign; any number of threads may use it at once.
 */
#ifndef HSM_SIGNER_VERIFY_H
#define HSM_SIGNER_VERIFY_H

#include <stddef.h>
#include <stdint.h>

struct verifier;

/** UNDECIDED: it could not be verified, which says nothing about the signature. */
enum verdict { UNDECIDED, VALID, WRONG };

/** How a key signs: what a row of algorithms.ts says of it. */
struct signature_form {
  /** RSA_PKCS1_PADDING or RSA_PKCS1_PSS_PADDING of OpenSSL; 0 for ECDSA, whose signatures are r‖s. */
  uint32_t padding;
  /** Of PSS, in bytes. */
  uint32_t salt_length;
  /** In bytes. */
  uint32_t signature_length;
};

/**
 * NULL where there is no OpenSSL that is known here, or where it does not take the key (a SubjectPublicKeyInfo, DER), the hash (its name)
 * or the form. Whoever gets it holds it.
 */
struct verifier *make_verifier(const uint8_t *spki, size_t spki_length, const char *hash, struct signature_form form);

struct verifier *hold_verifier(struct verifier *verifier);
/** The last one who lets go of it ends it; NULL is none. */
void let_go_of_verifier(struct verifier *verifier);

/** Hashes the data and verifies the signature over it. Leaves no errors behind on the thread. */
enum verdict verify(struct verifier *verifier, const uint8_t *data, size_t data_length, const uint8_t *signature,
                    size_t signature_length);

#endif
