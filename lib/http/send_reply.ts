import type { IncomingMessage, ServerResponse } from "node:http";
import { lacks } from "../runtime.ts";
import type { HttpReply } from "./exchange.ts";

/** What a reply has to reach its client, where its end is not told. */
const CUT_MS = 1_000;

/** Whether a request brings a body, as far as its head says. */
export function hasBody({ headers }: IncomingMessage): boolean {
  return headers["transfer-encoding"] !== undefined || Number(headers["content-length"] ?? 0) > 0;
}

/** @param isLast whether the connection ends after it */
export function send(response: ServerResponse, reply: HttpReply, isLast: boolean): void {
  writeHead(response, reply, isLast);
  response.end(reply.body);
}

function writeHead(response: ServerResponse, { status, headers, body }: HttpReply, isLast: boolean): void {
  response.writeHead(status, {
    ...headers,
    "x-content-type-options": "nosniff",
    ...(status === 204 || status === 304 ? {} : { "content-length": Buffer.byteLength(body ?? "") }),
    ...(isLast ? { connection: "close" } : {}),
  });
}

/**
 * Replies to a request whose body is still coming. Closing at once would reset the connection, and the client
 * would see that instead of the reply; so the rest is taken and thrown away for a while.
 */
export async function sendAndLinger(
  request: IncomingMessage,
  response: ServerResponse,
  reply: HttpReply,
  lingerMs: number,
): Promise<void> {
  writeHead(response, reply, true);
  if (reply.body !== undefined && request.method !== "HEAD") response.write(reply.body);
  else response.flushHeaders();
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, lingerMs);
    const done = (): void => {
      clearTimeout(timer);
      resolve();
    };
    request.once("end", done).once("close", done).once("error", done).resume();
  });
  response.end();
  request.destroy();
  if (lacks("end of refused TLS connections")) setTimeout(() => request.socket.destroy(), CUT_MS).unref();
}
