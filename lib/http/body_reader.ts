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

/** Gives the memory of bytes back at once, where it is theirs alone: they are gone. */
export type ReleaseBytes = (bytes: Buffer) => void;

/** What all bodies have to do with. */
export interface BodyMeans {
  readonly limits: BodyLimits;
  /** What large bodies share of the event loop. */
  readonly turns: BodyTurns;
  readonly release: ReleaseBytes;
}

/**
 * Hands a body on as it arrives, and keeps none of it. Ends early, with the request paused, when it is too
 * large (before it is read, where its length is announced), too slow, or refused by the sink.
 *
 * @throws SignerError
 */
export async function readBody(
  request: IncomingMessage,
  response: ServerResponse,
  sink: BodySink,
  means: BodyMeans,
): Promise<void> {
  const { limits } = means;
  if (Number(request.headers["content-length"] ?? 0) > limits.maxBodyBytes) throw tooLarge(limits);
  // An HTTP/1.0 client does not know interim replies (RFC 9110 §10.1.1).
  if (request.headers.expect !== undefined && request.httpVersion === "1.1") response.writeContinue();
  await new BodyReading(request, sink, means).ended;
}

/** One body on its way: as an object, since functions made for each request cost more than what they do. */
class BodyReading {
  readonly ended: Promise<void>;
  readonly #request: IncomingMessage;
  readonly #sink: BodySink;
  readonly #limits: BodyLimits;
  readonly #turns: BodyTurns;
  readonly #release: ReleaseBytes;
  readonly #settle: Deferred<void> = deferred();
  readonly #window: NodeJS.Timeout;
  /** Taken, and not released yet. */
  #former: Buffer | undefined;
  #total = 0;
  #windowStart = performance.now();
  #totalAtWindow = 0;
  /** While the sink has no room: since when. */
  #heldUpSince: number | undefined;
  /** In this window before that, in milliseconds. */
  #heldUpMs = 0;
  #isOver = false;

  constructor(request: IncomingMessage, sink: BodySink, { limits, turns, release }: BodyMeans) {
    this.#request = request;
    this.#sink = sink;
    this.#limits = limits;
    this.#turns = turns;
    this.#release = release;
    this.ended = this.#settle.promise;
    this.#window = setInterval(() => this.#onWindow(), limits.bodyWindowMs);
    // An error comes with "close", which says enough; without a listener it would end the process.
    request.on("error", () => {});
    request.on("data", (chunk: Buffer) => this.#onData(chunk));
    // Neither with "once" nor taken away: to take a listener away makes everything slower that is asked of the request.
    request.on("end", () => this.#onEnd());
    request.on("close", () => this.#onClose());
    if (request.destroyed) this.#onClose();
  }

  #onData(chunk: Buffer): void {
    if (this.#isOver) return;
    this.#total += chunk.length;
    try {
      if (this.#total > this.#limits.maxBodyBytes) throw tooLarge(this.#limits);
      const room = this.#sink.write(chunk);
      this.#releaseFormer(chunk);
      const hasToWait = this.#turns.isShareUsedUp(chunk);
      if (room !== undefined) void this.#holdUp(room);
      else if (hasToWait) this.#waitForTurn();
    } catch (error) {
      this.#fail(error);
    }
  }

  /**
   * The garbage collector would do that late, and not for nothing: large bodies would have it look at the whole heap
   * many times a second. The chunk itself may be in the hands of whoever emits it.
   */
  #releaseFormer(chunk: Buffer): void {
    if (this.#former !== undefined) this.#release(this.#former);
    this.#former = chunk;
  }

  #waitForTurn(): void {
    this.#request.pause();
    this.#turns.wait(() => {
      if (!this.#isOver) this.#request.resume();
    });
  }

  /** Until the sink has room. */
  async #holdUp(room: Promise<void>): Promise<void> {
    this.#request.pause();
    this.#heldUpSince = performance.now();
    try {
      await room;
    } catch (error) {
      this.#fail(error);
    }
    this.#heldUpMs += performance.now() - this.#heldUpSince;
    this.#heldUpSince = undefined;
    if (!this.#isOver) this.#waitForTurn();
  }

  #onClose(): void {
    // Comes after the end, too: an error made in vain would cost as much as the answer does.
    if (this.#isOver) return;
    this.#fail(new SignerError("ERR_BODY_INCOMPLETE", "Cannot read the request: its body ended too early"));
  }

  /** A client need not bring anything in the time in which nobody took it. */
  #onWindow(): void {
    const now = performance.now();
    const { bodyWindowMs, minBytesPerWindow } = this.#limits;
    const passedMs = Math.max(now - this.#windowStart, bodyWindowMs);
    if (this.#heldUpSince !== undefined) {
      this.#heldUpMs += now - this.#heldUpSince;
      this.#heldUpSince = now;
    }
    const least = minBytesPerWindow * (1 - this.#heldUpMs / passedMs);
    if (this.#total - this.#totalAtWindow < least) {
      this.#fail(new SignerError("ERR_BODY_TIMEOUT", "Cannot read the request: its body comes too slowly"));
    }
    this.#windowStart = now;
    this.#totalAtWindow = this.#total;
    this.#heldUpMs = 0;
  }

  #onEnd(): void {
    if (this.#isOver) return;
    this.#end();
    this.#settle.resolve();
  }

  #fail(error: unknown): void {
    if (this.#isOver) return;
    this.#end();
    this.#request.removeAllListeners("data").pause();
    this.#settle.reject(error);
  }

  #end(): void {
    this.#isOver = true;
    clearInterval(this.#window);
  }
}

function tooLarge({ maxBodyBytes }: BodyLimits): SignerError {
  return new SignerError(
    "ERR_BODY_TOO_LARGE",
    `Cannot read the request: its body exceeds ${maxBodyBytes} bytes`,
  );
}
