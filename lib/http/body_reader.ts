import type { IncomingMessage, ServerResponse } from "node:http";
import { SignerError } from "../errors.ts";
import type { BodySink } from "./exchange.ts";

export interface BodyLimits {
  readonly maxBodyBytes: number;
  readonly bodyWindowMs: number;
  readonly minBytesPerWindow: number;
}

/**
 * Hands a body on as it arrives, and keeps none of it. Ends early, with the request paused, when it is too
 * large (before it is read, where its length is announced), too slow, or refused by the sink.
 *
 * @throws SignerError
 */
export async function readBody(
  request: IncomingMessage,
  response: ServerResponse,
  sink: BodySink,
  limits: BodyLimits,
): Promise<void> {
  if (Number(request.headers["content-length"] ?? 0) > limits.maxBodyBytes) throw tooLarge(limits);
  // An HTTP/1.0 client does not know interim replies (RFC 9110 §10.1.1).
  if (request.headers.expect !== undefined && request.httpVersion === "1.1") response.writeContinue();
  await new Promise<void>((resolve, reject) => {
    let total = 0;
    let totalAtWindow = 0;

    const stop = (settle: () => void): void => {
      clearInterval(window);
      request.off("data", onData).off("end", onEnd).off("close", onClose).pause();
      settle();
    };
    const fail = (error: unknown): void => stop(() => reject(error));

    const onData = (chunk: Buffer): void => {
      total += chunk.length;
      try {
        if (total > limits.maxBodyBytes) throw tooLarge(limits);
        sink.write(chunk);
      } catch (error) {
        fail(error);
      }
    };
    const onEnd = (): void => stop(resolve);
    const onClose = (): void =>
      fail(new SignerError("ERR_BODY_INCOMPLETE", "Cannot read the request: its body ended too early"));

    const window = setInterval(() => {
      if (total - totalAtWindow < limits.minBytesPerWindow) {
        fail(new SignerError("ERR_BODY_TIMEOUT", "Cannot read the request: its body comes too slowly"));
      }
      totalAtWindow = total;
    }, limits.bodyWindowMs);

    // An error comes with "close", which says enough; without a listener it would end the process.
    request.on("error", () => {});
    request.on("data", onData).once("end", onEnd).once("close", onClose);
    if (request.destroyed) onClose();
  });
}

function tooLarge({ maxBodyBytes }: BodyLimits): SignerError {
  return new SignerError(
    "ERR_BODY_TOO_LARGE",
    `Cannot read the request: its body exceeds ${maxBodyBytes} bytes`,
  );
}
