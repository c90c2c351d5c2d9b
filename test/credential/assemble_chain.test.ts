import assert from "node:assert/strict";
import { test } from "node:test";
import { type AssembledChain, assembleChain } from "../../lib/credential/assemble_chain.ts";
import { type ProvenChain, proveChain } from "../../lib/credential/chain.ts";
import * as x509 from "../../lib/credential/x509.ts";
import { SignerError } from "../../lib/errors.ts";
import {
  daysFromNow,
  intermediateCa,
  leafOf,
  opensslVerify,
  PKI_NOW,
  pemOf,
  rootCa,
  selfSignedLeaf,
  type TestCertificate,
  testKeys,
} from "../support/pki.ts";
import { printed } from "../support/programs.ts";
import { SeededRandom } from "../support/seeded_random.ts";
import { softwareCrypto } from "../support/software.ts";

const keys = await testKeys("P-256");
const root = await rootCa();
const upper = await intermediateCa(root);
const lower = await intermediateCa(upper, { subject: "CN=Test Lower CA" });
const leaf = await leafOf(lower, { keys });

async function spkiOf({ publicKey }: CryptoKeyPair): Promise<Uint8Array> {
  return new Uint8Array(await softwareCrypto.subtle.exportKey("spki", publicKey));
}
const publicKey = await spkiOf(keys);

function assemble(certificates: readonly TestCertificate[], now: Date = PKI_NOW): Promise<AssembledChain> {
  return assembleChain({ certificates: certificates.map(({ der }) => der), publicKey, now });
}

async function prove(assembled: AssembledChain | Promise<AssembledChain>): Promise<ProvenChain> {
  return proveChain((await assembled).certificates, PKI_NOW);
}

function assertChain(assembled: AssembledChain, expected: readonly TestCertificate[]): void {
  const names = (ders: readonly Uint8Array[]): string[] =>
    ders.map((der) => Buffer.from(der).toString("base64"));
  assert.deepEqual(names(assembled.certificates), names(expected.map(({ der }) => der)));
}

/** The same chain, whatever the order; without warnings, unless there are some to be expected. */
async function assertAlways(
  certificates: readonly TestCertificate[],
  expected: readonly TestCertificate[],
  warnings: readonly RegExp[] = [],
): Promise<void> {
  const random = new SeededRandom(certificates.length);
  const orders = Array.from({ length: 20 }, () => random.shuffled(certificates));
  for (const order of [certificates, certificates.toReversed(), ...orders]) {
    const assembled = await assemble(order);
    assertChain(assembled, expected);
    assert.equal(assembled.warnings.length, warnings.length, assembled.warnings.join("\n"));
    for (const [index, warning] of warnings.entries()) assert.match(assembled.warnings[index] ?? "", warning);
  }
}

function permutations<T>(values: readonly T[]): T[][] {
  if (values.length === 0) return [[]];
  return values.flatMap((value, index) =>
    permutations(values.toSpliced(index, 1)).map((others) => [value, ...others]),
  );
}

// Order.

test("every order of a chain of four gives the same chain, leaf first, which proves and which OpenSSL verifies", async () => {
  const orders = permutations([leaf, lower, upper, root]);
  assert.equal(orders.length, 24);
  for (const order of orders) {
    const assembled = await assemble(order);
    assertChain(assembled, [leaf, lower, upper, root]);
    assert.deepEqual(assembled.leftOut, []);
    assert.deepEqual(assembled.warnings, []);
    assert.equal((await prove(assembled)).embedded.length, 3);
  }
  assert.match(opensslVerify(leaf, [lower, upper], root), /OK/);
});

test("GnuTLS verifies an assembled chain in the order that it has", async () => {
  const today = (Date.now() - PKI_NOW.getTime()) / 86_400_000;
  const days = [today - 1, today + 1] as const;
  const rsaRoot = await rootCa({ keyType: "RSA-2048", days });
  const ecCa = await intermediateCa(rsaRoot, { keyType: "P-384", hash: "SHA-384", days });
  const certificates = [await leafOf(ecCa, { keys, days }), ecCa, rsaRoot];
  const { certificates: chain } = await assemble(certificates.toReversed(), new Date());
  assert.deepEqual(
    chain,
    certificates.map(({ der }) => der),
  );
  const verified = /Chain verification output: Verified\./;
  const verdict = (pem: string): string => printed(pem, "certtool", "--verify-chain", "--infile", "FILE");
  assert.match(verdict(pemOf(...certificates)), verified);
  assert.throws(() => verdict(pemOf(certificates[0] ?? rsaRoot, rsaRoot)), /Not verified/);
});

