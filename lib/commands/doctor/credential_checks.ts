import { randomBytes } from "node:crypto";
import type { KeyAlgorithm } from "../../algorithms.ts";
import { verifySignedData } from "../../cms/verify_signed_data.ts";
import type { CredentialConfig } from "../../config/credentials.ts";
import { proveCredential } from "../../credential/credential.ts";
import { DocumentSigner } from "../../document_signer.ts";
import type { Examined } from "./examined.ts";
import { failure, need, type Outcome, ok, warning } from "./finding.ts";
import { judgeTimes } from "./latency.ts";
import { quoted, shellWord } from "./wording.ts";

const MEASURED_SIGNATURES = 20;
const MEASURE_LIMIT_MS = 5_000;

/** Whether the token has the credential's mechanism for keys of its size. */
export function* checkMechanism(examined: Examined, { algorithm }: CredentialConfig): Generator<Outcome> {
  const { name, uses } = examined.at("chosen").mechanism(algorithm);
  const bits = keyBits(algorithm.key);
  const advice = "Choose another HSM_KEY_ALGORITHM or SIGNATURE_SCHEME, or a token that has it.";
  if (uses === undefined) yield failure(`the token does not have ${name}`, advice);
  else if (!uses.canSign) yield failure(`${name} does not sign here: it lacks CKF_SIGN`, advice);
  else if (uses.maxKeySize > 0 && (bits < uses.minKeySize || bits > uses.maxKeySize)) {
    const range = `${uses.minKeySize} to ${uses.maxKeySize}`;
    yield failure(`${name} takes keys of ${range} bits, and ${algorithm.key.name} has ${bits}`, advice);
  } else yield ok(`${name}, with keys of ${bits} bits`);
}

function keyBits(key: KeyAlgorithm): number {
  return key.kind === "RSA" ? key.modulusLength : Number(key.namedCurve.slice("P-".length));
}

/** Whether there is one key pair with the label, of the kind that is configured, that cannot leave the token. */
export function* checkKey(examined: Examined, { label, algorithm }: CredentialConfig): Generator<Outcome> {
  const examination = examined.at("logged in");
  const pair = examination.findKeyPair(label, algorithm);
  if (pair === undefined) {
    const present = quoted([...new Set(examination.keyLabels())].sort());
    yield failure(
      `no private key has this label (HSM_KEY_LABEL); ${present === "" ? "the token has none at all" : `there are ${present}`}`,
      `Check HSM_KEY_LABEL and HSM_TOKEN_LABEL, or have a new pair made: \`hsm-signer provision --key-label ${shellWord(label)}\`.`,
    );
    return;
  }
  examined.pairs.set(label, pair);
  if (pair.warnings.length === 0) yield ok(`${algorithm.key.name}, sensitive and not extractable`);
  for (const exposure of pair.warnings) {
    yield warning(
      `${algorithm.key.name}; ${exposure}`,
      "Have a new pair made under another label (`hsm-signer provision`), and change over to it.",
    );
  }
}

/** How long the two calls of a signature take. */
export async function* checkLatency(
  examined: Examined,
  { label, algorithm }: CredentialConfig,
): AsyncGenerator<Outcome> {
  const pair = need(examined.pairs.get(label), "the key pair");
  const times = await examined.at("logged in").measure(pair, algorithm, {
    signatures: MEASURED_SIGNATURES,
    limitMs: MEASURE_LIMIT_MS,
    onProgress: examined.onProgress,
  });
  yield judgeTimes(times, examined.known.sessions);
}

/** Signs a digest as a request has it signed, and reads what came of it. */
export async function* checkSignature(
  examined: Examined,
  { label, algorithm }: CredentialConfig,
): AsyncGenerator<Outcome> {
  const pair = need(examined.pairs.get(label), "the key pair");
  const chain = need(examined.chains.get(label), "a certificate chain that is valid, and for the key pair");
  const signer = examined.at("logged in").signer(pair, algorithm);
  const credential = await proveCredential(label, signer, chain, pair);
  const digest = randomBytes(algorithm.hash.length);
  const container = await new DocumentSigner(credential, examined.context.now).sign(digest);
  const { raw: certificate, publicKey } = chain.leaf;
  try {
    await verifySignedData(container, { algorithm, digest, certificate, publicKey });
    const name = `${algorithm.scheme} ${algorithm.hash.name}`;
    yield ok(`signed a random digest with ${name}; the signature and its container verify`);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    yield failure(
      `the container does not verify: ${error.message}`,
      "Report it to us: nothing was sent to anybody.",
    );
  }
}
