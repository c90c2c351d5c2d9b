import assert from "node:assert/strict";
import { verify } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type SignatureAlgorithm, signatureAlgorithm } from "../../lib/algorithms.ts";
import type { Credential } from "../../lib/credential/credential.ts";
import { type KeyStore, openCredential } from "../../lib/credential/open_credential.ts";
import { type ErrorCode, SignerError } from "../../lib/errors.ts";
import type { Signer } from "../../lib/signer.ts";
import {
  daysFromNow,
  intermediateCa,
  leafOf,
  PKI_NOW,
  pemOf,
  rootCa,
  selfSignedLeaf,
  type TestKeyType,
} from "../support/pki.ts";
import { recordingLog } from "../support/recording_log.ts";
import { SoftwareKeyStore, softwareCrypto, softwareKeyPair } from "../support/software.ts";
import { temporaryDirectory } from "../support/temporary.ts";

const P256 = signatureAlgorithm("P-256", "SHA-256");
const LABEL = "test-key";
const scratch = temporaryDirectory();

interface Stage {
  readonly keys: SoftwareKeyStore;
  readonly directory: string;
  readonly chainPath: string;
}

/** An empty token and a CERT_DIR that does not exist yet. */
function emptyStage(): Stage {
  const directory = join(mkdtempSync(join(scratch, "stage-")), "certs");
  return { keys: new SoftwareKeyStore(), directory, chainPath: join(directory, `${LABEL}.pem`) };
}

/** A token with a key pair, its label's. */
async function stageWithKey(algorithm: SignatureAlgorithm = P256): Promise<Stage & { pair: CryptoKeyPair }> {
  const stage = emptyStage();
  const pair = await softwareKeyPair(algorithm);
  stage.keys.pairs.set(LABEL, { ...pair, warnings: [] });
  return { ...stage, pair };
}

function putChain(stage: Stage, pem: string): void {
  mkdirSync(stage.directory, { recursive: true });
  writeFileSync(stage.chainPath, pem);
}

interface Opening {
  readonly algorithm?: SignatureAlgorithm;
  readonly autoProvision?: boolean;
  readonly crypto?: Crypto;
  readonly keys?: KeyStore;
  readonly now?: Date;
  readonly subject?: string;
  readonly log?: ReturnType<typeof recordingLog>;
}

function open(stage: Stage, { now = PKI_NOW, ...opening }: Opening = {}): Promise<Credential> {
  return openCredential({
    keys: opening.keys ?? stage.keys,
    crypto: opening.crypto ?? softwareCrypto,
    label: LABEL,
    algorithm: opening.algorithm ?? P256,
    autoProvision: opening.autoProvision ?? false,
    certificate: {
      directory: stage.directory,
      subject: opening.subject ?? "CN=Provisioned, O=Tests",
      days: 30,
    },
    now: () => now,
    log: (opening.log ?? recordingLog()).log,
  });
}

async function assertRefused(
  opening: Promise<unknown>,
  code: ErrorCode,
  ...states: readonly RegExp[]
): Promise<void> {
  await assert.rejects(opening, (error) => {
    assert.ok(error instanceof SignerError);
    assert.equal(error.code, code, error.message);
    for (const state of states) assert.match(error.message, state);
    return true;
  });
}

async function assertSigns({ signer, chain }: Credential): Promise<void> {
  const data = Buffer.from("what is signed");
  const { hash, verifyOptions } = signer.algorithm;
  const key = { ...verifyOptions, key: chain.leaf.publicKey, dsaEncoding: "der" } as const;
  assert.ok(verify(hash.nodeName, data, key, await signer.sign(data)));
}

const NAME_OF_SETTING = /hsm-signer provision/;

// Nothing is there.

test("without a key and without auto-provision, opening fails, names the setting, and makes nothing", async () => {
  const stage = emptyStage();
  await assertRefused(
    open(stage),
    "ERR_KEY_NOT_FOUND",
    /"test-key" on the token; there is no private key at all/,
    NAME_OF_SETTING,
  );
  assert.equal(stage.keys.generated, 0);
  assert.equal(existsSync(stage.directory), false);
});

