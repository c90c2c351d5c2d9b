import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { type SignatureAlgorithm, signatureAlgorithm } from "../../lib/algorithms.ts";
import { assembleChain } from "../../lib/credential/assemble_chain.ts";
import { certificateRequestPem, createCertificateRequest } from "../../lib/credential/certificate_request.ts";
import { proveChain } from "../../lib/credential/chain.ts";
import { ChainFile } from "../../lib/credential/chain_file.ts";
import { proveCredential } from "../../lib/credential/credential.ts";
import { describeChain } from "../../lib/credential/credential_report.ts";
import { readCertificates } from "../../lib/credential/received_certificates.ts";
import { TokenCrypto } from "../../lib/hsm/token_crypto.ts";
import { webCryptoSigner } from "../../lib/web_crypto_signer.ts";
import { ALL_ALGORITHMS } from "../support/algorithms.ts";
import { cloudHsmBackEnd, keyPairFor } from "../support/back_ends.ts";
import { printed } from "../support/programs.ts";
import { softwareCrypto, softwareKeyPair } from "../support/software.ts";
import { temporaryDirectory } from "../support/temporary.ts";
import { openTestToken } from "../support/token.ts";

/**
 * A certification authority that is nothing but OpenSSL: a root and an intermediate, which issues from requests.
 * Its keys are gone with the process.
 */
const directory = temporaryDirectory();
const place = (name: string): string => join(directory, name);

function openssl(...args: readonly string[]): void {
  execFileSync("openssl", args, { cwd: directory, encoding: "utf8", stdio: ["ignore", "ignore", "pipe"] });
}

function makeAuthority(): void {
  const caExtensions =
    "[ca]\nbasicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n";
  const policy = "[any]\ncountryName=optional\norganizationName=optional\ncommonName=supplied\n";
  const database =
    "[issuing]\ndatabase=index\nserial=serial\nnew_certs_dir=issued\ndefault_md=sha256\ndefault_days=90\n" +
    "policy=any\ncopy_extensions=copyall\nunique_subject=no\n";
  writeFileSync(place("ca.cnf"), `[req]\ndistinguished_name=dn\n[dn]\n${caExtensions}${database}${policy}`);
  writeFileSync(place("index"), "");
  writeFileSync(place("serial"), "1000\n");
  mkdirSync(place("issued"));
  const config = ["-config", "ca.cnf"];
  const newKey = (name: string): string[] => ["-newkey", "rsa:2048", "-noenc", "-keyout", `${name}.key`];
  const root = ["-subj", "/O=Tests/CN=OpenSSL Root", "-extensions", "ca", "-days", "365", "-out", "root.pem"];
  openssl("req", "-x509", ...config, ...newKey("root"), ...root);
  openssl("req", "-new", ...config, ...newKey("ca"), "-subj", "/O=Tests/CN=OpenSSL CA", "-out", "ca.csr");
  const issuer = ["-CA", "root.pem", "-CAkey", "root.key", "-days", "180", "-out", "ca.pem"];
  openssl("x509", "-req", "-in", "ca.csr", ...issuer, "-extfile", "ca.cnf", "-extensions", "ca");
}

makeAuthority();

/** How an authority issues from `request.pem` to `leaf.pem`. */
const ISSUERS = {
  "openssl x509 -req": () =>
    openssl(
      ...["x509", "-req", "-in", "request.pem", "-copy_extensions", "copyall", "-days", "90"],
      ...["-CA", "ca.pem", "-CAkey", "ca.key", "-out", "leaf.pem"],
    ),
  "openssl ca": () =>
    openssl(
      ...["ca", "-batch", "-config", "ca.cnf", "-name", "issuing", "-in", "request.pem", "-preserveDN"],
      ...["-cert", "ca.pem", "-keyfile", "ca.key", "-out", "leaf.pem"],
    ),
} as const;

/** What the authority sends: its root first, as a PKCS#7. */
function answer(): Buffer {
  const files = ["root.pem", "leaf.pem", "ca.pem"].flatMap((name) => ["-certfile", name]);
  openssl("crl2pkcs7", "-nocrl", ...files, "-outform", "DER", "-out", "answer.p7b");
  return readFileSync(place("answer.p7b"));
}

const SUBJECT = "CN=Document desk, O=Müller & Söhne, C=DE";

