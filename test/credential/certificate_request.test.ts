import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, test } from "node:test";
import { type SignatureAlgorithm, signatureAlgorithm } from "../../lib/algorithms.ts";
import {
  type CertificateRequestOptions,
  certificateRequestPem,
  createCertificateRequest,
} from "../../lib/credential/certificate_request.ts";
import { TokenCrypto } from "../../lib/hsm/token_crypto.ts";
import { ALL_ALGORITHMS } from "../support/algorithms.ts";
import { keyPairFor, softHsmBackEnd } from "../support/back_ends.ts";
import { at, type DerValue, oid, readDer } from "../support/der_reader.ts";
import { printed } from "../support/programs.ts";
import { softwareCrypto, softwareKeyPair } from "../support/software.ts";
import { openTestToken } from "../support/token.ts";

const P256 = signatureAlgorithm("P-256", "SHA-256");
const p256Keys = await softwareKeyPair(P256);

function request(wanted: Partial<CertificateRequestOptions> = {}): Promise<Uint8Array> {
  return createCertificateRequest({
    crypto: softwareCrypto,
    keys: p256Keys,
    algorithm: P256,
    subject: "CN=Requested",
    ...wanted,
  });
}

/** What OpenSSL prints of a request; what it thinks of the signature changes nothing in its exit code. */
function opensslText(der: Uint8Array): string {
  const options = [
    "-in",
    "FILE",
    "-noout",
    "-verify",
    "-text",
    "-nameopt",
    "utf8,sep_comma_plus,sname,dn_rev",
  ];
  return printed(certificateRequestPem(der), "openssl", "req", ...options);
}

/** What GnuTLS prints of a request, the state of its signature included. */
function certtoolText(der: Uint8Array): string {
  return printed(certificateRequestPem(der), "certtool", "--crq-info", "--infile", "FILE");
}

/** Both judges verify the signature, RSASSA-PSS too. */
function assertVerified(der: Uint8Array): void {
  assert.match(opensslText(der), /^Certificate request self-signature verify OK$/m);
  assert.match(certtoolText(der), /^Self signature: verified$/m);
}

/** The requested extensions as OpenSSL prints them, a line each. */
function opensslExtensions(der: Uint8Array): string[] {
  const text = /Requested Extensions:\n(.*?)\n {4}Signature Algorithm/s.exec(opensslText(der))?.[1] ?? "";
  return text.split("\n").map((line) => line.trim());
}

const KEY_USAGE = ["X509v3 Key Usage: critical", "Digital Signature, Non Repudiation"];

// For every algorithm.

/** How the two judges name the signature. */
function signatureNames({ scheme, hash }: SignatureAlgorithm): { openssl: RegExp; certtool: RegExp } {
  const [name, salt] = [hash.nodeName, hash.length];
  if (scheme === "PKCS1")
    return {
      openssl: new RegExp(`Signature Algorithm: ${name}WithRSAEncryption`),
      certtool: new RegExp(`Signature Algorithm: RSA-${name.toUpperCase()}\\n`),
    };
  if (scheme === "ECDSA")
    return {
      openssl: new RegExp(`Signature Algorithm: ecdsa-with-${name.toUpperCase()}`),
      certtool: new RegExp(`Signature Algorithm: ECDSA-${name.toUpperCase()}\\n`),
    };
  const saltLength = `0x${salt.toString(16)}`;
  return {
    openssl: new RegExp(
      `rsassaPss\\s.*Hash Algorithm: ${name}\\s+Mask Algorithm: mgf1 with ${name}\\s+Salt Length: ${saltLength}\\s`,
      "s",
    ),
    certtool: new RegExp(`Signature Algorithm: RSA-PSS-${name.toUpperCase()}\\s+Salt Length: ${salt}\\n`),
  };
}

