import type { IncomingMessage, ServerResponse } from "node:http";
import { type Deferred, deferred } from "../deferred.ts";
import { SignerError } from "../errors.ts";
import type { BodyTurns } from "./body_turns.ts";
import type { BodySink } from "./exchange.ts";

export interface BodyLimits {
  readonly maxBodyBytes: number;
  readonly bodyWindowMs: number;
  readonly minBytesPerWindow: number;
}

/**
 * Hands a body on as it arrives, and keeps none of it. Ends early, with the request paused, when it is too
 * large (before it is read, where its length is announced), too slow, or refused by the sink.
 *
 * @param turns what large bodies share of the event loop
 * @throws SignerError
 */
export async function readBody(
  request: IncomingMessage,
  response: ServerResponse,
  sink: BodySink,
  limits: BodyLimits,
  turns: BodyTurns,
): Promise<void> {
  if (Number(request.headers["content-length"] ?? 0) > limits.maxBodyBytes) throw tooLarge(limits);
  // An HTTP/1.0 client does not know interim replies (RFC 9110 §10.1.1).
  if (request.headers.expect !== undefined && request.httpVersion === "1.1") response.writeContinue();
  await new BodyReading(request, sink, limits, turns).ended;
}

/** One body on its way: as an object, since functions made for each request cost more than what they do. */
class BodyReading {
  readonly ended: Promise<void>;
  readonly #request: IncomingMessage;
  readonly #sink: BodySink;
  readonly #limits: BodyLimits;
  readonly #turns: BodyTurns;
  readonly #settle: Deferred<void> = deferred();
  readonly #window: NodeJS.Timeout;
  #total = 0;
  #totalAtWindow = 0;
  #isOver = false;

  constructor(request: IncomingMessage, sink: BodySink, limits: BodyLimits, turns: BodyTurns) {
    this.#request = request;
    this.#sink = sink;
    this.#limits = limits;
    this.#turns = turns;
    this.ended = this.#settle.promise;
    this.#window = setInterval(() => this.#onWindow(), limits.bodyWindowMs);
    // An error comes with "close", which says enough; without a listener it would end the process.
    request.on("error", () => {});
    request.on("data", (chunk: Buffer) => this.#onData(chunk));
    request.once("end", () => this.#end(() => this.#settle.resolve()));
    request.once("close", () => this.#onClose());
    if (request.destroyed) this.#onClose();
  }

  #onData(chunk: Buffer): void {
    if (this.#isOver) return;
    this.#total += chunk.length;
    try {
      if (this.#total > this.#limits.maxBodyBytes) throw tooLarge(this.#limits);
      this.#sink.write(chunk);
    } catch (error) {
      this.#fail(error);
      return;
    }
    if (!this.#turns.isShareUsedUp(chunk)) return;
    this.#request.pause();
    this.#turns.wait(() => {
      if (!this.#isOver) this.#request.resume();
    });
  }

  #onClose(): void {
    // Comes after the end, too: an error made in vain would cost as much as the answer does.
    if (this.#isOver) return;
    this.#fail(new SignerError("ERR_BODY_INCOMPLETE", "Cannot read the request: its body ended too early"));
  }

  #onWindow(): void {
    if (this.#total - this.#totalAtWindow < this.#limits.minBytesPerWindow) {
      this.#fail(new SignerError("ERR_BODY_TIMEOUT", "Cannot read the request: its body comes too slowly"));
    }
    this.#totalAtWindow = this.#total;
  }

  #fail(error: unknown): void {
    this.#end(() => this.#settle.reject(error));
  }

  #end(settle: () => void): void {
    if (this.#isOver) return;
    this.#isOver = true;
    clearInterval(this.#window);
    this.#request.removeAllListeners("data").pause();
    settle();
  }
}

function tooLarge({ maxBodyBytes }: BodyLimits): SignerError {
  return new SignerError(
    "ERR_BODY_TOO_LARGE",
    `Cannot read the request: its body exceeds ${maxBodyBytes} bytes`,
  );
}
