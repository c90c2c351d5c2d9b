import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  constants,
  createHash,
  generateKeyPairSync,
  KeyObject,
  privateEncrypt,
  publicDecrypt,
  sign,
  verify,
} from "node:crypto";
import { test } from "node:test";
import pkcs11 from "pkcs11js";
import {
  HASH_NAMES,
  hashAlgorithm,
  KEY_ALGORITHM_NAMES,
  keyAlgorithm,
  type SignatureAlgorithm,
  signatureAlgorithm,
} from "../lib/algorithms.ts";
import { verifySignature } from "../lib/verify_signature.ts";
import { softwareCrypto, softwareKeyPair } from "./support/software.ts";

/** Every row that the configuration can ask for. */
const ROWS: readonly SignatureAlgorithm[] = KEY_ALGORITHM_NAMES.flatMap((key) =>
  HASH_NAMES.flatMap((hash) =>
    keyAlgorithm(key).kind === "EC"
      ? [signatureAlgorithm(key, hash)]
      : [signatureAlgorithm(key, hash, "PKCS1"), signatureAlgorithm(key, hash, "PSS")],
  ),
);

const nameOf = ({ key, scheme, hash }: SignatureAlgorithm): string => `${key.name} ${scheme} ${hash.name}`;

/** What OpenSSL calls an object identifier. */
function opensslName(oid: string): string {
  const listing = execFileSync("openssl", ["asn1parse", "-genstr", `OID:${oid}`], { encoding: "utf8" });
  return listing.trim().split(":").at(-1) ?? "";
}

const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });

test("there is a row for every key, hash and scheme, and it is made of what was asked for", () => {
  assert.equal(ROWS.length, 3 * 3 * 2 + 3 * 3);
  for (const { key, hash, scheme } of ROWS) {
    assert.equal(keyAlgorithm(key.name), key);
    assert.equal(hashAlgorithm(hash.name), hash);
    assert.equal(scheme === "ECDSA", key.kind === "EC");
  }
  assert.equal(new Set(ROWS.map(nameOf)).size, ROWS.length);
});

test("RSA signs with PKCS #1 v1.5 unless PSS is asked for, and EC keys with ECDSA whatever is asked for", () => {
  assert.equal(signatureAlgorithm("RSA-2048", "SHA-256").scheme, "PKCS1");
  assert.equal(signatureAlgorithm("P-256", "SHA-256", "PSS").scheme, "ECDSA");
});

for (const name of HASH_NAMES) {
  const hash = hashAlgorithm(name);

  test(`${name}: length, object identifier and numbers of PKCS#11 are those of OpenSSL and pkcs11js`, () => {
    const digits = name.slice("SHA-".length);
    assert.equal(hash.nodeName, `sha${digits}`);
    assert.equal(createHash(hash.nodeName).update("").digest().length, hash.length);
    assert.equal(opensslName(hash.oid), `sha${digits}`);
    const numbers = {
      "SHA-256": [pkcs11.CKM_SHA256, pkcs11.CKG_MGF1_SHA256],
      "SHA-384": [pkcs11.CKM_SHA384, pkcs11.CKG_MGF1_SHA384],
      "SHA-512": [pkcs11.CKM_SHA512, pkcs11.CKG_MGF1_SHA512],
    };
    assert.deepEqual([hash.ckm, hash.ckgMgf1], numbers[name]);
  });

  test(`${name}: the DigestInfo is the one inside of OpenSSL's RSA signature`, () => {
    const data = Buffer.from("what is signed");
    const signature = sign(hash.nodeName, data, rsa.privateKey);
    const inside = publicDecrypt({ key: rsa.publicKey, padding: constants.RSA_PKCS1_PADDING }, signature);
    const digest = createHash(hash.nodeName).update(data).digest();
    assert.deepEqual(inside, Buffer.concat([hash.digestInfoPrefix, digest]));
    const { mechanismInput } = signatureAlgorithm("RSA-2048", name, "PKCS1");
    assert.deepEqual(Buffer.from(mechanismInput(digest)), inside);
  });

  test(`${name}: a raw RSA operation over the mechanism's input is a signature that OpenSSL accepts`, () => {
    const data = Buffer.from("what is signed");
    const { mechanismInput, verifyOptions } = signatureAlgorithm("RSA-2048", name, "PKCS1");
    const input = mechanismInput(createHash(hash.nodeName).update(data).digest());
    const signature = privateEncrypt({ key: rsa.privateKey, padding: constants.RSA_PKCS1_PADDING }, input);
    assert.ok(verify(hash.nodeName, data, { ...verifyOptions, key: rsa.publicKey }, signature));
  });

  test(`${name}: PSS and ECDSA take the digest itself`, () => {
    const digest = createHash(hash.nodeName).update("").digest();
    for (const algorithm of [
      signatureAlgorithm("RSA-2048", name, "PSS"),
      signatureAlgorithm("P-256", name),
    ]) {
      assert.deepEqual(algorithm.mechanismInput(digest), digest);
    }
  });
}

