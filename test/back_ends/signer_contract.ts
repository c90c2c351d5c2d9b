import { createPublicKey } from "node:crypto";
import { after, before, describe } from "node:test";
import type { Token } from "../../lib/hsm/token.ts";
import { TokenCrypto } from "../../lib/hsm/token_crypto.ts";
import { webCryptoSigner } from "../../lib/web_crypto_signer.ts";
import { type BackEnd, keyPairFor } from "../support/back_ends.ts";
import { signerContract } from "../support/signer_contract.ts";
import { openTestToken } from "../support/token.ts";

/** What every signer promises, of one whose key is on the token. */
export function signerContractSuite(backEnd: BackEnd): void {
  for (const verifiesOnThread of [true, false]) signerSuite(backEnd, verifiesOnThread);
}

function signerSuite(backEnd: BackEnd, verifiesOnThread: boolean): void {
  const where = verifiesOnThread ? "on the thread that signed" : "by node:crypto";
  describe(`a signer whose signatures are verified ${where}`, () => {
    let token: Token;
    before(() => {
      token = openTestToken(backEnd, { verifiesOnThread });
    });
    after(() => token.close(1_000));

    signerContract(backEnd.algorithms, async (algorithm) => {
      const keys = await keyPairFor(token, backEnd, algorithm);
      const crypto = new TokenCrypto(token);
      const spki = await crypto.subtle.exportKey("spki", keys.publicKey);
      return {
        signer: webCryptoSigner(crypto, keys.privateKey, algorithm),
        publicKey: createPublicKey({ key: Buffer.from(spki), format: "der", type: "spki" }),
      };
    });
  });
}