test("a chain without its root is assembled as far as it is there, without a warning", async () => {
  for (const order of permutations([leaf, lower, upper])) {
    assertChain(await assemble(order), [leaf, lower, upper]);
    assert.deepEqual((await assemble(order)).warnings, []);
  }
  await assertAlways([leaf, lower], [leaf, lower]);
});

test("duplicates change nothing", async () => {
  await assertAlways([leaf, leaf, lower, root, upper, lower, root], [leaf, lower, upper, root]);
});

test("a self-signed certificate for the key is a chain of its own", async () => {
  const alone = await selfSignedLeaf({ keys });
  await assertAlways([alone], [alone]);
  assert.ok((await prove(assemble([alone]))).isSelfSigned);
});

// What is missing, and what does not belong.

test("a leaf alone is a chain, with the warning that its issuer is not there", async () => {
  await assertAlways(
    [leaf],
    [leaf],
    [/ends at "CN=Test Leaf", and the certificate of "CN=Test Lower CA".* is not there/],
  );
  assert.ok(await prove(assemble([leaf])));
});

test("a gap in the middle ends the chain, with a warning that names what is missing", async () => {
  await assertAlways(
    [leaf, upper, root],
    [leaf],
    [/^left out, .*: .*"CN=Test CA"/, /certificate of "CN=Test Lower CA".* is not there/],
  );
  await assertAlways(
    [leaf, lower, root],
    [leaf, lower],
    [/^left out, .*: "CN=Test Root"$/, /ends at "CN=Test Lower CA", and the certificate of "CN=Test CA"/],
  );
});

test("what does not belong to the chain is left out and named, a few of many", async () => {
  const stranger = await rootCa({ subject: "CN=Stranger, O=Elsewhere" });
  const strangersLeaf = await leafOf(stranger, { subject: "CN=Somebody" });
  const { leftOut } = await assemble([strangersLeaf, leaf, stranger, lower, upper, root]);
  assert.deepEqual(new Set(leftOut), new Set([strangersLeaf.der, stranger.der]));
  await assertAlways(
    [strangersLeaf, leaf, stranger, lower, upper, root],
    [leaf, lower, upper, root],
    [/^left out, since the chain goes another way: (?=.*"CN=Somebody").*"O=Elsewhere, CN=Stranger"/],
  );
  const many: TestCertificate[] = [];
  for (let count = 0; count < 8; count += 1) many.push(await leafOf(stranger));
  await assertAlways(
    [leaf, lower, ...many],
    [leaf, lower],
    [/^left out, .*: ("CN=Test Leaf", ){4}"CN=Test Leaf" and 3 more$/],
  );
});

test("an issuer of the right name with another key is left out", async () => {
  const impostor = await intermediateCa(upper, { subject: "CN=Test Lower CA", days: [-1, 3000] });
  await assertAlways(
    [leaf, impostor, lower, upper, root],
    [leaf, lower, upper, root],
    [/"CN=Test Lower CA"$/],
  );
});

test("an issuer of another name with the right key is left out", async () => {
  const renamed = await intermediateCa(upper, { subject: "CN=Renamed", keys: lower.keys });
  await assertAlways(
    [leaf, renamed, upper, root],
    [leaf],
    [/"CN=Renamed"/, /"CN=Test Lower CA".* is not there/],
  );
});

test("an issuer's name may be written in another way, as OpenSSL has it", async () => {
  const shouting = await intermediateCa(upper, { subject: "CN=TEST  lower ca", keys: lower.keys });
  await assertAlways([leaf, shouting, upper, root], [leaf, shouting, upper, root]);
  assert.match(opensslVerify(leaf, [shouting, upper], root), /OK/);
});

test("without key identifiers the signature tells issuers of one name apart", async () => {
  const own = await bare({ subject: "CN=Test Leaf", keys, issuer: lower });
  const impostor = await bare({
    subject: lower.subject,
    keys: await testKeys("P-256"),
    issuer: upper,
    ca: true,
  });
  await assertAlways([own, impostor, lower, upper, root], [own, lower, upper, root], [/"CN=Test Lower CA"$/]);
});

test("an issuer with the right name and key, and another key identifier, is not preferred", async () => {
  const identifier = new x509.SubjectKeyIdentifierExtension("00112233", false);
  const odd = await bare({ subject: lower.subject, keys: lower.keys, issuer: upper, ca: true }, identifier);
  await assertAlways([leaf, odd, lower, upper, root], [leaf, lower, upper, root], [/"CN=Test Lower CA"$/]);
  await assert.rejects(() => prove(assemble([leaf, odd, upper, root])), { code: "ERR_CERTIFICATE_CHAIN" });
});

