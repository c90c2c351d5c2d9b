import { randomBytes } from "node:crypto";
import { Audit } from "./audit/audit.ts";
import type { CheckpointSigner } from "./audit/checkpoint.ts";
import { type Change, prepareAll } from "./change.ts";
import { reloadable, unchangeable } from "./config/changes.ts";
import type { Config } from "./config/config.ts";
import { Credentials } from "./credentials.ts";
import { type BeginDigest, documentDigests } from "./document_digest.ts";
import { messageOf, SignerError } from "./errors.ts";
import { requireProtected, warnOfPlainHttp } from "./exposure.ts";
import { Gate } from "./gate.ts";
import { Token } from "./hsm/token.ts";
import { TokenCrypto } from "./hsm/token_crypto.ts";
import type { HttpHandler } from "./http/exchange.ts";
import { frontEnd } from "./http/front_end.ts";
import { HttpServer, type HttpServerOptions } from "./http/http_server.ts";
import { createRoutes } from "./http/routes.ts";
import { readTlsFiles, type TlsFiles, warnOfTlsExpiry } from "./http/tls_files.ts";
import type { Log } from "./log.ts";
import { Counts } from "./metrics/counts.ts";
import { MetricsText } from "./metrics/metrics_text.ts";
import type { ServiceState } from "./metrics/state_families.ts";
import { MetricsListener } from "./metrics_listener.ts";
import { type Addon, loadAddon } from "./native/addon.ts";
import { Readiness } from "./readiness.ts";
import { RequestObserver } from "./request_observer.ts";
import { Signatures } from "./signatures.ts";
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
   * Takes over a configuration: credentials, their certificates, the PIN, who may sign, the certificate of TLS,
   * the origins of CORS. Requests in flight end as they began. What cannot change under way is named in the log.
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
  readonly #gate: Gate;
  readonly #audit: Audit;
  readonly #signatures: Signatures;
  readonly #addon: Addon;
  readonly #beginDigest: BeginDigest;
  readonly #observer: RequestObserver;
  readonly #metrics: MetricsText;
  readonly #metricsListener: MetricsListener;
  #config: Config;
  #credentials: Credentials | undefined;
  #handler: HttpHandler | undefined;
  #tls: TlsFiles | undefined;
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
    this.#gate = new Gate({ sessions: config.token.sessions, limits: config.limits });
    this.#audit = new Audit({ now, log, signer: () => this.#checkpointSigner() });
    this.#signatures = new Signatures(this.#gate, this.#audit);
    this.#addon = loadAddon();
    this.#beginDigest = documentDigests(this.#addon);
    this.#observer = new RequestObserver(counts, log);
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

  /** Opens all that a configuration is about, and has it serve the requests that come from now on. */
  async serve(config: Config): Promise<void> {
    const now = this.#now;
    const tls = config.http.tls && readTlsFiles(config.http.tls, now());
    const change = await prepareAll([
      () => this.#gate.prepare(config, { now, log: this.#log }),
      () => this.#prepareCredentials(config),
      () => this.#audit.prepare(config.audit),
      () => this.#prepareMetrics(config.metrics),
    ]);
    this.#config = config;
    this.#tls = tls;
    const ended = change.commit();
    this.#server?.renew({ tls, trustedProxies: config.http.trustedProxies });
    this.#warn();
    await ended;
  }

  get sessions(): Service["sessions"] {
    return this.#token.sessions;
  }

  get warning(): string | undefined {
    return this.#credentials?.warning(this.#now());
  }

  check(): Promise<void> {
    return this.#readiness.check();
  }

  async listen(socket: number | undefined): Promise<void> {
    const log = this.#log;
    const handler: HttpHandler = (request) => this.#answer(request);
    const refused: HttpServerOptions["refused"] = (refusal) => this.#observer.refused(refusal);
    const release: HttpServerOptions["release"] = (bytes) => this.#addon.release(bytes);
    const options = { ...this.#config.http, tls: this.#tls, socket, handler, refused, release, log };
    this.#server = await listen(options);
    await this.#requireProtected(this.#server);
    this.#warnOfPlainHttp();
    this.#daily = setInterval(() => this.#warn(), DAY_MS).unref();
    const { url: metrics } = this.#metricsListener;
    log("info", "listening", {
      url: this.url,
      ...(metrics ? { metrics } : {}),
      ...this.#credentials?.facts(this.#now()),
    });
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
    this.#gate.close();
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
    const held = reloadable(this.#config, config);
    requireProtected(this.#server?.address, held.http);
    // First, since a token that refused the former one can prove no credential.
    await this.#token.usePin(config.token.pin);
    await this.serve(held);
    this.#log("info", "reloaded", this.#present.facts(this.#now()));
  }

  #answer(request: Parameters<HttpHandler>[0]): ReturnType<HttpHandler> {
    if (this.#handler === undefined)
      throw new SignerError("ERR_STOPPING", "Cannot answer: nothing is served");
    return this.#handler(request);
  }

  async #prepareCredentials(config: Config): Promise<Change> {
    const crypto = new TokenCrypto(this.#token);
    const [keys, now, log] = [this.#token, this.#now, this.#log];
    const credentials = await Credentials.open({ config, keys, crypto, now, log });
    const handler = this.#routes(credentials, config);
    return {
      commit: async () => {
        this.#credentials?.release();
        this.#credentials = credentials;
        this.#handler = handler;
      },
      discard: async () => credentials.release(),
    };
  }

  async #prepareMetrics({ onService, listener }: Config["metrics"]): Promise<Change> {
    if (onService || listener !== undefined) await this.#metrics.begin();
    return this.#metricsListener.prepare(listener);
  }

  #routes(credentials: Credentials, config: Config): HttpHandler {
    return createRoutes({
      authenticate: (presented) => this.#gate.authenticate(presented),
      admit: (caller) => this.#gate.admit(caller),
      credential: (label) =>
        this.#signatures.of(label === undefined ? credentials.standard : credentials.find(label)),
      beginDigest: this.#beginDigest,
      readiness: () => {
        this.#gate.requireUsable();
        return this.#readiness.check();
      },
      facts: () => ({
        ...this.#credentials?.facts(this.#now()),
        sessions: this.#token.sessions,
        ...this.#gate.facts(),
        ...this.#audit.facts,
      }),
      corsOrigins: config.http.corsOrigins,
      record: (request, credential, signedData) => this.#signatures.record(request, credential, signedData),
      ...(config.metrics.onService ? { metrics: () => this.#metrics.read() } : {}),
      observe: (answered) => this.#observer.answered(answered),
      files: frontEnd(config),
      log: this.#log,
    });
  }

  /** What an operator should hear at a start, and again each day. */
  #warn(): void {
    this.#credentials?.warn(this.#now(), this.#log);
    this.#gate.warn();
    if (this.#tls !== undefined) warnOfTlsExpiry(this.#tls, this.#now(), this.#log);
    this.#warnOfPlainHttp();
  }

  #warnOfPlainHttp(): void {
    if (this.#server !== undefined) warnOfPlainHttp(this.#server.address, this.#config, this.#log);
  }

  async #requireProtected(server: HttpServer): Promise<void> {
    try {
      requireProtected(server.address, this.#config.http);
    } catch (error) {
      await server.stop(0);
      throw error;
    }
  }

  #checkpointSigner(): CheckpointSigner {
    const { signer } = this.#present.usable;
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
      certificates: () => this.#credentials?.remaining(this.#now()) ?? [],
      queue: () => this.#gate.queue,
      audit: () => this.#audit.state,
      linesLost: this.#linesLost,
    };
  }

  get #present(): Credentials {
    if (this.#credentials === undefined)
      throw new SignerError("ERR_STOPPING", "Cannot sign: nothing is served");
    return this.#credentials;
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
