import { messageOf } from "../errors.ts";

export interface FetchLimits {
  /** Of the body, unpacked. */
  readonly maxBytes: number;
  /** For all of it, in milliseconds. */
  readonly timeoutMs: number;
}

/**
 * Fetches a JSON document, from there and nowhere else: a redirection is an error.
 *
 * @throws Error that says what went wrong, and nothing of what came
 */
export async function fetchJson(url: URL, { maxBytes, timeoutMs }: FetchLimits): Promise<unknown> {
  const signal = AbortSignal.timeout(timeoutMs);
  try {
    const response = await fetch(url, {
      redirect: "error",
      signal,
      headers: { accept: "application/json, application/jwk-set+json" },
    });
    if (response.status !== 200) {
      await response.body?.cancel();
      throw new Error(`it answered ${response.status}`);
    }
    return parseJson(await readBody(response, maxBytes));
  } catch (error) {
    const state = signal.aborted ? `no answer for ${timeoutMs} ms` : reasonOf(error);
    throw new Error(`Cannot fetch ${url.origin}${url.pathname}: ${state}`);
  }
}

async function readBody(response: Response, maxBytes: number): Promise<string> {
  const pieces: Uint8Array[] = [];
  let length = 0;
  // Leaving the loop cancels what is still to come.
  for await (const piece of response.body ?? []) {
    length += piece.length;
    if (length > maxBytes) throw new Error(`its answer has more than ${maxBytes} bytes`);
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString("utf8");
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // The parser's message quotes what it cannot read.
    throw new Error("its answer is not JSON");
  }
}

/** `fetch` says "fetch failed", and why in the cause. */
function reasonOf(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined;
  if (!(cause instanceof Error)) return messageOf(error);
  // Of several addresses, each has its own reason, and the error itself none.
  return cause.message || ("code" in cause ? String(cause.code) : messageOf(error));
}