test("a label that nobody has is answered with those that somebody has", async () => {
  const stage = emptyStage();
  for (const label of ["signer-2025", "signer-2026"]) {
    stage.keys.pairs.set(label, { ...(await softwareKeyPair(P256)), warnings: [] });
  }
  await assertRefused(
    open(stage),
    "ERR_KEY_NOT_FOUND",
    /there are "signer-2025", "signer-2026"\. Check HSM_KEY_LABEL/,
  );
});

for (const algorithm of [P256, signatureAlgorithm("RSA-2048", "SHA-256", "PSS")]) {
  test(`auto-provision makes a ${algorithm.key.name} pair and its certificate, and they sign`, async () => {
    const stage = emptyStage();
    const log = recordingLog();
    const credential = await open(stage, { algorithm, autoProvision: true, log });
    assert.equal(credential.label, LABEL);
    assert.equal(credential.chain.leaf.subject, "O=Tests\nCN=Provisioned");
    assert.deepEqual(credential.chain.notAfter, new Date(daysFromNow(30).getTime() - 5 * 60_000));
    await assertSigns(credential);
    assert.deepEqual(log.events, [
      { level: "info", event: "certificate.created", fields: { path: stage.chainPath } },
    ]);
  });
}

test("opening again presents the same certificate, byte for byte, and makes nothing", async () => {
  const stage = emptyStage();
  const first = await open(stage, { autoProvision: true });
  const file = readFileSync(stage.chainPath);
  for (const autoProvision of [true, false]) {
    const log = recordingLog();
    const again = await open(stage, { autoProvision, log, now: daysFromNow(7), subject: "CN=Another name" });
    assert.deepEqual(again.chain.certificates, first.chain.certificates);
    assert.deepEqual(log.events, []);
  }
  assert.equal(stage.keys.generated, 1);
  assert.deepEqual(readFileSync(stage.chainPath), file);
  assert.deepEqual(readdirSync(stage.directory), [`${LABEL}.pem`]);
});

// Half of it is there.

test("with a key but no certificate, opening without auto-provision fails and says where to put it", async () => {
  const stage = await stageWithKey();
  const place = new RegExp(`${stage.chainPath} \\(CERT_DIR\\).*leaf first, in PEM`);
  await assertRefused(open(stage), "ERR_CERTIFICATE_NOT_FOUND", place, NAME_OF_SETTING);
  assert.equal(existsSync(stage.directory), false);
});

test("with a key but no certificate, auto-provision makes the certificate for that key alone", async () => {
  const stage = await stageWithKey();
  const log = recordingLog();
  const credential = await open(stage, { autoProvision: true, log });
  const spki = Buffer.from(await softwareCrypto.subtle.exportKey("spki", stage.pair.publicKey));
  assert.deepEqual(credential.chain.leaf.publicKey.export({ type: "spki", format: "der" }), spki);
  assert.equal(stage.keys.generated, 0);
  assert.deepEqual(
    log.events.map(({ event }) => event),
    ["certificate.created"],
  );
});

test("with a certificate but no key, opening fails even with auto-provision, and makes no key", async () => {
  const stage = emptyStage();
  putChain(stage, pemOf(await selfSignedLeaf()));
  const before = readFileSync(stage.chainPath);
  for (const autoProvision of [true, false]) {
    const state = new RegExp(`${stage.chainPath} certifies one.*HSM_TOKEN_LABEL`);
    await assertRefused(open(stage, { autoProvision }), "ERR_KEY_NOT_FOUND", state);
  }
  assert.equal(stage.keys.generated, 0);
  assert.deepEqual(readFileSync(stage.chainPath), before);
});

