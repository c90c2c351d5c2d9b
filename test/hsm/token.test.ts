import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { randomBytes, verify } from "node:crypto";
import { after, test } from "node:test";
import * as graphene from "graphene-pk11";
import { type SignatureAlgorithm, signatureAlgorithm } from "../../lib/algorithms.ts";
import type { ErrorCode } from "../../lib/errors.ts";
import { openSession, Pkcs11Module } from "../../lib/hsm/module.ts";
import { freshToken, openTestToken } from "../support/token.ts";

const softHsm = freshToken();
const token = openTestToken(softHsm, { sessions: 16 });
after(() => token.close(5_000));
const rsa = signatureAlgorithm("RSA-2048", "SHA-256");
const p256 = signatureAlgorithm("P-256", "SHA-256");

const fails = (code: ErrorCode, message: RegExp) => (error: unknown) =>
  error instanceof Error && "code" in error && error.code === code && message.test(error.message);

/** Works on the token as an operator would with a tool of his own. */
function withPlainSession<T>(use: (session: graphene.Session) => T): T {
  const session = openSession(Pkcs11Module.open(softHsm.modulePath).slotOfToken(softHsm.label));
  try {
    return use(session);
  } finally {
    session.close();
  }
}

test("a generated private key is on the token, sensitive, not extractable, and has its public half's CKA_ID", async () => {
  const { privateKey, publicKey, warnings } = await token.generateKeyPair("made here", rsa);
  assert.deepEqual(warnings, []);
  const attributes = {
    token: null,
    private: null,
    sensitive: null,
    extractable: null,
    sign: null,
    decrypt: null,
  };
  assert.deepEqual(privateKey.p11Object.getAttribute(attributes as unknown as graphene.ITemplate), {
    token: true,
    private: true,
    sensitive: true,
    extractable: false,
    sign: true,
    decrypt: false,
  });
  const id = privateKey.p11Object.getAttribute("id") as Buffer;
  assert.equal(id.length, 20);
  assert.deepEqual(publicKey.p11Object.getAttribute("id"), id);
  assert.throws(() =>
    privateKey.p11Object.getAttribute({ privateExponent: null } as unknown as graphene.ITemplate),
  );
});

test("200 callers over 16 sessions each get a signature over their own bytes", async () => {
  const { privateKey } = await token.generateKeyPair("busy", p256);
  let mostLeased = 0;
  await Promise.all(
    Array.from({ length: 200 }, async () => {
      const data = randomBytes(150);
      const signing = token.sign(privateKey, p256, data);
      mostLeased = Math.max(mostLeased, token.sessions.leased);
      const options = { key: privateKey.publicKeyObject, dsaEncoding: "ieee-p1363" } as const;
      assert.ok(verify("sha256", data, options, await signing));
    }),
  );
  assert.equal(mostLeased, 16);
  assert.deepEqual({ ...token.sessions }, { size: 16, open: 16, leased: 0, overdue: 0, waiting: 0 });
});

test("a label that no private key has is not found", () => {
  assert.equal(token.findKeyPair("nobody", rsa), undefined);
});

test("a label that two private keys have is refused, and the error names both", async () => {
  await token.generateKeyPair("twice", p256);
  await token.generateKeyPair("twice", p256);
  assert.throws(
    () => token.findKeyPair("twice", p256),
    fails("ERR_KEY_AMBIGUOUS", /2 private keys .*CKA_ID \w{40}, \w{40}/),
  );
});

test("a private key without its public half is refused", async () => {
  const { publicKey } = await token.generateKeyPair("half", p256);
  withPlainSession((session) =>
    session.destroy(new graphene.SessionObject(publicKey.p11Object.handle, session, session.lib)),
  );
  assert.throws(() => token.findKeyPair("half", p256), fails("ERR_KEY_UNUSABLE", /0 public keys/));
});

