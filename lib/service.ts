import { randomBytes } from "node:crypto";
import { Audit } from "./audit/audit.ts";
import type { CheckpointSigner } from "./audit/checkpoint.ts";
import type { Config } from "./config/config.ts";
import { isLoopback } from "./config/listener.ts";
import { Credentials, describeCredential, type ServedCredential } from "./credentials.ts";
import { messageOf, SignerError } from "./errors.ts";
import { Token } from "./hsm/token.ts";
import { TokenCrypto } from "./hsm/token_crypto.ts";
import type { HttpHandler, HttpRequest } from "./http/exchange.ts";
import { frontEnd } from "./http/front_end.ts";
import { HttpServer, type HttpServerOptions } from "./http/http_server.ts";
import { createRoutes, type RoutedCredential } from "./http/routes.ts";
import type { Log } from "./log.ts";
import { Counts } from "./metrics/counts.ts";
import { MetricsText } from "./metrics/metrics_text.ts";
import type { ServiceState } from "./metrics/state_families.ts";
import { MetricsListener } from "./metrics_listener.ts";
import { Readiness } from "./readiness.ts";
import { RequestObserver } from "./request_observer.ts";
import type { Supervised } from "./supervision/supervisor.ts";

export interface ServiceOptions {
  readonly config: Config;
  readonly log: Log;
  readonly now?: () => Date;
  /** A listening socket that was inherited, in place of HOST and PORT. */
  readonly socket?: number | undefined;
  /** How many lines of the log nobody took. */
  readonly linesLost?: () => number;
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
  /** Has the audit trail go on in a new file. */
  rotateAudit(): void;
  /**
   * Stops accepting, answers what is in flight, logs out.
   *
   * @returns whether everything ended within `graceMs`
   */
  stop(graceMs: number): Promise<boolean>;
}

const READY_DEADLINE_MS = 2_000;
const READY_VALIDITY_MS = 1_000;
/** What the audit trail has for its last checkpoint, however long the requests took to end. */
const LAST_CHECKPOINT_MS = { least: 1_000, most: 5_000 };
const DAY_MS = 86_400_000;

/**
 * Builds the service out of its parts, in the order in which they need each other: token → credentials →
 * routes → socket. Nothing listens before the credentials are proven.
 *
 * @throws SignerError when a part cannot be built; what was opened is closed again
 */
