import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash, X509Certificate } from "node:crypto";
import { test } from "node:test";
import { type SignatureAlgorithm, signatureAlgorithm } from "../../lib/algorithms.ts";
import { ChainFile } from "../../lib/credential/chain_file.ts";
import { createSelfSigned } from "../../lib/credential/self_signed.ts";
import * as x509 from "../../lib/credential/x509.ts";
import { ecdsaSignatureToDer } from "../../lib/ecdsa_signature.ts";
import { printed } from "../support/programs.ts";
import { softwareCrypto, softwareKeyPair } from "../support/software.ts";

const NOW = new Date("2033-05-18T03:33:20.789Z");
const FIVE_MINUTES_EARLIER = new Date("2033-05-18T03:28:20Z");
const DAY_MS = 86_400_000;
const P256 = signatureAlgorithm("P-256", "SHA-256");

interface Wanted {
  readonly algorithm?: SignatureAlgorithm;
  readonly keys?: CryptoKeyPair;
  readonly crypto?: Crypto;
  readonly subject?: string;
  readonly days?: number;
  readonly now?: Date;
}

async function selfSigned({ algorithm = P256, ...wanted }: Wanted = {}): Promise<Uint8Array> {
  return createSelfSigned({
    crypto: softwareCrypto,
    keys: wanted.keys ?? (await softwareKeyPair(algorithm)),
    algorithm,
    subject: "CN=Self-signed",
    days: 730,
    now: NOW,
    ...wanted,
  });
}

function printedOf(der: Uint8Array, program: string, ...args: readonly string[]): string {
  return printed(ChainFile.toPem([der]), program, ...args);
}

function opensslText(der: Uint8Array): string {
  return printedOf(der, "openssl", "x509", "-in", "FILE", "-noout", "-text");
}

function certtoolText(der: Uint8Array): string {
  return printedOf(der, "certtool", "--certificate-info", "--infile", "FILE");
}

function opensslVerdict(der: Uint8Array, now: Date = NOW): string {
  const time = String(Math.floor(now.getTime() / 1000));
  const trusted = ["-no-CApath", "-no-CAstore", "-CAfile", "FILE"];
  return printedOf(der, "openssl", "verify", "-check_ss_sig", "-attime", time, ...trusted, "FILE");
}

/** The subject as OpenSSL writes it, in the order of RFC 4514. */
function opensslSubject(der: Uint8Array): string {
  const options = "utf8,sep_comma_plus_space,sname,esc_2253,dn_rev";
  return printedOf(der, "openssl", "x509", "-in", "FILE", "-noout", "-subject", "-nameopt", options).trim();
}

// For every algorithm.

