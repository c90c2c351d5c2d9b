import assert from "node:assert/strict";
import { test } from "node:test";
import { EXIT } from "../../lib/exit_codes.ts";
import type { BackEnd } from "../support/back_ends.ts";
import { complaintOf } from "../support/complaint.ts";
import { runModule } from "../support/run_module.ts";
import { temporaryDirectory } from "../support/temporary.ts";

/** A PIN that is as long as the right one, and for the same user. */
const wrongPin = ({ pin }: BackEnd): string => `${pin.includes(":") ? "signer:" : ""}4711-wrong`;

export function refusedPinSuite(backEnd: BackEnd): void {
  const { modulePath, label } = backEnd;
  test("a refused PIN is tried once, is in no message, and says that an operator has to act", () => {
    // In a process of its own: this one may be logged in already, for all its sessions.
    const said = runModule(`
      const { Token } = await import("./lib/hsm/token.ts");
      const { Secret } = await import("./lib/secret.ts");
      const { modulePath, label, pin } = ${JSON.stringify({ modulePath, label, pin: wrongPin(backEnd) })};
      try {
        Token.open({ modulePath, label, pin: new Secret(pin, "HSM_PIN_FILE"), sessions: 1, log() {} });
      } catch (error) { console.log(error.code, error.stack, error.cause?.stack); }`);
    assert.match(
      said,
      /^ERR_PIN_REJECTED .*Cannot log in to the token with the PIN of HSM_PIN_FILE: CKR_PIN_INCORRECT/,
    );
    assert.doesNotMatch(said, /4711/);
  });
}

export function refusedStartSuite(backEnd: BackEnd): void {
  test("a wrong PIN stops the start after one login, and is in no output", async () => {
    const complaint = await complaintOf(
      { ...backEnd.settings, CERT_DIR: temporaryDirectory(), PORT: "0", HSM_PIN: wrongPin(backEnd) },
      EXIT.pinRefused,
    );
    assert.match(complaint, /Cannot log in to the token with the PIN of HSM_PIN: CKR_PIN_INCORRECT/);
    assert.doesNotMatch(complaint, /4711/);
  });
}
