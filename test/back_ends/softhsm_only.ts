import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { after, before, describe, test } from "node:test";
import type * as graphene from "graphene-pk11";
import { signatureAlgorithm } from "../../lib/algorithms.ts";
import type { Token } from "../../lib/hsm/token.ts";
import type { BackEnd } from "../support/back_ends.ts";
import { generateP256, withPlainSession } from "../support/plain_session.ts";
import { runModule } from "../support/run_module.ts";
import { openTestToken } from "../support/token.ts";

/** What CloudHSM does not let one see, make or have; `cloudhsm_only.ts` is the other side. */
export function softHsmSuite(backEnd: BackEnd): void {
  describe("what SoftHSM2 alone allows", () => {
    const p256 = signatureAlgorithm("P-256", "SHA-256");
    let token: Token;
    before(() => {
      token = openTestToken(backEnd, { sessions: 1 });
    });
    after(() => token.close(5_000));

    test("a generated private key does not decrypt, unwrap or derive", async () => {
      const { privateKey } = await token.generateKeyPair("for nothing else", p256);
      const uses = { decrypt: null, unwrap: null, derive: null } as unknown as graphene.ITemplate;
      assert.deepEqual(privateKey.p11Object.getAttribute(uses), {
        decrypt: false,
        unwrap: false,
        derive: false,
      });
    });

    test("a key that can be read is used, and the operator is told", () => {
      withPlainSession(backEnd, (session) =>
        generateP256(session, { label: "open" }, { extractable: true, sensitive: false }),
      );
      assert.deepEqual(token.findKeyPair("open", p256)?.warnings, [
        "the private key is extractable (CKA_EXTRACTABLE)",
        "the private key is not sensitive (CKA_SENSITIVE)",
      ]);
    });

    test("of two tokens one has to be named", () => {
      execFileSync("softhsm2-util", [
        "--init-token",
        "--free",
        "--label",
        "second",
        "--so-pin",
        "1234",
        "--pin",
        "1234",
      ]);
      const said = runModule(`
        const { openTestToken } = await import("./test/support/token.ts");
        try { openTestToken({ modulePath: ${JSON.stringify(backEnd.modulePath)}, label: undefined, pin: "1234" }); }
        catch (error) { console.log(error.code, error.message); }`);
      assert.match(
        said,
        /^ERR_TOKEN_NOT_FOUND .*there are 2, and HSM_TOKEN_LABEL does not say which; present: .*"second"/,
      );
    });
  });
}
