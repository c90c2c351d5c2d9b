import { existsSync } from "node:fs";
import { join } from "node:path";
import { compile } from "../../test/support/compile.ts";
import { type Bench, CONNECTIONS } from "../bench.ts";
import type { Server } from "../jobs/client.ts";
import type { LoadJob, LoadResult } from "../jobs/load.ts";
import type { PacedJob, PacedResult } from "../jobs/paced.ts";
import type { RequestKind } from "../jobs/requests.ts";
import type { LargeDocument, UploadJob, UploadResult } from "../jobs/upload.ts";
import { runJob } from "../jobs/worker.ts";
import { requireValidSamples } from "./judge.ts";
import type { Rate } from "./rows.ts";

/** A server whose answers are verified. */
export interface JudgedServer extends Server {
  readonly certificatePem: string;
}

/** A digest alone: the document never leaves the generator. */
export const HASH: RequestKind = { form: "hash", documentBytes: 32 };

/** An answer in so many is kept and verified: some ten of a round at the rates of this machine's kind. */
const SAMPLE_EVERY = 397;

/** One round of the load that never pauses; OpenSSL verifies some of its answers. */
export async function fullLoad(
  bench: Bench,
  server: JudgedServer,
  request: RequestKind,
  special: Partial<LoadJob> = {},
): Promise<LoadResult & Rate> {
  const result = await loadOf(bench, server, request, special);
  requireValidSamples(result.samples, server.certificatePem, bench.directory);
  return result;
}

/** The same of a server that signs nothing. */
export async function bareLoad(
  bench: Bench,
  server: Server,
  request: RequestKind,
): Promise<LoadResult & Rate> {
  return { ...(await loadOf(bench, server, request, {})), samples: [] };
}

async function loadOf(
  { options }: Bench,
  { host, port, group }: Server,
  request: RequestKind,
  special: Partial<LoadJob>,
): Promise<LoadResult & Rate> {
  const result = await runJob<LoadJob, LoadResult>("load.ts", {
    server: { host, port, group },
    request,
    connections: CONNECTIONS,
    warmUpMs: options.warmUpMs,
    measure: { ms: options.measureMs },
    sampleEvery: SAMPLE_EVERY,
    ...special,
  });
  return { ...result, cpuMicros: result.usage.cpuMicros / result.requests };
}

/** One round of digests at a pace; OpenSSL verifies the last answer. */
export async function pacedLoad(
  bench: Bench,
  server: JudgedServer,
  perSecond: number,
  warmUpMs: number = bench.options.warmUpMs,
): Promise<PacedResult> {
  const { host, port, group } = server;
  const result = await runJob<PacedJob, PacedResult>("paced.ts", {
    server: { host, port, group },
    request: HASH,
    perSecond,
    pacer: pacerIn(bench.directory),
    connections: CONNECTIONS,
    warmUpMs,
    measureMs: bench.options.measureMs,
  });
  requireValidSamples(result.samples, server.certificatePem, bench.directory);
  return result;
}

/** Compiled once for each run. */
function pacerIn(directory: string): string {
  const path = join(directory, "pacer");
  if (!existsSync(path)) compile(["bench/pacer.c"], path);
  return path;
}

/** Large documents, in one form; their answers are not verified here. */
export function upload(
  { host, port, group }: Server,
  { block, bytes, sha256 }: LargeDocument,
  how: Pick<UploadJob, "form" | "connections" | "forMs">,
): Promise<UploadResult> {
  const document = { block, bytes, sha256 };
  return runJob<UploadJob, UploadResult>("upload.ts", { server: { host, port, group }, document, ...how });
}
