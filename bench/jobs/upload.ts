import type { Taken } from "../measure/finding.ts";
import { UsageObserver } from "../measure/usage.ts";
import { Client, type Server } from "./client.ts";
import { requestHead } from "./requests.ts";
import { serveJob } from "./worker.ts";

/** Large documents, on some connections at once; nothing of them is in memory but one block. */

export interface UploadJob {
  readonly server: Server;
  readonly document: LargeDocument;
  /** `json`: base64 in the guide's JSON, with the hash. */
  readonly form: "raw" | "json";
  readonly connections: number;
  /** Each connection sends the document again until so much time has passed; at least once. */
  readonly forMs: number;
}

/** A document that repeats a block; the last one may be cut. */
export interface LargeDocument {
  /** Its length is divisible by three. */
  readonly block: Uint8Array;
  readonly bytes: number;
  /** Its SHA-256, in hexadecimal. */
  readonly sha256: string;
}

export interface UploadResult extends Taken {
  /** Of documents, not of their encoding; from the first byte sent to the last answer. */
  readonly bytesPerSecond: number;
  /** In milliseconds since 1970. */
  readonly begin: number;
  readonly end: number;
  /** The last one. */
  readonly answer: string;
}

async function measure({ server, document, form, connections, forMs }: UploadJob): Promise<UploadResult> {
  const clients = await Client.openAll(server, connections);
  const parts = BODIES[form](document);
  const observer = new UsageObserver(server.group);
  const [begin, start, cpu] = [Date.now(), performance.now(), process.cpuUsage()];
  let requests = 0;
  let answer = "";
  const run = async (client: Client): Promise<void> => {
    do {
      answer = (await client.askInParts(parts())).toString();
      requests += 1;
    } while (performance.now() < start + forMs);
  };
  await Promise.all(clients.map(run));
  const seconds = (performance.now() - start) / 1_000;
  const { user, system } = process.cpuUsage(cpu);
  for (const client of clients) client.close();
  return {
    requests,
    bytesPerSecond: (requests * document.bytes) / seconds,
    usage: observer.end(),
    generatorMicros: (user + system) / requests,
    begin,
    end: Date.now(),
    answer,
  };
}

/** For each form, what makes the parts of a request, as often as it is asked to. */
const BODIES: Readonly<Record<UploadJob["form"], (document: LargeDocument) => () => Iterable<Uint8Array>>> = {
  raw: ({ block, bytes }) => {
    const rest = block.subarray(0, bytes % block.length);
    const head = requestHead("application/pdf", bytes);
    return () => inTurn(head, block, Math.floor(bytes / block.length), rest);
  },
  json: ({ block, bytes, sha256 }) => {
    const base64 = (part: Uint8Array): Buffer => Buffer.from(Buffer.from(part).toString("base64"));
    const [whole, rest] = [base64(block), base64(block.subarray(0, bytes % block.length))];
    const count = Math.floor(bytes / block.length);
    const begin = Buffer.from('{"encodedContents":"');
    const end = Buffer.from(`","hash":"${sha256}"}`);
    const length = begin.length + count * whole.length + rest.length + end.length;
    const head = Buffer.concat([requestHead("application/json", length), begin]);
    return () => inTurn(head, whole, count, Buffer.concat([rest, end]));
  },
};

function* inTurn(
  head: Uint8Array,
  block: Uint8Array,
  count: number,
  tail: Uint8Array,
): Generator<Uint8Array> {
  yield head;
  for (let index = 0; index < count; index += 1) yield block;
  yield tail;
}

serveJob(measure);
