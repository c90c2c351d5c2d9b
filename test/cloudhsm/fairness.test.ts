import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, afterEach, before, describe, test } from "node:test";
import { hashOfBearerToken, newBearerToken } from "../../lib/auth/bearer_token.ts";
import { cloudHsmBackEnd } from "../support/back_ends.ts";
import { type ReloadableService, reloadableServiceOn } from "../support/service_on.ts";
import { SignClient } from "../support/sign_client.ts";
import { temporaryDirectory } from "../support/temporary.ts";
import { until } from "../support/until.ts";

const MIB = 1024 ** 2;
const SESSIONS = 4;
const WAITING = 200;
/** A signature of 20 ms is slow enough that 200 of them wait. */
const SIGN_US = 20_000;

/** What one caller notices of another, measured by how long that one waits himself. */
describe("A caller with few requests", () => {
  const backEnd = cloudHsmBackEnd();
  const client = new SignClient();
  const [greedy, modest] = [newBearerToken(), newBearerToken()];
  let service: ReloadableService;

  before(async () => {
    const file = join(temporaryDirectory(), "tokens");
    const line = (name: string, token: string): string =>
      `${JSON.stringify({ name, sha256: hashOfBearerToken(token).toString("hex") })}\n`;
    writeFileSync(file, line("greedy", greedy) + line("modest", modest));
    service = await reloadableServiceOn(backEnd, {
      HSM_KEY_ALGORITHM: "P-256",
      HSM_AUTO_PROVISION: "true",
      HSM_SESSIONS: String(SESSIONS),
      AUTH_TOKENS_FILE: file,
    });
    backEnd.simulator.order({ calls: [{ on: "C_Sign", latencyUs: SIGN_US }] });
  });
  after(() => service.stop());
  afterEach(() => backEnd.simulator.order({ calls: [{ on: "C_Sign", latencyUs: SIGN_US }] }));

  /** How long the requests of a caller have waited for the token, in milliseconds, from the shortest on. */
  const waits = (caller: string): number[] =>
    service
      .events("request")
      .filter((line) => line["caller"] === caller)
      .map(({ queueMs }) => Number(queueMs))
      .sort((a, b) => a - b);

  test("waits for a few signatures of another who has 200 waiting, not for all of them", async () => {
    let isOver = false;
    const crowd = Promise.all(
      Array.from({ length: WAITING }, () => client.ask(service.url, `Bearer ${greedy}`)),
    ).finally(() => {
      isOver = true;
    });
    await until(() => waits("token:greedy").length > 0);
    while (!isOver) assert.equal((await client.ask(service.url, `Bearer ${modest}`)).status, 200);
    for (const { status } of await crowd) assert.equal(status, 200);
    await until(() => waits("token:greedy").length === WAITING);
    const [longest = 0] = waits("token:greedy").toReversed();
    const own = waits("token:modest");
    const median = own[own.length >> 1] ?? Number.POSITIVE_INFINITY;
    assert.ok(median < longest / 5, `it waited for ${median} ms, and the other for up to ${longest} ms`);
  });

  test("is answered while another sends documents without end", async () => {
    backEnd.simulator.order();
    let isOver = false;
    let sent = 0;
    const piece = randomBytes(MIB);
    const document = (): ReadableStream<Uint8Array> =>
      new ReadableStream({
        pull: (controller) => {
          if (isOver) return controller.close();
          controller.enqueue(piece);
          sent += 1;
        },
      });
    const uploads = Array.from({ length: 8 }, () =>
      fetch(`${service.url}/sign`, {
        method: "POST",
        headers: { "content-type": "application/pdf", authorization: `Bearer ${greedy}` },
        body: document(),
        duplex: "half",
      } as RequestInit).then(({ status }) => status),
    );
    await until(() => sent >= 32);
    for (let count = 0; count < 20; count += 1) {
      assert.equal((await client.ask(service.url, `Bearer ${modest}`)).status, 200);
    }
    assert.ok(sent >= 64, `${sent} MiB came meanwhile`);
    isOver = true;
    assert.deepEqual(new Set(await Promise.all(uploads)), new Set([200]));
  });
});
