import { randomUUID } from "node:crypto";
import {
  createServer,
  type IncomingMessage,
  type Server,
  type ServerOptions,
  type ServerResponse,
} from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { Socket } from "node:net";
import { SignerError } from "../errors.ts";
import type { Log } from "../log.ts";
import { type BodyMeans, type ReleaseBytes, readBody } from "./body_reader.ts";
import { BodyTurns } from "./body_turns.ts";
import { ClientAddresses } from "./client_address.ts";
import { Connections } from "./connections.ts";
import type { HttpHandler, HttpReply, Refused } from "./exchange.ts";
import { IncomingRequest } from "./incoming_request.ts";
import { problemReply } from "./problems.ts";
import { hasBody, send, sendAndLinger } from "./send_reply.ts";
import type { TlsFiles } from "./tls_files.ts";
import { TlsSide } from "./tls_side.ts";

export interface HttpServerOptions {
  readonly host: string;
  /** 0 for any free port. */
  readonly port: number;
  /** The file descriptor of a socket that listens already, in place of `host` and `port`. */
  readonly socket?: number | undefined;
  readonly maxBodyBytes: number;
  /** Plain HTTP without. */
  readonly tls?: TlsFiles | undefined;
  /** IP addresses and networks of proxies whose `X-Forwarded-For` is believed. */
  readonly trustedProxies?: readonly string[];
  readonly handler: HttpHandler;
  /** For what bodies were read into; otherwise the garbage collector finds it. */
  readonly release?: ReleaseBytes;
  /** Told of what was answered without the handler. */
  readonly refused?: (refused: Refused) => void;
  readonly log: Log;
  readonly limits?: Partial<HttpLimits>;
}

/** What a client may take of the server besides the size of its body. */
export interface HttpLimits {
  /** For the whole head of a request, in milliseconds. */
  readonly headersTimeoutMs: number;
  /** In each such time, in milliseconds, a body must bring `minBytesPerWindow` bytes, or end. */
  readonly bodyWindowMs: number;
  readonly minBytesPerWindow: number;
  /** A connection without a request, in milliseconds; longer than what a load balancer waits (60 s). */
  readonly keepAliveMs: number;
  /** After a reply to a request whose body goes on, in milliseconds. */
  readonly lingerMs: number;
  /**
   * A connection on which nothing moves while a reply is due, in milliseconds: a client that does not read.
   * Longer than any signature takes.
   */
  readonly stalledMs: number;
  readonly maxConnections: number;
}

const DEFAULT_LIMITS: HttpLimits = {
  headersTimeoutMs: 10_000,
  bodyWindowMs: 30_000,
  minBytesPerWindow: 32 * 1024,
  keepAliveMs: 65_000,
  lingerMs: 2_000,
  stalledMs: 120_000,
  maxConnections: 2_048,
};

/** The HTTP side of the service: sockets, limits and time; what is answered is the handler's. */
export class HttpServer {
  readonly #server: Server;
  readonly #options: HttpServerOptions;
  readonly #limits: HttpLimits;
  readonly #body: BodyMeans;
  readonly #connections = new Connections();
  /** `undefined` for plain HTTP. */
  readonly #tls: TlsSide | undefined;
  #addresses: ClientAddresses;
  #stopping = false;

