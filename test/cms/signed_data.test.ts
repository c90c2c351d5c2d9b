import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { test } from "node:test";
import * as asn1js from "asn1js";
import * as pkijs from "pkijs";
import type { SignatureAlgorithm } from "../../lib/algorithms.ts";
import { signatureAlgorithm } from "../../lib/algorithms.ts";
import { CMS_PROFILE } from "../../lib/cms/attributes.ts";
import { SignedDataBuilder } from "../../lib/cms/signed_data.ts";
import type { Credential } from "../../lib/credential/credential.ts";
import { ALL_ALGORITHMS } from "../support/algorithms.ts";
import { at, type DerValue, isSorted, oid, readDer } from "../support/der_reader.ts";
import { softwareCredential } from "../support/software.ts";

const TIME = new Date("2026-11-24T10:20:30.987Z");
const content = randomBytes(5_000);

interface Built {
  readonly container: Uint8Array;
  readonly signed: Uint8Array;
  readonly der: DerValue;
  /** The fields of SignedData and of its one SignerInfo. */
  readonly signedData: readonly DerValue[];
  readonly signerInfo: readonly DerValue[];
  readonly credential: Credential;
}

function builderOf(credential: Credential): SignedDataBuilder {
  const { signer, chain } = credential;
  return new SignedDataBuilder({
    algorithm: signer.algorithm,
    certificates: chain.embedded,
    profile: CMS_PROFILE,
  });
}

async function build(algorithm: SignatureAlgorithm, time = TIME): Promise<Built> {
  const credential = await softwareCredential(algorithm);
  const builder = builderOf(credential);
  const digest = createHash(algorithm.hash.nodeName).update(content).digest();
  const signed = builder.signedAttributes({ digest, time });
  const container = builder.container(signed, await credential.signer.sign(signed));
  const der = readDer(container);
  const signedData = at(der, 1, 0).children;
  const signerInfo = at(der, 1, 0, 4, 0).children;
  return { container, signed, der, signedData, signerInfo, credential };
}

const bytesOf = (value: DerValue | undefined): string => value?.bytes.toString("hex") ?? "nothing";
const attributeTypes = (signed: Uint8Array): string[] =>
  readDer(signed).children.map((attribute) => oid(at(attribute, 0)));

for (const algorithm of ALL_ALGORITHMS) {
  const name = `${algorithm.key.name} ${algorithm.scheme} ${algorithm.hash.name}`;

  test(`${name}: the container is SignedData version 1, detached, as RFC 5652 has it`, async () => {
    const { der, signedData, signerInfo, credential } = await build(algorithm);
    assert.equal(oid(at(der, 0)), "1.2.840.113549.1.7.2");
    assert.equal(signedData.length, 5);
    assert.equal(bytesOf(signedData[0]), "020101");
    const digestAlgorithm = bytesOf(at(der, 1, 0, 1, 0));
    assert.equal(oid(at(der, 1, 0, 1, 0, 0)), algorithm.hash.oid);
    assert.equal(at(der, 1, 0, 1, 0).children.length, 1, "SHA-2 has no parameters");
    assert.equal(bytesOf(signedData[2]), "300b06092a864886f70d010701", "id-data without eContent");
    assert.equal(signedData[3]?.tag, 0xa0);
    assert.deepEqual(at(der, 1, 0, 3, 0).bytes, Buffer.from(credential.chain.certificates[0] ?? []));
    assert.equal(signerInfo.length, 6, "no unsigned attributes");
    assert.equal(bytesOf(signerInfo[0]), "020101");
    assert.equal(signerInfo[1]?.tag, 0x30, "issuerAndSerialNumber, not subjectKeyIdentifier");
    assert.equal(bytesOf(signerInfo[2]), digestAlgorithm);
    assert.equal(oid(at(der, 1, 0, 4, 0, 4, 0)), algorithm.oid);
  });

  test(`${name}: the parameters of the signature algorithm are the ones prescribed`, async () => {
    const { signerInfo } = await build(algorithm);
    const parameters = bytesOf(signerInfo[4]?.children[1]);
    const hash = `0609${Buffer.from(algorithm.hash.digestInfoPrefix).subarray(6, 15).toString("hex")}`;
    const nullHash = `300d${hash}0500`;
    const pss =
      `a00f${nullHash}` +
      `a11c301a06092a864886f70d010108${nullHash}` +
      `a2030201${algorithm.hash.length.toString(16)}`;
    const expected = {
      PKCS1: "0500",
      ECDSA: "nothing",
      PSS: `30${(pss.length / 2).toString(16)}${pss}`,
    };
    assert.equal(parameters, expected[algorithm.scheme]);
  });

  test(`${name}: what is signed is the SET OF attributes that is embedded under [0]`, async () => {
    const { signed, signerInfo } = await build(algorithm);
    assert.equal(signed[0], 0x31);
    assert.equal(signerInfo[3]?.tag, 0xa0);
    assert.deepEqual(signerInfo[3]?.bytes.subarray(1), Buffer.from(signed).subarray(1));
  });

  test(`${name}: the length is known before signing`, async () => {
    const { container, credential } = await build(algorithm);
    const { maxLength } = builderOf(credential);
    assert.ok(
      container.length <= maxLength && container.length >= maxLength - 6,
      `${container.length} of ${maxLength}`,
    );
    if (algorithm.key.kind === "RSA") assert.equal(container.length, maxLength);
    assert.ok(maxLength < 16_384);
  });

  test(`${name}: pkijs builds the same bytes from the same values, and verifies them`, async () => {
    const { container, signed, signerInfo, credential } = await build(algorithm);
    const buffer = Uint8Array.from(container).buffer;
    const contentInfo = pkijs.ContentInfo.fromBER(buffer);
    const signedData = new pkijs.SignedData({ schema: contentInfo.content });
    assert.deepEqual(
      Buffer.from(pkijsContainer(credential, signed, signerInfo[5]?.contents ?? Buffer.alloc(0))),
      Buffer.from(container),
    );
    assert.ok(
      await signedData.verify({ signer: 0, data: Uint8Array.from(content).buffer, checkChain: false }),
    );
  });
}