for (const algorithm of ALL_ALGORITHMS) {
  const name = `${algorithm.key.name} ${algorithm.scheme} ${algorithm.hash.name}`;

  test(`${name}: OpenSSL and GnuTLS verify the request, and find in it what was asked for`, async () => {
    const keys = await softwareKeyPair(algorithm);
    const der = await request({
      algorithm,
      keys,
      subject: "CN=Example Ltd, O=Müller & Söhne, C=DE",
      extendedKeyUsages: ["documentSigning", "emailProtection"],
      subjectAlternativeNames: ["email:sign@example.com"],
    });
    assertVerified(der);
    const names = signatureNames(algorithm);
    assert.match(opensslText(der), names.openssl);
    assert.match(certtoolText(der), names.certtool);
    assert.match(opensslText(der), /Subject: CN=Example Ltd,O=Müller & Söhne,C=DE\n/);
    assert.match(certtoolText(der), /Subject: CN=Example Ltd,O=Müller & Söhne,C=DE\n/);
    assert.deepEqual(opensslExtensions(der), [
      ...KEY_USAGE,
      "X509v3 Extended Key Usage:",
      "1.3.6.1.5.5.7.3.36, E-mail Protection",
      "X509v3 Subject Alternative Name:",
      "email:sign@example.com",
    ]);
    const spki = Buffer.from(await softwareCrypto.subtle.exportKey("spki", keys.publicKey));
    assert.ok(certtoolText(der).includes(`sha256:${createHash("sha256").update(spki).digest("hex")}\n`));
  });
}

test("the judges notice a request that was changed after it was signed", async () => {
  const der = await request();
  const changed = Buffer.from(der);
  changed.write("Bequested", changed.indexOf("Requested"));
  assert.match(opensslText(changed), /^Certificate request self-signature verify failure$/m);
  assert.match(certtoolText(changed), /^Self signature: FAILED$/m);
});

const backEnd = softHsmBackEnd();
const token = openTestToken(backEnd, { sessions: 2 });
after(() => token.close(1000));

for (const algorithm of [
  signatureAlgorithm("RSA-2048", "SHA-256", "PSS"),
  signatureAlgorithm("P-384", "SHA-384"),
]) {
  test(`a ${algorithm.key.name} key on the token signs its request there`, async () => {
    const keys = await keyPairFor(token, backEnd, algorithm);
    const der = await request({ crypto: new TokenCrypto(token), keys, algorithm });
    assertVerified(der);
    assert.match(opensslText(der), signatureNames(algorithm).openssl);
  });
}

// What is asked for.

test("nothing but the keyUsage is requested unless it is asked for", async () => {
  for (const der of [
    await request(),
    await request({ extendedKeyUsages: [], subjectAlternativeNames: [] }),
  ]) {
    assert.deepEqual(opensslExtensions(der), KEY_USAGE);
    assert.match(
      certtoolText(der),
      /Key Usage \(critical\):\s+Digital signature\.\s+Non repudiation\.\nOther/,
    );
  }
});

test("usages are requested by name or by number, each once, and in their order", async () => {
  const extendedKeyUsages = [
    "1.2.840.113583.1.1.5",
    "emailProtection",
    "1.3.6.1.5.5.7.3.4",
    "documentSigning",
  ];
  const der = await request({ extendedKeyUsages });
  const [, , , usages] = opensslExtensions(der);
  assert.equal(usages, "1.2.840.113583.1.1.5, E-mail Protection, 1.3.6.1.5.5.7.3.36");
  assert.match(
    certtoolText(der),
    /Key Purpose \(not critical\):\s+1\.2\.840\.113583\.1\.1\.5\s+Email protection\.\s+1\.3\.6\.1\.5\.5\.7\.3\.36\n/,
  );
});

test("names are requested in their order, whatever the case of their prefix", async () => {
  const subjectAlternativeNames = [
    "email:sign+desk@mail.example.com",
    "DNS:*.Example.com",
    "URI:https://example.com/a?b=c:d",
    "uri:urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
  ];
  const der = await request({ subjectAlternativeNames });
  assert.equal(
    opensslExtensions(der).at(-1),
    "email:sign+desk@mail.example.com, DNS:*.Example.com, URI:https://example.com/a?b=c:d, " +
      "URI:urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
  );
  assert.match(
    certtoolText(der),
    /RFC822Name: sign\+desk@mail\.example\.com\s+DNSname: \*\.Example\.com\s+URI: https:\S+\s+URI: urn:/,
  );
  assertVerified(der);
});

