import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
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
import { ISSUING_COMMANDS, type IssuingCommand, OpensslAuthority } from "../support/openssl_authority.ts";
import { printed } from "../support/programs.ts";
import { softwareCrypto, softwareKeyPair } from "../support/software.ts";
import { temporaryDirectory } from "../support/temporary.ts";
import { openTestToken } from "../support/token.ts";

const authority = new OpensslAuthority();

const SUBJECT = "CN=Document desk, O=Müller & Söhne, C=DE";

/** From the key to the chain in its file, by way of the authority. */
async function wholeLife(
  crypto: Crypto,
  keys: CryptoKeyPair,
  algorithm: SignatureAlgorithm,
  command: IssuingCommand,
): Promise<void> {
  const request = await createCertificateRequest({
    crypto,
    keys,
    algorithm,
    subject: SUBJECT,
    extendedKeyUsages: ["documentSigning", "emailProtection"],
    subjectAlternativeNames: ["email:desk@example.com"],
  });
  const answer = authority.answer(certificateRequestPem(request), command);

  const now = new Date();
  const publicKey = new Uint8Array(await crypto.subtle.exportKey("spki", keys.publicKey));
  const assembled = await assembleChain({ certificates: readCertificates(answer), publicKey, now });
  assert.deepEqual(assembled.warnings, []);
  const file = new ChainFile(temporaryDirectory(), "key");
  file.replace(assembled.certificates, now);

  const chain = await proveChain(file.read(), now);
  const signer = webCryptoSigner(crypto, keys.privateKey, algorithm);
  const credential = await proveCredential("key", signer, chain, { ...keys, warnings: [] });
  assert.equal(credential.chain.embedded.length, 2);
  const { proof, certificates } = await describeChain(chain.certificates, now);
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
  const trusted = ["-no-CApath", "-no-CAstore", "-CAfile", authority.rootPath, "-untrusted", "FILE"];
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
  for (const command of ISSUING_COMMANDS) {
    test(`${key.name} ${scheme} ${hash.name}: what ${command} answers to the request is a chain for the key`, async () => {
      await wholeLife(softwareCrypto, await softwareKeyPair(algorithm), algorithm, command);
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
    await wholeLife(new TokenCrypto(token), keys, algorithm, "openssl ca");
  });
}

test("the authority looks at the request's own signature, and refuses one that was changed on its way", async () => {
  const algorithm = signatureAlgorithm("P-256", "SHA-256");
  const keys = await softwareKeyPair(algorithm);
  const options = { crypto: softwareCrypto, keys, algorithm, subject: SUBJECT };
  const request = Buffer.from(await createCertificateRequest(options));
  request.write("Bocument", request.indexOf("Document"));
  assert.throws(() => authority.answer(certificateRequestPem(request), "openssl x509 -req"), {
    stderr: /self-signature did not match the contents/,
  });
});
