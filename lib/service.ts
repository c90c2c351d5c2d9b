import { randomBytes } from "node:crypto";
import type { Config } from "./config/config.ts";
import { isLoopback } from "./config/listener.ts";
import { Credentials, describeCredential, type ServedCredential } from "./credentials.ts";
import { messageOf, SignerError } from "./errors.ts";
import { Token } from "./hsm/token.ts";
import { TokenCrypto } from "./hsm/token_crypto.ts";
import type { Answered, HttpHandler } from "./http/exchange.ts";
import { frontEnd } from "./http/front_end.ts";
import { HttpServer, type HttpServerOptions } from "./http/http_server.ts";
import { createRoutes, type RoutedCredential } from "./http/routes.ts";
import type { Log } from "./log.ts";
import { Readiness } from "./readiness.ts";
import type { Supervised } from "./supervision/supervisor.ts";

export interface ServiceOptions {
  readonly config: Config;
  readonly log: Log;
  readonly now?: () => Date;
  /** A listening socket that was inherited, in place of HOST and PORT. */
  readonly socket?: number | undefined;
}

/** A running service. */
export interface Service extends Supervised {
  /**
   * Takes over a configuration: credentials, their certificates, the PIN, the origins of CORS. Requests in flight
   * end as they began. What cannot change under way is named in the log.
   *
   * @throws SignerError when its credentials cannot be served; everything but the PIN is as before then
   */
  reload(config: Config): Promise<void>;
  /**
   * Stops accepting, answers what is in flight, logs out.
   *
   * @returns whether everything ended within `graceMs`
   */
  stop(graceMs: number): Promise<boolean>;
}

const READY_DEADLINE_MS = 2_000;
const READY_VALIDITY_MS = 1_000;
const DAY_MS = 86_400_000;

/**
 * Builds the service out of its parts, in the order in which they need each other: token → credentials →
 * routes → socket. Nothing listens before the credentials are proven.
 *
 * @throws SignerError when a part cannot be built; what was opened is closed again
 */