interface Bare {
  readonly subject: string;
  readonly keys: CryptoKeyPair;
  readonly issuer: TestCertificate;
  readonly ca?: boolean;
}

/** A certificate without key identifiers, unless they are given, that lasts longer than others. */
async function bare(options: Bare, ...extensions: readonly x509.Extension[]): Promise<TestCertificate> {
  const generated = await x509.X509CertificateGenerator.create(
    {
      subject: options.subject,
      issuer: options.issuer.subject,
      notBefore: daysFromNow(-1),
      notAfter: daysFromNow(3000),
      publicKey: options.keys.publicKey,
      signingKey: options.issuer.keys.privateKey,
      signingAlgorithm: { name: "ECDSA", hash: "SHA-256" } as EcdsaParams,
      extensions: [new x509.BasicConstraintsExtension(options.ca ?? false, undefined, true), ...extensions],
    },
    softwareCrypto,
  );
  return { ...options, der: new Uint8Array(generated.rawData) };
}

test("a certificate that no reader of ours understands is left out, and hurts nobody", async () => {
  const hex = Buffer.from((await rootCa({ subject: "CN=Unknown" })).der).toString("hex");
  // The key's algorithm becomes one that there is not.
  const der = new Uint8Array(Buffer.from(hex.replaceAll("06072a8648ce3d0201", "06072a8648ce3d027f"), "hex"));
  const unknown = { ...root, der };
  await assertAlways([unknown, leaf, lower], [leaf, lower], [/"CN=Unknown"$/, /"CN=Test CA".* is not there/]);
});

// The leaf.

test("of several certificates for the key the one that is valid and lasts longest is taken, and the others named", async () => {
  const older = await leafOf(lower, { keys, days: [-300, 30] });
  const expired = await leafOf(lower, { keys, days: [-3000, -1] });
  const future = await leafOf(lower, { keys, days: [1, 3000] });
  const serial = ({ der }: TestCertificate): string =>
    new x509.X509Certificate(Buffer.from(der)).serialNumber;
  const warning = (taken: TestCertificate, ...others: readonly TestCertificate[]): RegExp =>
    new RegExp(
      `^${others.length + 1} certificates are for the key; taken is .* ${serial(taken)} \\(until .*` +
        others.map((other) => `(?=.*${serial(other)})`).join(""),
      "i",
    );
  await assertAlways([older, leaf, lower, upper], [leaf, lower, upper], [warning(leaf, older)]);
  await assertAlways(
    [expired, future, older, lower, upper],
    [older, lower, upper],
    [warning(older, expired, future)],
  );
  await assertAlways([expired, lower, future], [future, lower], [warning(future, expired)]);
  await assert.rejects(() => prove(assemble([expired, lower, future])), {
    code: "ERR_CERTIFICATE_NOT_YET_VALID",
  });
});

test("what a CA issued goes before what the key signed itself, however long that lasts", async () => {
  const own = await selfSignedLeaf({ keys, days: [-1, 3000] });
  await assertAlways([own, leaf, lower, upper], [leaf, lower, upper], [/^2 certificates are for the key/]);
  const expired = await leafOf(lower, { keys, days: [-3000, -1] });
  await assertAlways([own, expired, lower], [own], [/^2 certificates/, /left out/]);
});

for (const type of ["P-256", "P-384", "RSA-2048", "Ed25519"] as const) {
  test(`without a certificate for the key, ${type} ones are named`, async () => {
    const ca = await rootCa({ subject: "CN=Some CA", keyType: type });
    const other = await leafOf(ca, { subject: "CN=Other, O=Tests", keyType: type });
    await assert.rejects(() => assemble([other, ca]), {
      code: "ERR_CERTIFICATE_KEY_MISMATCH",
      message:
        /^Cannot find a certificate that is for the key: there are only (?=.*"CN=Some CA").*"O=Tests, CN=Other"/,
    });
  });
}

test("without any certificate, and with very many that are not for the key, the message stays short", async () => {
  await assert.rejects(() => assemble([]), {
    code: "ERR_CERTIFICATE_KEY_MISMATCH",
    message: /there is no certificate$/,
  });
  const strangers = await Promise.all(Array.from({ length: 9 }, () => selfSignedLeaf()));
  await assert.rejects(() => assemble(strangers), {
    message: /("CN=Test Leaf", ){4}"CN=Test Leaf" and 4 more$/,
  });
});

