import assert from "node:assert/strict";
import { test } from "node:test";
import { type ProvenChain, proveChain } from "../../lib/credential/chain.ts";
import * as x509 from "../../lib/credential/x509.ts";
import { type ErrorCode, SignerError } from "../../lib/errors.ts";
import {
  CA_USAGE,
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

const root = await rootCa();
const intermediate = await intermediateCa(root);
const leaf = await leafOf(intermediate);

const ders = (certificates: readonly TestCertificate[]): Uint8Array[] => certificates.map(({ der }) => der);
const prove = (...certificates: readonly TestCertificate[]): Promise<ProvenChain> =>
  proveChain(ders(certificates), PKI_NOW);

/** Every refusal has its code, and names the certificate that it is about. */
function assertRefused(
  certificates: readonly TestCertificate[],
  code: ErrorCode,
  subject: string,
  state: RegExp,
  now: Date = PKI_NOW,
): Promise<void> {
  return assert.rejects(
    () => proveChain(ders(certificates), now),
    (error) => {
      assert.ok(error instanceof SignerError);
      assert.equal(error.code, code, error.message);
      assert.ok(error.message.startsWith(`Cannot sign with the certificate "${subject}": `), error.message);
      assert.match(error.message, state);
      return true;
    },
  );
}

function assertMalformed(chain: readonly Uint8Array[], state: RegExp): Promise<void> {
  return assert.rejects(() => proveChain(chain, PKI_NOW), {
    code: "ERR_CERTIFICATE_MALFORMED",
    message: state,
  });
}

/** The certificate with some of its bytes replaced by as many others, wherever they stand. */
function patched(certificate: TestCertificate, from: string, to: string): TestCertificate {
  const hex = Buffer.from(certificate.der).toString("hex");
  assert.ok(hex.includes(from) && from.length === to.length);
  return { ...certificate, der: new Uint8Array(Buffer.from(hex.replaceAll(from, to), "hex")) };
}

// Good chains.

test("a self-signed leaf is a chain of its own, and stays in what is embedded", async () => {
  const alone = await selfSignedLeaf();
  const chain = await prove(alone);
  assert.deepEqual(chain.embedded, [alone.der]);
  assert.deepEqual(chain.certificates, [alone.der]);
  assert.match(opensslVerify(alone, [], alone), /OK/);
});

test("a self-signed leaf that may sign certificates too stays in what is embedded", async () => {
  const alone = await selfSignedLeaf({ keyUsage: "none" });
  assert.deepEqual((await prove(alone)).embedded, [alone.der]);
});

test("a leaf and its root are a chain, and the root is not embedded", async () => {
  const issued = await leafOf(root);
  const chain = await prove(issued, root);
  assert.deepEqual(chain.embedded, [issued.der]);
  assert.deepEqual(chain.certificates, [issued.der, root.der]);
  assert.match(opensslVerify(issued, [], root), /OK/);
});

test("a leaf, an intermediate and the root are a chain, and the root is not embedded", async () => {
  const chain = await prove(leaf, intermediate, root);
  assert.deepEqual(chain.embedded, ders([leaf, intermediate]));
  assert.equal(chain.leaf.subject, "CN=Test Leaf");
  assert.match(opensslVerify(leaf, [intermediate], root), /OK/);
});

test("a leaf and two intermediates without the root are a chain, and all are embedded", async () => {
  const lower = await intermediateCa(intermediate, { subject: "CN=Test Lower CA", pathLength: 0 });
  const issued = await leafOf(lower);
  assert.deepEqual((await prove(issued, lower, intermediate)).embedded, ders([issued, lower, intermediate]));
  assert.match(opensslVerify(issued, [lower, intermediate], root), /OK/);
});

test("a leaf without its issuers is a chain, since the issuers may be known to the readers", async () => {
  assert.deepEqual((await prove(leaf)).embedded, [leaf.der]);
});

test("a chain of RSA and EC keys and several hashes is a chain", async () => {
  const rsaRoot = await rootCa({ keyType: "RSA-2048", hash: "SHA-512" });
  const ecCa = await intermediateCa(rsaRoot, { keyType: "P-521", hash: "SHA-384" });
  const issued = await leafOf(ecCa, { keyType: "RSA-2048", hash: "SHA-512" });
  assert.deepEqual((await prove(issued, ecCa, rsaRoot)).embedded, ders([issued, ecCa]));
  assert.match(opensslVerify(issued, [ecCa], rsaRoot), /OK/);
});

test("an issuer may sign with Ed25519, which brings its own hash", async () => {
  const issuer = await rootCa({ keyType: "Ed25519" });
  const issued = await leafOf(issuer);
  assert.deepEqual((await prove(issued, issuer)).embedded, [issued.der]);
  assert.match(opensslVerify(issued, [], issuer), /OK/);
});

test("the end of the chain is the earliest end of a certificate in it", async () => {
  const shortLived = await intermediateCa(root, { days: [-10, 7] });
  assert.deepEqual((await prove(await leafOf(shortLived), shortLived, root)).notAfter, daysFromNow(7));
  assert.deepEqual((await prove(await leafOf(root, { days: [-1, 3] }), root)).notAfter, daysFromNow(3));
});

// Links.

test("a chain in reversed order is refused, and the order is named", async () => {
  await assertRefused(
    [root, intermediate, leaf],
    "ERR_CERTIFICATE_CHAIN",
    "CN=Test Root",
    /"CN=Test CA", did not issue it.*leaf first/,
  );
});

test("a chain with a missing intermediate is refused", async () => {
  await assertRefused(
    [leaf, root],
    "ERR_CERTIFICATE_CHAIN",
    "CN=Test Leaf",
    /"CN=Test Root", did not issue it/,
  );
});

test("a chain with an unrelated certificate in the middle or at its end is refused", async () => {
  for (const keyType of ["P-256", "RSA-2048"] as const) {
    const stranger = await rootCa({ subject: "CN=Stranger", keyType });
    await assertRefused(
      [leaf, stranger, intermediate],
      "ERR_CERTIFICATE_CHAIN",
      "CN=Test Leaf",
      /"CN=Stranger", did not/,
    );
    await assertRefused(
      [leaf, intermediate, stranger],
      "ERR_CERTIFICATE_CHAIN",
      "CN=Test CA",
      /"CN=Stranger", did not/,
    );
  }
});

test("an issuer of the right name with another key is refused", async () => {
  const impostor = await rootCa();
  await assertRefused(
    [intermediate, impostor],
    "ERR_CERTIFICATE_CHAIN",
    "CN=Test CA",
    /"CN=Test Root", did not issue it/,
  );
  const forged = await leafOf(intermediate, { signedWith: impostor.keys });
  await assertRefused(
    [forged, intermediate, root],
    "ERR_CERTIFICATE_CHAIN",
    "CN=Test Leaf",
    /did not issue it/,
  );
});

test("an issuer of another name with the right key is refused", async () => {
  const renamed = await rootCa({ subject: "CN=Renamed", keys: root.keys });
  await assertRefused(
    [intermediate, renamed],
    "ERR_CERTIFICATE_CHAIN",
    "CN=Test CA",
    /"CN=Renamed", did not issue it/,
  );
});

test("a tampered signature is refused, in the leaf and in an intermediate", async () => {
  const tampered = (original: TestCertificate): TestCertificate => {
    const der = Uint8Array.from(original.der);
    der[der.length - 1] = (der.at(-1) ?? 0) ^ 1;
    return { ...original, der };
  };
  await assertRefused(
    [tampered(leaf), intermediate],
    "ERR_CERTIFICATE_CHAIN",
    "CN=Test Leaf",
    /did not issue it/,
  );
  await assertRefused(
    [leaf, tampered(intermediate), root],
    "ERR_CERTIFICATE_CHAIN",
    "CN=Test CA",
    /did not issue it/,
  );
});

test("an issuer that is not a CA is refused", async () => {
  for (const keyUsage of [CA_USAGE, "none"] as const) {
    const endEntity = await leafOf(root, { subject: "CN=End Entity", keyUsage });
    await assertRefused(
      [await leafOf(endEntity), endEntity],
      "ERR_CERTIFICATE_CHAIN",
      "CN=End Entity",
      /not a CA/,
    );
  }
});

test("a CA whose keyUsage lacks keyCertSign is refused", async () => {
  const ca = await intermediateCa(root, { keyUsage: x509.KeyUsageFlags.cRLSign });
  await assertRefused([await leafOf(ca), ca, root], "ERR_CERTIFICATE_CHAIN", "CN=Test CA", /no keyCertSign/);
});

test("a CA without a keyUsage may sign certificates", async () => {
  const ca = await intermediateCa(root, { keyUsage: "none" });
  assert.equal((await prove(await leafOf(ca), ca, root)).embedded.length, 2);
});

test("a path length is kept: the certificate that limits it is named", async () => {
  const strict = await rootCa({ pathLength: 0 });
  const below = await intermediateCa(strict);
  await assertRefused(
    [await leafOf(below), below, strict],
    "ERR_CERTIFICATE_CHAIN",
    "CN=Test Root",
    /path length.* 0/,
  );
  const direct = await leafOf(strict);
  assert.equal((await prove(direct, strict)).embedded.length, 1);
  assert.match(opensslVerify(direct, [], strict), /OK/);
});

test("a path length counts the intermediates below it, and not the leaf", async () => {
  const one = await rootCa({ pathLength: 1 });
  const upper = await intermediateCa(one);
  const lower = await intermediateCa(upper, { subject: "CN=Test Lower CA" });
  assert.equal((await prove(await leafOf(upper), upper, one)).embedded.length, 2);
  await assertRefused(
    [await leafOf(lower), lower, upper, one],
    "ERR_CERTIFICATE_CHAIN",
    "CN=Test Root",
    /path length.* 1/,
  );
});

// Dates.

test("an expired leaf, intermediate or root is refused with the time of its end", async () => {
  const expired = { days: [-30, -1] } as const;
  const end = new RegExp(`expired at ${daysFromNow(-1).toISOString()}`);
  const oldCa = await intermediateCa(root, expired);
  const oldRoot = await rootCa({ ...expired, keys: root.keys });
  const code = "ERR_CERTIFICATE_EXPIRED";
  await assertRefused([await leafOf(intermediate, expired), intermediate, root], code, "CN=Test Leaf", end);
  await assertRefused([await leafOf(oldCa), oldCa, root], code, "CN=Test CA", end);
  await assertRefused([leaf, intermediate, oldRoot], code, "CN=Test Root", end);
});

test("a leaf or intermediate that is not valid yet is refused with the time of its beginning", async () => {
  const future = { days: [2, 30] } as const;
  const beginning = new RegExp(`valid from ${daysFromNow(2).toISOString()}`);
  const newCa = await intermediateCa(root, future);
  const code = "ERR_CERTIFICATE_NOT_YET_VALID";
  await assertRefused([await leafOf(root, future), root], code, "CN=Test Leaf", beginning);
  await assertRefused([await leafOf(newCa), newCa, root], code, "CN=Test CA", beginning);
});

test("a certificate is valid in its first and its last second, and not outside of them", async () => {
  const alone = await selfSignedLeaf({ days: [0, 1] });
  const at = (days: number, milliseconds: number): Date =>
    new Date(daysFromNow(days).getTime() + milliseconds);
  for (const now of [at(0, 0), at(1, 0)]) assert.ok(await proveChain([alone.der], now));
  await assertRefused([alone], "ERR_CERTIFICATE_NOT_YET_VALID", "CN=Test Leaf", /valid from/, at(0, -1));
  await assertRefused([alone], "ERR_CERTIFICATE_EXPIRED", "CN=Test Leaf", /expired/, at(1, 1000));
});

// Strength.

test("a leaf or intermediate signed with SHA-1 is refused, with RSA and with ECDSA", async () => {
  for (const keyType of ["P-256", "RSA-2048"] as const) {
    const issuer = await rootCa({ keyType });
    const weakCa = await intermediateCa(issuer, { hash: "SHA-1" });
    const code = "ERR_CERTIFICATE_WEAK";
    await assertRefused([await leafOf(issuer, { hash: "SHA-1" }), issuer], code, "CN=Test Leaf", /SHA-1/);
    await assertRefused([await leafOf(weakCa), weakCa, issuer], code, "CN=Test CA", /SHA-1/);
  }
});

test("a root that signed itself with SHA-1 is accepted, since nobody looks at that signature", async () => {
  const oldRoot = await rootCa({ hash: "SHA-1" });
  const issued = await leafOf(oldRoot);
  assert.deepEqual((await prove(issued, oldRoot)).embedded, [issued.der]);
  assert.match(opensslVerify(issued, [], oldRoot), /OK/);
});

test("a self-signed leaf signed with SHA-1 is refused, whatever its keyUsage", async () => {
  for (const keyUsage of [x509.KeyUsageFlags.digitalSignature, "none"] as const) {
    await assertRefused(
      [await selfSignedLeaf({ hash: "SHA-1", keyUsage })],
      "ERR_CERTIFICATE_WEAK",
      "CN=Test Leaf",
      /SHA-1/,
    );
  }
});

test("a signature with MD5 or another hash that is not known to be good is refused", async () => {
  const issuer = await rootCa({ keyType: "RSA-2048" });
  const issued = await leafOf(issuer);
  const rsaSignature = "06092a864886f70d0101";
  for (const arc of [2, 4, 99]) {
    const odd = patched(issued, `${rsaSignature}0b`, rsaSignature + Buffer.from([arc]).toString("hex"));
    await assertRefused(
      [odd, issuer],
      "ERR_CERTIFICATE_WEAK",
      "CN=Test Leaf",
      new RegExp(`1\\.2\\.840\\.113549\\.1\\.1\\.${arc}$`),
    );
  }
});

test("an RSA key of 1024 bits is refused in every place of the chain", async () => {
  const keys = await testKeys("RSA-1024");
  const code = "ERR_CERTIFICATE_WEAK";
  const weakRoot = await rootCa({ keys });
  const weakCa = await intermediateCa(root, { keys });
  await assertRefused([await selfSignedLeaf({ keys })], code, "CN=Test Leaf", /RSA key has 1024 bits/);
  await assertRefused([await leafOf(weakCa), weakCa, root], code, "CN=Test CA", /RSA key has 1024 bits/);
  await assertRefused([await leafOf(weakRoot), weakRoot], code, "CN=Test Root", /RSA key has 1024 bits/);
});

// Usage.

test("a leaf whose keyUsage has neither digitalSignature nor nonRepudiation is refused", async () => {
  for (const keyUsage of [CA_USAGE, x509.KeyUsageFlags.keyEncipherment | x509.KeyUsageFlags.keyAgreement]) {
    const issued = await leafOf(root, { keyUsage });
    await assertRefused(
      [issued, root],
      "ERR_CERTIFICATE_USAGE",
      "CN=Test Leaf",
      /digitalSignature nor nonRepudiation/,
    );
  }
});

test("a leaf with digitalSignature or nonRepudiation alone, or without keyUsage, may sign", async () => {
  for (const keyUsage of [
    x509.KeyUsageFlags.digitalSignature,
    x509.KeyUsageFlags.nonRepudiation,
    "none",
  ] as const) {
    assert.ok(await prove(await leafOf(root, { keyUsage }), root), String(keyUsage));
  }
});

const SERVER_AUTH = "1.3.6.1.5.5.7.3.1";
const CLIENT_AUTH = "1.3.6.1.5.5.7.3.2";
const EMAIL_PROTECTION = "1.3.6.1.5.5.7.3.4";

test("a leaf for TLS alone is refused, and its usages are named", async () => {
  for (const extendedKeyUsage of [[SERVER_AUTH], [SERVER_AUTH, CLIENT_AUTH]]) {
    const issued = await leafOf(root, { extendedKeyUsage });
    const usages = new RegExp(`extendedKeyUsage \\(${extendedKeyUsage.join(", ")}\\)`);
    await assertRefused([issued, root], "ERR_CERTIFICATE_USAGE", "CN=Test Leaf", usages);
  }
});

for (const [name, extendedKeyUsage] of [
  ["emailProtection", [EMAIL_PROTECTION]],
  ["documentSigning", ["1.3.6.1.5.5.7.3.36"]],
  ["Microsoft's document signing", ["1.3.6.1.4.1.311.10.3.12"]],
  ["Adobe's authentic documents", ["1.2.840.113583.1.1.5"]],
  ["any usage", ["2.5.29.37.0"]],
  ["TLS and emailProtection", [CLIENT_AUTH, EMAIL_PROTECTION]],
] as const) {
  test(`a leaf whose extendedKeyUsage is ${name} may sign`, async () => {
    assert.ok(await prove(await leafOf(root, { extendedKeyUsage }), root));
  });
}

test("the usages of issuers are not those of the leaf: a CA for TLS may have issued it", async () => {
  const ca = await intermediateCa(root, { extendedKeyUsage: [SERVER_AUTH, CLIENT_AUTH] });
  assert.ok(await prove(await leafOf(ca), ca, root));
});

// What is no certificate.

test("a chain without certificates is refused", async () => {
  await assertMalformed([], /without certificates/);
});

test("bytes that are no certificate are refused by their place in the chain", async () => {
  const garbage: readonly Uint8Array[] = [
    new Uint8Array(),
    new Uint8Array([0x30, 0x03, 0x02, 0x01, 0x01]),
    new Uint8Array(500).fill(0x5a),
    leaf.der.subarray(0, -1),
    leaf.der.subarray(1),
  ];
  for (const der of garbage) {
    await assertMalformed([der, intermediate.der], /^Cannot read certificate 1 of the chain: ./);
    await assertMalformed([leaf.der, intermediate.der, der], /^Cannot read certificate 3 of the chain: ./);
  }
});

test("bytes after a certificate, and PEM in the place of DER, are refused: both would be embedded", async () => {
  const pem = Buffer.from(pemOf(leaf));
  for (const der of [
    Buffer.concat([leaf.der, Buffer.from("\n")]),
    Buffer.concat([leaf.der, root.der]),
    pem,
  ]) {
    await assertMalformed([der], /certificate 1 .* not the DER of one certificate/);
  }
});

test("an extension that cannot be read is found when the chain is, and the certificate is named", async () => {
  const broken = new x509.Extension("2.5.29.37", false, new Uint8Array([5, 0]));
  const issued = await leafOf(root, { extensions: [broken] });
  await assertMalformed([issued.der, root.der], /^Cannot read certificate 1 of the chain: ./);
});

test("parameters of a signature that cannot be read are found when the chain is", async () => {
  const issuer = await rootCa({ keyType: "RSA-2048" });
  const [pkcs1, pss] = ["2a864886f70d01010b0500", "2a864886f70d01010a0400"];
  await assertMalformed(
    [patched(await leafOf(issuer), pkcs1, pss).der, issuer.der],
    /^Cannot read certificate 1 of the chain: ./,
  );
});

test("a key of an unknown algorithm is found when the chain is, and the certificate is named", async () => {
  const [ecPublicKey, unknown] = ["06072a8648ce3d0201", "06072a8648ce3d027f"];
  await assertMalformed(
    [patched(leaf, ecPublicKey, unknown).der],
    /^Cannot read certificate 1 of the chain: ./,
  );
});
