import { Token, type TokenOptions } from "../../lib/hsm/token.ts";
import { Secret } from "../../lib/secret.ts";
import { recordingLog } from "./recording_log.ts";

/** Which token, and how to log in to it. */
export interface TestToken {
  readonly modulePath: string;
  readonly label: string;
  readonly pin: string;
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
