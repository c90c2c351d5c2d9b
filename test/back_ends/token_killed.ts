import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes, verify } from "node:crypto";
import { once } from "node:events";
import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { signatureAlgorithm } from "../../lib/algorithms.ts";
import { SignerError } from "../../lib/errors.ts";
import type { BackEnd } from "../support/back_ends.ts";
import { libraryPath } from "../support/library_paths.ts";
import { recordingLog } from "../support/recording_log.ts";
import { temporaryDirectory } from "../support/temporary.ts";
import { openTestToken } from "../support/token.ts";
import { until } from "../support/until.ts";

/** A token in another process, as an HSM is on another machine: p11-kit serves it on a socket. */
export function tokenKilledSuite(backEnd: BackEnd): void {
  describe("a token in another process", () => {
    const socket = join(temporaryDirectory(), "p11");
    const client = libraryPath(["pkcs11/p11-kit-client.so"], "p11-kit-modules");
    let server: ChildProcess;
    before(async () => {
      process.env["P11_KIT_SERVER_ADDRESS"] = `unix:path=${socket}`;
      server = await startServer();
    });
    after(killServer);

    async function startServer(): Promise<ChildProcess> {
      rmSync(socket, { force: true });
      const args = [
        "server",
        "--foreground",
        "--name",
        socket,
        "--provider",
        backEnd.modulePath,
        `pkcs11:token=${backEnd.label}`,
      ];
      const child = spawn("p11-kit", args, {
        stdio: "ignore",
        // A group of its own: the server has a process for each client, and all of them are to be killed.
        detached: true,
      });
      await until(() => existsSync(socket));
      return child;
    }

    async function killServer(): Promise<void> {
      const ended = once(server, "exit");
      if (server.pid !== undefined) process.kill(-server.pid, "SIGKILL");
      await ended;
    }

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
        await killServer();
        await Promise.all(underLoad);
        await Promise.all(Array.from({ length: 20 }, signOne));
        server = await startServer();
        await until(signOne);
      }
      assert.ok(count.signed > 60 && count.refused > 0, JSON.stringify(count));
      assert.deepEqual([count.wrong, count.unanswered], [0, 0]);
      assert.ok(events.filter(({ event }) => event === "token.recovered").length >= 3);
      await token.close(5_000);
    });
  });
}
