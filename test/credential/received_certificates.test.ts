import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { signatureAlgorithm } from "../../lib/algorithms.ts";
import { certificateRequestPem, createCertificateRequest } from "../../lib/credential/certificate_request.ts";
import { MAX_RECEIVED_BYTES, readCertificates } from "../../lib/credential/received_certificates.ts";
import { intermediateCa, leafOf, pemOf, rootCa, selfSignedLeaf } from "../support/pki.ts";
import { fileWith } from "../support/programs.ts";
import { SeededRandom } from "../support/seeded_random.ts";
import { softwareCrypto } from "../support/software.ts";

const root = await rootCa({ keyType: "RSA-2048" });
const intermediate = await intermediateCa(root, { keyType: "P-384" });
const leaf = await leafOf(intermediate);
const chain = [leaf.der, intermediate.der, root.der];
const PEM = pemOf(leaf, intermediate, root);
const PEM_PATH = fileWith(PEM);

/** A PEM block is put together, so that no file of the repository looks as if it held such a thing. */
function block(label: string, der: Uint8Array): string {
  const lines = Buffer.from(der).toString("base64").replaceAll(/.{64}/g, "$&\n");
  return `-----${"BEGIN"} ${label}-----\n${lines}\n-----${"END"} ${label}-----\n`;
}

function openssl(...args: readonly string[]): Buffer {
  return execFileSync("openssl", args, { stdio: ["ignore", "pipe", "pipe"] });
}

function assertRead(contents: string | Uint8Array, expected: readonly Uint8Array[] = chain): void {
  assert.deepEqual(readCertificates(Buffer.from(contents)).map(Buffer.from), expected.map(Buffer.from));
}

function assertRefused(contents: string | Uint8Array, state: RegExp): void {
  assert.throws(
    () => readCertificates(Buffer.from(contents)),
    (error) => {
      assert.ok(error instanceof Error && "code" in error);
      assert.equal(error.code, "ERR_CERTIFICATE_MALFORMED");
      assert.ok(error.message.startsWith("Cannot read the certificates: "), error.message);
      assert.match(error.message, state);
      return true;
    },
  );
}

const { privateKey } = generateKeyPairSync("ec", { namedCurve: "prime256v1" });
const KEYS: readonly (readonly [string, Buffer])[] = [
  ["PKCS#8", privateKey.export({ type: "pkcs8", format: "der" })],
  ["SEC1", privateKey.export({ type: "sec1", format: "der" })],
  [
    "PKCS#1",
    generateKeyPairSync("rsa", { modulusLength: 1024 }).privateKey.export({ type: "pkcs1", format: "der" }),
  ],
  ["Ed25519", generateKeyPairSync("ed25519").privateKey.export({ type: "pkcs8", format: "der" })],
  [
    "encrypted PKCS#8",
    privateKey.export({ type: "pkcs8", format: "der", cipher: "aes-256-cbc", passphrase: "x" }),
  ],
];
/** The test's key where OpenSSL reads it. */
const keyPath = fileWith(Buffer.from(await softwareCrypto.subtle.exportKey("pkcs8", leaf.keys.privateKey)));
const CRL = emptyCrl();

function emptyCrl(): Buffer {
  const config = "[ca]\ndefault_ca=d\n[d]\ndatabase=/dev/null\ndefault_md=sha256\ndefault_crl_days=1\n";
  const files = ["-keyfile", keyPath, "-keyform", "DER", "-cert", fileWith(pemOf(leaf))];
  return openssl("ca", "-gencrl", "-config", fileWith(config), ...files);
}

// Forms that CAs send.

