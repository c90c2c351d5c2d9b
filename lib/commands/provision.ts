import { type Command, type CommandContext, type CommandOptions, readCredentialConfig } from "../command.ts";
import type { Environment } from "../config/settings.ts";
import { ChainFile } from "../credential/chain_file.ts";
import { openCredential } from "../credential/open_credential.ts";
import { nameText } from "../credential/printable.ts";
import { EXIT, type ExitCode } from "../exit_codes.ts";
import { TokenCrypto } from "../hsm/token_crypto.ts";
import { withProgress } from "./progress.ts";
import { withToken } from "./with_token.ts";

/** Makes what a credential needs and lacks: the key pair, and a self-signed certificate. */
export const PROVISION: Command = {
  name: "provision",
  summary: "find or make the key pair and its certificate",
  description:
    "Finds the key pair by its label, or has the token generate one that cannot leave it; makes a self-signed " +
    "certificate where there is no chain in CERT_DIR; proves both with a signature. What exists is never " +
    "replaced. Several machines may do this at once: all end with the same pair.",
  options: [
    ["--key-label <label>", "which credential (HSM_KEY_LABEL; the first of them)"],
    ["--algorithm <name>", "of a pair that is made (HSM_KEY_ALGORITHM)"],
    ["--subject <name>", "of a certificate that is made (CERT_SUBJECT)"],
    ["--days <number>", "its validity (CERT_DAYS)"],
    ["--json", "the result as JSON"],
  ],
  run: provision,
};

async function provision(context: CommandContext, options: CommandOptions): Promise<ExitCode> {
  const { config, credential } = readCredentialConfig(context, options, overridesOf(options));
  const { label, algorithm } = credential;
  const file = new ChainFile(config.certificate.directory, label);
  const result = await withToken(context, config, async (token, log) => {
    const hadKey = token.findKeyIds(label).length > 0;
    const hadChain = file.exists();
    const opening = openCredential({
      ...config,
      keys: token,
      crypto: new TokenCrypto(token),
      label,
      algorithm,
      autoProvision: true,
      now: context.now,
      log,
    });
    const { chain } = await withProgress(context, "working on the key pair", opening);
    return {
      label,
      algorithm: algorithm.key.name,
      keyId: token.findKeyIds(label)[0] ?? "",
      key: hadKey ? "found" : "made",
      chain: file.path,
      certificate: hadChain ? "found" : "made",
      subject: nameText(chain.leaf.subject),
      notAfter: chain.notAfter.toISOString(),
    };
  });
  if (options.json) {
    context.print(JSON.stringify(result));
    return EXIT.ok;
  }
  context.print(`Key pair     "${label}", ${result.algorithm}, CKA_ID ${result.keyId}, ${result.key}`);
  context.print(`Certificate  ${result.chain}, ${result.certificate}`);
  context.print(`             ${result.subject}, until ${result.notAfter}`);
  context.print("Both are proven by a signature. Next: hsm-signer serve");
  return EXIT.ok;
}

function overridesOf({ algorithm, subject, days }: CommandOptions): Environment {
  return {
    ...(algorithm === undefined ? {} : { HSM_KEY_ALGORITHM: algorithm }),
    ...(subject === undefined ? {} : { CERT_SUBJECT: subject }),
    ...(days === undefined ? {} : { CERT_DAYS: days }),
  };
}
