import { SignerError } from "./errors.ts";

/** Whoever asks for signatures, and what may be signed for them. */
export interface Caller {
  /** The way in and the name there, as in `token:billing`: for the log and the limits. */
  readonly name: string;
  /** Labels; `undefined` for all. */
  readonly credentials: ReadonlySet<string> | undefined;
  /** The only digest that may be signed; `undefined` for any. */
  readonly digest: Uint8Array | undefined;
}

/** Everybody, where nobody is authenticated. */
export const ANONYMOUS: Caller = Object.freeze({
  name: "anonymous",
  credentials: undefined,
  digest: undefined,
});

/** The certificate of a connection's other side. */
export interface ClientCertificate {
  /** What it says of its owner, as in `CN:billing` or `DNS:billing.example.com`. */
  readonly names: readonly string[];
  /** When it ends, in milliseconds since 1970; a connection may last longer. */
  readonly notAfter: number;
  /** Why it is not believed, as OpenSSL calls it; `undefined` when the client CA stands behind it. */
  readonly fault: string | undefined;
}

/** What a request says of who sent it. */
export interface Presented {
  /** The field Authorization, as it is. */
  readonly authorization: string | undefined;
  readonly certificate: ClientCertificate | undefined;
}

/** Nobody is known to have sent the request (RFC 9110 §15.5.2). */
export class UnauthenticatedError extends SignerError {
  /** For the field WWW-Authenticate: how to do better. */
  readonly challenge: string;

  constructor(message: string, challenge: string) {
    super("ERR_UNAUTHENTICATED", message);
    this.name = "UnauthenticatedError";
    this.challenge = challenge;
  }
}
