import type { SignatureAlgorithm } from "../algorithms.ts";
import { SignerError } from "../errors.ts";
import type { Log } from "../log.ts";
import type { Signer } from "../signer.ts";
import { earliestEnd, type ProvenChain, proveChain } from "./chain.ts";
import { ChainFile } from "./chain_file.ts";
import { type Credential, proveCredential, type StoredKeyPair } from "./credential.ts";
import { createSelfSigned } from "./self_signed.ts";

/** Where key pairs are found and made: the token, or a double of it. */
export interface KeyStore {
  /** Labels of private keys that are there, some of them where there are many: for a person. */
  keyLabels(): readonly string[];
  findKeyPair(label: string, algorithm: SignatureAlgorithm): StoredKeyPair | undefined;
  /** The pair with this label, made where there is none. */
  provisionKeyPair(label: string, algorithm: SignatureAlgorithm): Promise<StoredKeyPair>;
  /** Signs with a pair that was found. */
  signer(pair: StoredKeyPair, algorithm: SignatureAlgorithm): Signer;
  /** A pair that was found is not in use any more. */
  forget(pair: StoredKeyPair): void;
}

export interface OpenCredentialOptions {
  readonly keys: KeyStore;
  /** Signs certificates with the private keys of `keys`. */
  readonly crypto: Crypto;
  readonly label: string;
  readonly algorithm: SignatureAlgorithm;
  /** Whether what is missing may be made. */
  readonly autoProvision: boolean;
  /** Whether a chain that was good and has expired will do: nothing is signed with it then. */
  readonly toleratesExpiry?: boolean;
  readonly certificate: { readonly directory: string; readonly subject: string; readonly days: number };
  readonly now: () => Date;
  readonly log: Log;
}

const PROVISION_COMMAND = "hsm-signer provision";

/**
 * The credential of a key label, proven: its key pair on the token and its chain in `CERT_DIR`. With
 * `autoProvision`, the pair is generated and a self-signed certificate made where there is none; what exists
 * is never replaced.
 *
 * @throws SignerError `ERR_KEY_*`, `ERR_CERTIFICATE_*`, `ERR_TOKEN_*`
 */
export async function openCredential(options: OpenCredentialOptions): Promise<Credential> {
  const { label, algorithm, keys } = options;
  const file = new ChainFile(options.certificate.directory, label);
  const pair = keys.findKeyPair(label, algorithm) ?? (await makeKeyPair(options, file));
  try {
    return await proveWith(options, file, pair);
  } catch (error) {
    keys.forget(pair);
    throw error;
  }
}

async function proveWith(
  options: OpenCredentialOptions,
  file: ChainFile,
  pair: StoredKeyPair,
): Promise<Credential> {
  const { label, algorithm, keys, log } = options;
  for (const warning of pair.warnings) log("warning", "key.exposed", { label, warning });
  if (!file.exists()) await makeCertificate(options, file, pair);
  const chain = await proveFile(file, options);
  if (chain.certificates.length === 1 && !chain.isSelfSigned) {
    log("warning", "chain.leaf_alone", {
      path: file.path,
      advice: "unless a root issued it directly, add the certificates between: readers cannot find them",
    });
  }
  return proveCredential(label, keys.signer(pair, algorithm), chain, pair);
}

/** What is wrong with a certificate is said with the file that it is in. */
async function proveFile(
  file: ChainFile,
  { now, toleratesExpiry }: OpenCredentialOptions,
): Promise<ProvenChain> {
  const certificates = file.read();
  try {
    return await proveChain(certificates, now());
  } catch (error) {
    if (!(error instanceof SignerError)) throw error;
    if (toleratesExpiry && error.code === "ERR_CERTIFICATE_EXPIRED") {
      return proveChain(certificates, await earliestEnd(certificates));
    }
    throw new SignerError(error.code, `${error.message} (in ${file.path}, CERT_DIR)`, { cause: error });
  }
}

function presentLabels(keys: KeyStore): string {
  const labels = keys.keyLabels().map((label) => `"${label}"`);
  return labels.length === 0 ? "there is no private key at all" : `there are ${labels.join(", ")}`;
}

async function makeKeyPair(options: OpenCredentialOptions, file: ChainFile): Promise<StoredKeyPair> {
  const { label, algorithm } = options;
  if (file.exists()) {
    // Somebody had a certificate for a key of this name: this is the wrong token, not a new one.
    throw new SignerError(
      "ERR_KEY_NOT_FOUND",
      `Cannot find the key pair "${label}" (HSM_KEY_LABEL) on the token, but ${file.path} certifies one: ` +
        "no new key is made; check HSM_TOKEN_LABEL, or move the file away",
    );
  }
  if (!options.autoProvision) {
    throw new SignerError(
      "ERR_KEY_NOT_FOUND",
      `Cannot find the key pair "${label}" on the token; ${presentLabels(options.keys)}. ` +
        `Check HSM_KEY_LABEL, or have a new pair made, once, with ${PROVISION_COMMAND}`,
    );
  }
  return options.keys.provisionKeyPair(label, algorithm);
}

async function makeCertificate(
  options: OpenCredentialOptions,
  file: ChainFile,
  keys: StoredKeyPair,
): Promise<void> {
  if (!options.autoProvision) {
    throw new SignerError(
      "ERR_CERTIFICATE_NOT_FOUND",
      `Cannot find the certificate chain ${file.path} (CERT_DIR): put it there, leaf first, in PEM, ` +
        `or have a self-signed one made, once, with ${PROVISION_COMMAND}`,
    );
  }
  const { crypto, algorithm, certificate, now } = options;
  const der = await createSelfSigned({ crypto, keys, algorithm, ...certificate, now: now() });
  if (file.create([der])) options.log("info", "certificate.created", { path: file.path });
}
