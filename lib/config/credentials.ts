import {
  HASH_NAMES,
  type HashName,
  KEY_ALGORITHM_NAMES,
  type KeyAlgorithmName,
  keyAlgorithm,
  type SignatureAlgorithm,
  signatureAlgorithm,
} from "../algorithms.ts";
import type { Settings } from "./settings.ts";

/** A key pair that the service signs with, and how. */
export interface CredentialConfig {
  /** CKA_LABEL of both halves, and the name of the chain's file. */
  readonly label: string;
  readonly algorithm: SignatureAlgorithm;
}

type RsaScheme = "PKCS1" | "PSS";
const SCHEMES: readonly RsaScheme[] = ["PKCS1", "PSS"];

/** What a credential signs with; what the list does not say of one is as the other settings say. */
interface Choice {
  readonly key: KeyAlgorithmName;
  readonly hash: HashName;
  readonly scheme: RsaScheme;
}

/**
 * The credentials of `HSM_KEY_LABEL`, the default one first: labels separated by commas, each with what
 * differs for it from `HSM_KEY_ALGORITHM`, `DIGEST` and `SIGNATURE_SCHEME` after colons, in any order, as in
 * `invoices, seal:P-384:SHA-384`.
 */
export function readCredentials(settings: Settings): readonly [CredentialConfig, ...CredentialConfig[]] {
  const common: Choice = {
    key: settings.oneOf<KeyAlgorithmName>("HSM_KEY_ALGORITHM", KEY_ALGORITHM_NAMES, "RSA-2048"),
    hash: settings.oneOf<HashName>("DIGEST", HASH_NAMES, "SHA-256"),
    scheme: settings.oneOf<RsaScheme>("SIGNATURE_SCHEME", SCHEMES, "PKCS1"),
  };
  const [first = "", ...others] = (settings.text("HSM_KEY_LABEL") ?? "hsm-signer").split(",");
  const read = (item: string): CredentialConfig => readCredential(settings, item, common);
  const credentials: readonly [CredentialConfig, ...CredentialConfig[]] = [read(first), ...others.map(read)];
  const labels = credentials.map(({ label }) => label);
  for (const label of new Set(labels.filter((label, index) => labels.indexOf(label) < index))) {
    settings.mistake(`HSM_KEY_LABEL names "${label}" twice.`);
  }
  const isForNobody = credentials.every(({ algorithm }) => algorithm.scheme === "ECDSA");
  if (isForNobody && settings.text("SIGNATURE_SCHEME") !== undefined) {
    const { name } = credentials[0].algorithm.key;
    settings.mistake(`SIGNATURE_SCHEME is for RSA; HSM_KEY_ALGORITHM is ${name}, which signs with ECDSA.`);
  }
  return Object.freeze(credentials);
}

function readCredential(settings: Settings, item: string, common: Choice): CredentialConfig {
  const [label = "", ...choices] = item.split(":").map((part) => part.trim());
  // The label names the chain's file too.
  if (!/^[\w.@+ -]{1,100}$/.test(label) || label.startsWith(".")) {
    settings.mistake(
      'HSM_KEY_LABEL must be labels of 1 to 100 letters, digits, spaces or any of ". _ - @ +", separated by ' +
        `commas, which do not begin with a dot; one is "${label}".`,
    );
  }
  let choice = common;
  for (const name of choices) {
    const key = KEY_ALGORITHM_NAMES.find((candidate) => candidate === name);
    const hash = HASH_NAMES.find((candidate) => candidate === name);
    const scheme = SCHEMES.find((candidate) => candidate === name);
    if (key ?? hash ?? scheme) {
      choice = { key: key ?? choice.key, hash: hash ?? choice.hash, scheme: scheme ?? choice.scheme };
    } else {
      const known = [...KEY_ALGORITHM_NAMES, ...HASH_NAMES, ...SCHEMES].join(", ");
      settings.mistake(`HSM_KEY_LABEL says "${name}" of "${label}", which is none of ${known}.`);
    }
  }
  if (keyAlgorithm(choice.key).kind === "EC" && choices.some((name) => name === "PKCS1" || name === "PSS")) {
    settings.mistake(`HSM_KEY_LABEL gives "${label}" a scheme for RSA, but ${choice.key} signs with ECDSA.`);
  }
  return Object.freeze({ label, algorithm: signatureAlgorithm(choice.key, choice.hash, choice.scheme) });
}
