import { softHsmToken } from "../../dev/softhsm.ts";
import { Token, type TokenOptions } from "../../lib/hsm/token.ts";
import { Secret } from "../../lib/secret.ts";
import { recordingLog } from "./recording_log.ts";
import { temporaryDirectory } from "./temporary.ts";

/** A fresh SoftHSM2 token for this process, which its environment names from now on. */
export interface TestToken {
  readonly modulePath: string;
  readonly label: string;
  readonly pin: string;
}

export function freshToken(): TestToken {
  const token = softHsmToken(temporaryDirectory(), "test");
  Object.assign(process.env, token.environment);
  return token;
}

export function openTestToken(token: TestToken, options: Partial<TokenOptions> = {}): Token {
  return Token.open({
    modulePath: token.modulePath,
    label: token.label,
    pin: new Secret(token.pin, "the test"),
    sessions: 4,
    log: recordingLog().log,
    ...options,
  });
}