test("signature algorithms have the object identifiers that OpenSSL knows by their names", () => {
  const expected = {
    PKCS1: { "SHA-256": "sha256", "SHA-384": "sha384", "SHA-512": "sha512", suffix: "WithRSAEncryption" },
    ECDSA: { "SHA-256": "SHA256", "SHA-384": "SHA384", "SHA-512": "SHA512", suffix: "ecdsa-with-" },
  };
  for (const { oid, scheme, hash } of ROWS.filter(
    ({ key }) => key.name === "RSA-2048" || key.name === "P-256",
  )) {
    const { PKCS1, ECDSA } = expected;
    const name =
      scheme === "PSS"
        ? "rsassaPss"
        : scheme === "PKCS1"
          ? PKCS1[hash.name] + PKCS1.suffix
          : ECDSA.suffix + ECDSA[hash.name];
    assert.equal(opensslName(oid), name);
  }
});

test("the object identifier follows hash and scheme alone, and parameters follow the scheme (RFC 5754, RFC 4055)", () => {
  const parameters = { PKCS1: "null", PSS: "pss", ECDSA: "absent" } as const;
  for (const row of ROWS) {
    assert.equal(row.parameters, parameters[row.scheme], nameOf(row));
    const twin = ROWS.find(({ scheme, hash }) => scheme === row.scheme && hash === row.hash);
    assert.equal(row.oid, twin?.oid, nameOf(row));
  }
});

test("mechanisms have the numbers of pkcs11js", () => {
  const mechanisms = { PKCS1: pkcs11.CKM_RSA_PKCS, PSS: pkcs11.CKM_RSA_PKCS_PSS, ECDSA: pkcs11.CKM_ECDSA };
  for (const row of ROWS) assert.equal(row.mechanism.mechanism, mechanisms[row.scheme], nameOf(row));
});

test("PSS has one hash throughout, and a salt as long as its digest, for the token and for OpenSSL", () => {
  for (const row of ROWS) {
    const { scheme, hash, mechanism, signParams, verifyOptions } = row;
    if (scheme !== "PSS") {
      assert.equal(mechanism.pss, undefined, nameOf(row));
      continue;
    }
    assert.deepEqual(mechanism.pss, { hashAlg: hash.ckm, mgf: hash.ckgMgf1, saltLen: hash.length });
    assert.deepEqual(signParams, { name: "RSA-PSS", saltLength: hash.length });
    assert.equal(verifyOptions.saltLength, hash.length);
    assert.equal(verifyOptions.padding, constants.RSA_PKCS1_PSS_PADDING);
  }
});

for (const [name, curve] of [
  ["P-256", "prime256v1"],
  ["P-384", "secp384r1"],
  ["P-521", "secp521r1"],
] as const) {
  test(`${name}: the parameters of the curve are those that OpenSSL writes`, () => {
    const key = keyAlgorithm(name);
    assert.ok(key.kind === "EC");
    const der = execFileSync("openssl", ["ecparam", "-name", curve, "-outform", "DER"]);
    assert.deepEqual(Buffer.from(key.ecParams), der);
  });

  test(`${name}: no signature is longer than announced, and the largest r and s are as long`, () => {
    const algorithm = signatureAlgorithm(name, "SHA-256");
    // The order of P-521 has 521 bits: its first byte is 0x01.
    const largest = Buffer.alloc(algorithm.rawSignatureLength / 2, 0xff);
    if (name === "P-521") largest[0] = 0x01;
    const encoded = algorithm.encodeSignature(Buffer.concat([largest, largest]));
    assert.equal(encoded.length, algorithm.maxSignatureLength);
  });
}

test("RSA signatures have the length of the modulus, and go out as they come from the token", () => {
  for (const { key, rawSignatureLength, maxSignatureLength, encodeSignature } of ROWS) {
    if (key.kind !== "RSA") continue;
    assert.equal(key.name, `RSA-${key.modulusLength}`);
    assert.equal(rawSignatureLength, key.modulusLength / 8);
    assert.equal(maxSignatureLength, rawSignatureLength);
    const raw = Buffer.alloc(rawSignatureLength, 7);
    assert.equal(encodeSignature(raw), raw);
  }
});

// RSA-2048 stands for the longer ones, whose keys take seconds to make.
for (const algorithm of ROWS.filter(({ key }) => key.kind === "EC" || key.name === "RSA-2048")) {
  test(`${nameOf(algorithm)}: WebCrypto signs with the row, and OpenSSL verifies with it, before and after encoding`, async () => {
    const { keyAlgorithm: keyParams, signParams } = algorithm;
    const { privateKey, publicKey } = await softwareKeyPair(algorithm);
    assert.equal(privateKey.algorithm.name, keyParams.name);
    if ("namedCurve" in keyParams) assert.deepEqual(privateKey.algorithm, { ...keyParams });

    const data = Buffer.from("what is signed");
    const raw = Buffer.from(await softwareCrypto.subtle.sign(signParams, privateKey, data));
    assert.equal(raw.length, algorithm.rawSignatureLength);
    const key = KeyObject.from(publicKey);
    assert.ok(await verifySignature(algorithm, key, data, raw, "raw"));

    const encoded = algorithm.encodeSignature(raw);
    assert.ok(encoded.length <= algorithm.maxSignatureLength);
    assert.ok(await verifySignature(algorithm, key, data, encoded, "der"));
  });
}