  private constructor(options: HttpServerOptions) {
    this.#options = options;
    this.#limits = { ...DEFAULT_LIMITS, ...options.limits };
    this.#body = {
      limits: { maxBodyBytes: options.maxBodyBytes, ...this.#limits },
      turns: new BodyTurns(),
      release: options.release ?? (() => {}),
    };
    this.#addresses = new ClientAddresses(options.trustedProxies ?? []);
    [this.#server, this.#tls] = this.#create(options);
    this.#server.maxConnections = this.#limits.maxConnections;
    // None is dropped: the head is refused instead.
    this.#server.maxHeadersCount = 0;
    this.#server.timeout = this.#limits.stalledMs;
    const answer = (request: IncomingMessage, response: ServerResponse): void => {
      void this.#answer(request, response);
    };
    this.#server.on("request", answer);
    // "100 Continue" is sent when the body is wanted, so that what is refused is not sent first.
    this.#server.on("checkContinue", answer);
    this.#server.on("checkExpectation", answer);
    const refuse = (socket: Socket, code?: string): void => {
      const id = randomUUID();
      const reply = this.#connections.refuse(socket, parserProblem(code), this.#limits.lingerMs, id);
      if (reply !== undefined) this.#options.refused?.({ id, status: reply.status, code: reply.code ?? "" });
    };
    this.#server.on("connect", (_request, socket: Socket) => refuse(socket));
    this.#server.on("clientError", (error: NodeJS.ErrnoException, socket) => {
      refuse(socket as Socket, error.code);
    });
  }

  /** @throws Error of `listen`, such as EADDRINUSE */
  static async listen(options: HttpServerOptions): Promise<HttpServer> {
    const server = new HttpServer(options);
    await new Promise<void>((resolve, reject) => {
      server.#server.once("error", reject);
      const { host, port, socket } = options;
      server.#server.listen(socket === undefined ? { host, port } : { fd: socket }, resolve);
    });
    // A connection that cannot be accepted is no reason to end.
    server.#server.on("error", (error) => options.log("error", "http.failed", { error }));
    return server;
  }

  /** Takes over what can change under way; requests in flight end as they began. */
  renew({ tls, trustedProxies = [] }: Pick<HttpServerOptions, "tls" | "trustedProxies">): void {
    this.#addresses = new ClientAddresses(trustedProxies);
    const side = this.#tls;
    if (tls === undefined || side === undefined) return;
    const areVouchedForByOthers = side.renew(tls);
    // Who has shown none came in by another way, which is as it was.
    if (areVouchedForByOthers) this.#connections.retire((socket) => side.certificateOf(socket) !== undefined);
  }

  /** Where it listens, as in `http://127.0.0.1:3756`. */
  get url(): string {
    const at = this.#server.address();
    // Node.js does not know the path of a Unix socket that it did not open.
    if (at === null || typeof at === "string") return "a Unix socket";
    const scheme = this.#tls === undefined ? "http" : "https";
    return `${scheme}://${at.family === "IPv6" ? `[${at.address}]` : at.address}:${at.port}`;
  }

  /** The IP address that it listens on; `undefined` for a Unix socket. */
  get address(): string | undefined {
    const at = this.#server.address();
    return at === null || typeof at === "string" ? undefined : at.address;
  }

  /** Accepts no more, answers what is in flight for at most `graceMs`, then cuts what is left. */
  async stop(graceMs: number): Promise<void> {
    this.#stopping = true;
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#connections.close();
    this.#tls?.close();
    const timer = setTimeout(() => this.#server.closeAllConnections(), graceMs);
    await closed;
    clearTimeout(timer);
  }

  #create({ tls, log }: HttpServerOptions): [Server, TlsSide | undefined] {
    const { headersTimeoutMs, keepAliveMs } = this.#limits;
    const options: ServerOptions = {
      headersTimeout: headersTimeoutMs,
      // A body is watched for its progress, not for its total time: size does not matter.
      requestTimeout: 0,
      keepAliveTimeout: keepAliveMs,
      connectionsCheckingInterval: Math.min(1_000, headersTimeoutMs),
      // Answered here, as a problem.
      requireHostHeader: false,
    };
    const onSecure = (socket: Socket): void => this.#connections.add(socket);
    if (tls === undefined) return [createServer(options).on("connection", onSecure), undefined];
    const server = createTlsServer({
      ...options,
      ...tls.context,
      handshakeTimeout: headersTimeoutMs,
      requestCert: tls.clientCa !== undefined,
      // Who shows no certificate, or a bad one, may come in by another way, or is told in words.
      rejectUnauthorized: false,
    });
    const onRefused = (address: string | undefined, { code }: NodeJS.ErrnoException): void => {
      // A load balancer that looks whether somebody is there.
      if (code !== "ECONNRESET") log("info", "tls.refused", { address, reason: code });
    };
    return [server, new TlsSide({ server, files: tls, onSecure, onRefused })];
  }

  async #answer(message: IncomingMessage, response: ServerResponse): Promise<void> {
    const { handler, log } = this.#options;
    this.#connections.expect(message.socket, response);
    const request = new IncomingRequest(
      message,
      { address: this.#addresses.of(message), certificate: this.#tls?.certificateOf(message.socket) },
      (sink) => readBody(message, response, sink, this.#body),
    );
    try {
      // Mostly there is nothing to wait for: an answer that is sent at once is sent by a plain call.
      const lingering = this.#send(message, response, await handler(request), request);
      if (lingering !== undefined) await lingering;
    } catch (error) {
      log("error", "http.failed", { error });
      await this.#send(message, response, problemReply(error), request);
    }
  }

  #send(
    message: IncomingMessage,
    response: ServerResponse,
    reply: HttpReply,
    { id, bodyIsRead }: IncomingRequest,
  ): Promise<void> | undefined {
    if (response.destroyed || response.headersSent || !message.socket.writable) return undefined;
    if (bodyIsRead || !hasBody(message)) {
      send(response, reply, { id, isLast: this.#stopping || this.#connections.isRetired(message.socket) });
      return undefined;
    }
    return sendAndLinger(message, response, reply, { id, lingerMs: this.#limits.lingerMs });
  }
}

/** Why something never became a request: the parser and the clock of the head have spoken (RFC 9110 §15.5). */
function parserProblem(code: string | undefined): SignerError {
  if (code === "ERR_HTTP_REQUEST_TIMEOUT") {
    return new SignerError("ERR_BODY_TIMEOUT", "Cannot read the request: its head did not arrive in time");
  }
  if (code === "HPE_HEADER_OVERFLOW") {
    return new SignerError(
      "ERR_HEADERS_TOO_LARGE",
      "Cannot read the request: its header fields are too large",
    );
  }
  if (code === "HPE_INVALID_EOF_STATE") {
    return new SignerError("ERR_BODY_INCOMPLETE", "Cannot read the request: it ended too early");
  }
  return new SignerError("ERR_REQUEST_MALFORMED", "Cannot read the request: it is not HTTP/1.1");
}
