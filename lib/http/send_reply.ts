import type { IncomingMessage, ServerResponse } from "node:http";
import { lacks } from "../runtime.ts";
import type { HttpReply } from "./exchange.ts";
import { REQUEST_ID_HEADER } from "./request_id.ts";

/** What a reply has to reach its client, where its end is not told. */
const CUT_MS = 1_000;

/** Whether a request brings a body, as far as its head says. */
export function hasBody({ headers }: IncomingMessage): boolean {
  return headers["transfer-encoding"] !== undefined || Number(headers["content-length"] ?? 0) > 0;
}

/** What a reply says besides its own. */
interface Occasion {
  /** Of the request. */
  readonly id: string;
  /** Whether the connection ends after it. */
  readonly isLast: boolean;
}

export function send(response: ServerResponse, reply: HttpReply, occasion: Occasion): void {
  writeHead(response, reply, occasion);
  response.end(reply.body);
}

function writeHead(
  response: ServerResponse,
  { status, headers, body }: HttpReply,
  { id, isLast }: Occasion,
): void {
  // Member by member: the spread of one object after the other takes V8 several times as long.
  const head: Record<string, string | number> = { "x-content-type-options": "nosniff" };
  for (const name in headers) head[name] = headers[name] ?? "";
  head[REQUEST_ID_HEADER] = id;
  if (status !== 204 && status !== 304) head["content-length"] = Buffer.byteLength(body ?? "");
  if (isLast) head["connection"] = "close";
  response.writeHead(status, head);
}

/**
 * Replies to a request whose body is still coming. Closing at once would reset the connection, and the client
 * would see that instead of the reply; so the rest is taken and thrown away for a while.
 */
export async function sendAndLinger(
  request: IncomingMessage,
  response: ServerResponse,
  reply: HttpReply,
  { id, lingerMs }: { readonly id: string; readonly lingerMs: number },
): Promise<void> {
  writeHead(response, reply, { id, isLast: true });
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