test("the request is DER with all its sets in order, of version 1, with one attribute", async () => {
  const subject = "CN=Desk+O=b+UID=1, DC=example";
  const value = readDer(await request({ subject, extendedKeyUsages: ["documentSigning"] }));
  assert.deepEqual([...at(value, 0, 0).contents], [0]);
  const attributes: DerValue = at(value, 0, 3);
  assert.equal(attributes.tag, 0xa0);
  assert.equal(attributes.children.length, 1);
  assert.equal(oid(at(attributes, 0, 0)), "1.2.840.113549.1.9.14");
  assert.equal(at(attributes, 0, 1).children.length, 1);
  // Of the part with three attributes, the shortest encoding comes first.
  const part = at(value, 0, 1, 1).children.map((attribute) => oid(at(attribute, 0)));
  assert.deepEqual(part, ["2.5.4.10", "2.5.4.3", "0.9.2342.19200300.100.1.1"]);
});

test("the PEM is the one that OpenSSL writes", async () => {
  const pem = certificateRequestPem(await request());
  assert.equal(printed(pem, "openssl", "req", "-in", "FILE"), pem);
});

// What is refused.

async function assertRefused(wanted: Partial<CertificateRequestOptions>, message: RegExp): Promise<void> {
  await assert.rejects(request(wanted), { name: "RangeError", message });
}

test("a subject that is no distinguished name is refused with the subject", async () => {
  await assertRefused(
    { subject: "Example Ltd" },
    /^Cannot request the subject "Example Ltd": .*does not read TYPE=value/,
  );
  await assertRefused({ subject: "" }, /^Cannot request the subject "": one of its parts is missing$/);
  await assertRefused({ subject: "CN=a, C=Germany" }, /the value of C must be the two capital letters/);
});

test("a usage that is neither known by name nor an object identifier is refused with what there is", async () => {
  for (const usage of [
    "",
    "codeSigning",
    "documentsigning",
    "1.3.6.",
    "1",
    "3.1.1",
    "1.3.06",
    "1.3.6\n",
    "x",
    "constructor",
  ]) {
    await assertRefused(
      { extendedKeyUsages: ["documentSigning", usage] },
      /^Cannot request the extendedKeyUsage "[^"]*": it is none of documentSigning, emailProtection, and no object/,
    );
  }
});

test("a name without a known prefix is refused with the prefixes that there are", async () => {
  for (const name of [
    "",
    "sign@example.com",
    "ip:127.0.0.1",
    "constructor:x",
    ":x",
    "email",
    " email:a@example.com",
  ]) {
    await assertRefused(
      { subjectAlternativeNames: ["email:a@example.com", name] },
      /^Cannot request the subjectAltName "[^"]*": it does not begin with email:, dns: or uri:$/,
    );
  }
});

for (const { kind, rule, names } of [
  {
    kind: "an e-mail address",
    rule: /it must be an address in ASCII, like /,
    names: [
      ...["email:", "email:a", "email:@a", "email:a@", "email:a b@example.com", "email:a@b@c"],
      ...["email:ü@example.com", "email:a@example.com\n", "email:a@-b", "email:a@b."],
    ],
  },
  {
    kind: "a host name",
    rule: /it must be a host name in ASCII, like /,
    names: [
      ...["dns:", "dns:.", "dns:a..b", "dns:-a.b", "dns:a-.b", "dns:a b", "dns:ü.example", "dns:a.*.b"],
      ...[`dns:${"a".repeat(64)}`, `dns:${"a.".repeat(127)}a`, "dns:a\n"],
    ],
  },
  {
    kind: "a URI",
    rule: /it must be an absolute URI in ASCII, like /,
    names: ["uri:", "uri:/path", "uri:example.com", "uri:https:", "uri:https://exämple.com", "uri:urn:a b"],
  },
]) {
  test(`what says that it is ${kind} and is not is refused`, async () => {
    for (const name of names) await assertRefused({ subjectAlternativeNames: [name] }, rule);
  });
}
