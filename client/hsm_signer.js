/**
 * Has hsm-signer sign what the Web SDK (PSPDFKit, Nutrient) wants signed:
 *
 *     await instance.signDocument(null, hsmSigner({ url: "https://signer.example.com/sign", token }));
 *
 * No dependency, no build; hsm_signer.d.ts says what the options mean.
 *
 * @import { HsmSignerOptions, ToBeSigned } from "./hsm_signer.d.ts"
 */

const DER_TYPE = "application/pkcs7-signature";
const LONGEST_PAUSE_MS = 10_000;
/** A longer timer would fire at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

export class HsmSignerError extends Error {
  /**
   * @param {string} code
   * @param {string} detail
   * @param {{ status?: number, requestId?: string | undefined, cause?: unknown }} [more]
   */
  constructor(code, detail, { status, requestId, cause } = {}) {
    super(detail, { cause });
    this.name = "HsmSignerError";
    this.code = code;
    this.detail = detail;
    this.status = status;
    this.requestId = requestId;
  }
}

/**
 * @param {HsmSignerOptions} options
 * @returns {(given: ToBeSigned) => Promise<ArrayBuffer>}
 */
export function hsmSigner({ url, token, credential, timeoutMs = 60_000, signal }) {
  const target = new URL(url, globalThis.location?.href);
  if (credential !== undefined) target.searchParams.set("credential", credential);
  const longestPause = Math.min(LONGEST_PAUSE_MS, timeoutMs / 2);

  return (given) =>
    withDeadline(timeoutMs, signal, async (ended) => {
      const { type, body } = bodyOf(given);
      const send = async () => {
        const bearer = typeof token === "function" ? await token() : token;
        const headers = new Headers({ "Content-Type": type, Accept: DER_TYPE });
        if (bearer) headers.set("Authorization", `Bearer ${bearer}`);
        return fetch(target, { method: "POST", headers, body, signal: ended }).catch(unreachable);
      };
      const response = await send();
      const pause = response.status === 503 ? retryAfterMs(response) : Number.NaN;
      if (!(pause <= longestPause)) return containerOf(response);
      await Promise.all([response.body?.cancel(), sleep(pause, ended)]);
      return containerOf(await send());
    });
}

/**
 * The digest is all that the service needs. An SDK that gives none has the bytes of the byte range instead.
 *
 * @param {ToBeSigned} given
 * @returns {{ type: string, body: BodyInit }}
 */
function bodyOf({ hash, fileContents }) {
  if (/^[\da-f]{64}$/i.test(hash ?? "")) return { type: "application/json", body: JSON.stringify({ hash }) };
  if (fileContents != null) return { type: "application/octet-stream", body: fileContents };
  throw new HsmSignerError("ERR_CLIENT_INPUT", "Cannot sign: there is neither a SHA-256 hash nor the bytes");
}

/** @param {Response} response */
async function containerOf(response) {
  const { ok, status } = response;
  const type = response.headers.get("content-type") ?? "";
  if (ok && type.startsWith(DER_TYPE)) return response.arrayBuffer().catch(unreachable);
  const isProblem = type.startsWith("application/problem+json");
  const { code, detail } = isProblem ? await response.json().catch(() => ({})) : {};
  throw new HsmSignerError(
    code ?? "ERR_CLIENT_ANSWER",
    detail ?? `Cannot sign: the answer has status ${status} and is not the signing service's`,
    { status, requestId: response.headers.get("x-request-id") ?? undefined },
  );
}

/**
 * RFC 9110 §10.2.3: seconds, or a date.
 *
 * @param {Response} response
 */
function retryAfterMs({ headers }) {
  const field = headers.get("retry-after") ?? "";
  return /^\d+$/.test(field) ? Number(field) * 1000 : Math.max(Date.parse(field) - Date.now(), 0);
}

/**
 * What a browser says of it is no more than this: for a page, a service that is away and one that does not
 * know its origin are the same.
 *
 * @param {unknown} cause
 * @returns {never}
 */
function unreachable(cause) {
  const state = "the signing service cannot be reached, or does not allow pages of this origin";
  throw new HsmSignerError("ERR_CLIENT_NETWORK", `Cannot sign: ${state}`, { cause });
}

/**
 * @template T
 * @param {number} timeoutMs
 * @param {AbortSignal | undefined} signal
 * @param {(ended: AbortSignal) => Promise<T>} work gets a signal for both
 * @returns {Promise<T>}
 */
async function withDeadline(timeoutMs, signal, work) {
  const controller = new AbortController();
  const ended = new Promise((_, reject) => {
    controller.signal.addEventListener("abort", () => reject(controller.signal.reason));
  });
  const tooLate = () =>
    controller.abort(new HsmSignerError("ERR_CLIENT_TIMEOUT", `Cannot sign: no answer in ${timeoutMs} ms`));
  const timer = setTimeout(tooLate, Math.min(timeoutMs, LONGEST_TIMER_MS));
  const abort = () => controller.abort(signal?.reason);
  signal?.addEventListener("abort", abort);
  if (signal?.aborted) abort();
  try {
    return await Promise.race([work(controller.signal), ended]);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", abort);
  }
}

/**
 * @param {number} milliseconds
 * @param {AbortSignal} ended
 */
function sleep(milliseconds, ended) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    ended.addEventListener("abort", () => clearTimeout(timer));
  });
}