export async function startService(options: ServiceOptions): Promise<Service> {
  const { config } = options;
  const counts = new Counts();
  const log = counts.counting(options.log);
  const token = Token.open({ ...config.token, log });
  try {
    const service = new RunningService(token, counts, { ...options, log });
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
  readonly #linesLost: () => number;
  readonly #readiness: Readiness;
  readonly #audit: Audit;
  readonly #observer: RequestObserver;
  readonly #metrics: MetricsText;
  readonly #metricsListener: MetricsListener;
  #config: Config;
  #credentials: Credentials | undefined;
  #handler: HttpHandler | undefined;
  #server: HttpServer | undefined;
  #daily: NodeJS.Timeout | undefined;
  /** The last reload; the next one begins when it has ended. */
  #reloading: Promise<void> = Promise.resolve();

  constructor(token: Token, counts: Counts, options: ServiceOptions) {
    const { config, log, now = () => new Date(), linesLost = () => 0 } = options;
    this.#token = token;
    this.#log = log;
    this.#now = now;
    this.#linesLost = linesLost;
    this.#config = config;
    this.#observer = new RequestObserver(counts, log);
    this.#audit = new Audit({ now, log, signer: () => this.#checkpointSigner() });
    this.#metrics = new MetricsText(counts, this.#state());
    this.#metricsListener = new MetricsListener(() => this.#metrics.read(), log);
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
    const changes = await this.#prepare(config).catch((error: unknown) => {
      credentials.release();
      throw error;
    });
    this.#credentials?.release();
    this.#credentials = credentials;
    this.#config = config;
    this.#handler = this.#routes(credentials, config);
    credentials.warn(this.#now(), this.#log);
    await Promise.all(changes.map((change) => change.commit()));
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
    const refused: HttpServerOptions["refused"] = (refusal) => this.#observer.refused(refusal);
    this.#server = await listen({ ...this.#config.http, socket, handler, refused, log });
    await refuseForeigners(this.#server, socket, this.#config);
    this.#daily = setInterval(() => this.#credentials?.warn(this.#now(), log), DAY_MS).unref();
    const { url: metrics } = this.#metricsListener;
    log("info", "listening", { url: this.url, ...(metrics ? { metrics } : {}), ...this.#facts() });
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
    await this.#metricsListener.close();
    const { least, most } = LAST_CHECKPOINT_MS;
    await this.#audit.close(Math.min(Math.max(deadline - performance.now(), least), most));
    return this.#token.close(Math.max(deadline - performance.now(), 0));
  }

  rotateAudit(): void {
    this.#audit.rotate();
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

  /** What is opened beside the credentials, and takes its place with them or not at all. */
  async #prepare({ audit, metrics }: Config): Promise<readonly { commit(): Promise<void> }[]> {
    const trail = await this.#audit.prepare(audit);
    try {
      if (metrics.onService || metrics.listener !== undefined) await this.#metrics.begin();
      return [trail, await this.#metricsListener.prepare(metrics.listener)];
    } catch (error) {
      await trail.discard();
      throw error;
    }
  }

  #routes(credentials: Credentials, config: Config): HttpHandler {
    return createRoutes({
      credential: (label) =>
        this.#routed(label === undefined ? credentials.standard : credentials.find(label)),
      readiness: () => this.#readiness.check(),
      facts: () => ({ ...this.#facts(), sessions: this.#token.sessions, ...this.#audit.facts }),
      corsOrigins: config.http.corsOrigins,
      record: (request, credential, signedData) => this.#record(request, credential, signedData),
      ...(config.metrics.onService ? { metrics: () => this.#metrics.read() } : {}),
      observe: (answered) => this.#observer.answered(answered),
      files: frontEnd(config),
      log: this.#log,
    });
  }

  #routed({ signer, certificatePem }: ServedCredential): RoutedCredential {
    const { label, chain } = signer.credential;
    return {
      label,
      hash: signer.credential.signer.algorithm.hash,
      serialNumber: chain.leaf.serialNumber.toLowerCase(),
      certificatePem,
      sign: (digest, timings) => {
        // The token is not asked for what could not be answered.
        this.#audit.requireAvailable();
        return signer.sign(digest, timings);
      },
    };
  }

  async #record(
    { id, facts }: HttpRequest,
    { label, hash, serialNumber }: RoutedCredential,
    signedData: Uint8Array,
  ): Promise<void> {
    if (!this.#audit.isOn) return;
    const start = performance.now();
    const { caller, digest = "" } = facts;
    await this.#audit.record(
      {
        request: id,
        ...(caller === undefined ? {} : { caller }),
        credential: label,
        hash: hash.name,
        digest,
        certificate: serialNumber,
      },
      signedData,
    );
    facts.auditMs = performance.now() - start;
  }

  /** The default credential, unless it has expired and another one has not. */
  #checkpointSigner(): CheckpointSigner {
    const { all, standard } = this.#present;
    const { signer } = all.find((each) => !each.signer.isExpired) ?? standard;
    const { label, chain } = signer.credential;
    return { credential: label, signer: signer.credential.signer, certificates: chain.embedded };
  }

  /** One signature with the default credential, where it could be recorded. */
  async #probe(): Promise<void> {
    this.#audit.requireAvailable();
    const { signer } = this.#present.standard;
    await signer.sign(randomBytes(signer.credential.signer.algorithm.hash.length));
  }

  #state(): ServiceState {
    return {
      sessions: () => this.#token.sessions,
      certificates: () =>
        (this.#credentials?.all ?? []).map(({ signer: { credential } }) => ({
          credential: credential.label,
          remainingMs: credential.chain.notAfter.getTime() - this.#now().getTime(),
        })),
      audit: () => this.#audit.state,
      linesLost: this.#linesLost,
    };
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
