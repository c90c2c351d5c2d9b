import {
  KEY_ALGORITHM_NAMES,
  type KeyAlgorithmName,
  type SignatureAlgorithm,
  signatureAlgorithm,
} from "../algorithms.ts";
import { type Command, type CommandContext, type CommandOptions, readConfig } from "../command.ts";
import type { Config } from "../config/config.ts";
import { proveChain } from "../credential/chain.ts";
import { ChainFile } from "../credential/chain_file.ts";
import { chainFilesIn } from "../credential/chain_files.ts";
import { proveCredential } from "../credential/credential.ts";
import { type CertificateReport, describeChain } from "../credential/credential_report.ts";
import { messageOf } from "../errors.ts";
import { EXIT, type ExitCode } from "../exit_codes.ts";
import type { ListedKey } from "../hsm/key_list.ts";
import type { Token } from "../hsm/token.ts";
import { table } from "./table.ts";
import { withToken } from "./with_token.ts";

/** What is on the token and in CERT_DIR, and what of it belongs together. */
export const LIST: Command = {
  name: "list",
  summary: "the private keys on the token and the certificate chains",
  description:
    "Lists the private keys on the token and the chains in CERT_DIR: algorithm, expiry, and whether a signature " +
    "of the key proves that they belong together. An asterisk stands before those that the service is to serve.",
  options: [["--json", "the result as JSON"]],
  run: list,
};

/** Everything under one label. */
interface ListedCredential {
  readonly label: string;
  readonly isConfigured: boolean;
  /** Several where somebody made several with one label; none where the chain has no key. */
  readonly keys: readonly ListedKey[];
  readonly chain?: { readonly path: string; readonly certificates: readonly CertificateReport[] };
  /** `proven`, or why not. */
  readonly proof: string;
}

async function list(context: CommandContext, options: CommandOptions): Promise<ExitCode> {
  const config = readConfig(context, options);
  const credentials = await withToken(context, config, async (token) => {
    const keys = token.listKeys();
    const configured = config.credentials.map(({ label }) => label);
    const files = chainFilesIn(config.certificate.directory);
    const labels = [...new Set([...configured, ...keys.map(({ label }) => label), ...files])];
    const listed: ListedCredential[] = [];
    for (const label of labels) {
      const own = keys.filter((key) => key.label === label);
      listed.push(await listOne(label, own, token, config, context.now()));
    }
    return listed;
  });
  if (options.json) context.print(JSON.stringify({ credentials }));
  else show(context, credentials);
  return EXIT.ok;
}

async function listOne(
  label: string,
  keys: readonly ListedKey[],
  token: Token,
  config: Config,
  now: Date,
): Promise<ListedCredential> {
  const file = new ChainFile(config.certificate.directory, label);
  const isConfigured = config.credentials.some((credential) => credential.label === label);
  const [key] = keys;
  try {
    if (key === undefined && !file.exists()) throw new RangeError("neither key nor chain");
    if (!file.exists()) throw new RangeError("no chain");
    const certificates = file.read();
    const described = await describeChain(certificates, now);
    const chain = { path: file.path, certificates: described.certificates };
    const proof = await proofOf(label, keys, token, certificates, config, now);
    return { label, isConfigured, keys, chain, proof };
  } catch (error) {
    return { label, isConfigured, keys, proof: messageOf(error) };
  }
}

/** `proven`, or the first thing that is wrong. */
async function proofOf(
  label: string,
  keys: readonly ListedKey[],
  token: Token,
  certificates: readonly Uint8Array[],
  config: Config,
  now: Date,
): Promise<string> {
  const [key] = keys;
  if (key === undefined) return "no key on the token";
  try {
    const algorithm = algorithmFor(label, key, config);
    const pair = algorithm && token.findKeyPair(label, algorithm);
    if (algorithm === undefined || pair === undefined) return `${key.algorithm} is not a kind to sign with`;
    const signer = token.signer(pair, algorithm);
    await proveCredential(label, signer, await proveChain(certificates, now), pair);
    return "proven";
  } catch (error) {
    return messageOf(error);
  }
}

/** As configured; otherwise what the key itself is. */
function algorithmFor(label: string, key: ListedKey, config: Config): SignatureAlgorithm | undefined {
  const configured = config.credentials.find((credential) => credential.label === label);
  if (configured !== undefined) return configured.algorithm;
  const name = KEY_ALGORITHM_NAMES.find((known): known is KeyAlgorithmName => known === key.algorithm);
  return name === undefined ? undefined : signatureAlgorithm(name, "SHA-256");
}

const HEAD = ["", "label", "key", "CKA_ID", "certificate", "expires", "days", "proof"];

function show(context: CommandContext, credentials: readonly ListedCredential[]): void {
  const rows = credentials.flatMap(({ label, isConfigured, keys, chain, proof }) => {
    const [leaf] = chain?.certificates ?? [];
    const certificate = [
      leaf?.subject ?? "–",
      leaf?.notAfter.slice(0, 10) ?? "–",
      String(leaf?.daysLeft ?? "–"),
    ];
    const head = [isConfigured ? "*" : "", label];
    const shownKeys = keys.length === 0 ? [["–", "–"]] : keys.map(({ algorithm, id }) => [algorithm, id]);
    return shownKeys.map((key) => [...head, ...key, ...certificate, proof]);
  });
  context.print(table([HEAD, ...rows]));
  for (const { label, warnings } of credentials.flatMap(({ keys }) => keys)) {
    for (const warning of warnings) context.tell(`Warning: of "${label}", ${warning}.`);
  }
}
