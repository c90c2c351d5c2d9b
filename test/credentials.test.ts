import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type SignatureAlgorithm, signatureAlgorithm } from "../lib/algorithms.ts";
import { Credentials, CredentialsError } from "../lib/credentials.ts";
import { type ErrorCode, SignerError, sentencesOf } from "../lib/errors.ts";
import { daysFromNow, PKI_NOW, pemOf, selfSignedLeaf } from "./support/pki.ts";
import { recordingLog } from "./support/recording_log.ts";
import { SoftwareKeyStore, softwareCrypto, softwareKeyPair } from "./support/software.ts";
import { temporaryDirectory } from "./support/temporary.ts";

const p256 = signatureAlgorithm("P-256", "SHA-256");
const p384 = signatureAlgorithm("P-384", "SHA-384");

/** What a test says of a credential: from and until which day its certificate is valid. */
interface Given {
  readonly label: string;
  readonly algorithm?: SignatureAlgorithm;
  readonly days?: readonly [from: number, until: number];
}

const VALID: readonly [number, number] = [-30, 365];

/** A token with keys, and chains in a CERT_DIR. */
async function stage(...given: readonly Given[]) {
  const directory = join(temporaryDirectory(), "certs");
  const keys = new SoftwareKeyStore();
  mkdirSync(directory);
  for (const { label, algorithm = p256, days = VALID } of given) {
    const pair = await softwareKeyPair(algorithm);
    keys.pairs.set(label, { ...pair, warnings: [] });
    const leaf = await selfSignedLeaf({ keys: pair, days, subject: `CN=${label}` });
    writeFileSync(join(directory, `${label}.pem`), pemOf(leaf));
  }
  let now = PKI_NOW;
  const setNow = (day: number): void => {
    now = daysFromNow(day);
  };
  const { log, events } = recordingLog();
  const open = (...labels: readonly string[]): Promise<Credentials> => {
    const configured = labels.map((label) => {
      const algorithm = given.find((each) => each.label === label)?.algorithm ?? p256;
      return { label, algorithm };
    });
    const [first, ...others] = configured;
    assert.ok(first);
    return Credentials.open({
      config: {
        credentials: [first, ...others],
        autoProvision: false,
        certificate: { directory, subject: "CN=A", days: 1 },
      },
      keys,
      crypto: softwareCrypto,
      now: () => now,
      log,
    });
  };
  return { keys, open, events, log, setNow };
}

const isCode = (code: ErrorCode) => (error: unknown) => error instanceof SignerError && error.code === code;

test("each is found by its label, and signs with its own algorithm; the first is the default one", async () => {
  const { open } = await stage({ label: "a" }, { label: "b", algorithm: p384 });
  const credentials = await open("a", "b");
  assert.equal(credentials.standard.signer.credential.label, "a");
  assert.equal(credentials.find("b").signer.credential.signer.algorithm.hash.name, "SHA-384");
  assert.ok((await credentials.find("b").signer.sign(randomBytes(48))).length > 500);
  assert.match(credentials.find("b").certificatePem, /BEGIN CERTIFICATE/);
  assert.throws(() => credentials.find("c"), isCode("ERR_CREDENTIAL_UNKNOWN"));
});

test("all that cannot be served are named together, and no key stays in use", async () => {
  const { open, keys } = await stage({ label: "a" }, { label: "b", algorithm: p384 });
  await assert.rejects(open("a", "missing", "b", "also missing"), (error) => {
    assert.ok(error instanceof CredentialsError);
    assert.equal(error.code, "ERR_KEY_NOT_FOUND");
    const sentences = sentencesOf(error);
    assert.equal(sentences.length, 2);
    assert.match(sentences.join("\n"), /"missing".*\n.*"also missing"/);
    return true;
  });
  assert.equal(keys.inUse.size, 0);
});

test("one that has expired stops no others: it is served, and refuses to sign with its own code", async () => {
  const { open } = await stage({ label: "a", days: [-30, -1] }, { label: "b" });
  const credentials = await open("a", "b");
  await assert.rejects(credentials.standard.signer.sign(randomBytes(32)), isCode("ERR_CERTIFICATE_EXPIRED"));
  assert.ok(await credentials.find("b").signer.sign(randomBytes(32)));
});

test("one that was never good is no better for having expired", async () => {
  const { open } = await stage({ label: "a", days: [-30, -1], algorithm: p384 }, { label: "b" });
  // Its key is another one than the certificate's.
  const { keys } = await stage({ label: "a", algorithm: p384 });
  const other = await stage({ label: "a", days: [-30, -1] }, { label: "b" });
  const pair = keys.pairs.get("a");
  assert.ok(pair);
  other.keys.pairs.set("a", { ...(await softwareKeyPair(p256)), warnings: [] });
  await assert.rejects(other.open("a", "b"), isCode("ERR_CERTIFICATE_KEY_MISMATCH"));
  assert.ok(await open("a", "b"));
});

test("where all have expired, there is nothing to serve", async () => {
  for (const given of [
    [{ label: "a", days: [-30, -1] }],
    [
      { label: "a", days: [-30, -1] },
      { label: "b", days: [-30, -2] },
    ],
  ] as const satisfies readonly Given[][]) {
    const { open, keys } = await stage(...given);
    await assert.rejects(open(...given.map(({ label }) => label)), (error) => {
      assert.equal(sentencesOf(error).length, given.length);
      return isCode("ERR_CERTIFICATE_EXPIRED")(error);
    });
    assert.equal(keys.inUse.size, 0);
  }
});

test("one that expires under way refuses from that moment on", async () => {
  const { open, setNow } = await stage({ label: "a", days: [-30, 10] });
  const { standard } = await open("a");
  assert.ok(await standard.signer.sign(randomBytes(32)));
  setNow(11);
  await assert.rejects(standard.signer.sign(randomBytes(32)), isCode("ERR_CERTIFICATE_EXPIRED"));
});

test("its expiry is warned of from 30 days on, and shown to whoever asks", async () => {
  const { open, events, log, setNow } = await stage({ label: "a", days: [-30, 31] });
  const credentials = await open("a");
  const warnings = (): unknown[] =>
    events.map(({ level, event, fields }) => [level, event, (fields as { days: number }).days]);
  credentials.warn(daysFromNow(0), log);
  assert.deepEqual(events, []);
  assert.equal(credentials.facts(PKI_NOW)["warning"], undefined);
  for (const [day, level, event, days] of [
    [1, "warning", "certificate.expires", 30],
    [30.5, "warning", "certificate.expires", 0],
    [32, "error", "certificate.expired", -1],
  ] as const) {
    setNow(day);
    events.length = 0;
    credentials.warn(daysFromNow(day), log);
    assert.deepEqual(warnings(), [[level, event, days]]);
    const { warning } = credentials.facts(daysFromNow(day));
    assert.match(String(warning), days < 0 ? /has expired/ : new RegExp(`expires in ${days} days`));
  }
});

test("what is released is not in use any more", async () => {
  const { open, keys } = await stage({ label: "a" }, { label: "b" });
  const credentials = await open("a", "b");
  assert.equal(keys.inUse.size, 2);
  credentials.release();
  assert.equal(keys.inUse.size, 0);
});
