import { randomBytes } from "node:crypto";
import type { Config } from "./config.ts";
import { ChainFile } from "./credential/chain_file.ts";
import { openCredential } from "./credential/open_credential.ts";
import { DocumentSigner } from "./document_signer.ts";
import { messageOf, SignerError } from "./errors.ts";
import { Token } from "./hsm/token.ts";
import { TokenCrypto } from "./hsm/token_crypto.ts";
import { HttpServer, type HttpServerOptions } from "./http/http_server.ts";
import { createRoutes } from "./http/routes.ts";
import type { Log } from "./log.ts";
import { Readiness } from "./readiness.ts";

export interface ServiceOptions {
  readonly config: Config;
  readonly log: Log;
  readonly now?: () => Date;
}

/** A running service. */
export interface Service {
  readonly url: string;
  /**
   * Stops accepting, answers what is in flight, logs out.
   *
   * @returns whether everything ended within `graceMs`
   */
  stop(graceMs: number): Promise<boolean>;
}

/** The length of an Adobe placeholder as the Web SDK makes it by default is 16,385 bytes. */
const DEFAULT_PLACEHOLDER_BYTES = 16_384;
const DAY_MS = 86_400_000;
const EXPIRY_WARNING_DAYS = 30;
const READY_DEADLINE_MS = 2_000;
const READY_VALIDITY_MS = 1_000;

/**
 * Builds the service out of its parts, in the order in which they need each other: token → credential →
 * document signer → routes → socket. Nothing listens before the credential is proven.
 *
 * @throws SignerError when a part cannot be built; what was opened is closed again
 */
export async function startService({
  config,
  log,
  now = () => new Date(),
}: ServiceOptions): Promise<Service> {
  const token = Token.open({ ...config.token, log });
  try {
    const credential = await openCredential({
      keys: token,
      crypto: new TokenCrypto(token),
      label: config.key.label,
      algorithm: config.signature,
      autoProvision: config.key.autoProvision,
      certificate: config.certificate,
      now,
      log,
    });
    const signer = new DocumentSigner(credential, now);
    warnOfLargeContainers(signer, log);
    warnOfExpiry(signer, now(), log);
    const server = await listen(config, token, signer, log);
    log("info", "listening", { url: server.url, ...describe(signer) });
    return { url: server.url, stop: (graceMs) => stop(server, token, graceMs) };
  } catch (error) {
    if (await token.close(0)) throw error;
    throw new HungStartError(error);
  }
}

/** The start failed, and a call still hangs inside the module: the process cannot end in the usual way. */
export class HungStartError extends Error {
  constructor(cause: unknown) {
    super(messageOf(cause), { cause });
    this.name = "HungStartError";
  }
}

function listen(config: Config, token: Token, signer: DocumentSigner, log: Log): Promise<HttpServer> {
  const { credential } = signer;
  const readiness = new Readiness({
    probe: () => signer.sign(randomBytes(config.signature.hash.length)),
    deadlineMs: READY_DEADLINE_MS,
    validityMs: READY_VALIDITY_MS,
    log,
  });
  const handler = createRoutes({
    hash: config.signature.hash,
    sign: (digest) => signer.sign(digest),
    certificatePem: ChainFile.toPem(credential.chain.certificates),
    readiness: async () => {
      await readiness.check();
      return { ...describe(signer), sessions: token.sessions };
    },
    corsOrigins: config.http.corsOrigins,
    log,
  });
  return listenWith({ ...config.http, handler, log });
}

async function listenWith(options: HttpServerOptions): Promise<HttpServer> {
  try {
    return await HttpServer.listen(options);
  } catch (error) {
    const { host, port } = options;
    throw new SignerError(
      "ERR_CONFIGURATION",
      `Cannot listen on ${host}, port ${port} (HOST, PORT): ${messageOf(error)}`,
      { cause: error },
    );
  }
}

/** What the service signs with, for a log or a person. */
function describe({ credential, maxContainerLength }: DocumentSigner): Record<string, unknown> {
  const { algorithm } = credential.signer;
  return {
    credential: credential.label,
    algorithm: `${algorithm.key.name} ${algorithm.scheme} ${algorithm.hash.name}`,
    certificateNotAfter: credential.chain.notAfter.toISOString(),
    maxContainerBytes: maxContainerLength,
  };
}

function warnOfLargeContainers({ maxContainerLength }: DocumentSigner, log: Log): void {
  if (maxContainerLength <= DEFAULT_PLACEHOLDER_BYTES) return;
  log("warning", "container.large", {
    maxContainerBytes: maxContainerLength,
    advice: "the chain is long: set placeholderSize in the front end, or leave certificates out",
  });
}

function warnOfExpiry({ credential }: DocumentSigner, now: Date, log: Log): void {
  const { notAfter } = credential.chain;
  const days = Math.floor((notAfter.getTime() - now.getTime()) / DAY_MS);
  if (days >= EXPIRY_WARNING_DAYS) return;
  log("warning", "certificate.expires", {
    credential: credential.label,
    notAfter: notAfter.toISOString(),
    days,
  });
}

async function stop(server: HttpServer, token: Token, graceMs: number): Promise<boolean> {
  const deadline = performance.now() + graceMs;
  await server.stop(graceMs);
  return token.close(Math.max(deadline - performance.now(), 0));
}

/** The sentences that an operator reads when the service does not start. */
export function startFailure(error: unknown): readonly string[] {
  return error instanceof Error && "mistakes" in error && Array.isArray(error.mistakes)
    ? error.mistakes.map(String)
    : [`${messageOf(error)}.`];
}
