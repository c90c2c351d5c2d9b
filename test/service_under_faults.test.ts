import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { request } from "node:http";
import { join } from "node:path";
import { after, before, beforeEach, test } from "node:test";
import { type ServiceProcess, ServiceStartError, startServiceProcess } from "../dev/service_process.ts";
import { cloudHsmSimulator } from "./cloudhsm/simulator.ts";
import { temporaryDirectory } from "./support/temporary.ts";
import { until } from "./support/until.ts";

/** The whole service in its own process, on a cluster that does as it is told. */
const simulator = cloudHsmSimulator();
const settings = {
  ...simulator.environment,
  HSM_MODULE: simulator.modulePath,
  HSM_PIN: simulator.pin,
  CERT_DIR: join(temporaryDirectory(), "certs"),
  PORT: "0",
};
let service: ServiceProcess;

before(async () => {
  service = await startServiceProcess({
    environment: { ...settings, HSM_AUTO_PROVISION: "true", HSM_SESSIONS: "4" },
  });
});
after(async () => {
  simulator.order({ released: true });
  await service.stop();
});
beforeEach(() => simulator.order());

const sign = (body: Buffer): Promise<Response> =>
  fetch(`${service.url}/sign`, {
    method: "POST",
    headers: { "content-type": "application/pdf" },
    body: new Uint8Array(body),
  });

async function sessions(): Promise<Record<string, number>> {
  const facts = (await (await fetch(`${service.url}/readyz`)).json()) as { sessions: Record<string, number> };
  return facts.sessions;
}

async function assertProblem(response: Response, status: number, code: string): Promise<void> {
  const problem = (await response.json()) as Record<string, unknown>;
  assert.deepEqual([response.status, problem["status"], problem["code"]], [status, status, code]);
  assert.equal(response.headers.get("content-type"), "application/problem+json");
  assert.match(response.headers.get("retry-after") ?? "", /^\d+$/);
  assert.doesNotMatch(JSON.stringify(problem), /CKR_|\.ts/, "what is inside stays inside");
}

test("a token that is away is answered with 503 and Retry-After, and signs again when it is back", async () => {
  simulator.order({ calls: [{ on: "C_Sign", returns: "CKR_DEVICE_ERROR" }] });
  await assertProblem(await sign(randomBytes(100)), 503, "ERR_TOKEN_UNAVAILABLE");
  await assertProblem(await fetch(`${service.url}/readyz`), 503, "ERR_TOKEN_UNAVAILABLE");
  assert.equal((await fetch(`${service.url}/healthz`)).status, 200, "alive all the same");
  simulator.order();
  assert.equal((await sign(randomBytes(100))).status, 200);
  await until(async () => (await fetch(`${service.url}/readyz`)).status === 200);
});

test("a token that gives wrong signatures gets none of them to a client", async () => {
  simulator.order({ calls: [{ on: "C_Sign", signs: "wrongly" }] });
  await assertProblem(await sign(randomBytes(100)), 503, "ERR_SIGNATURE_WRONG");
  simulator.order();
  assert.equal((await sign(randomBytes(100))).status, 200);
});

test("readiness answers within its deadline while the token hangs", async () => {
  await until(async () => (await fetch(`${service.url}/readyz`)).status === 200);
  simulator.order({ calls: [{ on: "C_Sign", hangs: true, times: 1 }] });
  await until(async () => {
    const response = await fetch(`${service.url}/readyz`);
    if (response.status === 200) return false;
    await assertProblem(response, 503, "ERR_SIGN_TIMEOUT");
    return true;
  });
  simulator.order({ released: true });
  await until(async () => (await fetch(`${service.url}/readyz`)).status === 200);
});

test("clients that go away while their signatures are in flight lose no session", async () => {
  simulator.order({ calls: [{ on: "C_Sign", latencyUs: 300_000 }] });
  const controller = new AbortController();
  const gone = Array.from({ length: 40 }, async () => {
    const answer = fetch(`${service.url}/sign`, {
      method: "POST",
      headers: { "content-type": "application/pdf" },
      body: new Uint8Array(randomBytes(100)),
      signal: controller.signal,
    });
    await assert.rejects(answer);
  });
  await until(async () => (await sessions())["leased"] === 4);
  controller.abort();
  await Promise.all(gone);
  await until(async () => {
    const { leased, waiting } = await sessions();
    return leased === 0 && waiting === 0;
  });
  const answers = await Promise.all(Array.from({ length: 8 }, () => sign(randomBytes(100))));
  assert.deepEqual(
    answers.map(({ status }) => status),
    Array(8).fill(200),
  );
  assert.equal((await sessions())["open"], 4);
});

/** The largest resident memory of the service so far, in bytes (proc(5), VmHWM). */
function peakMemory(): number {
  // By a program: Deno lets nobody read there without all permissions at once.
  const status = execFileSync("cat", [`/proc/${service.pid}/status`], { encoding: "utf8" });
  const [, kibibytes] = /^VmHWM:\s+(\d+) kB$/m.exec(status) ?? [];
  return Number(kibibytes) * 1024;
}

const MIB = 1024 ** 2;
/** How large a document is, and how much larger the service may be after it, in MiB. */
const [LARGE, GROWTH] = [400, 64];
const PIECE = Buffer.alloc(MIB, "QUJD");

/** Sends a body of so many MiB piece by piece, as fast as the service takes it. */
async function stream(
  type: string,
  head: string,
  mebibytes: number,
  tail: string,
): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const call = request(
      `${service.url}/sign`,
      { method: "POST", headers: { "content-type": type } },
      (response) => {
        response.resume().once("end", () => resolve(response.statusCode));
      },
    );
    call.once("error", reject);
    const send = async (): Promise<void> => {
      call.write(head);
      for (let sent = 0; sent < mebibytes; sent += 1) {
        if (!call.write(PIECE)) await new Promise((drained) => call.once("drain", drained));
      }
      call.end(tail);
    };
    void send();
  });
}

for (const [form, type, head, tail] of [
  ["raw", "application/octet-stream", "", ""],
  ["base64 in JSON", "application/json", '{"encodedContents":"', '"}'],
] as const) {
  test(`a large document, ${form}, does not make the service large`, async () => {
    // A small one first: buffers and compiled code come with the first use.
    assert.equal(await stream(type, head, 16, tail), 200);
    const before = peakMemory();
    assert.equal(await stream(type, head, LARGE, tail), 200);
    const growth = peakMemory() - before;
    assert.ok(growth < GROWTH * MIB, `grew by ${Math.round(growth / MIB)} MiB`);
  });
}

test("a start during which the token hangs ends with the reason, and does not wait for the call", async () => {
  simulator.order({ calls: [{ on: "C_Sign", hangs: true }] });
  const second = startServiceProcess({ environment: settings });
  await assert.rejects(second, (error: unknown) => {
    assert.ok(error instanceof ServiceStartError);
    assert.match(error.ending?.complaint ?? "", /Cannot sign: the token has not answered for 10000 ms/);
    // Every other way to exit waits for the call.
    assert.equal(error.ending?.signal, "SIGKILL");
    return true;
  });
});
