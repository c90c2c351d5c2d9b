import { describe } from "node:test";
import type { BackEnd } from "../support/back_ends.ts";
import { callsPerSignatureSuite } from "./calls_per_signature.ts";
import { commandSuite } from "./commands.ts";
import { endToEndSuite } from "./end_to_end.ts";
import { refusedPinSuite, refusedStartSuite } from "./refused_pin.ts";
import { reloadSuite } from "./reload.ts";
import { signerContractSuite } from "./signer_contract.ts";
import { tokenSuite } from "./token.ts";
import { tokenCryptoSuite } from "./token_crypto.ts";
import { tokenKilledSuite } from "./token_killed.ts";

/** Tests that whatever holds the keys has to pass. */
export type Suite = (backEnd: BackEnd) => void;

/** With the token in the tests' own process. */
export const TOKEN_SUITES: readonly Suite[] = [tokenSuite, tokenCryptoSuite, signerContractSuite];

/** With the token in the service's process. */
export const SERVICE_SUITES: readonly Suite[] = [endToEndSuite, commandSuite, reloadSuite];

/**
 * For tokens that were made to be tested. Another one's user could be locked by wrong PINs, pkcs11-spy would write
 * his PIN down, and it is not ours to kill.
 */
export const OWN_TOKEN_SUITES: readonly Suite[] = [callsPerSignatureSuite, tokenKilledSuite, refusedPinSuite];
export const OWN_SERVICE_SUITES: readonly Suite[] = [refusedStartSuite];

export function runOn(backEnd: BackEnd, ...suites: readonly (readonly Suite[])[]): void {
  describe(backEnd.name, () => {
    for (const suite of suites.flat()) suite(backEnd);
  });
}