test("a certificate that appears while one is being made is used, and not replaced", async () => {
  const stage = await stageWithKey();
  const theirs = await selfSignedLeaf({ keys: stage.pair, subject: "CN=Theirs" });
  const { subtle } = softwareCrypto;
  const crypto = {
    subtle: {
      exportKey: subtle.exportKey.bind(subtle),
      digest: subtle.digest.bind(subtle),
      sign: (...parameters: Parameters<SubtleCrypto["sign"]>) => {
        if (!existsSync(stage.chainPath)) putChain(stage, pemOf(theirs));
        return subtle.sign(...parameters);
      },
    },
  } as unknown as Crypto;
  const log = recordingLog();
  const credential = await open(stage, { autoProvision: true, crypto, log });
  assert.deepEqual(credential.chain.certificates, [theirs.der]);
  assert.deepEqual(log.events, []);
});

test("a CERT_DIR that cannot be made is refused by its name", async () => {
  const regularFile = join(mkdtempSync(join(scratch, "stage-")), "regular");
  writeFileSync(regularFile, "");
  const stage = { ...(await stageWithKey()), directory: join(regularFile, "certs") };
  await assertRefused(
    open(stage, { autoProvision: true }),
    "ERR_CERTIFICATE_NOT_WRITTEN",
    /CERT_DIR/,
    /ENOTDIR/,
  );
});

// The operator's chain.

test("an operator's chain is used as it is: leaf first, embedded without the root", async () => {
  const stage = await stageWithKey();
  const root = await rootCa();
  const intermediate = await intermediateCa(root);
  const leaf = await leafOf(intermediate, { keys: stage.pair });
  putChain(stage, `subject=CN = Test Leaf\r\n${pemOf(leaf, intermediate, root)}`);
  for (const autoProvision of [false, true]) {
    const credential = await open(stage, { autoProvision });
    assert.deepEqual(credential.chain.certificates, [leaf.der, intermediate.der, root.der]);
    assert.deepEqual(credential.chain.embedded, [leaf.der, intermediate.der]);
    await assertSigns(credential);
  }
  assert.equal(stage.keys.generated, 0);
});

test("a leaf without the certificates above it is used, and the operator is told what readers may miss", async () => {
  const stage = await stageWithKey();
  const intermediate = await intermediateCa(await rootCa());
  const leaf = await leafOf(intermediate, { keys: stage.pair });
  for (const [chain, events] of [
    [pemOf(leaf), ["chain.leaf_alone"]],
    [pemOf(leaf, intermediate), []],
  ] as const) {
    putChain(stage, chain);
    const logged = recordingLog();
    await open(stage, { log: logged });
    assert.deepEqual(
      logged.events.map(({ event }) => event),
      events,
    );
  }
});

test("a chain that does not hold together is refused, and nothing is made instead of it", async () => {
  const stage = await stageWithKey();
  const root = await rootCa();
  putChain(stage, pemOf(root, await leafOf(root, { keys: stage.pair })));
  const before = readFileSync(stage.chainPath);
  await assertRefused(open(stage, { autoProvision: true }), "ERR_CERTIFICATE_CHAIN", /leaf first/);
  assert.deepEqual(readFileSync(stage.chainPath), before);
});

test("an empty certificate file is refused, and not filled", async () => {
  const stage = await stageWithKey();
  putChain(stage, "");
  await assertRefused(
    open(stage, { autoProvision: true }),
    "ERR_CERTIFICATE_MALFORMED",
    /holds no certificate/,
  );
  assert.equal(readFileSync(stage.chainPath, "utf8"), "");
});

for (const { algorithm, others } of [
  { algorithm: P256, others: ["P-256", "P-384", "RSA-2048", "Ed25519"] },
  { algorithm: signatureAlgorithm("RSA-2048", "SHA-256", "PKCS1"), others: ["RSA-2048", "P-256", "Ed25519"] },
  { algorithm: signatureAlgorithm("RSA-2048", "SHA-256", "PSS"), others: ["RSA-2048", "P-521"] },
] satisfies { algorithm: SignatureAlgorithm; others: TestKeyType[] }[]) {
  for (const keyType of others) {
    const name = `${algorithm.key.name} ${algorithm.scheme}`;
    test(`a certificate for another key, ${keyType}, is refused for a key pair that is ${name}`, async () => {
      const stage = await stageWithKey(algorithm);
      putChain(stage, pemOf(await selfSignedLeaf({ keyType, subject: "CN=Other, O=Tests" })));
      const state = /certificate "O=Tests, CN=Other".*not for the key pair "test-key"/;
      await assertRefused(open(stage, { algorithm }), "ERR_CERTIFICATE_KEY_MISMATCH", state);
    });
  }
}

