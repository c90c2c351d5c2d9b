import type { CredentialConfig } from "../config/credentials.ts";
import { SignerError } from "../errors.ts";
import type { TokenKeyPair } from "../hsm/key_pairs.ts";
import type { Token } from "../hsm/token.ts";

/** @throws SignerError `ERR_KEY_NOT_FOUND` with the command that makes it; what `findKeyPair` throws */
export function existingKeyPair(token: Token, { label, algorithm }: CredentialConfig): TokenKeyPair {
  const pair = token.findKeyPair(label, algorithm);
  if (pair !== undefined) return pair;
  throw new SignerError(
    "ERR_KEY_NOT_FOUND",
    `Cannot find the key pair "${label}" on the token: make it with hsm-signer provision`,
  );
}
