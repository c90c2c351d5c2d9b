import assert from "node:assert/strict";
import { randomBytes, verify } from "node:crypto";
import { after, before, beforeEach, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { signatureAlgorithm } from "../../lib/algorithms.ts";
import { SignerError } from "../../lib/errors.ts";
import type { TokenKeyPair } from "../../lib/hsm/key_pairs.ts";
import type { Token } from "../../lib/hsm/token.ts";
import type { Log } from "../../lib/log.ts";
import type { CloudHsmBackEnd } from "../support/back_ends.ts";
import { fails } from "../support/fails.ts";
import { withPlainSession } from "../support/plain_session.ts";
import { recordingLog } from "../support/recording_log.ts";
import { openTestToken } from "../support/token.ts";
import { until } from "../support/until.ts";

const SESSIONS = 4;
/** Longer than the age below which a connection is not replaced again. */
const SETTLING_MS = 1_100;
const p256 = signatureAlgorithm("P-256", "SHA-256");

/** What a cluster does on a bad day, whatever it says then. */
export function cloudHsmFaultsSuite(backEnd: CloudHsmBackEnd): void {
  const { simulator } = backEnd;

  describe("on a bad day", () => {
    let token: Token;
    let pair: TokenKeyPair;
    let connectedAt = Number.NEGATIVE_INFINITY;
    const log: Log = (_level, event) => {
      if (event === "token.recovered") connectedAt = performance.now();
    };
    before(async () => {
      token = openTestToken(backEnd, { sessions: SESSIONS, log });
      pair = await token.generateKeyPair(backEnd.keyLabel("bad day"), p256);
    });
    after(async () => {
      simulator.order({ released: true });
      await token.close(5_000);
    });
    beforeEach(() => simulator.order());

    const settled = (): Promise<void> => delay(Math.max(connectedAt + SETTLING_MS - performance.now(), 0));

    const isRight = (data: Buffer, signature: Buffer): boolean =>
      verify("sha256", data, { key: pair.publicKey.publicKeyObject, dsaEncoding: "ieee-p1363" }, signature);

    async function signsCorrectly(): Promise<void> {
      const data = randomBytes(100);
      assert.ok(isRight(data, await token.sign(pair.privateKey, p256, data)));
    }

    /** Whether it signs; otherwise the client is told to come again. */
    async function signsOrSaysWhy(): Promise<boolean> {
      try {
        await signsCorrectly();
        return true;
      } catch (error) {
        assert.ok(error instanceof SignerError, String(error));
        assert.match(error.code, /^ERR_TOKEN_(UNAVAILABLE|BUSY)$/);
        return false;
      }
    }

    test("a cluster that is away is signed with again when it is back, and nothing wrong is", async () => {
      await settled();
      simulator.order({ disconnected: true });
      const answers = await Promise.all(Array.from({ length: 20 }, signsOrSaysWhy));
      assert.ok(!answers.includes(true));
      simulator.order();
      await until(signsOrSaysWhy);
      await Promise.all(Array.from({ length: 20 }, signsCorrectly));
      assert.equal(token.sessions.leased, 0);
    });

    test("throttling is borne once in each signature", async () => {
      simulator.order({ calls: [{ on: "C_Sign", returns: "CKR_FUNCTION_FAILED", times: 1 }] });
      await signsCorrectly();
      simulator.order({ calls: [{ on: "C_Sign", returns: "CKR_FUNCTION_FAILED" }] });
      await assert.rejects(token.sign(pair.privateKey, p256, randomBytes(10)), fails("ERR_TOKEN_BUSY"));
    });

    test("a new key that is refused once before it has its quorum signs all the same", async () => {
      simulator.order({ quorum: { refusals: 1 } });
      const made = await token.generateKeyPair(backEnd.keyLabel("too new"), p256);
      const data = randomBytes(100);
      const signature = await token.sign(made.privateKey, p256, data);
      const key = { key: made.publicKey.publicKeyObject, dsaEncoding: "ieee-p1363" } as const;
      assert.ok(verify("sha256", data, key, signature));
    });

    test("an HSM that is replaced under running calls is not noticed by the callers", async () => {
      await settled();
      const { hung } = simulator.injected();
      simulator.order({ calls: [{ on: "C_Sign", hangs: true, times: SESSIONS }] });
      const signing = Promise.all(Array.from({ length: SESSIONS }, signsCorrectly));
      await until(() => simulator.injected().hung === hung + SESSIONS);
      simulator.order({ hsmReplaced: true, released: true });
      await signing;
    });

    test("handles that are good no more, and a login that somebody ended, are renewed", async () => {
      for (const end of [
        () => simulator.order({ handlesRenewed: true }),
        () => withPlainSession(backEnd, (session) => session.logout()),
      ]) {
        await settled();
        end();
        await Promise.all(Array.from({ length: 10 }, signsCorrectly));
      }
    });
  });

  describe("at the start", () => {
    test("with fewer sessions than wanted it signs with those that there are", async () => {
      const logged = recordingLog();
      const token = openTestToken(backEnd, { sessions: 2_000, log: logged.log });
      try {
        // One holds the login.
        assert.equal(token.sessions.open, 1_023);
        assert.ok(logged.events.some(({ event }) => event === "token.fewer_sessions"));
        const pair = token.findKeyPair(backEnd.keyLabel("bad day"), p256);
        assert.ok(pair);
        await token.sign(pair.privateKey, p256, randomBytes(100));
      } finally {
        await token.close(5_000);
      }
    });

    test("a PIN without a user is tried once", () => {
      const before = { logins: simulator.calls("C_Login"), refused: simulator.pinsRefused() };
      assert.throws(() => openTestToken({ ...backEnd, pin: "4711-wrong" }), fails("ERR_PIN_REJECTED"));
      assert.equal(simulator.calls("C_Login") - before.logins, 1);
      assert.equal(simulator.pinsRefused() - before.refused, 1);
    });
  });
}