for (const [name, contents] of [
  ["PEM", PEM],
  ["PEM with CRLF", PEM.replaceAll("\n", "\r\n")],
  ["PEM after a byte order mark", `\ufeff${PEM}`],
  ["PEM in UTF-16, as PowerShell writes it", Buffer.from(`\ufeff${PEM}`, "utf16le")],
  ["PEM in UTF-16 of the other byte order", Buffer.from(`\ufeff${PEM}`, "utf16le").swap16()],
  [
    "PEM with text around",
    `0 dear customer,\n\n${PEM.replaceAll("-----BEGIN", "subject=CN = x\n---\n-----BEGIN")}\nyours`,
  ],
  ["PEM in an indented e-mail", PEM.replaceAll(/^/gm, "  ")],
  ["PEM with the label X509 CERTIFICATE", PEM.replaceAll("CERTIFICATE", "X509 CERTIFICATE")],
  ["PEM in which each certificate comes twice", PEM + PEM],
  ["PEM with a CRL", PEM + CRL.toString()],
  ["DER, one after the other", Buffer.concat(chain)],
  ["PKCS#7 in PEM", openssl("crl2pkcs7", "-nocrl", "-certfile", PEM_PATH)],
  ["PKCS#7 in DER", openssl("crl2pkcs7", "-nocrl", "-certfile", PEM_PATH, "-outform", "DER")],
  [
    "PKCS#7 in PEM with the label CMS",
    block("CMS", openssl("crl2pkcs7", "-nocrl", "-certfile", PEM_PATH, "-outform", "DER")),
  ],
  ["PKCS#7 with a CRL", openssl("crl2pkcs7", "-in", fileWith(CRL), "-certfile", PEM_PATH)],
  [
    "PKCS#7 under the label CERTIFICATE, as certutil -encode writes it",
    block("CERTIFICATE", openssl("crl2pkcs7", "-nocrl", "-certfile", PEM_PATH, "-outform", "DER")),
  ],
  [
    "base64 of PKCS#7 without a label, in lines",
    openssl("crl2pkcs7", "-nocrl", "-certfile", PEM_PATH, "-outform", "DER")
      .toString("base64")
      .replaceAll(/.{76}/g, "$&\r\n"),
  ],
  [
    "base64 of DER without a label, in one line after a byte order mark",
    `\ufeff${Buffer.concat(chain).toString("base64")}\r\n`,
  ],
] as const) {
  test(`certificates are read from ${name}`, () => {
    // OpenSSL sorts the certificates of a PKCS#7 by their bytes, as a SET OF is.
    const sorted = chain.toSorted((a, b) => a.length - b.length || Buffer.compare(a, b));
    assertRead(contents, name.includes("PKCS#7") ? sorted : chain);
  });
}

test("one certificate alone is read from DER, PEM and base64", () => {
  assertRead(leaf.der, [leaf.der]);
  assertRead(pemOf(leaf), [leaf.der]);
  assertRead(Buffer.from(leaf.der).toString("base64"), [leaf.der]);
});

test("certificates are read from a signed message, with indefinite lengths too", () => {
  const signer = ["-signer", fileWith(pemOf(leaf)), "-inkey", keyPath, "-keyform", "DER"];
  const options = ["-certfile", fileWith(pemOf(intermediate)), "-nodetach", "-outform", "DER"];
  const message = ["-in", fileWith("a message"), "-binary", ...signer, ...options];
  const streamed = openssl("cms", "-sign", "-stream", ...message);
  assert.equal(streamed[1], 0x80);
  for (const contents of [openssl("cms", "-sign", ...message), streamed, block("CMS", streamed)]) {
    const found = readCertificates(Buffer.from(contents)).map((der) => Buffer.from(der).toString("hex"));
    const expected = [leaf, intermediate].map(({ der }) => Buffer.from(der).toString("hex"));
    assert.deepEqual(found.toSorted(), expected.toSorted());
  }
});

test("the certificates of several PKCS#7 and of blocks beside them come together, each once", () => {
  const p7 = openssl("crl2pkcs7", "-nocrl", "-certfile", fileWith(pemOf(intermediate)));
  assertRead(pemOf(root, intermediate) + p7.toString() + pemOf(leaf), [root.der, intermediate.der, leaf.der]);
});

test("a thousand certificates and a file of almost the limit are read", async () => {
  const many: Uint8Array[] = [];
  for (let count = 0; count < 1000; count += 1) many.push((await selfSignedLeaf({ keys: leaf.keys })).der);
  assertRead(Buffer.concat(many), many);
  assertRead(Buffer.concat([...many, ...many.slice(0, 500)]), many);
  const text = `${PEM}${"x".repeat(79)}\n`;
  assertRead(text + " ".repeat(MAX_RECEIVED_BYTES - text.length));
});

// What is refused.

test("more than one mebibyte is refused before it is looked at", () => {
  assertRefused(PEM + " ".repeat(MAX_RECEIVED_BYTES - PEM.length + 1), /larger than 1 MiB/);
  assertRefused(Buffer.alloc(MAX_RECEIVED_BYTES + 1, 0x30), /larger than 1 MiB/);
});