test("a name from the file cannot steer the terminal", async () => {
  const evil = await selfSignedLeaf({ subject: "CN=a\u001b[2J\u202e\u009bb" });
  await assert.rejects(() => assemble([evil]), { message: /"CN=a\\1B\[2J\\e2\\80\\ae\\c2\\9bb"$/ });
});

for (const type of ["RSA-2048", "P-384", "P-521"] as const) {
  test(`the leaf of a ${type} key is found`, async () => {
    const pair = await testKeys(type);
    const own = await leafOf(lower, { keys: pair });
    const certificates = [root, lower, leaf, own, upper].map(({ der }) => der);
    const assembled = await assembleChain({ certificates, publicKey: await spkiOf(pair), now: PKI_NOW });
    assertChain(assembled, [own, lower, upper, root]);
  });
}

// Several ways.

test("of a CA that two roots have certified, the way to the root that is there is taken", async () => {
  const otherRoot = await rootCa({ subject: "CN=Other Root" });
  const cross = await intermediateCa(otherRoot, { keys: upper.keys, days: [-1, 3000] });
  await assertAlways(
    [leaf, lower, upper, cross, root],
    [leaf, lower, upper, root],
    [/left out.*"CN=Test CA"$/],
  );
  await assertAlways(
    [leaf, lower, upper, cross, otherRoot],
    [leaf, lower, cross, otherRoot],
    [/left out.*"CN=Test CA"$/],
  );
  assert.equal((await prove(assemble([leaf, lower, upper, cross, otherRoot]))).embedded.length, 3);
  assert.match(opensslVerify(leaf, [lower, cross], otherRoot), /OK/);
  // With both roots, the certificate that lasts longer; of two that last equally long, always the same.
  await assertAlways(
    [leaf, lower, upper, cross, otherRoot, root],
    [leaf, lower, cross, otherRoot],
    [/left out/],
  );
});

test("of two ways that are equally good, always the same is taken", async () => {
  const otherRoot = await rootCa({ subject: "CN=Other Root" });
  const cross = await intermediateCa(otherRoot, { keys: upper.keys });
  const certificates = [leaf, lower, upper, cross, otherRoot, root];
  const [, , taken] = (await assemble(certificates)).certificates;
  const expected = Buffer.from(cross.der).equals(taken ?? root.der) ? [cross, otherRoot] : [upper, root];
  await assertAlways(certificates, [leaf, lower, ...expected], [/left out/]);
});

test("a way that is valid now goes before one that is not, and before one to a root", async () => {
  const otherRoot = await rootCa({ subject: "CN=Other Root" });
  for (const days of [
    [-3000, -1],
    [1, 3000],
  ] as const) {
    const cross = await intermediateCa(otherRoot, { keys: upper.keys, days });
    await assertAlways(
      [leaf, lower, upper, cross, otherRoot, root],
      [leaf, lower, upper, root],
      [/left out/],
    );
    await assertAlways(
      [leaf, lower, upper, cross, otherRoot],
      [leaf, lower, upper],
      [/left out/, /"CN=Test Root".* is not there/],
    );
  }
});

test("a way goes around a CA that is weak, no CA, may not sign certificates or limits the path too far", async () => {
  const otherRoot = await rootCa({ subject: "CN=Other Root" });
  for (const fault of [
    { hash: "SHA-1" },
    { ca: false },
    { keyUsage: x509.KeyUsageFlags.cRLSign },
    { pathLength: 0 },
  ] as const) {
    const cross = await intermediateCa(otherRoot, { keys: upper.keys, days: [-1, 3000], ...fault });
    await assertAlways(
      [leaf, lower, cross, otherRoot, upper, root],
      [leaf, lower, upper, root],
      [/left out/],
    );
    // Where there is no way around it, it is not left out, and refused.
    const only = await assemble([leaf, lower, cross, otherRoot]);
    assertChain(only, [leaf, lower, cross, otherRoot]);
    await assert.rejects(
      () => prove(only),
      (error) => error instanceof SignerError,
      JSON.stringify(fault),
    );
  }
});

