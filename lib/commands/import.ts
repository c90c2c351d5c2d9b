import { type Command, type CommandContext, type CommandOptions, readCredentialConfig } from "../command.ts";
import { assembleChain } from "../credential/assemble_chain.ts";
import { proveChain } from "../credential/chain.ts";
import { ChainFile } from "../credential/chain_file.ts";
import { proveCredential } from "../credential/credential.ts";
import { describeChain } from "../credential/credential_report.ts";
import { EXIT, type ExitCode } from "../exit_codes.ts";
import { TokenCrypto } from "../hsm/token_crypto.ts";
import { readCertificateFile } from "./certificate_file.ts";
import { existingKeyPair } from "./existing_key_pair.ts";
import { withToken } from "./with_token.ts";

/** The way back from the CA. */
export const IMPORT: Command = {
  name: "import",
  summary: "take a CA's answer, prove it against the key, keep it as the chain",
  description:
    "Reads certificates in whatever form a CA sends them (PEM, DER, PKCS#7; any order), finds the one for the " +
    "key, puts the chain together, proves it with a signature of the token, and writes it to CERT_DIR. The " +
    "former chain stays beside it. A running service takes it on SIGHUP.",
  argument: ["file", "what the CA sent; - for standard input"],
  options: [
    ["--key-label <label>", "which credential (HSM_KEY_LABEL; the first of them)"],
    ["--json", "the result as JSON"],
  ],
  run: importChain,
};

async function importChain(
  context: CommandContext,
  options: CommandOptions,
  argument: string,
): Promise<ExitCode> {
  const { config, credential } = readCredentialConfig(context, options);
  const { label, algorithm } = credential;
  const now = context.now();
  const received = readCertificateFile(argument);
  const file = new ChainFile(config.certificate.directory, label);
  const { chain, warnings, replacement } = await withToken(context, config, async (token) => {
    const crypto = new TokenCrypto(token);
    const keys = existingKeyPair(token, credential);
    const publicKey = new Uint8Array(await crypto.subtle.exportKey("spki", keys.publicKey));
    const assembled = await assembleChain({ certificates: received, publicKey, now });
    const proven = await proveChain(assembled.certificates, now);
    await proveCredential(label, token.signer(keys, algorithm), proven, keys);
    return {
      chain: assembled.certificates,
      warnings: assembled.warnings,
      replacement: file.replace(assembled.certificates, now),
    };
  });
  const { certificates } = await describeChain(chain, now);
  if (options.json) {
    context.print(JSON.stringify({ label, path: file.path, ...replacement, certificates, warnings }));
    return EXIT.ok;
  }
  for (const warning of warnings) context.tell(`Warning: ${warning}.`);
  for (const [index, { subject, notAfter, daysLeft }] of certificates.entries()) {
    context.print(`${index + 1}  ${subject}, until ${notAfter} (${daysLeft} days)`);
  }
  context.print(
    replacement.isChanged
      ? `Written to ${file.path}${replacement.former === undefined ? "" : `; the former one is ${replacement.former}`}.`
      : `${file.path} holds this chain already.`,
  );
  if (replacement.isChanged) context.print("A running service takes it on SIGHUP.");
  return EXIT.ok;
}