/** From the key to the chain in its file, by way of the authority. */
async function wholeLife(
  crypto: Crypto,
  keys: CryptoKeyPair,
  algorithm: SignatureAlgorithm,
  issue: () => void,
): Promise<void> {
  const request = await createCertificateRequest({
    crypto,
    keys,
    algorithm,
    subject: SUBJECT,
    extendedKeyUsages: ["documentSigning", "emailProtection"],
    subjectAlternativeNames: ["email:desk@example.com"],
  });
  writeFileSync(place("request.pem"), certificateRequestPem(request));
  issue();

  const now = new Date();
  const publicKey = new Uint8Array(await crypto.subtle.exportKey("spki", keys.publicKey));
  const assembled = assembleChain({ certificates: readCertificates(answer()), publicKey, now });
  assert.deepEqual(assembled.warnings, []);
  const file = new ChainFile(temporaryDirectory(), "key");
  file.replace(assembled.certificates, now);

  const chain = proveChain(file.read(), now);
  const signer = webCryptoSigner(crypto, keys.privateKey, algorithm);
  const credential = await proveCredential("key", signer, chain, { ...keys, warnings: [] });
  assert.equal(credential.chain.embedded.length, 2);
  const { proof, certificates } = describeChain(chain.certificates, now);
  assert.deepEqual(proof, { isProven: true });
  assert.deepEqual(
    certificates.map(({ subject }) => subject),
    [SUBJECT, "CN=OpenSSL CA, O=Tests", "CN=OpenSSL Root, O=Tests"],
  );
  assert.equal(certificates[0]?.publicKey, algorithm.key.name);
  assertJudges(file);
}

/** What OpenSSL and GnuTLS think of the chain in the file. */
function assertJudges(file: ChainFile): void {
  const pem = readFileSync(file.path);
  const trusted = ["-no-CApath", "-no-CAstore", "-CAfile", place("root.pem"), "-untrusted", "FILE"];
  assert.match(printed(pem, "openssl", "verify", "-purpose", "smimesign", ...trusted, "FILE"), /: OK$/m);
  const gnuTls = printed(pem, "certtool", "--verify-chain", "--infile", "FILE");
  assert.match(gnuTls, /Chain verification output: Verified\./);
  const extensions = printed(
    pem,
    "openssl",
    "x509",
    "-in",
    "FILE",
    "-noout",
    "-ext",
    "keyUsage,extendedKeyUsage,subjectAltName",
  );
  assert.match(extensions, /Key Usage: critical\n\s+Digital Signature, Non Repudiation\n/);
  assert.match(extensions, /Extended Key Usage: ?\n\s+1\.3\.6\.1\.5\.5\.7\.3\.36, E-mail Protection\n/);
  assert.match(extensions, /email:desk@example\.com/);
}

for (const algorithm of ALL_ALGORITHMS) {
  const { key, scheme, hash } = algorithm;
  for (const [issuer, issue] of Object.entries(ISSUERS)) {
    test(`${key.name} ${scheme} ${hash.name}: what ${issuer} answers to the request is a chain for the key`, async () => {
      await wholeLife(softwareCrypto, await softwareKeyPair(algorithm), algorithm, issue);
    });
  }
}

const backEnd = cloudHsmBackEnd();
const token = openTestToken(backEnd, { sessions: 2 });
after(() => token.close(1000));

for (const algorithm of [
  signatureAlgorithm("RSA-2048", "SHA-256", "PSS"),
  signatureAlgorithm("P-256", "SHA-256"),
]) {
  test(`a ${algorithm.key.name} key on the ${backEnd.name} gets its certificate from a CA in the same way`, async () => {
    const keys = await keyPairFor(token, backEnd, algorithm);
    await wholeLife(new TokenCrypto(token), keys, algorithm, ISSUERS["openssl ca"]);
  });
}

test("the authority looks at the request's own signature, and refuses one that was changed on its way", async () => {
  const algorithm = signatureAlgorithm("P-256", "SHA-256");
  const keys = await softwareKeyPair(algorithm);
  const options = { crypto: softwareCrypto, keys, algorithm, subject: SUBJECT };
  const request = Buffer.from(await createCertificateRequest(options));
  request.write("Bocument", request.indexOf("Document"));
  writeFileSync(place("request.pem"), certificateRequestPem(request));
  assert.throws(ISSUERS["openssl x509 -req"], { stderr: /self-signature did not match the contents/ });
});
