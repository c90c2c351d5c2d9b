import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { before, describe, test } from "node:test";
import { signatureAlgorithm } from "../../lib/algorithms.ts";
import { verifySignature } from "../../lib/verify_signature.ts";
import { type BackEnd, keyPairFor } from "../support/back_ends.ts";
import { libraryPath } from "../support/library_paths.ts";
import { temporaryDirectory } from "../support/temporary.ts";
import { openTestToken } from "../support/token.ts";

/** One for the process: pkcs11-spy asks for it when it is loaded. */
const output = join(temporaryDirectory(), "calls");

/** The PKCS#11 functions that were called since the last look, in order. */
function callsSince(position: { offset: number }): string[] {
  const text = readFileSync(output, "utf8").slice(position.offset);
  position.offset += text.length;
  return [...text.matchAll(/^\d+: (C_\w+)$/gm)].map(([, name]) => name ?? "");
}

/** What CloudHSM lets one read of a key pair, as far as it is asked for; anything else fails the whole read. */
const READABLE =
  /^CKA_(CLASS|KEY_TYPE|LABEL|ID|TOKEN|SIGN|SENSITIVE|EXTRACTABLE|MODULUS|PUBLIC_EXPONENT|EC_PARAMS|EC_POINT)$/;

/** What the token is asked for, written down by pkcs11-spy, which stands before it. */
export function callsPerSignatureSuite(backEnd: BackEnd): void {
  describe("calls of the token", () => {
    const modulePath = libraryPath(["pkcs11-spy.so", "pkcs11/pkcs11-spy.so"], "opensc-pkcs11");
    const spied = { ...backEnd, modulePath };
    before(
      () => void Object.assign(process.env, { PKCS11SPY: backEnd.modulePath, PKCS11SPY_OUTPUT: output }),
    );

    test("a signature costs exactly one C_SignInit and one C_Sign, with every algorithm", async () => {
      const token = openTestToken(spied, { sessions: 2 });
      const position = { offset: 0 };
      for (const algorithm of backEnd.algorithms.filter(({ key }) => key.name !== "RSA-4096")) {
        const { privateKey } = await keyPairFor(token, backEnd, algorithm);
        callsSince(position);
        for (let count = 0; count < 5; count += 1)
          await token.sign(privateKey, algorithm, Buffer.from(`${count}`));
        assert.deepEqual(
          callsSince(position),
          Array(5).fill(["C_SignInit", "C_Sign"]).flat(),
          algorithm.key.name,
        );
      }
      await token.close(1000);
    });

    test("so it does where more callers than sessions ask at once, and each gets one over his own bytes", async () => {
      const token = openTestToken(spied, { sessions: 1 });
      const position = { offset: 0 };
      for (const algorithm of backEnd.algorithms.filter(({ key }) => key.name !== "RSA-4096")) {
        const { privateKey } = await keyPairFor(token, backEnd, algorithm);
        callsSince(position);
        await Promise.all(
          Array.from({ length: 5 }, async (_, index) => {
            const data = Buffer.from(`${index}`);
            const signature = await token.sign(privateKey, algorithm, data);
            const { publicKeyObject } = privateKey;
            assert.ok(await verifySignature(algorithm, publicKeyObject, data, signature, "raw"));
          }),
        );
        assert.deepEqual(
          callsSince(position),
          Array(5).fill(["C_SignInit", "C_Sign"]).flat(),
          algorithm.key.name,
        );
      }
      await token.close(1000);
    });

    for (const name of ["RSA-2048", "P-256"] as const) {
      test(`making and finding a ${name} pair sets no attribute afterwards, and reads none that CloudHSM lacks`, async () => {
        const token = openTestToken(spied, { sessions: 1 });
        const algorithm = signatureAlgorithm(name, "SHA-256");
        const position = { offset: readFileSync(output, "utf8").length };
        await token.generateKeyPair(backEnd.keyLabel(`fresh ${name}`), algorithm);
        assert.ok(token.findKeyPair(backEnd.keyLabel(`fresh ${name}`), algorithm));
        const text = readFileSync(output, "utf8").slice(position.offset);
        const reads = [...text.matchAll(/: C_GetAttributeValue\n[\s\S]*?Returned:/g)]
          .map(([read]) => read)
          .join("");
        const attributes = [...reads.matchAll(/^ {4}(CKA_\w+)/gm)].map(([, attribute]) => attribute ?? "");
        assert.ok(attributes.length > 10);
        assert.deepEqual(
          attributes.filter((attribute) => !READABLE.test(attribute)),
          [],
        );
        assert.ok(!callsSince(position).includes("C_SetAttributeValue"));
        await token.close(1000);
      });
    }
  });
}