for (const [made, wanted] of [
  [rsa, p256],
  [p256, signatureAlgorithm("P-384", "SHA-384")],
  [p256, rsa],
  [rsa, signatureAlgorithm("RSA-3072", "SHA-256")],
] satisfies [SignatureAlgorithm, SignatureAlgorithm][]) {
  test(`an ${made.key.name} key where ${wanted.key.name} is configured is refused, and the error names both`, async () => {
    const label = `${made.key.name} for ${wanted.key.name}`;
    await token.generateKeyPair(label, made);
    const message = new RegExp(`it is ${made.key.name}, and HSM_KEY_ALGORITHM says ${wanted.key.name}`);
    assert.throws(() => token.findKeyPair(label, wanted), fails("ERR_KEY_UNUSABLE", message));
  });
}

test("a key that may leave the token is used, and the operator is told", () => {
  const common = { token: true, label: "loose", id: randomBytes(16) };
  withPlainSession((session) =>
    session.generateKeyPair(
      graphene.KeyGenMechanism.EC,
      { ...common, verify: true, paramsEC: Buffer.from("06082a8648ce3d030107", "hex") },
      { ...common, sign: true, extractable: true, sensitive: false },
    ),
  );
  assert.deepEqual(token.findKeyPair("loose", p256)?.warnings, [
    "the private key is extractable (CKA_EXTRACTABLE)",
    "the private key is not sensitive (CKA_SENSITIVE)",
  ]);
});

test("a key that may not sign is refused", () => {
  const common = { token: true, label: "mute", id: randomBytes(16) };
  withPlainSession((session) =>
    session.generateKeyPair(
      graphene.KeyGenMechanism.EC,
      { ...common, verify: true, paramsEC: Buffer.from("06082a8648ce3d030107", "hex") },
      { ...common, sign: false, derive: true },
    ),
  );
  assert.throws(() => token.findKeyPair("mute", p256), fails("ERR_KEY_UNUSABLE", /CKA_SIGN is false/));
});

test("a token label that is not there is refused with a list of those that are", () => {
  assert.throws(
    () => openTestToken({ ...softHsm, label: "elsewhere" }),
    fails("ERR_TOKEN_NOT_FOUND", /0 are labelled "elsewhere" \(HSM_TOKEN_LABEL\); present: .*"test"/),
  );
});

test("of two tokens one has to be named", () => {
  execFileSync("softhsm2-util", [
    "--init-token",
    "--free",
    "--label",
    "second",
    "--so-pin",
    "1234",
    "--pin",
    "1234",
  ]);
  const script = `
    const { openTestToken } = await import("./test/support/token.ts");
    try { openTestToken({ modulePath: ${JSON.stringify(softHsm.modulePath)}, label: undefined, pin: "1234" }); }
    catch (error) { console.log(error.code, error.message); }`;
  const said = execFileSync(process.execPath, ["--import", "tsx", "--input-type=module", "-e", script], {
    encoding: "utf8",
  });
  assert.match(
    said,
    /^ERR_TOKEN_NOT_FOUND .*there are 2, and HSM_TOKEN_LABEL does not say which; present: .*"second"/,
  );
});

test("a library that is none, and a file that is not there, are named", () => {
  for (const modulePath of ["/nowhere/libnothing.so", "/etc/hostname"]) {
    assert.throws(
      () => openTestToken({ ...softHsm, modulePath }),
      fails("ERR_MODULE_UNUSABLE", new RegExp(`Cannot load the PKCS#11 library ${modulePath}: `)),
    );
  }
});

test("a refused PIN is tried once, is in no message, and says that an operator has to act", () => {
  // In a process of its own: this one is logged in already, for all its sessions.
  const script = `
    const { Token } = await import("./lib/hsm/token.ts");
    const { Secret } = await import("./lib/secret.ts");
    try {
      Token.open({ modulePath: ${JSON.stringify(softHsm.modulePath)}, label: "test", pin: new Secret("4711-wrong", "HSM_PIN_FILE"), sessions: 1, log() {} });
    } catch (error) { console.log(error.code, error.stack, error.cause?.stack); }`;
  const said = execFileSync(process.execPath, ["--import", "tsx", "--input-type=module", "-e", script], {
    encoding: "utf8",
  });
  assert.match(
    said,
    /^ERR_PIN_REJECTED .*Cannot log in to the token with the PIN of HSM_PIN_FILE: CKR_PIN_INCORRECT/,
  );
  assert.doesNotMatch(said, /4711/);
});