test("a chain outside of its dates is refused, also one that was provisioned, and none is made anew", async () => {
  const stage = emptyStage();
  await open(stage, { autoProvision: true });
  const before = readFileSync(stage.chainPath);
  const autoProvision = true;
  await assertRefused(
    open(stage, { autoProvision, now: daysFromNow(31) }),
    "ERR_CERTIFICATE_EXPIRED",
    /CN=Provisioned/,
  );
  await assertRefused(open(stage, { autoProvision, now: daysFromNow(-1) }), "ERR_CERTIFICATE_NOT_YET_VALID");
  assert.deepEqual(readFileSync(stage.chainPath), before);
});

// The key store.

test("the warnings of a key reach the log one by one", async () => {
  const stage = await stageWithKey();
  stage.keys.pairs.set(LABEL, { ...stage.pair, warnings: ["it can be extracted", "it is not sensitive"] });
  putChain(stage, pemOf(await selfSignedLeaf({ keys: stage.pair })));
  const log = recordingLog();
  await open(stage, { log });
  assert.deepEqual(log.events, [
    { level: "warning", event: "key.exposed", fields: { label: LABEL, warning: "it can be extracted" } },
    { level: "warning", event: "key.exposed", fields: { label: LABEL, warning: "it is not sensitive" } },
  ]);
});

test("the key store is asked for the label and the algorithm of the configuration, once", async () => {
  const stage = await stageWithKey();
  const asked: unknown[] = [];
  const keys: KeyStore = {
    findKeyPair(label, algorithm) {
      asked.push({ label, algorithm });
      return stage.keys.findKeyPair(label);
    },
    provisionKeyPair: () => Promise.reject(new Error("nobody asked for a key")),
    signer: (pair, algorithm) => stage.keys.signer(pair, algorithm),
    forget: () => {},
    keyLabels: () => [],
  };
  await open(stage, { keys, autoProvision: true });
  assert.deepEqual(asked, [{ label: LABEL, algorithm: P256 }]);
});

test("what the token refuses goes out as it is, and leaves no certificate", async () => {
  const refusal = new SignerError("ERR_TOKEN_UNAVAILABLE", "Cannot sign: the token is away");
  const stage = await stageWithKey();
  const subtle = {
    exportKey: softwareCrypto.subtle.exportKey.bind(softwareCrypto.subtle),
    digest: softwareCrypto.subtle.digest.bind(softwareCrypto.subtle),
    sign: () => Promise.reject(refusal),
  };
  const crypto = { subtle } as unknown as Crypto;
  await assert.rejects(open(stage, { autoProvision: true, crypto }), refusal);
  assert.equal(existsSync(stage.chainPath), false);

  putChain(stage, pemOf(await selfSignedLeaf({ keys: stage.pair })));
  class RefusingStore extends SoftwareKeyStore {
    override signer(): Signer {
      return { algorithm: P256, sign: () => Promise.reject(refusal) };
    }
  }
  const refusing = new RefusingStore();
  refusing.pairs.set(LABEL, { ...stage.pair, warnings: [] });
  await assert.rejects(open(stage, { keys: refusing }), refusal);

  const empty = emptyStage();
  const keys: KeyStore = {
    keyLabels: () => [],
    findKeyPair: () => undefined,
    provisionKeyPair: () => Promise.reject(refusal),
    signer: () => ({ algorithm: P256, sign: () => Promise.reject(refusal) }),
    forget: () => {},
  };
  await assert.rejects(open(empty, { keys, autoProvision: true }), refusal);
  assert.equal(existsSync(empty.directory), false);
});
