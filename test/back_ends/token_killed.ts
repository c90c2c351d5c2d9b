import assert from "node:assert/strict";
import { randomBytes, verify } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { signatureAlgorithm } from "../../lib/algorithms.ts";
import { SignerError } from "../../lib/errors.ts";
import type { BackEnd } from "../support/back_ends.ts";
import { recordingLog } from "../support/recording_log.ts";
import { openTestToken } from "../support/token.ts";
import { tokenServer } from "../support/token_server.ts";
import { until } from "../support/until.ts";

/** The token comes and goes as an HSM on another machine does. */
export function tokenKilledSuite(backEnd: BackEnd): void {
  describe("a token in another process", () => {
    const server = tokenServer(backEnd);
    const client = server.modulePath;
    before(async () => {
      Object.assign(process.env, server.environment);
      await server.start();
    });
    after(() => server.kill());

    test("a token whose process is killed and started again comes back by itself, under load, with no wrong signature", async () => {
      const { log, events } = recordingLog();
      const token = openTestToken({ ...backEnd, modulePath: client }, { sessions: 4, log });
      const algorithm = signatureAlgorithm("P-256", "SHA-256");
      const { privateKey } = await token.generateKeyPair(backEnd.keyLabel("elsewhere"), algorithm);
      const count = { signed: 0, refused: 0, wrong: 0, unanswered: 0 };

      const signOne = async (): Promise<boolean> => {
        const data = randomBytes(100);
        count.unanswered += 1;
        try {
          const signature = await token.sign(privateKey, algorithm, data);
          const options = { key: privateKey.publicKeyObject, dsaEncoding: "ieee-p1363" } as const;
          if (!verify("sha256", data, options, signature)) count.wrong += 1;
          count.signed += 1;
          return true;
        } catch (error) {
          assert.ok(
            error instanceof SignerError && /ERR_TOKEN_(UNAVAILABLE|BUSY)/.test(error.code),
            String(error),
          );
          count.refused += 1;
          return false;
        } finally {
          count.unanswered -= 1;
        }
      };

      for (let round = 0; round < 3; round += 1) {
        await Promise.all(Array.from({ length: 20 }, signOne));
        await delay(1_100);
        const underLoad = Array.from({ length: 20 }, signOne);
        await server.kill();
        await Promise.all(underLoad);
        await Promise.all(Array.from({ length: 20 }, signOne));
        await server.start();
        await until(signOne);
      }
      assert.ok(count.signed > 60 && count.refused > 0, JSON.stringify(count));
      assert.deepEqual([count.wrong, count.unanswered], [0, 0]);
      assert.ok(events.filter(({ event }) => event === "token.recovered").length >= 3);
      await token.close(5_000);
    });
  });
}