for (const { algorithm, openssl, certtool } of [
  {
    algorithm: signatureAlgorithm("RSA-2048", "SHA-256", "PKCS1"),
    openssl: /Signature Algorithm: sha256WithRSAEncryption/,
    certtool: /Signature Algorithm: RSA-SHA256/,
  },
  {
    algorithm: signatureAlgorithm("RSA-3072", "SHA-384", "PSS"),
    openssl: /rsassaPss\s+Hash Algorithm: sha384\s+Mask Algorithm: mgf1 with sha384\s+Salt Length: 0x30\s/,
    certtool: /Signature Algorithm: RSA-PSS-SHA384\s+Salt Length: 48\n/,
  },
  {
    algorithm: signatureAlgorithm("P-256", "SHA-256"),
    openssl: /Signature Algorithm: ecdsa-with-SHA256\n.*ASN1 OID: prime256v1/s,
    certtool: /Curve:\s+SECP256R1.*Signature Algorithm: ECDSA-SHA256/s,
  },
  {
    algorithm: signatureAlgorithm("P-384", "SHA-384"),
    openssl: /Signature Algorithm: ecdsa-with-SHA384\n.*ASN1 OID: secp384r1/s,
    certtool: /Curve:\s+SECP384R1.*Signature Algorithm: ECDSA-SHA384/s,
  },
  {
    algorithm: signatureAlgorithm("P-521", "SHA-512"),
    openssl: /Signature Algorithm: ecdsa-with-SHA512\n.*ASN1 OID: secp521r1/s,
    certtool: /Curve:\s+SECP521R1.*Signature Algorithm: ECDSA-SHA512/s,
  },
]) {
  const name = `${algorithm.key.name} ${algorithm.scheme}`;
  const keys = await softwareKeyPair(algorithm);
  const der = await selfSigned({ algorithm, keys });

  test(`${name}: the certificate verifies as its own root for OpenSSL, and not outside of its days`, () => {
    assert.match(opensslVerdict(der), /: OK$/m);
    const tooLate = new Date(FIVE_MINUTES_EARLIER.getTime() + 730 * DAY_MS + 1000);
    assert.throws(() => opensslVerdict(der, tooLate), /certificate has expired/);
  });

  test(`${name}: OpenSSL and GnuTLS read the signature algorithm that was asked for`, () => {
    assert.match(opensslText(der), openssl);
    assert.match(certtoolText(der), certtool);
  });

  test(`${name}: the certificate is for documents, no CA, and names its own key as its issuer's`, async () => {
    const spki = Buffer.from(await softwareCrypto.subtle.exportKey("spki", keys.publicKey));
    const identifier = createHash("sha1").update(subjectPublicKey(spki)).digest("hex").toUpperCase();
    const inColons = identifier.replaceAll(/(..)(?!$)/g, "$1:");
    const extensions = /X509v3 extensions:\n(.*?)\n {4}Signature Algorithm/s.exec(opensslText(der))?.[1];
    assert.deepEqual(
      extensions?.split("\n").map((line) => line.trim()),
      [
        "X509v3 Basic Constraints: critical",
        "CA:FALSE",
        "X509v3 Key Usage: critical",
        "Digital Signature, Non Repudiation",
        "X509v3 Subject Key Identifier:",
        inColons,
        "X509v3 Authority Key Identifier:",
        inColons,
      ],
    );
    assert.doesNotMatch(opensslText(der), /Extended Key Usage/);
    const gnutls = certtoolText(der);
    assert.match(gnutls, /Basic Constraints \(critical\):\s+Certificate Authority \(CA\): FALSE\n/);
    assert.match(
      gnutls,
      /Key Usage \(critical\):\s+Digital signature\.\s+Non repudiation\.\s+Subject Key Identifier/,
    );
    assert.ok(gnutls.includes(identifier.toLowerCase()));
  });

  test(`${name}: the certificate is for the key`, async () => {
    const spki = Buffer.from(await softwareCrypto.subtle.exportKey("spki", keys.publicKey));
    const { publicKey } = new X509Certificate(der);
    assert.deepEqual(publicKey.export({ type: "spki", format: "der" }), spki);
  });
}

/** The contents of the BIT STRING in a SubjectPublicKeyInfo (RFC 5280 §4.2.1.2, method 1). */
function subjectPublicKey(spki: Buffer): Buffer {
  const listing = execFileSync("openssl", ["asn1parse", "-inform", "DER"], { input: spki, encoding: "utf8" });
  const bitString = /^ *(\d+):d=1 +hl=(\d+) l= *(\d+) prim: BIT STRING/m.exec(listing) ?? [];
  const [offset = 0, headerLength = 0, length = 0] = bitString.slice(1).map(Number);
  const unusedBits = 1;
  return spki.subarray(offset + headerLength + unusedBits, offset + headerLength + length);
}

// The serial number.