test("an expired issuer without an alternative is not left out in silence, but refused by its name", async () => {
  const expired = await intermediateCa(upper, {
    subject: lower.subject,
    keys: lower.keys,
    days: [-3000, -1],
  });
  const oldRoot = await rootCa({ keys: root.keys, days: [-3000, -1] });
  for (const [certificates, name] of [
    [[leaf, expired, upper, root], "CN=Test Lower CA"],
    [[leaf, lower, upper, oldRoot], "CN=Test Root"],
  ] as const) {
    await assertAlways(certificates, certificates);
    const message = new RegExp(`"${name}": it expired at`);
    await assert.rejects(() => prove(assemble(certificates)), { code: "ERR_CERTIFICATE_EXPIRED", message });
  }
});

test("the shorter way to a root is taken, and the other one named", async () => {
  const newRoot = await rootCa({ subject: "CN=New Root" });
  const byOldRoot = await intermediateCa(root, {
    subject: "CN=New Root",
    keys: newRoot.keys,
    days: [-1, 3000],
  });
  const ca = await intermediateCa(newRoot);
  const issued = await leafOf(ca, { keys });
  await assertAlways([issued, ca, byOldRoot, newRoot, root], [issued, ca, newRoot], [/left out/]);
  await assertAlways([issued, ca, byOldRoot, root], [issued, ca, byOldRoot, root]);
});

test("CAs that have certified each other end the chain, and not the patience", async () => {
  const a = await rootCa({ subject: "CN=A" });
  const b = await rootCa({ subject: "CN=B" });
  const aByB = await intermediateCa(b, { subject: "CN=A", keys: a.keys });
  const bByA = await intermediateCa(a, { subject: "CN=B", keys: b.keys });
  const issued = await leafOf(a, { keys });
  await assertAlways([issued, aByB, bByA], [issued, aByB, bByA]);
  await assertAlways([issued, aByB, bByA, b], [issued, aByB, b], [/left out/]);
  await assertAlways([issued, aByB, bByA, a], [issued, a], [/left out/]);
  assert.ok(await prove(assemble([issued, bByA, aByB])));
});

test("three CAs in a ring, each certified by the two others, and the key's leaf by each, end too", async () => {
  const cas = await Promise.all(["CN=A", "CN=B", "CN=C"].map((subject) => rootCa({ subject })));
  const ring = await Promise.all(
    cas.flatMap((issuer) =>
      cas
        .filter((ca) => ca !== issuer)
        .map((ca) => intermediateCa(issuer, { subject: ca.subject, keys: ca.keys })),
    ),
  );
  const leaves = await Promise.all(cas.map((issuer) => leafOf(issuer, { keys })));
  const assembled = await assemble([...ring, ...leaves]);
  assert.equal(new Set(assembled.certificates).size, assembled.certificates.length);
  assert.ok((await prove(assembled)).embedded.length > 1);
});

// Many.

test("a thousand strangers of the same name as the issuer are left out", async () => {
  const many: TestCertificate[] = [];
  for (let count = 0; count < 1000; count += 1) {
    many.push(await intermediateCa(root, { subject: "CN=Test Lower CA", keys: root.keys }));
  }
  const assembled = await assemble([...many, root, leaf, upper, lower]);
  assertChain(assembled, [leaf, lower, upper, root]);
  assert.equal(assembled.leftOut.length, 1000);
  assert.ok(assembled.warnings.join().length < 1000);
});

test("a thousand certificates that the issuer's key has are told apart", async () => {
  const many: TestCertificate[] = [];
  for (let count = 0; count < 1000; count += 1) {
    many.push(
      await intermediateCa(upper, {
        subject: "CN=Test Lower CA",
        keys: lower.keys,
        days: [-1, 300 - count / 10],
      }),
    );
  }
  const assembled = await assemble([...many.toReversed(), root, leaf, upper]);
  assertChain(assembled, [leaf, ...many.slice(0, 1), upper, root]);
});

test("a chain of sixteen issuers is assembled, and a longer one no further, though all have one name", async () => {
  const chain: TestCertificate[] = [root];
  for (let count = 0; count < 300; count += 1) {
    chain.push(await intermediateCa(chain.at(-1) ?? root, { subject: root.subject }));
  }
  const leafAt = (height: number): Promise<TestCertificate> => leafOf(chain[height - 1] ?? root, { keys });
  const random = new SeededRandom(1);
  const [short, long] = [await leafAt(16), await leafAt(301)];
  assertChain(await assemble(random.shuffled([short, ...chain])), [
    short,
    ...chain.slice(0, 16).toReversed(),
  ]);
  const cut = await assemble(random.shuffled([long, ...chain]));
  assertChain(cut, [long, ...chain.slice(-16).toReversed()]);
  assert.match(cut.warnings.join(), /left out.*"CN=Test Root".* is not there/s);
});
