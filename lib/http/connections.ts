import type { ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { SignerError } from "../errors.ts";
import { remove } from "../remove.ts";
import type { HttpReply } from "./exchange.ts";
import { problemReply } from "./problems.ts";
import { REQUEST_ID_HEADER } from "./request_id.ts";

/** How long a connection may take over its first request once the server stops, in milliseconds. */
const FIRST_REQUEST_MS = 1_000;

/** The connections of a server, each with the replies that are due on it. */
export class Connections {
  /** Lists: see `remove`. */
  readonly #replies = new Map<Socket, ServerResponse[]>();
  readonly #refused = new WeakSet<Socket>();
  /** Those on which no request has come yet. */
  readonly #fresh = new Set<Socket>();
  /** Those that end after the replies that are due. */
  readonly #retired = new WeakSet<Socket>();
  #closing = false;

  add(socket: Socket): void {
    this.#replies.set(socket, []);
    if (this.#closing) this.#retired.add(socket);
    this.#fresh.add(socket);
    socket.once("close", () => {
      this.#replies.delete(socket);
      this.#fresh.delete(socket);
    });
  }

  /** Counts a reply as due until it is sent, or cannot be sent any more. */
  expect(socket: Socket, response: ServerResponse): void {
    const replies = this.#replies.get(socket);
    this.#fresh.delete(socket);
    replies?.push(response);
    response.on("close", () => {
      if (replies !== undefined) remove(replies, response);
      if (this.#retired.has(socket) && replies?.length === 0) socket.destroySoon();
    });
  }

  /**
   * Ends every connection without a request, one that has begun to send its next one included:
   * `closeIdleConnections` leaves these. The others end after their last reply. One that was accepted just now
   * has a moment for its first request, since to its client the server was still there.
   */
  close(): void {
    this.#closing = true;
    this.#retire((socket) => !this.#fresh.has(socket));
    setTimeout(() => this.#fresh.forEach((socket) => void socket.destroy()), FIRST_REQUEST_MS).unref();
  }

  /** The same for some of them, and at once where they were accepted just now: whom they let in is decided anew. */
  retire(isConcerned: (socket: Socket) => boolean): void {
    this.#retire(() => true, isConcerned);
  }

  isRetired(socket: Socket): boolean {
    return this.#retired.has(socket);
  }

  #retire(isToEnd: (idle: Socket) => boolean, isConcerned = (_: Socket): boolean => true): void {
    for (const [socket, replies] of this.#replies) {
      if (!isConcerned(socket)) continue;
      this.#retired.add(socket);
      if (replies.length === 0 && isToEnd(socket)) socket.destroy();
    }
  }

  /**
   * Answers what never became a request. As in any refusal, what still comes is thrown away for a while, so
   * that the client sees the reply and not a reset.
   *
   * @param id for the client to name it by
   * @returns the reply, where that is all that will be known of it: no request was under way on the connection
   */
  refuse(socket: Socket, error: SignerError, lingerMs: number, id: string): HttpReply | undefined {
    // The parser fails again with each further piece.
    if (this.#refused.has(socket)) return undefined;
    this.#refused.add(socket);
    if (!socket.writable) {
      socket.destroy();
      return undefined;
    }
    const due = [...(this.#replies.get(socket) ?? [])];
    const reply = problemReply(error, { [REQUEST_ID_HEADER]: id });
    if (due.some((response) => response.headersSent)) socket.end();
    else socket.end(replyText(reply));
    const timer = setTimeout(() => socket.destroy(), lingerMs);
    socket
      .on("error", () => {})
      .once("close", () => clearTimeout(timer))
      .resume();
    return due.length === 0 ? reply : undefined;
  }
}

function replyText({ status, headers, body }: HttpReply): string {
  const lines = Object.entries({
    ...headers,
    connection: "close",
    "content-length": Buffer.byteLength(String(body)),
  });
  const head = lines.map(([name, value]) => `${name}: ${value}\r\n`).join("");
  return `HTTP/1.1 ${status} \r\n${head}\r\n${body}`;
}