/** The same SignedData out of pkijs's own structures; only the order of the attributes is given. */
function pkijsContainer(credential: Credential, signed: Uint8Array, signature: Buffer): ArrayBuffer {
  const { algorithm } = credential.signer;
  const certificate = pkijs.Certificate.fromBER(Uint8Array.from(credential.chain.embedded[0] ?? []).buffer);
  const attributes = readDer(signed).children.map((child) =>
    pkijs.Attribute.fromBER(Uint8Array.from(child.bytes).buffer),
  );
  const digestAlgorithm = new pkijs.AlgorithmIdentifier({ algorithmId: algorithm.hash.oid });
  const hashParams = new pkijs.AlgorithmIdentifier({
    algorithmId: algorithm.hash.oid,
    algorithmParams: new asn1js.Null(),
  });
  const parameters = {
    null: { algorithmParams: new asn1js.Null() },
    absent: {},
    pss: {
      algorithmParams: new pkijs.RSASSAPSSParams({
        hashAlgorithm: hashParams,
        maskGenAlgorithm: new pkijs.AlgorithmIdentifier({
          algorithmId: "1.2.840.113549.1.1.8",
          algorithmParams: hashParams.toSchema(),
        }),
        saltLength: algorithm.hash.length,
      }).toSchema(),
    },
  };
  const signerInfo = new pkijs.SignerInfo({
    version: 1,
    sid: new pkijs.IssuerAndSerialNumber({
      issuer: certificate.issuer,
      serialNumber: certificate.serialNumber,
    }),
    digestAlgorithm,
    signedAttrs: new pkijs.SignedAndUnsignedAttributes({ type: 0, attributes }),
    signatureAlgorithm: new pkijs.AlgorithmIdentifier({
      algorithmId: algorithm.oid,
      ...parameters[algorithm.parameters],
    }),
    signature: new asn1js.OctetString({ valueHex: Uint8Array.from(signature).buffer }),
  });
  const signedData = new pkijs.SignedData({
    version: 1,
    digestAlgorithms: [digestAlgorithm],
    encapContentInfo: new pkijs.EncapsulatedContentInfo({ eContentType: pkijs.ContentInfo.DATA }),
    certificates: [certificate],
    signerInfos: [signerInfo],
  });
  return new pkijs.ContentInfo({
    contentType: pkijs.ContentInfo.SIGNED_DATA,
    content: signedData.toSchema(true),
  })
    .toSchema()
    .toBER(false);
}

