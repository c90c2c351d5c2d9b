/** A request and its reply as values: all that the handlers know of HTTP. */

/** Takes the body piece by piece. */
export interface BodySink {
  /** @throws SignerError to refuse the rest of the body */
  write(chunk: Buffer): void;
}

export interface HttpRequest {
  readonly method: string;
  /** Without the query. */
  readonly path: string;
  /**
   * The value of a parameter of the query, decoded; `undefined` where there is none.
   *
   * @throws SignerError `ERR_REQUEST_MALFORMED` when it stands there twice
   */
  query(name: string): string | undefined;
  /** By lower-case name; repeated fields joined by ", ". */
  header(name: string): string | undefined;
  /**
   * Reads the body to its end.
   *
   * @throws SignerError `ERR_BODY_TOO_LARGE`, `ERR_BODY_TIMEOUT`, `ERR_BODY_INCOMPLETE`, and what the sink throws
   */
  readBody(sink: BodySink): Promise<void>;
}

export interface HttpReply {
  readonly status: number;
  /** By lower-case name. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
}

export type HttpHandler = (request: HttpRequest) => HttpReply | Promise<HttpReply>;
