import assert from "node:assert/strict";
import { generateKeyPairSync, type JsonWebKey, randomBytes, verify } from "node:crypto";
import { after, beforeEach, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import * as graphene from "graphene-pk11";
import { keyAlgorithm, signatureAlgorithm } from "../../lib/algorithms.ts";
import type { TokenKeyPair } from "../../lib/hsm/key_pairs.ts";
import { cloudHsmSimulator } from "../cloudhsm/simulator.ts";
import { fails } from "../support/fails.ts";
import { withPlainSession } from "../support/plain_session.ts";
import { recordingLog } from "../support/recording_log.ts";
import { openTestToken } from "../support/token.ts";
import { until } from "../support/until.ts";

/** Somebody deletes the key objects of a running service, and perhaps puts them back from a backup. */
const simulator = cloudHsmSimulator();
const algorithm = signatureAlgorithm("P-256", "SHA-256");
const logged = recordingLog();
const token = openTestToken(simulator, { sessions: 2, log: logged.log });
after(() => token.close(5_000));

/** Longer than the age below which a connection is not replaced again. */
const SETTLING_MS = 1_100;
beforeEach(async () => {
  await delay(SETTLING_MS);
  logged.events.length = 0;
});

/** A key pair whose private half is known, as no HSM gives it away. */
function knownKey(): JsonWebKey {
  return generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export({ format: "jwk" });
}

function put(label: string, { x = "", y = "", d = "" }: JsonWebKey): void {
  const curve = keyAlgorithm("P-256");
  assert.ok(curve.kind === "EC");
  const point = Buffer.concat([
    Buffer.from([0x04, 65, 0x04]),
    Buffer.from(x, "base64url"),
    Buffer.from(y, "base64url"),
  ]);
  const common = {
    token: true,
    label,
    id: randomBytes(20),
    keyType: graphene.KeyType.EC,
    paramsEC: Buffer.from(curve.ecParams),
  };
  withPlainSession(simulator, (session) => {
    session.create({ ...common, class: graphene.ObjectClass.PUBLIC_KEY, verify: true, pointEC: point });
    session.create({
      ...common,
      class: graphene.ObjectClass.PRIVATE_KEY,
      private: true,
      sensitive: true,
      extractable: false,
      sign: true,
      value: Buffer.from(d, "base64url"),
    });
  });
}

function remove(label: string): void {
  withPlainSession(simulator, (session) => {
    for (const type of [graphene.ObjectClass.PRIVATE_KEY, graphene.ObjectClass.PUBLIC_KEY]) {
      session.destroy({ class: type, label });
    }
  });
}

async function signs({ privateKey }: TokenKeyPair): Promise<void> {
  const data = randomBytes(50);
  const signature = await token.sign(privateKey, algorithm, data);
  const options = { key: privateKey.publicKeyObject, dsaEncoding: "ieee-p1363" } as const;
  assert.ok(verify("sha256", data, options, signature));
}

function find(label: string): TokenKeyPair {
  const pair = token.findKeyPair(label, algorithm);
  assert.ok(pair);
  return pair;
}

const events = (): string[] => logged.events.map(({ event }) => event);

const other = await token.generateKeyPair("another key", algorithm);

test("a key that is deleted is lost for itself alone, and found again when it is put back", async () => {
  const key = knownKey();
  put("deleted", key);
  const pair = find("deleted");
  await signs(pair);
  remove("deleted");
  for (let count = 0; count < 3; count += 1) {
    await assert.rejects(signs(pair), fails("ERR_KEY_NOT_FOUND", /"deleted" on the token any more/));
    await signs(other);
  }
  assert.equal(events().filter((event) => event === "key.lost").length, 1);
  put("deleted", key);
  await until(() =>
    signs(pair).then(
      () => true,
      () => false,
    ),
  );
  assert.equal(events().filter((event) => event === "key.found_again").length, 1);
  // A lost key costs no login: one when it was missed, and no more.
  assert.equal(events().filter((event) => event === "token.recovered").length, 1);
});

test("a lost key is looked for once a second, however many ask for it", async () => {
  put("asked for", knownKey());
  const pair = find("asked for");
  remove("asked for");
  await assert.rejects(signs(pair));
  const before = simulator.calls("C_FindObjectsInit");
  for (let count = 0; count < 50; count += 1)
    await assert.rejects(signs(pair), fails("ERR_KEY_NOT_FOUND", /./));
  assert.ok(simulator.calls("C_FindObjectsInit") - before <= 10);
});

test("a key that another one took the place of does not sign, and the right one does when it is back", async () => {
  const key = knownKey();
  put("replaced", key);
  const pair = find("replaced");
  remove("replaced");
  put("replaced", knownKey());
  await assert.rejects(signs(pair), fails("ERR_KEY_UNUSABLE", /"replaced": it is another one now/));
  await signs(other);
  remove("replaced");
  put("replaced", key);
  await until(() =>
    signs(pair).then(
      () => true,
      () => false,
    ),
  );
});

test("a key that nobody uses any more is not missed", async () => {
  put("former", knownKey());
  const pair = find("former");
  token.forget(pair);
  remove("former");
  simulator.order({ handlesRenewed: true });
  await signs(other);
  assert.deepEqual(
    events().filter((event) => event.startsWith("key.")),
    [],
  );
});

test("a lost key is looked for on the connection that there is, after the token was away", async () => {
  const key = knownKey();
  put("away", key);
  const pair = find("away");
  remove("away");
  await assert.rejects(signs(pair), fails("ERR_KEY_NOT_FOUND", /./));
  put("away", key);
  await delay(SETTLING_MS);
  simulator.order({ disconnected: { forMs: 1 } });
  await until(() =>
    signs(pair).then(
      () => true,
      () => false,
    ),
  );
});
