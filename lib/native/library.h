/*
 * The PKCS#11 libraries that sign, and the addon as one of them.
 *
 * pkcs11js does all but sign, and has to do it with the same list of functions: some libraries (p11-kit-client) make
 * a new instance of themselves whenever they are asked for it. So this addon is a PKCS#11 library too: the list is
 * asked for here, once for each library, and pkcs11js, which is told to load the addon, gets that one. A library is
 * never unloaded, which one with threads of its own would not survive.
 */
#ifndef HSM_SIGNER_LIBRARY_H
#define HSM_SIGNER_LIBRARY_H

#define CK_PTR *
#define CK_DECLARE_FUNCTION(returnType, name) returnType name
#define CK_DECLARE_FUNCTION_POINTER(returnType, name) returnType(*name)
#define CK_CALLBACK_FUNCTION(returnType, name) returnType(*name)
#ifndef NULL_PTR
#define NULL_PTR 0
#endif
#include "pkcs11.h"

/** The functions of a library, which C_GetFunctionList gives from now on; NULL, and the reason, where it has none. */
CK_FUNCTION_LIST_PTR choose_library(const char *path, const char **reason);

#endif
