import { connect, type Socket } from "node:net";

/** A server that is measured, and the group of its processes. */
export interface Server {
  readonly host: string;
  readonly port: number;
  readonly group: number;
}

interface Waiting {
  resolve(body: Buffer): void;
  reject(reason: Error): void;
}

const HEAD_END = Buffer.from("\r\n\r\n");
const NOTHING = Buffer.alloc(0);

/**
 * A keep-alive connection that carries one request at a time. A plain socket, since it shares the machine with
 * what is measured.
 */
export class Client {
  readonly #socket: Socket;
  #received: Buffer = NOTHING;
  #waiting: Waiting | undefined;
  #fault: Error | undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (chunk: Buffer) => this.#take(chunk));
    socket.on("error", (error) => this.#fail(error));
    socket.on("close", () => this.#fail(new Error("Cannot go on: the server closed a connection")));
  }

  static open({ host, port }: Server): Promise<Client> {
    return new Promise((resolve, reject) => {
      const socket = connect({ host, port, noDelay: true });
      socket.once("error", reject);
      socket.once("connect", () => resolve(new Client(socket.off("error", reject))));
    });
  }

  static openAll(server: Server, count: number): Promise<Client[]> {
    return Promise.all(Array.from({ length: count }, () => Client.open(server)));
  }

  /**
   * Sends a request, and gives the body of the answer.
   *
   * @throws Error when the answer is not 200, or the connection ends
   */
  ask(request: Uint8Array): Promise<Buffer> {
    const answer = this.#answer();
    this.#socket.write(request);
    return answer;
  }

  /** The same for a request that is not in memory at once: the next part is made when the last one has gone. */
  async askInParts(parts: Iterable<Uint8Array>): Promise<Buffer> {
    const answer = this.#answer();
    // Whoever waits below is told; this one only has to have a handler from the beginning.
    answer.catch(() => {});
    for (const part of parts) if (!this.#socket.write(part)) await Promise.race([this.#drained(), answer]);
    return answer;
  }

  close(): void {
    this.#socket.removeAllListeners("close").end();
  }

  #answer(): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      if (this.#fault !== undefined) reject(this.#fault);
      else this.#waiting = { resolve, reject };
    });
  }

  #drained(): Promise<void> {
    return new Promise((resolve) => this.#socket.once("drain", resolve));
  }

  #take(chunk: Buffer): void {
    this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk]);
    try {
      const body = completeBody(this.#received);
      if (body === undefined) return;
      this.#received = NOTHING;
      this.#waiting?.resolve(body);
    } catch (error) {
      this.#fail(error instanceof Error ? error : new Error(String(error)));
    }
  }

  #fail(error: Error): void {
    this.#fault = error;
    this.#waiting?.reject(error);
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
