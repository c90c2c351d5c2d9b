import { writeFileSync } from "node:fs";
import { type Command, type CommandContext, type CommandOptions, readCredentialConfig } from "../command.ts";
import { STANDARD_SUBJECT } from "../config/config.ts";
import { ConfigError } from "../config/settings.ts";
import { certificateRequestPem, createCertificateRequest } from "../credential/certificate_request.ts";
import { messageOf, SignerError } from "../errors.ts";
import { EXIT, type ExitCode } from "../exit_codes.ts";
import { TokenCrypto } from "../hsm/token_crypto.ts";
import { existingKeyPair } from "./existing_key_pair.ts";
import { withToken } from "./with_token.ts";

/** A PKCS#10 request (RFC 2986) for the key, to be sent to a CA. */
export const REQUEST: Command = {
  name: "request",
  summary: "make a certificate request (PKCS#10) for the key, signed on the token",
  description:
    "Makes a certificate request for the key pair, signed on the token, with keyUsage digitalSignature and " +
    "nonRepudiation. What the CA answers goes to hsm-signer import.",
  options: [
    ["--key-label <label>", "which credential (HSM_KEY_LABEL; the first of them)"],
    ["--subject <name>", 'as in "CN=Example Ltd, O=Example Ltd, C=DE" (CERT_SUBJECT)'],
    [
      "--extended-key-usage <usage...>",
      "documentSigning, emailProtection, or an object identifier; none of its own accord",
    ],
    ["--subject-alt-name <name...>", "email:…, dns:… or uri:…"],
    ["--out <file>", "where it is written; standard output where this is not said"],
    ["--json", "the result as JSON"],
  ],
  run: request,
};

async function request(context: CommandContext, options: CommandOptions): Promise<ExitCode> {
  const overrides = options.subject === undefined ? {} : { CERT_SUBJECT: options.subject };
  const { config, credential } = readCredentialConfig(context, options, overrides);
  const { label, algorithm } = credential;
  const { subject } = config.certificate;
  if (subject === STANDARD_SUBJECT) {
    throw new ConfigError(["CERT_SUBJECT (or --subject) must say whom the CA is to certify."]);
  }
  const der = await withToken(context, config, (token) =>
    createCertificateRequest({
      crypto: new TokenCrypto(token),
      keys: existingKeyPair(token, credential),
      algorithm,
      subject,
      ...(options.extendedKeyUsage ? { extendedKeyUsages: options.extendedKeyUsage } : {}),
      ...(options.subjectAltName ? { subjectAlternativeNames: options.subjectAltName } : {}),
    }),
  );
  const pem = certificateRequestPem(der);
  if (options.out !== undefined) writeNew(options.out, pem);
  if (options.json) {
    const facts = { label, algorithm: algorithm.key.name, subject, request: pem };
    context.print(JSON.stringify({ ...facts, ...(options.out === undefined ? {} : { path: options.out }) }));
  } else if (options.out === undefined) {
    context.print(pem);
  } else {
    context.print(`The request for "${label}", ${subject}, is in ${options.out}.`);
    context.print("Send it to the CA; then: hsm-signer import <its answer>");
  }
  return EXIT.ok;
}

/** Nothing is overwritten: it may be somebody's key. */
function writeNew(path: string, text: string): void {
  try {
    writeFileSync(path, text, { flag: "wx" });
  } catch (error) {
    throw new SignerError("ERR_CONFIGURATION", `Cannot write the request (--out): ${messageOf(error)}`, {
      cause: error,
    });
  }
}
