import { type ErrorCode, SignerError } from "../../errors.ts";
import { shellWord } from "./wording.ts";

const NEW_CERTIFICATE = "`hsm-signer request`, then `hsm-signer import` with what the CA answers";

/** The next thing to do about an error, by its code. Commands stand in backquotes. */
const ADVICE: Readonly<Partial<Record<ErrorCode, string>>> = {
  ERR_TOKEN_NOT_FOUND:
    "Set HSM_TOKEN_LABEL to the label of a token that is present; where none is, configure the library's client " +
    "(CloudHSM: `configure-pkcs11 -a <IP address of an HSM>`).",
  ERR_PIN_REJECTED:
    "Correct the PIN, and have an administrator of the HSM look after the user, before anything logs in again.",
  ERR_TOKEN_UNAVAILABLE:
    "See that the HSM can be reached (CloudHSM: TCP 2223 to 2225, `configure-pkcs11 -a <IP address of an HSM>`), " +
    "and what the library's own log says.",
  ERR_TOKEN_BUSY: "Try again when the HSM has less to do, and see what the library's own log says.",
  ERR_TOKEN_REFUSED: "Choose another HSM_KEY_ALGORITHM or SIGNATURE_SCHEME, or a token that takes it.",
  ERR_TOKEN_FAULT:
    "Look the return value up in the HSM's documentation, and see what the library's own log says.",
  ERR_SIGNATURE_WRONG: "Do not sign with this token, and write to its vendor.",
  ERR_KEY_AMBIGUOUS:
    "Keep one of the pairs: destroy the others, or give them another label, with the HSM's own tool.",
  ERR_KEY_UNUSABLE:
    "Set HSM_KEY_LABEL and HSM_KEY_ALGORITHM to a pair that is on the token, or have a new one made under another " +
    "label: `hsm-signer provision`.",
  ERR_CERTIFICATE_MALFORMED:
    "Have the file written from what the CA answered, in any form of it: `hsm-signer import`.",
  ERR_CERTIFICATE_CHAIN: "Have the chain put in order from all of its certificates: `hsm-signer import`.",
  ERR_CERTIFICATE_USAGE: `Have a certificate for signing documents issued: ${NEW_CERTIFICATE}.`,
  ERR_CERTIFICATE_WEAK: `Have a stronger certificate issued: ${NEW_CERTIFICATE}.`,
  ERR_CERTIFICATE_NOT_YET_VALID: "See whether this machine's clock is right; if it is, wait until then.",
  ERR_CERTIFICATE_EXPIRED: `Have the certificate renewed (${NEW_CERTIFICATE}), and reload the service (SIGHUP).`,
};

const ELSE = "See what the library's own log says, and report it to us where that does not explain it.";

export function adviceFor(error: unknown): string {
  return (error instanceof SignerError ? ADVICE[error.code] : undefined) ?? ELSE;
}

/** The next thing to do about a library that does not load, by what dlopen says (dlopen(3) of glibc). */
export function loadAdvice(path: string, reason: string): string {
  if (/undefined symbol: C_GetFunctionList/.test(reason))
    return "Set HSM_MODULE to the PKCS#11 library itself: this one is another.";
  if (/wrong ELF class|invalid ELF header|file too short|cannot read file data|Exec format/i.test(reason)) {
    return `Set HSM_MODULE to a library that is made for this machine (${process.platform}, ${process.arch}).`;
  }
  if (/version `?GLIBC\S* not found/.test(reason))
    return "Install the library's package for this release of the system: this one wants a newer glibc.";
  const [missing = path] = /[^\s:]+(?=: cannot open shared object file)/.exec(reason) ?? [];
  if (missing !== path)
    return `Install the package that has ${missing}; \`ldd ${shellWord(path)}\` lists all that is missing.`;
  return "Let the service's user read the file, and set HSM_MODULE to the library where it is another one.";
}
