import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** What came in. */
export interface SeenRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage["headers"];
  readonly body: Buffer;
}

/** What goes out; `undefined` cuts the connection, and `"nothing"` leaves it without an answer. */
export type ScriptedReply =
  | { readonly status: number; readonly headers?: Record<string, string>; readonly body?: string | Buffer }
  | "nothing"
  | undefined;

export interface ScriptedServer {
  readonly url: string;
  readonly seen: SeenRequest[];
  close(): void;
}

/** A server on loopback that answers as it is told. */
export async function scriptedServer(
  script: (request: SeenRequest, index: number) => ScriptedReply,
): Promise<ScriptedServer> {
  const seen: SeenRequest[] = [];
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const { method = "", url = "", headers } = request;
    const entry = { method, url, headers, body: Buffer.concat(chunks) };
    const reply = script(entry, seen.push(entry) - 1);
    if (reply === "nothing") return;
    if (reply === undefined) request.socket.destroy();
    else response.writeHead(reply.status, reply.headers).end(reply.body);
  };
  const server: Server = createServer((request, response) => {
    // A client that went away has no answer to wait for.
    answer(request, response).catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const close = (): void => {
    server.closeAllConnections();
    server.close();
  };
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, seen, close };
}
