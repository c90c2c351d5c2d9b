/** Types of hsm_signer.js, which has no dependency and needs no build. */

export interface HsmSignerOptions {
  /** Where the service takes sign requests, as in `https://signer.example.com/sign`; may be relative to the page. */
  readonly url: string | URL;
  /** Sent as `Authorization: Bearer …`; a function is asked again for each request. Nothing is sent without it. */
  readonly token?: string | (() => string | Promise<string>);
  /** Which of the service's credentials signs; the default one where this is left out. */
  readonly credential?: string;
  /** For everything together, the second try included, in milliseconds; 60,000 unless it is said. */
  readonly timeoutMs?: number;
  /** Ends the request; the promise is rejected with the signal's reason then, as `fetch` does it. */
  readonly signal?: AbortSignal;
}

/** What the Web SDK hands to the callback of `signDocument`, as far as it is used. */
export interface ToBeSigned {
  /** SHA-256 of the byte range in hexadecimal. When it is usable, nothing else leaves the browser. */
  readonly hash?: string | null;
  /** The bytes of the byte range, sent where `hash` is not usable; null in CAdES mode. */
  readonly fileContents?: ArrayBuffer | Uint8Array<ArrayBuffer> | Blob | null;
}

/**
 * Makes the callback that `signDocument` wants:
 *
 *     await instance.signDocument(null, hsmSigner({ url: "https://signer.example.com/sign", token }));
 *
 * It gives the DER of the SignedData, in a real ArrayBuffer, as the SDK insists on. A 503 with a `Retry-After`
 * of at most 10 seconds (and half of `timeoutMs`) is tried once more.
 *
 * @throws HsmSignerError
 */
export declare function hsmSigner(options: HsmSignerOptions): (given: ToBeSigned) => Promise<ArrayBuffer>;

/** Why there is no signature. `message` is `detail`, a sentence that may be shown. */
export declare class HsmSignerError extends Error {
  /**
   * Stable. The service's own code, or `ERR_CLIENT_INPUT` (neither hash nor bytes), `ERR_CLIENT_NETWORK` (no answer,
   * or none that this page may read), `ERR_CLIENT_TIMEOUT`, `ERR_CLIENT_ANSWER` (something else than the service
   * answered, such as a proxy).
   */
  readonly code: string;
  readonly detail: string;
  /** Of the answer, if there was one. */
  readonly status: number | undefined;
  /** By which the service's log knows the request: worth telling to whoever runs it. */
  readonly requestId: string | undefined;
}
