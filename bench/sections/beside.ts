import { setTimeout as delay } from "node:timers/promises";
import { type Bench, type SectionResult, withService } from "../bench.ts";
import type { PacedResult } from "../jobs/paced.ts";
import type { UploadResult } from "../jobs/upload.ts";
import { type DocumentFile, documentFile } from "../measure/documents.ts";
import { boundOf, finding, rounded } from "../measure/finding.ts";
import { requireValidSamples } from "../measure/judge.ts";
import { pacedLoad, upload } from "../measure/loads.ts";
import { measureInTurns, median, medianRatio } from "../measure/rounds.ts";
import { LoopDelay } from "../service/inside.ts";
import type { Service } from "../service/service.ts";

/** What large documents do to the latency of small requests. */

const MEBIBYTES = 100;
const DOCUMENTS_AT_ONCE = 10;
/** A steady stream, far from what the machine can do. */
const PER_SECOND = 200;
const TIMES_ALONE = 3;
const MOST_ROUNDS = 3;
/** What a process needs before it sends, and more. */
const HEAD_START_MS = 1_500;

interface Rounds {
  readonly alone: PacedResult;
  readonly beside: PacedResult & { readonly upload: UploadResult; readonly loopDelayMs: number };
}

export async function beside(bench: Bench): Promise<SectionResult> {
  const file = documentFile(bench.directory, MEBIBYTES);
  const inside = new LoopDelay(bench.directory);
  const found = await withService(bench, { algorithm: "RSA-2048", ...inside.wanted }, (service) =>
    measureInTurns<Rounds>(
      {
        alone: () => pacedLoad(bench, service, PER_SECOND),
        beside: () => besideUploads(bench, service, inside, file),
      },
      Math.min(bench.options.rounds, MOST_ROUNDS),
      (text) => bench.tell(`beside, ${text}`),
    ),
  );
  const p99 = (rounds: readonly PacedResult[]): readonly number[] => rounds.map(({ p99Ms }) => p99Ms);
  const [alone, together] = [p99(found.alone), p99(found.beside)];
  const rate = median(found.beside.map((round) => round.upload.bytesPerSecond / 1e6));
  const value = medianRatio(together, alone);
  const figure = `${DOCUMENTS_AT_ONCE} documents of ${MEBIBYTES} MiB at once: p99 of { hash } beside them, of p99 alone`;
  const how =
    `${PER_SECOND} digests a second: p99 ${rounded(median(alone))} ms alone, ${rounded(median(together))} ms beside ` +
    `${rounded(rate)} MB/s of documents`;
  const late = rounded(median(found.beside.map(({ loopDelayMs }) => loopDelayMs)));
  const bound =
    `the event loop, which is up to ${late} ms late (p99) when documents come, several times for each request; ` +
    boundOf(found.beside.map((round) => round.upload));
  return { findings: [finding({ figure, value, unit: "×", target: { atMost: TIMES_ALONE }, how, bound })] };
}

/**
 * The stream is there first, as its connections are in an application; then the documents come, and go on after
 * the stream was measured.
 *
 * @throws Error when they did not come during all of it
 */
async function besideUploads(
  bench: Bench,
  service: Service,
  inside: LoopDelay,
  file: DocumentFile,
): Promise<Rounds["beside"]> {
  await inside.p99Ms();
  const streaming = pacedLoad(bench, service, PER_SECOND, 2 * HEAD_START_MS);
  await delay(HEAD_START_MS);
  const forMs = 2 * HEAD_START_MS + bench.options.measureMs;
  const uploading = upload(service, file, { form: "raw", connections: DOCUMENTS_AT_ONCE, forMs });
  const [stream, uploaded] = await Promise.all([streaming, uploading]);
  if (uploaded.begin > stream.begin || uploaded.end < stream.end) {
    throw new Error("Cannot measure: the documents did not come during all of it");
  }
  requireValidSamples(
    [{ document: file.path, answer: uploaded.answer }],
    service.certificatePem,
    bench.directory,
  );
  return { ...stream, upload: uploaded, loopDelayMs: await inside.p99Ms() };
}
