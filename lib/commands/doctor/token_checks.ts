import { statSync } from "node:fs";
import { messageOf, SignerError } from "../../errors.ts";
import { Examination } from "../../hsm/examination.ts";
import type { TokenFlagName, TokenInfo } from "../../hsm/token_info.ts";
import type { Secret } from "../../secret.ts";
import { loadAdvice } from "./advice.ts";
import type { Examined } from "./examined.ts";
import { failure, need, type Outcome, ok, warning } from "./finding.ts";
import { quoted, shellWord } from "./wording.ts";

/** Whether the library can be loaded. */
export function* checkModule(examined: Examined): Generator<Outcome> {
  const path = need(examined.known.modulePath, "HSM_MODULE");
  try {
    examined.examination = Examination.load(path);
    examined.reached = "loaded";
    yield ok(`${path} loads`);
  } catch (error) {
    if (!(error instanceof SignerError)) throw error;
    yield failure(error.message, loadAdvice(path, messageOf(error.cause)));
  }
}

export function* checkInitialization(examined: Examined): Generator<Outcome> {
  const { manufacturer, description, version } = examined.at("loaded").initialize();
  examined.reached = "initialized";
  // It says nothing of itself before.
  yield { ...ok(`${description}, version ${version}, of ${manufacturer}`), check: "module" };
  yield ok("initialized for several threads (CKF_OS_LOCKING_OK)");
}

/** Which token is chosen, and why; what it says of itself. */
export function* checkToken(examined: Examined): Generator<Outcome> {
  const examination = examined.at("initialized");
  const { tokenLabel } = examined.known;
  const others = examination.tokenLabels();
  const token = examination.chooseToken(tokenLabel);
  examined.token = token;
  examined.reached = "chosen";
  if (token.time !== undefined) {
    examined.tokenClockAhead = token.time.getTime() - examined.context.now().getTime();
  }
  const present = others.length === 1 ? "the only one" : `of ${quoted(others)}`;
  const why = tokenLabel === undefined ? present : `named by HSM_TOKEN_LABEL, ${present}`;
  const flags = token.flags.length === 0 ? "no flags" : token.flags.join(", ");
  yield ok(`"${token.label}", ${why}; ${token.model} of ${token.manufacturer}; ${flags}`);
  yield* pinWarnings(token);
}

function* pinWarnings({ flags }: TokenInfo): Generator<Outcome> {
  if (flags.includes("CKF_USER_PIN_COUNT_LOW")) {
    yield warning(
      "a wrong PIN was tried since the last login (CKF_USER_PIN_COUNT_LOW)",
      "Find out which machine or person has an old PIN, before the user is locked.",
    );
  }
  if (flags.includes("CKF_USER_PIN_TO_BE_CHANGED")) {
    yield warning(
      "the user's PIN has to be changed (CKF_USER_PIN_TO_BE_CHANGED)",
      "Have it changed with the HSM's own tool, then put the new one where the service takes it from.",
    );
  }
}

/** Why a login would do harm. */
const NO_LOGIN: readonly (readonly [flag: TokenFlagName, state: string, advice: string])[] = [
  [
    "CKF_USER_PIN_LOCKED",
    "the token says that the user is locked",
    "Have the user unlocked by an administrator of the HSM, and correct the PIN before the next login.",
  ],
  [
    "CKF_USER_PIN_FINAL_TRY",
    "the token says that one more wrong PIN locks the user",
    "Make sure of the PIN, and log in once with the HSM's own tool, which resets the count.",
  ],
];

/** Whether the token takes the PIN: one C_Login, or none where it could lock the user. */
export function* checkPin(examined: Examined): Generator<Outcome> {
  const examination = examined.at("chosen");
  const pin = need(examined.known.pin, "a PIN");
  yield* fileWarning(pin);
  for (const [flag, state, advice] of NO_LOGIN) {
    if (!examined.token?.flags.includes(flag)) continue;
    examined.isPinRefused = true;
    yield failure(`the PIN of ${pin.origin} was not tried: ${state} (${flag})`, advice);
    return;
  }
  try {
    examination.logIn(pin);
  } catch (error) {
    examined.isPinRefused = error instanceof SignerError && error.code === "ERR_PIN_REJECTED";
    throw error;
  }
  examined.reached = "logged in";
  yield ok(`logged in with the PIN of ${pin.origin}`);
}

const READABLE_BY_OTHERS = 0o004;

function* fileWarning({ file, origin }: Secret): Generator<Outcome> {
  if (file === undefined) return;
  const { mode } = statSync(file);
  if ((mode & READABLE_BY_OTHERS) === 0) return;
  yield warning(
    `every user of this machine may read the PIN in the file of ${origin} (mode ${(mode & 0o7777).toString(8)})`,
    `Keep others out (\`chmod 600 ${shellWord(file)}\`), and have the PIN changed where others use this machine.`,
  );
}

/** Whether as many sessions can be had at once as the service will open. */
export function* checkSessions(examined: Examined): Generator<Outcome> {
  const examination = examined.at("chosen");
  const wanted = need(examined.known.sessions, "HSM_SESSIONS");
  const { opened, shortage } = examination.openSessions(wanted, examined.onProgress);
  if (opened === 0 && shortage !== undefined) throw shortage;
  if (shortage === undefined) {
    yield ok(`${wanted} at once (HSM_SESSIONS), opened and closed again`);
    return;
  }
  yield warning(
    `${opened} of ${wanted} at once (HSM_SESSIONS): ${shortage.message}`,
    `Set HSM_SESSIONS=${opened}, or free sessions that other programs hold.`,
  );
}