const p256 = signatureAlgorithm("P-256", "SHA-256");

test("the CMS profile signs contentType, signingTime, messageDigest and signingCertificateV2, in the order of DER", async () => {
  const { signed } = await build(p256);
  assert.deepEqual(attributeTypes(signed).toSorted(), [
    "1.2.840.113549.1.9.16.2.47",
    "1.2.840.113549.1.9.3",
    "1.2.840.113549.1.9.4",
    "1.2.840.113549.1.9.5",
  ]);
  assert.ok(isSorted(readDer(signed)));
});

test("the attributes say what they should, to the byte", async () => {
  const { signed, credential } = await build(p256);
  const values = new Map(
    readDer(signed).children.map((child) => [oid(at(child, 0)), at(child, 1).contents.toString("hex")]),
  );
  const digest = createHash("sha256").update(content).digest("hex");
  const certHash = createHash("sha256")
    .update(credential.chain.certificates[0] ?? "")
    .digest("hex");
  assert.equal(values.get("1.2.840.113549.1.9.3"), "06092a864886f70d010701");
  assert.equal(values.get("1.2.840.113549.1.9.4"), `0420${digest}`);
  assert.equal(values.get("1.2.840.113549.1.9.5"), `170d${Buffer.from("261124102030Z").toString("hex")}`);
  // hashAlgorithm is left out: SHA-256 is its DEFAULT, and DER leaves defaults out.
  assert.equal(values.get("1.2.840.113549.1.9.16.2.47"), `3026302430220420${certHash}`);
});

test("with another hash than SHA-256, signingCertificateV2 names it", async () => {
  const { signed, credential } = await build(signatureAlgorithm("P-384", "SHA-384"));
  const certHash = createHash("sha384")
    .update(credential.chain.certificates[0] ?? "")
    .digest("hex");
  const attribute = readDer(signed).children.find((child) => oid(at(child, 0)).endsWith(".47"));
  const certId = at(attribute ?? readDer(signed), 1, 0, 0, 0);
  assert.equal(certId.contents.toString("hex"), `300b06096086480165030402020430${certHash}`);
});

for (const [time, expected] of [
  ["1999-12-31T23:59:59Z", "170d3939313233313233353935395a"],
  ["2049-12-31T23:59:59Z", "170d3439313233313233353935395a"],
  ["2050-01-01T00:00:00Z", "180f32303530303130313030303030305a"],
] as const) {
  test(`signingTime at ${time} is a ${expected.startsWith("17") ? "UTCTime" : "GeneralizedTime"}`, async () => {
    const { signed } = await build(p256, new Date(time));
    const attribute = readDer(signed).children.find((child) => oid(at(child, 0)) === "1.2.840.113549.1.9.5");
    assert.equal(attribute?.children[1]?.contents.toString("hex"), expected);
  });
}

test("certificates are a SET OF in the order of DER, whatever the order of the chain", async () => {
  const credentials = await Promise.all([p256, p256, p256].map((algorithm) => softwareCredential(algorithm)));
  const ders = credentials.flatMap(({ chain }) => chain.certificates);
  for (const certificates of [ders, ders.toReversed()]) {
    const builder = new SignedDataBuilder({ algorithm: p256, certificates, profile: CMS_PROFILE });
    const set = at(readDer(builder.container(Uint8Array.of(0x31, 0), Uint8Array.of(1))), 1, 0, 3);
    assert.equal(set.children.length, 3);
    assert.ok(isSorted(set));
  }
});

test("unsigned attributes come under [1], sorted", async () => {
  const credential = await softwareCredential(p256);
  const attributes = [Uint8Array.of(0x30, 2, 5, 0), Uint8Array.of(0x30, 0)];
  const container = builderOf(credential).container(Uint8Array.of(0x31, 0), Uint8Array.of(1), attributes);
  assert.equal(bytesOf(at(readDer(container), 1, 0, 4, 0, 6)), "a106300030020500");
});

test("a digest of another length is refused", async () => {
  const credential = await softwareCredential(p256);
  for (const length of [0, 20, 31, 33, 48]) {
    const event = { digest: new Uint8Array(length), time: TIME };
    assert.throws(() => builderOf(credential).signedAttributes(event), RangeError);
  }
});