export async function startService(options: ServiceOptions): Promise<Service> {
  const { config, log } = options;
  const token = Token.open({ ...config.token, log });
  try {
    const service = new RunningService(token, options);
    await service.serve(config);
    await service.listen(options.socket);
    return service;
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

class RunningService implements Service {
  readonly #token: Token;
  readonly #log: Log;
  readonly #now: () => Date;
  readonly #readiness: Readiness;
  #config: Config;
  #credentials: Credentials | undefined;
  #handler: HttpHandler | undefined;
  #server: HttpServer | undefined;
  #daily: NodeJS.Timeout | undefined;
  /** The last reload; the next one begins when it has ended. */
  #reloading: Promise<void> = Promise.resolve();

  constructor(token: Token, { config, log, now = () => new Date() }: ServiceOptions) {
    this.#token = token;
    this.#log = log;
    this.#now = now;
    this.#config = config;
    this.#readiness = new Readiness({
      probe: () => this.#probe(),
      deadlineMs: READY_DEADLINE_MS,
      validityMs: READY_VALIDITY_MS,
      log,
    });
  }

  get url(): string {
    return this.#server?.url ?? "";
  }

  /** Opens the credentials of a configuration, and has them serve the requests that come from now on. */
  async serve(config: Config): Promise<void> {
    const credentials = await Credentials.open({
      config,
      keys: this.#token,
      crypto: new TokenCrypto(this.#token),
      now: this.#now,
      log: this.#log,
    });
    this.#credentials?.release();
    this.#credentials = credentials;
    this.#config = config;
    this.#handler = this.#routes(credentials, config);
    credentials.warn(this.#now(), this.#log);
  }

  get sessions(): Service["sessions"] {
    return this.#token.sessions;
  }

  get warning(): string | undefined {
    const warnings = (this.#credentials?.all ?? []).map((credential) => {
      const { credential: label, warning } = describeCredential(credential, this.#now());
      return warning === undefined ? [] : [`"${label}": ${warning}`];
    });
    return warnings.flat().join(", ") || undefined;
  }

  check(): Promise<void> {
    return this.#readiness.check();
  }

  async listen(socket: number | undefined): Promise<void> {
    const log = this.#log;
    const handler: HttpHandler = (request) => this.#answer(request);
    this.#server = await listen({ ...this.#config.http, socket, handler, log });
    await refuseForeigners(this.#server, socket, this.#config);
    this.#daily = setInterval(() => this.#credentials?.warn(this.#now(), log), DAY_MS).unref();
    log("info", "listening", { url: this.url, ...this.#facts() });
  }

  reload(config: Config): Promise<void> {
    const next = this.#reloading.then(() => this.#reload(config));
    this.#reloading = next.catch(() => {
      // Told to whoever asked for it.
    });
    return next;
  }

  async stop(graceMs: number): Promise<boolean> {
    const deadline = performance.now() + graceMs;
    clearInterval(this.#daily);
    await this.#server?.stop(graceMs);
    return this.#token.close(Math.max(deadline - performance.now(), 0));
  }

  async #reload(config: Config): Promise<void> {
    const needsRestart = unchangeable(this.#config, config);
    if (needsRestart.length > 0) {
      this.#log("warning", "reload.needs_restart", { settings: needsRestart });
    }
    // First, since a token that refused the former one can prove no credential.
    await this.#token.usePin(config.token.pin);
    const { corsOrigins } = config.http;
    await this.serve({ ...config, token: this.#config.token, http: { ...this.#config.http, corsOrigins } });
    this.#log("info", "reloaded", this.#facts());
  }

  #answer(request: Parameters<HttpHandler>[0]): ReturnType<HttpHandler> {
    if (this.#handler === undefined)
      throw new SignerError("ERR_STOPPING", "Cannot answer: nothing is served");
    return this.#handler(request);
  }

  #routes(credentials: Credentials, config: Config): HttpHandler {
    return createRoutes({
      credential: (label) => routed(label === undefined ? credentials.standard : credentials.find(label)),
      readiness: () => this.#readiness.check(),
      facts: () => ({ ...this.#facts(), sessions: this.#token.sessions }),
      corsOrigins: config.http.corsOrigins,
      observe: (answered) => this.#log("info", "request", requestLine(answered)),
      files: frontEnd(config),
      log: this.#log,
    });
  }

  /** One signature with the default credential. */
  #probe(): Promise<unknown> {
    const { signer } = this.#present.standard;
    return signer.sign(randomBytes(signer.credential.signer.algorithm.hash.length));
  }

  get #present(): Credentials {
    if (this.#credentials === undefined)
      throw new SignerError("ERR_STOPPING", "Cannot sign: nothing is served");
    return this.#credentials;
  }

  /** The default credential, and all of them where there are several. */
  #facts(): Record<string, unknown> {
    const all = this.#credentials?.all ?? [];
    const described = all.map((credential) => describeCredential(credential, this.#now()));
    return { ...described[0], ...(described.length > 1 ? { credentials: described } : {}) };
  }
}

function routed({ signer, certificatePem }: ServedCredential): RoutedCredential {
  const { label, chain } = signer.credential;
  return {
    label,
    hash: signer.credential.signer.algorithm.hash,
    serialNumber: chain.leaf.serialNumber.toLowerCase(),
    certificatePem,
    sign: (digest, timings) => signer.sign(digest, timings),
  };
}

async function listen(options: HttpServerOptions): Promise<HttpServer> {
  try {
    return await HttpServer.listen(options);
  } catch (error) {
    const { host, port, socket } = options;
    const where = socket === undefined ? `on ${host}, port ${port} (HOST, PORT)` : "on the inherited socket";
    throw new SignerError("ERR_CONFIGURATION", `Cannot listen ${where}: ${messageOf(error)}`, {
      cause: error,
    });
  }
}

/** HOST was read with this in mind; an inherited socket is opened by others. */
async function refuseForeigners(
  server: HttpServer,
  socket: number | undefined,
  { http }: Config,
): Promise<void> {
  const { address, url } = server;
  if (socket === undefined || address === undefined || isLoopback(address) || http.acceptsNetwork) return;
  await server.stop(0);
  throw new SignerError(
    "ERR_CONFIGURATION",
    `Cannot listen on the inherited socket ${url}: nobody is authenticated yet, and whoever reaches it can ` +
      "sign (ListenStream; ALLOW_UNAUTHENTICATED_NETWORK=true accepts that)",
  );
}

/** The settings that differ and that a reload leaves as they were. */
function unchangeable(former: Config, next: Config): readonly string[] {
  const differs: Readonly<Record<string, boolean>> = {
    HSM_MODULE: former.token.modulePath !== next.token.modulePath,
    HSM_TOKEN_LABEL: former.token.label !== next.token.label,
    HSM_SESSIONS: former.token.sessions !== next.token.sessions,
    HOST: former.http.host !== next.http.host,
    PORT: former.http.port !== next.http.port,
    MAX_BODY_BYTES: former.http.maxBodyBytes !== next.http.maxBodyBytes,
  };
  return Object.keys(differs).filter((name) => differs[name]);
}

/** The log's line of a request: durations in milliseconds, to the hundredth. */
function requestLine({ facts, totalMs, ...answered }: Answered): Record<string, unknown> {
  const { timings, ...known } = facts;
  const durations = Object.entries({ ...timings, totalMs }).map(([name, ms]) => [
    name,
    Number(ms.toFixed(2)),
  ]);
  return { ...answered, ...known, ...Object.fromEntries(durations) };
}
