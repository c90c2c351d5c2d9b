import type { Change } from "./change.ts";
import type { MetricsConfig } from "./config/metrics.ts";
import { messageOf, SignerError } from "./errors.ts";
import { HttpServer } from "./http/http_server.ts";
import { createMetricsRoutes, type MetricsSource } from "./http/routes.ts";
import type { Log } from "./log.ts";

type Address = MetricsConfig["listener"];

/** Nobody who asks for metrics has to send anything. */
const MAX_BODY_BYTES = 1;
/** Who reads metrics comes again. */
const STOP_MS = 1_000;

/** An address of the metrics' own, where one is configured. */
export class MetricsListener {
  readonly #source: MetricsSource;
  readonly #log: Log;
  #address: Address;
  #server: HttpServer | undefined;

  constructor(source: MetricsSource, log: Log) {
    this.#source = source;
    this.#log = log;
  }

  /** Where it listens; `undefined` where it does not. */
  get url(): string | undefined {
    return this.#server?.url;
  }

  /**
   * Listens at an address, beside the former one until the change is committed.
   *
   * @throws SignerError `ERR_CONFIGURATION` when it cannot
   */
  async prepare(address: Address): Promise<Change> {
    const isSame = address?.host === this.#address?.host && address?.port === this.#address?.port;
    const next = isSame || address === undefined ? undefined : await this.#listen(address);
    return {
      commit: async () => {
        if (isSame) return;
        const former = this.#server;
        this.#server = next;
        this.#address = address;
        await former?.stop(STOP_MS);
      },
      discard: async () => next?.stop(0),
    };
  }

  async close(): Promise<void> {
    await this.#server?.stop(0);
  }

  async #listen({ host, port }: NonNullable<Address>): Promise<HttpServer> {
    const log = this.#log;
    try {
      const handler = createMetricsRoutes(this.#source, log);
      return await HttpServer.listen({ host, port, maxBodyBytes: MAX_BODY_BYTES, handler, log });
    } catch (error) {
      throw new SignerError(
        "ERR_CONFIGURATION",
        `Cannot listen on ${host}, port ${port} (METRICS_HOST, METRICS_PORT): ${messageOf(error)}`,
        { cause: error },
      );
    }
  }
}