test("what holds no certificate is refused", () => {
  const noCertificates = openssl("crl2pkcs7", "-in", fileWith(CRL));
  assertRefused("", /it is empty/);
  assertRefused("\ufeff \r\n", /it is empty/);
  assertRefused("the certificate follows by post\n", /neither PEM nor DER nor the base64 of DER/);
  assertRefused("c29tZXRoaW5nIGVsc2U=", /neither PEM nor DER nor the base64 of DER/);
  assertRefused("<html><body>Log in</body></html>", /neither PEM nor DER nor the base64 of DER/);
  assertRefused(Buffer.from(PEM, "utf16le"), /neither PEM nor DER nor the base64 of DER/);
  assertRefused(CRL, /holds no certificate/);
  assertRefused(noCertificates, /holds no certificate/);
});

for (const [name, key] of KEYS) {
  test(`a private key (${name}) is refused in the first place, in whichever form, and not shown`, () => {
    const base64 = key.toString("base64");
    const forms = [
      key,
      base64,
      block("PRIVATE KEY", key),
      block("CERTIFICATE", key),
      Buffer.concat([leaf.der, key]),
      Buffer.concat([key, leaf.der]),
      PEM + block("EC PRIVATE KEY", key),
      Buffer.from(`\ufeff${PEM}${block("PRIVATE KEY", key)}`, "utf16le"),
      PEM.replace("-----BEGIN", "----BEGIN") + block("ENCRYPTED PRIVATE KEY", key),
      `${block("CERTIFICATE REQUEST", leaf.der)}${block("PRIVATE KEY", key).replace(/-----END.*\n/, "")}`,
      `-----${"BEGIN"} PGP PRIVATE KEY BLOCK-----\n${base64}`,
    ];
    for (const contents of forms) {
      assertRefused(contents, /holds a private key, which belongs on the token alone$/);
    }
  });
}

