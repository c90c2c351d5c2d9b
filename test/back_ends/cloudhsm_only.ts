import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type * as graphene from "graphene-pk11";
import { signatureAlgorithm } from "../../lib/algorithms.ts";
import type { Token } from "../../lib/hsm/token.ts";
import type { BackEnd } from "../support/back_ends.ts";
import { generateP256, withPlainSession } from "../support/plain_session.ts";
import { openTestToken } from "../support/token.ts";

/** What CloudHSM refuses and SoftHSM2 does not; `softhsm_only.ts` is the other side. */
export function cloudHsmSuite(backEnd: BackEnd): void {
  describe("what CloudHSM does not allow", () => {
    const p256 = signatureAlgorithm("P-256", "SHA-256");
    let token: Token;
    before(() => {
      token = openTestToken(backEnd, { sessions: 1 });
    });
    after(() => token.close(5_000));

    test("whether a key decrypts, unwraps or derives cannot be read together", async () => {
      const { privateKey } = await token.generateKeyPair("for nothing else", p256);
      for (const use of ["decrypt", "unwrap"]) {
        assert.throws(
          () => privateKey.p11Object.getAttribute({ [use]: null } as unknown as graphene.ITemplate),
          /CKR_ATTRIBUTE_TYPE_INVALID/,
        );
      }
      assert.equal(privateKey.p11Object.getAttribute("derive"), false);
    });

    test("a key that can be read is not made, and nothing is left of the attempt", () => {
      withPlainSession(backEnd, (session) =>
        assert.throws(
          () => generateP256(session, { label: "open" }, { extractable: true, sensitive: false }),
          /CKR_ATTRIBUTE_VALUE_INVALID/,
        ),
      );
      assert.equal(token.findKeyPair("open", p256), undefined);
    });
  });
}
