/*
 * Signatures that were made before, for benchmarks: a repeated input is answered without SoftHSM2, so that what
 * is measured is not its arithmetic. Handles are SoftHSM2's.
 */
#ifndef MEMORY_H
#define MEMORY_H

#include "cryptoki.h"

/* How something is signed. */
struct way {
  CK_OBJECT_HANDLE key;
  CK_MECHANISM_TYPE mechanism;
  CK_RSA_PKCS_PSS_PARAMS pss; /* zeros where there are none */
};

/* @returns 0 for parameters of another kind, with which nothing can be kept */
int describe_way(struct way *way, CK_OBJECT_HANDLE key, const CK_MECHANISM *mechanism);

/* The mechanism of a way; it refers to the way. */
CK_MECHANISM mechanism_of(struct way *way);

/* Whether something was signed this way before: so C_SignInit would be successful again. */
int is_known_way(const struct way *way);

/* Fills in the signature when this input was signed this way; its length is at most `*length`. */
int recall(const struct way *way, CK_BYTE_PTR input, CK_ULONG input_length, CK_BYTE_PTR signature,
           CK_ULONG_PTR length);
void keep(const struct way *way, CK_BYTE_PTR input, CK_ULONG input_length, CK_BYTE_PTR signature,
          CK_ULONG length);

/* Handles have got another meaning, or none. */
void forget_all(void);

#endif