test("serial numbers are positive, of 16 bytes without padding, and 126 of their bits are random", async () => {
  const keys = await softwareKeyPair(P256);
  const serials: bigint[] = [];
  for (let count = 0; count < 64; count += 1) {
    const { serialNumber } = new X509Certificate(await selfSigned({ keys }));
    assert.match(serialNumber, /^[4-7][0-9A-F]{31}$/);
    serials.push(BigInt(`0x${serialNumber}`));
  }
  assert.equal(new Set(serials).size, serials.length);
  for (let bit = 0n; bit < 126n; bit += 1n) {
    // That 64 coins fall on one side happens once in 2^63 times.
    const ones = serials.filter((serial) => ((serial >> bit) & 1n) === 1n).length;
    assert.ok(ones > 0 && ones < serials.length, `bit ${bit} is always the same`);
  }
});

// Validity.

test("the certificate begins five minutes ago, in whole seconds, and lasts exactly the days asked for", async () => {
  for (const days of [1, 2, 365, 730, 3650]) {
    const { notBefore, notAfter } = new x509.X509Certificate(Buffer.from(await selfSigned({ days })));
    assert.deepEqual(notBefore, FIVE_MINUTES_EARLIER);
    assert.equal(notAfter.getTime() - notBefore.getTime(), days * DAY_MS);
  }
});

test("validity is in UTC, for OpenSSL and GnuTLS alike", async () => {
  const der = await selfSigned({ days: 730 });
  assert.match(
    opensslText(der),
    /Not Before: May 18 03:28:20 2033 GMT\s+Not After : May 18 03:28:20 2035 GMT/,
  );
  const certtool = certtoolText(der);
  assert.match(
    certtool,
    /Not Before: Wed May 18 03:28:20 UTC 2033\s+Not After: Fri May 18 03:28:20 UTC 2035/,
  );
});

/** Tag and text of the two times of a certificate. */
function timesOf(der: Uint8Array): string[] {
  const listing = execFileSync("openssl", ["asn1parse", "-inform", "DER"], { input: der, encoding: "utf8" });
  return [...listing.matchAll(/prim: (UTCTIME|GENERALIZEDTIME) +:(.*)$/gm)].map(
    ([, tag, text]) => `${tag} ${text}`,
  );
}

test("times up to the end of 2049 are UTCTime, and later ones GeneralizedTime (RFC 5280 §4.1.2.5)", async () => {
  const yearsAhead = await selfSigned({ now: new Date("2048-03-01T00:05:00Z"), days: 3650 });
  assert.deepEqual(timesOf(yearsAhead), ["UTCTIME 480301000000Z", "GENERALIZEDTIME 20580227000000Z"]);
  const toTheSecond = await selfSigned({ now: new Date("2049-12-31T00:04:59Z"), days: 1 });
  assert.deepEqual(timesOf(toTheSecond), ["UTCTIME 491230235959Z", "UTCTIME 491231235959Z"]);
  const oneSecondLater = await selfSigned({ now: new Date("2049-12-31T00:05:00Z"), days: 1 });
  assert.deepEqual(timesOf(oneSecondLater), ["UTCTIME 491231000000Z", "GENERALIZEDTIME 20500101000000Z"]);
});

test("a certificate that lasts beyond 2049 is read and verified beyond 2049", async () => {
  const der = await selfSigned({ now: new Date("2048-03-01T00:05:00Z"), days: 3650 });
  assert.match(opensslVerdict(der, new Date("2057-01-01T00:00:00Z")), /: OK$/m);
  assert.match(certtoolText(der), /Not After: Wed Feb 27 00:00:00 UTC 2058/);
});

// The subject.

