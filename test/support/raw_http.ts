import { connect, type Socket } from "node:net";

/** One reply as it came over the wire. */
export interface RawReply {
  readonly status: number;
  /** By lower-case name; repeated fields joined by ", ". */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Buffer;
}

/** How long a reply may take on a machine that is busy with other things, in milliseconds. */
const PATIENCE_MS = 60_000;
const HEAD_END = "\r\n\r\n";

/** A client that sends the bytes it is told to, HTTP or not, and reads what comes back. */
export class RawConnection {
  readonly #socket: Socket;
  #received: Buffer = Buffer.alloc(0);
  #isClosed = false;
  #errorCode: string | undefined;
  #wake: () => void = () => {};

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (bytes) => {
      this.#received = Buffer.concat([this.#received, bytes]);
      this.#wake();
    });
    socket.on("error", (error: NodeJS.ErrnoException) => {
      this.#errorCode = error.code;
    });
    socket.on("close", () => {
      this.#isClosed = true;
      this.#wake();
    });
  }

  /**
   * @param options.isStubborn whether it goes on when the other side has ended
   * @throws Error of the connection, such as ECONNREFUSED
   */
  static async open(
    url: string,
    { isStubborn = false }: { isStubborn?: boolean } = {},
  ): Promise<RawConnection> {
    const { hostname, port } = new URL(url);
    const socket = connect({
      host: hostname,
      port: Number(port),
      noDelay: true,
      allowHalfOpen: isStubborn,
    });
    await new Promise<void>((resolve, reject) => {
      socket.once("connect", resolve).once("error", reject);
    });
    return new RawConnection(socket);
  }

  /** The code of the error that ended the connection, such as ECONNRESET. */
  get errorCode(): string | undefined {
    return this.#errorCode;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Bytes that came and belong to no reply that was asked for. */
  get unread(): number {
    return this.#received.length;
  }

  /** @returns whether the connection takes more at once */
  write(bytes: string | Uint8Array): boolean {
    return this.#socket.write(bytes);
  }

  /** Writes, and waits until the bytes are handed to the system, or the connection is closed. */
  async writeAll(bytes: string | Uint8Array): Promise<void> {
    if (this.#socket.write(bytes)) return;
    await this.#until(
      () => !this.#socket.writableNeedDrain || this.#isClosed,
      "room to write",
      (wake) => this.#socket.once("drain", wake),
    );
  }

  /** Says that nothing more is to come, and goes on reading. */
  end(): void {
    this.#socket.end();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  /** Takes nothing more from the wire until `resume`. */
  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  /**
   * The next reply, an interim one (1xx) included.
   *
   * @returns `undefined` when the connection closes before a whole reply came
   * @throws Error when what came is not HTTP, or nothing comes for long
   */
  async reply({ isHead = false }: { isHead?: boolean } = {}): Promise<RawReply | undefined> {
    let parsed = this.#parse(isHead);
    while (parsed === undefined && !this.#isClosed) {
      const seen = this.#received.length;
      await this.#until(() => this.#isClosed || this.#received.length > seen, "a reply");
      parsed = this.#parse(isHead);
    }
    if (parsed === undefined) return undefined;
    this.#received = this.#received.subarray(parsed.length);
    return parsed.reply;
  }

  /** @throws Error when the other side leaves it open for long */
  async closed(): Promise<void> {
    await this.#until(() => this.#isClosed, "the end of the connection");
  }

  #parse(isHead: boolean): { reply: RawReply; length: number } | undefined {
    const end = this.#received.indexOf(HEAD_END);
    if (end === -1) return undefined;
    const [statusLine = "", ...lines] = this.#received.toString("latin1", 0, end).split("\r\n");
    const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(statusLine)?.[1] ?? Number.NaN);
    if (Number.isNaN(status)) throw new Error(`Cannot read the reply: it begins ${statusLine.slice(0, 80)}`);
    const headers = parseFields(lines);
    const isEmpty = isHead || status < 200 || status === 204 || status === 304;
    const length = isEmpty ? 0 : Number(headers.get("content-length") ?? Number.NaN);
    if (Number.isNaN(length)) throw new Error(`Cannot read the reply: ${status} without Content-Length`);
    const start = end + HEAD_END.length;
    if (this.#received.length < start + length) return undefined;
    const body = this.#received.subarray(start, start + length);
    return { reply: { status, headers, body }, length: start + length };
  }

  async #until(
    isMet: () => boolean,
    what: string,
    subscribe: (wake: () => void) => void = () => {},
  ): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve, reject) => {
      timer = setTimeout(() => reject(new Error(`Cannot go on: no sign of ${what}`)), PATIENCE_MS);
      this.#wake = () => {
        if (isMet()) resolve();
      };
      subscribe(this.#wake);
      this.#wake();
    }).finally(() => clearTimeout(timer));
  }
}

function parseFields(lines: readonly string[]): Map<string, string> {
  const fields = new Map<string, string>();
  for (const line of lines) {
    const [, name = "", value = ""] = /^([^:]*):\s*(.*)$/.exec(line) ?? [];
    const before = fields.get(name.toLowerCase());
    fields.set(name.toLowerCase(), before === undefined ? value : `${before}, ${value}`);
  }
  return fields;
}

export interface RawRequest {
  readonly method?: string;
  readonly target?: string;
  readonly version?: string;
  /** In this order, after `Host`, which is left out when it stands here as `undefined`. */
  readonly headers?: Readonly<Record<string, string | undefined>>;
  readonly body?: string | Uint8Array;
}

/** The bytes of a request: `Content-Length` is the body's unless `headers` frames it otherwise. */
export function rawRequest({
  method = "POST",
  target = "/sign",
  version = "HTTP/1.1",
  headers = {},
  body = "",
}: RawRequest): Buffer {
  const bytes = Buffer.from(body);
  const names = Object.keys(headers).map((name) => name.toLowerCase());
  const isFramed = names.includes("content-length") || names.includes("transfer-encoding");
  const fields = {
    ...(names.includes("host") ? {} : { Host: "service.test" }),
    ...headers,
    ...(isFramed || bytes.length === 0 ? {} : { "Content-Length": String(bytes.length) }),
  };
  const lines = Object.entries(fields).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name}: ${value}\r\n`],
  );
  return Buffer.concat([Buffer.from(`${method} ${target} ${version}\r\n${lines.join("")}\r\n`), bytes]);
}

/** Sends bytes on a connection of their own, and takes the first reply that is not an interim one. */
export async function exchange(
  url: string,
  bytes: string | Uint8Array,
  options: { isHead?: boolean } = {},
): Promise<RawReply | undefined> {
  const connection = await RawConnection.open(url);
  try {
    connection.write(bytes);
    let reply = await connection.reply(options);
    while (reply !== undefined && reply.status < 200) reply = await connection.reply(options);
    return reply;
  } finally {
    connection.destroy();
  }
}
