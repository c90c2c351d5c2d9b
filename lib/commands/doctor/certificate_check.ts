import { CMS_PROFILE } from "../../cms/attributes.ts";
import { SignedDataBuilder } from "../../cms/signed_data.ts";
import type { CredentialConfig } from "../../config/credentials.ts";
import { earliestEnd, type ProvenChain, proveChain } from "../../credential/chain.ts";
import { ChainFile } from "../../credential/chain_file.ts";
import { DEFAULT_PLACEHOLDER_BYTES, expiryWarning } from "../../credentials.ts";
import { SignerError } from "../../errors.ts";
import { adviceFor } from "./advice.ts";
import type { Examined } from "./examined.ts";
import { failure, need, type Outcome, ok, skipped, warning } from "./finding.ts";

/** Whether the chain is there, is proven, fits the key, and will do for some time. */
export async function* checkCertificate(
  examined: Examined,
  { label, algorithm }: CredentialConfig,
): AsyncGenerator<Outcome> {
  const now = examined.context.now();
  const file = new ChainFile(need(examined.known.certificateDirectory, "CERT_DIR"), label);
  if (!file.exists()) {
    yield failure(
      `there is no ${file.path} (CERT_DIR)`,
      "Have a self-signed certificate made (`hsm-signer provision`), or one issued: `hsm-signer request`, then " +
        "`hsm-signer import` with what the CA answers.",
    );
    return;
  }
  const { chain, fault } = await prove(file.read(), now);
  if (fault !== undefined) yield failure(`${fault.message} (in ${file.path})`, adviceFor(fault));
  if (chain === undefined) return;
  const size = new SignedDataBuilder({ algorithm, certificates: chain.embedded, profile: CMS_PROFILE })
    .maxLength;
  examined.beginnings.push(new Date(chain.leaf.validFrom));
  if (fault === undefined) {
    yield ok(describe(file, chain, size));
    const expiry = expiryWarning(chain.notAfter, now);
    if (expiry !== undefined)
      yield warning(expiry, adviceFor(new SignerError("ERR_CERTIFICATE_EXPIRED", expiry)));
  }
  yield* shapeWarnings(chain, size);
  const pair = examined.pairs.get(label);
  const isForPair = pair?.publicKey.publicKeyObject.equals(chain.leaf.publicKey);
  if (isForPair === undefined) {
    yield skipped("whether it is for the key pair: not checked, needs the key pair");
  } else if (!isForPair) {
    yield failure(
      `${file.path} is for another key than the pair "${label}" on the token`,
      "Put the chain there that was issued for this pair (`hsm-signer import`), or set HSM_TOKEN_LABEL to the " +
        "token of the other one.",
    );
  } else if (fault === undefined) examined.chains.set(label, chain);
}

interface Proof {
  /** Also of one that is good but for its dates, so that the rest can be looked at. */
  readonly chain?: ProvenChain;
  readonly fault?: SignerError;
}

async function prove(certificates: readonly Uint8Array[], now: Date): Promise<Proof> {
  try {
    return { chain: await proveChain(certificates, now) };
  } catch (fault) {
    if (!(fault instanceof SignerError)) throw fault;
    return /_(EXPIRED|NOT_YET_VALID)$/.test(fault.code)
      ? { ...(await proveAtItsEnd(certificates)), fault }
      : { fault };
  }
}

async function proveAtItsEnd(certificates: readonly Uint8Array[]): Promise<Proof> {
  try {
    return { chain: await proveChain(certificates, await earliestEnd(certificates)) };
  } catch {
    return {};
  }
}

function describe(file: ChainFile, { certificates, leaf, notAfter }: ProvenChain, size: number): string {
  const count = certificates.length === 1 ? "one certificate" : `${certificates.length} certificates`;
  const end = notAfter.toISOString().slice(0, 10);
  return (
    `${file.path}: ${count} for "${leaf.subject.replaceAll("\n", ", ")}", until ${end}; ` +
    `containers of at most ${size.toLocaleString("en")} bytes`
  );
}

function* shapeWarnings({ certificates, isSelfSigned }: ProvenChain, size: number): Generator<Outcome> {
  if (certificates.length === 1 && !isSelfSigned) {
    yield warning(
      "the leaf stands alone in the file, and a CA issued it",
      "Add the certificates between it and the root (`hsm-signer import`), unless the root issued it: readers cannot " +
        "find them.",
    );
  }
  if (size > DEFAULT_PLACEHOLDER_BYTES) {
    yield warning(
      `containers of ${size.toLocaleString("en")} bytes do not fit into the Web SDK's standard placeholder`,
      "Set placeholderSize in the front end, or leave certificates out of the file.",
    );
  }
}