for (const { subject, openssl, certtool } of [
  { subject: "CN=Self-signed", openssl: "CN=Self-signed", certtool: "CN=Self-signed" },
  {
    subject: "CN=Example Ltd, OU=Legal, O=Example Ltd, L=Wien, ST=Wien, C=AT",
    openssl: "CN=Example Ltd, OU=Legal, O=Example Ltd, L=Wien, ST=Wien, C=AT",
    certtool: "CN=Example Ltd,OU=Legal,O=Example Ltd,L=Wien,ST=Wien,C=AT",
  },
  {
    subject: "CN=Ευγενία Žluťoučký 署名 🔏, O=Müller & Söhne",
    openssl: "CN=Ευγενία Žluťoučký 署名 🔏, O=Müller & Söhne",
    certtool: "CN=Ευγενία Žluťoučký 署名 🔏,O=Müller & Söhne",
  },
  {
    subject: "CN=Desk, E=signing\\+desk@example.com",
    openssl: "CN=Desk, emailAddress=signing\\+desk@example.com",
    certtool: "CN=Desk,EMAIL=signing\\+desk@example.com",
  },
  {
    subject: 'CN="Example, Inc.", O=Example\\, Inc. \\+ \\"Sons\\"',
    openssl: 'CN=Example\\, Inc., O=Example\\, Inc. \\+ \\"Sons\\"',
    certtool: 'CN=Example\\, Inc.,O=Example\\, Inc. \\+ \\"Sons\\"',
  },
  {
    // The attributes of one part are a SET OF, sorted by their encodings: "O=b" before the longer "CN=Desk".
    // OpenSSL turns them round too.
    subject: "CN=Desk+O=b, DC=example, DC=com",
    openssl: "CN=Desk + O=b, DC=example, DC=com",
    certtool: "O=b+CN=Desk,DC=example,DC=com",
  },
]) {
  test(`the subject is the one asked for, for OpenSSL and GnuTLS: ${subject}`, async () => {
    const der = await selfSigned({ subject });
    assert.equal(opensslSubject(der), `subject=${openssl}`);
    const gnutls = certtoolText(der);
    assert.ok(gnutls.includes(`\tSubject: ${certtool}\n`), gnutls);
    assert.ok(gnutls.includes(`\tIssuer: ${certtool}\n`), gnutls);
    assert.match(opensslVerdict(der), /: OK$/m);
  });
}

test("strings are PrintableString where that is enough, IA5String for e-mail, UTF8String otherwise", async () => {
  const der = await selfSigned({ subject: "C=DE, O=Example & Sons, CN=Müller, E=a@example.com, DC=example" });
  const listing = execFileSync("openssl", ["asn1parse", "-inform", "DER"], { input: der, encoding: "utf8" });
  const strings = [...listing.matchAll(/prim: (\w+STRING) +:(.+)$/gm)].map(
    ([, tag, text]) => `${tag} ${text}`,
  );
  // The other way round than in the text.
  const once = [
    "IA5STRING example",
    "IA5STRING a@example.com",
    "UTF8STRING Müller",
    "UTF8STRING Example & Sons",
    "PRINTABLESTRING DE",
  ];
  assert.deepEqual(strings, [...once, ...once]);
});

test("a subject that is no distinguished name is refused", async () => {
  await assert.rejects(selfSigned({ subject: "Example Ltd" }), /does not read TYPE=value/);
});

// The signature.

test("an ECDSA signature with leading zeros or high bits is in the certificate as DER wants it", async () => {
  const keys = await softwareKeyPair(P256);
  const half = (...leading: readonly number[]): Buffer =>
    Buffer.concat([Buffer.from(leading), Buffer.alloc(32, 0x55)]).subarray(0, 32);
  for (const raw of [
    Buffer.concat([half(0x00, 0x01), half(0x00, 0x80)]),
    Buffer.concat([half(0x80), half(0xff)]),
    Buffer.concat([half(0x00, 0x00, 0x00), half(0x7f)]),
  ]) {
    const { subtle } = softwareCrypto;
    const scripted = {
      exportKey: subtle.exportKey.bind(subtle),
      digest: subtle.digest.bind(subtle),
      sign: async () => Uint8Array.from(raw).buffer,
    };
    const crypto = { subtle: scripted } as unknown as Crypto;
    const certificate = new x509.X509Certificate(Buffer.from(await selfSigned({ keys, crypto })));
    assert.deepEqual(Buffer.from(certificate.signature), Buffer.from(ecdsaSignatureToDer(raw)));
  }
});
