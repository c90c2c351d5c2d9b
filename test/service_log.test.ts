import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, test } from "node:test";
import { softHsmBackEnd } from "./support/back_ends.ts";
import { exchange } from "./support/raw_http.ts";
import { type ReloadableService, reloadableServiceOn } from "./support/service_on.ts";
import { until } from "./support/until.ts";

const SETTINGS = { HSM_KEY_ALGORITHM: "P-256", HSM_AUTO_PROVISION: "true" };
let service: ReloadableService;

before(async () => {
  service = await reloadableServiceOn(softHsmBackEnd(), SETTINGS);
});
after(() => service.stop());

const sign = (): Promise<Response> =>
  fetch(`${service.url}/sign`, {
    method: "POST",
    headers: { "content-type": "application/pdf" },
    body: new Uint8Array(randomBytes(100)),
  });

test("each request is one line, with its id, its outcome and its durations; one whose head was refused, too", async () => {
  const answers = await Promise.all(Array.from({ length: 20 }, sign));
  const refused = await exchange(service.url, "GARBAGE\r\n\r\n");
  await until(() => service.events("request").length >= 21);
  const lines = service.events("request");
  assert.equal(lines.length, 21);
  for (const { status, headers } of answers) {
    const own = lines.filter(({ id }) => id === headers.get("x-request-id"));
    assert.equal(own.length, 1);
    const { time, id, digest, certificateSerial, ...rest } = own[0] ?? {};
    assert.deepEqual(Object.keys(rest), [
      ...["level", "event", "method", "path", "status", "address", "caller", "credential"],
      ...["queueMs", "tokenMs", "totalMs"],
    ]);
    assert.deepEqual([rest["status"], status], [200, 200]);
    assert.ok(Number(rest["tokenMs"]) > 0 && Number(rest["totalMs"]) >= Number(rest["tokenMs"]));
  }
  const id = refused?.headers.get("x-request-id");
  const [line] = lines.filter((each) => each["id"] === id);
  assert.deepEqual([line?.["status"], line?.["code"]], [400, "ERR_REQUEST_MALFORMED"]);
});

test("a log of warnings alone holds no requests, from the reload on", async () => {
  const before = service.events("request").length;
  assert.equal((await service.reload({ ...SETTINGS, LOG_LEVEL: "warning" }))["event"], "reloaded");
  assert.equal((await sign()).status, 200);
  // What comes behind it in the log is there.
  assert.equal((await service.reload({ ...SETTINGS, LOG_LEVEL: "debug" }))["event"], "reload.failed");
  assert.equal(service.events("request").length, before);
});