test("PKCS#12 is refused, with the command that takes the certificates out", () => {
  const p12 = openssl("pkcs12", "-export", "-nokeys", "-in", PEM_PATH, "-passout", "pass:x");
  const withKey = openssl(
    ...["pkcs12", "-export", "-in", fileWith(pemOf(leaf)), "-passout", "pass:x"],
    ...["-inkey", fileWith(block("PRIVATE KEY", readFileSync(keyPath)))],
  );
  for (const contents of [
    p12,
    withKey,
    p12.toString("base64"),
    block("CERTIFICATE", p12),
    Buffer.concat([leaf.der, p12]),
  ]) {
    assertRefused(contents, /it is PKCS#12, .*token alone \(openssl pkcs12 -in FILE -nokeys -out NEW/);
  }
  // The command does what the message says.
  const extracted = openssl("pkcs12", "-in", fileWith(p12), "-nokeys", "-passin", "pass:x");
  assertRead(extracted);
});

test("the request, given in the place of the answer, is recognised", async () => {
  const algorithm = signatureAlgorithm("P-256", "SHA-256");
  const request = await createCertificateRequest({
    crypto: softwareCrypto,
    keys: leaf.keys,
    algorithm,
    subject: "CN=Test Leaf",
  });
  const bare = openssl(
    "req",
    "-new",
    "-key",
    keyPath,
    "-keyform",
    "DER",
    "-subj",
    "/CN=x",
    "-outform",
    "DER",
  );
  for (const contents of [
    request,
    bare,
    certificateRequestPem(request),
    block("NEW CERTIFICATE REQUEST", request),
    block("CERTIFICATE", request),
    Buffer.from(request).toString("base64"),
    PEM + certificateRequestPem(request),
  ]) {
    assertRefused(contents, /holds the request for a certificate; what is wanted is the CA's answer/);
  }
});

test("a TRUSTED CERTIFICATE is refused, with the command that makes a certificate of it", () => {
  const trusted = openssl("x509", "-in", fileWith(pemOf(leaf)), "-trustout", "-addtrust", "emailProtection");
  assertRefused(trusted, /holds a TRUSTED CERTIFICATE.*openssl x509 -in FILE -out NEW/);
  assertRead(openssl("x509", "-in", fileWith(trusted)), [leaf.der]);
  // Its label alone does not make it good.
  assertRefused(trusted.toString().replaceAll("TRUSTED ", ""), /something else than certificates/);
});

test("any other block is refused by its name, which cannot steer the terminal", () => {
  assertRefused(PEM + block("PUBLIC KEY", leaf.der), /holds a PUBLIC KEY$/);
  assertRefused(PEM + block("\u001b[2J\u202eX", leaf.der), /holds a \\1b\[2J\\e2\\80\\aeX$/);
});

test("PKCS#7 of another type than SignedData is refused", () => {
  const data = openssl("cms", "-data_create", "-in", fileWith("x"), "-outform", "DER");
  for (const contents of [data, block("PKCS7", data)])
    assertRefused(contents, /another type than SignedData/);
});

test("other things in DER are refused", () => {
  const { publicKey } = generateKeyPairSync("ec", { namedCurve: "prime256v1" });
  const integers = Buffer.from("30060201010201020a", "hex").subarray(0, 8);
  for (const other of [
    publicKey.export({ type: "spki", format: "der" }),
    integers,
    Buffer.from([0x30, 0x00]),
    Buffer.concat([leaf.der, Buffer.from([0x04, 0x00])]),
    Buffer.concat([leaf.der, Buffer.from([0x00, 0x00])]),
  ]) {
    assertRefused(other, /something else than certificates/);
  }
});

// Damage.

test("DER that is cut off anywhere is refused", () => {
  for (const whole of [leaf.der, openssl("crl2pkcs7", "-nocrl", "-certfile", PEM_PATH, "-outform", "DER")]) {
    for (let length = 1; length < whole.length; length += 1) {
      assertRefused(whole.subarray(0, length), /^Cannot read the certificates: ./);
    }
  }
});

test("PEM that is cut off in a certificate is refused, and before or after one holds those before", () => {
  const ends = [...PEM.matchAll(/-----END CERTIFICATE-----/g)].map(({ index, 0: end }) => index + end.length);
  for (let length = 0; length < PEM.length; length += 1) {
    const text = PEM.slice(0, length);
    const wholes = ends.filter((end) => end <= length).length;
    const rest = text.slice(ends[wholes - 1] ?? 0);
    if (rest.includes("BEGIN")) assertRefused(text, /it is not PEM: /);
    else if (wholes === 0) assertRefused(text, /it is empty|neither PEM/);
    else assertRead(text, chain.slice(0, wholes));
  }
});

test("a certificate that cannot be read is refused by its place", () => {
  const broken = Buffer.from(intermediate.der);
  const version = broken.indexOf(Buffer.from("a003020102", "hex"));
  broken.writeUInt8(0x05, version + 2);
  assertRefused(Buffer.concat([leaf.der, broken]), /certificate 2 in it cannot be read: ./);
});

test("lengths that lie, and depths without end, are refused", () => {
  for (const lie of [
    Buffer.from("3084ffffffff", "hex"),
    Buffer.from("3085ffffffffff", "hex"),
    Buffer.from("30ff", "hex"),
    Buffer.from("3080", "hex"),
    Buffer.from("30800000", "hex"),
    Buffer.from("3083000002", "hex"),
    Buffer.alloc(MAX_RECEIVED_BYTES, Buffer.from([0x30, 0x80])),
    Buffer.concat([
      Buffer.alloc(MAX_RECEIVED_BYTES / 2, Buffer.from([0x30, 0x80])),
      Buffer.alloc(MAX_RECEIVED_BYTES / 2),
    ]),
    Buffer.alloc(MAX_RECEIVED_BYTES, Buffer.from([0x30, 0x00])),
  ]) {
    assertRefused(lie, /^Cannot read the certificates: ./);
  }
});

test("whatever is done to a file of certificates, it is refused or read as whole certificates", () => {
  const random = new SeededRandom(20);
  const p7 = openssl("crl2pkcs7", "-nocrl", "-certfile", PEM_PATH, "-outform", "DER");
  const sources = [Buffer.from(PEM), p7, Buffer.concat(chain), Buffer.from(p7.toString("base64"))] as const;
  const insertions = [
    "-----BEGIN CERTIFICATE-----\n",
    "-----END CERTIFICATE-----\n",
    "\u0030\u0080",
    "\n",
    "=",
    "\u0000",
  ] as const;
  for (let round = 0; round < 3000; round += 1) {
    const contents = random.mutated(random.pick([...sources]), [...insertions]);
    let certificates: readonly Uint8Array[];
    try {
      certificates = readCertificates(contents);
    } catch (error) {
      assert.ok(
        error instanceof Error && "code" in error && error.code === "ERR_CERTIFICATE_MALFORMED",
        `${round}: ${error}`,
      );
      continue;
    }
    assert.ok(certificates.length > 0);
    for (const der of certificates) assert.equal(readCertificates(der).length, 1);
  }
});
