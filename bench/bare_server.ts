import cluster from "node:cluster";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/**
 * What node:http alone can do: as many processes as the service has read the same request, parse it, and answer
 * a constant. It is told what in one message, and tells its port in one.
 */

export interface BareServerJob {
  readonly processes: number;
  /** Of every answer. */
  readonly body: string;
}

const BODY_VARIABLE = "BENCH_BODY";

function serve(body: string): void {
  const length = String(Buffer.byteLength(body));
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const { hash }: { hash?: unknown } = JSON.parse(Buffer.concat(chunks).toString());
    if (typeof hash !== "string") throw new TypeError("There is no hash");
    response.writeHead(200, { "content-type": "application/json", "content-length": length });
    response.end(body);
  };
  createServer((request, response) => void answer(request, response)).listen(0, "127.0.0.1");
}

function start({ processes, body }: BareServerJob): void {
  let listening = 0;
  cluster.on("listening", (_, { port }: Pick<AddressInfo, "port">) => {
    listening += 1;
    if (listening === processes) process.send?.({ port });
  });
  for (let index = 0; index < processes; index += 1) cluster.fork({ [BODY_VARIABLE]: body });
  process.once("disconnect", () => process.exit());
}

const body = process.env[BODY_VARIABLE];
if (cluster.isPrimary) process.once("message", (job: BareServerJob) => start(job));
else serve(body ?? "");
