import { connect, type Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { type PreparedRequest, prepareRequest, type RequestForm } from "./requests.ts";
import { serveJob } from "./worker.ts";

/**
 * The load generator: keep-alive connections that each send the next request when the answer to the last one
 * is complete. A process for one round; plain sockets, since it shares the machine with what it measures.
 */

export interface LoadJob {
  readonly host: string;
  readonly port: number;
  readonly form: RequestForm;
  readonly documentBytes: number;
  readonly connections: number;
  readonly warmUpMs: number;
  readonly measureMs: number;
  /** Of so many answers one is kept. */
  readonly sampleEvery: number;
}

/** A document and the answer to the request that was sent for it. */
export interface Sample {
  readonly document: Uint8Array;
  readonly answer: string;
}

export interface LoadResult {
  readonly perSecond: number;
  /** All of the round, warm-up included. */
  readonly requests: number;
  /** User and system time of the generator for one request, in microseconds. */
  readonly cpuMicros: number;
  readonly samples: readonly Sample[];
}

const HEAD_END = Buffer.from("\r\n\r\n");
const NOTHING = Buffer.alloc(0);

async function measure(job: LoadJob): Promise<LoadResult> {
  const load = new Load(job.sampleEvery);
  const running = Array.from({ length: job.connections }, () => {
    const socket = connect({ host: job.host, port: job.port, noDelay: true });
    return load.run(socket, prepareRequest(job.form, job.documentBytes));
  });
  // A connection that fails must end the round at once, not after its time.
  const failure = Promise.all(running);
  await Promise.race([failure, delay(job.warmUpMs)]);
  const [count, cpu, start] = [load.count, process.cpuUsage(), performance.now()];
  await Promise.race([failure, delay(job.measureMs)]);
  const [requests, { user, system }, end] = [load.count - count, process.cpuUsage(cpu), performance.now()];
  load.stop();
  await failure;
  return {
    perSecond: (requests * 1_000) / (end - start),
    requests: load.count,
    cpuMicros: (user + system) / requests,
    samples: load.samples,
  };
}

class Load {
  readonly samples: Sample[] = [];
  count = 0;
  #stopped = false;
  readonly #sampleEvery: number;

  constructor(sampleEvery: number) {
    this.#sampleEvery = sampleEvery;
  }

  /** Ends every connection after the answer that it waits for, so that none is cut off inside the service. */
  stop(): void {
    this.#stopped = true;
  }

  /** @throws Error when an answer is not 200, or the connection ends */
  run(socket: Socket, request: PreparedRequest): Promise<void> {
    return new Promise((resolve, reject) => {
      const send = (): void => {
        request.renew();
        socket.write(request.bytes);
      };
      let received: Buffer = NOTHING;
      socket.on("data", (chunk: Buffer) => {
        received = received.length === 0 ? chunk : Buffer.concat([received, chunk]);
        const body = completeBody(received);
        if (body === undefined) return;
        received = NOTHING;
        this.#take(request, body);
        if (!this.#stopped) send();
        else socket.end(resolve);
      });
      socket.once("connect", send).once("error", reject);
      socket.once("close", () => reject(new Error("Cannot go on: the service closed a connection")));
    });
  }

  #take(request: PreparedRequest, body: Buffer): void {
    this.count += 1;
    if (this.count % this.#sampleEvery !== 0) return;
    this.samples.push({ document: request.document(), answer: body.toString() });
  }
}

/**
 * The body of an answer, once all of it is there.
 *
 * @throws Error when its status is not 200: a refusal is quick, and must not count
 */
function completeBody(received: Buffer): Buffer | undefined {
  const headEnd = received.indexOf(HEAD_END);
  if (headEnd === -1) return undefined;
  const head = received.toString("latin1", 0, headEnd);
  if (!head.startsWith("HTTP/1.1 200 ")) throw new Error(`Cannot count this answer: ${received}`);
  const start = headEnd + HEAD_END.length;
  const length = Number(/\r\ncontent-length: (\d+)/i.exec(head)?.[1]);
  if (Number.isNaN(length)) throw new Error(`Cannot find the length of this answer: ${received}`);
  return received.length < start + length ? undefined : received.subarray(start, start + length);
}

serveJob(measure);
