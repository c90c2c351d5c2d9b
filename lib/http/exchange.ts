import type { Presented } from "../caller.ts";
import type { SignerError } from "../errors.ts";
import type { SignTimings } from "../signer.ts";

/** A request and its reply as values: all that the handlers know of HTTP. */

/** Takes the body piece by piece. */
export interface BodySink {
  /**
   * @param chunk to be done with when this returns: its bytes go
   * @returns a promise where no more should come before it resolves
   * @throws SignerError to refuse the rest of the body
   */
  write(chunk: Buffer): void | Promise<void>;
}

/** What is worth remembering of a request; whoever learns something of it writes it here. */
export interface RequestFacts {
  /** The IP address of whoever sent it; a Unix socket has none. */
  readonly address?: string | undefined;
  /** The name of whoever asks. */
  caller?: string;
  /** Why nobody is known to ask, or may not have what he asks for. */
  refusal?: string;
  /** Label. */
  credential?: string;
  /** Of the document, in hexadecimal digits. */
  digest?: string;
  /** Of the signer's certificate, in hexadecimal digits. */
  certificateSerial?: string;
  /** Until the signature was recorded, in milliseconds. */
  auditMs?: number;
  readonly timings: SignTimings;
}

export interface HttpRequest {
  /** The client's own where it gave a good one; otherwise a new one. */
  readonly id: string;
  readonly facts: RequestFacts;
  /** Why it cannot be answered at all. */
  readonly fault: SignerError | undefined;
  readonly method: string;
  /** Without the query. */
  readonly path: string;
  /** What it says of who sent it. */
  readonly presented: Presented;
  /** Whether nobody waits for the answer any more. */
  isAbandoned(): boolean;
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
  /** Of a problem; not sent, it is in the body. */
  readonly code?: string;
}

/** A request that was answered. */
export interface Answered {
  readonly id: string;
  readonly method: string;
  readonly path: string;
  readonly status: number;
  /** Of the problem, where it was one. */
  readonly code?: string | undefined;
  /** From the end of its head to the reply, in milliseconds. */
  readonly totalMs: number;
  readonly facts: RequestFacts;
}

/** Something that was answered and never became a request: its head could not be read. */
export type Refused = Pick<Answered, "id" | "status" | "code">;

export type HttpHandler = (request: HttpRequest) => HttpReply | Promise<HttpReply>;
