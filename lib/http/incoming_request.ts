import type { IncomingMessage } from "node:http";
import type { Presented } from "../caller.ts";
import type { SignerError } from "../errors.ts";
import type { BodySink, HttpRequest, RequestFacts } from "./exchange.ts";
import { headFault, pathOf, queryParameter } from "./request_head.ts";
import { requestIdOf } from "./request_id.ts";

/** Whom a request comes from, as far as its connection says. */
export interface Sender {
  readonly address: string | undefined;
  readonly certificate: Presented["certificate"];
}

/**
 * A request of `node:http` as the handlers see it. An object with methods, since functions that are made for each
 * request cost more than what they do.
 */
export class IncomingRequest implements HttpRequest {
  readonly id: string;
  readonly facts: RequestFacts;
  readonly fault: SignerError | undefined;
  readonly method: string;
  readonly path: string;
  readonly presented: Presented;
  readonly #message: IncomingMessage;
  readonly #readBody: HttpRequest["readBody"];
  #bodyIsRead = false;

  constructor(message: IncomingMessage, { address, certificate }: Sender, readBody: HttpRequest["readBody"]) {
    this.id = requestIdOf(message);
    this.facts = { address, timings: { queueMs: 0, tokenMs: 0 } };
    this.fault = headFault(message);
    this.method = message.method ?? "";
    this.path = pathOf(message);
    this.presented = { authorization: message.headers.authorization, certificate };
    this.#message = message;
    this.#readBody = readBody;
  }

  /** Whether its body was read to the end. */
  get bodyIsRead(): boolean {
    return this.#bodyIsRead;
  }

  isAbandoned(): boolean {
    return this.#message.socket.destroyed;
  }

  query(name: string): string | undefined {
    return queryParameter(this.#message, name);
  }

  header(name: string): string | undefined {
    const value = this.#message.headers[name];
    return Array.isArray(value) ? value.join(", ") : value;
  }

  async readBody(sink: BodySink): Promise<void> {
    await this.#readBody(sink);
    this.#bodyIsRead = true;
  }
}
