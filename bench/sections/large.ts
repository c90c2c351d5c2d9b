import { type Bench, type SectionResult, withService } from "../bench.ts";
import type { UploadResult } from "../jobs/upload.ts";
import { documentFile, opensslDigest } from "../measure/documents.ts";
import { boundOf, type Finding, finding, rounded } from "../measure/finding.ts";
import { requireValidSamples } from "../measure/judge.ts";
import { fullLoad, HASH, upload } from "../measure/loads.ts";
import { peakGrowth } from "../measure/memory.ts";
import { measureInTurns, median, medianRatio } from "../measure/rounds.ts";

/** One document of 1 GiB, in both forms: memory, and speed beside a program that only hashes. */

const MIB = 1_048_576;
const MEBIBYTES = 1_024;
const GROWTH_MIB = 64;
const OF_OPENSSL = 0.5;
const MOST_ROUNDS = 3;
/** The standard limit is 1 GiB of body; in base64 it is a third more. */
const SETTINGS = { MAX_BODY_BYTES: String(2 * MEBIBYTES * MIB) };

type Upload = UploadResult & { readonly grownBytes: number };

interface Rounds {
  /** Bytes a second. */
  readonly openssl: number;
  readonly raw: Upload;
  readonly json: Upload;
}

export async function large(bench: Bench): Promise<SectionResult> {
  const file = documentFile(bench.directory, MEBIBYTES);
  const wanted = { algorithm: "RSA-2048", environment: SETTINGS } as const;
  const { openssl, raw, json } = await withService(bench, wanted, async (service) => {
    // Small requests first: what a service that has just started takes for itself is not the document's.
    await fullLoad(bench, service, HASH);
    const round = (form: "raw" | "json"): Promise<Upload> =>
      peakGrowth(service.group, () => upload(service, file, { form, connections: 1, forMs: 0 }));
    const found = await measureInTurns<Rounds>(
      {
        openssl: async () => file.bytes / opensslDigest(file.path).seconds,
        raw: () => round("raw"),
        json: () => round("json"),
      },
      Math.min(bench.options.rounds, MOST_ROUNDS),
      (text) => bench.tell(`large, ${text}`),
    );
    const samples = [...found.raw.slice(-1), ...found.json.slice(-1)];
    requireValidSamples(
      samples.map(({ answer }) => ({ document: file.path, answer })),
      service.certificatePem,
      bench.directory,
    );
    return found;
  });
  const findings = [
    ...findingsOf("raw body", raw, openssl),
    ...findingsOf("base64 in the guide's JSON", json, openssl),
  ];
  return { findings };
}

function findingsOf(
  form: string,
  uploads: readonly Upload[],
  openssl: readonly number[],
): readonly Finding[] {
  const rates = uploads.map(({ bytesPerSecond }) => bytesPerSecond);
  const megabytes = (values: readonly number[]): string => `${rounded(median(values) / 1e6)} MB/s`;
  return [
    finding({
      figure: `1 GiB as ${form}: growth of resident memory`,
      value: Math.max(...uploads.map(({ grownBytes }) => grownBytes)) / MIB,
      unit: "MiB",
      target: { atMost: GROWTH_MIB },
      how: "the peak (VmHWM, begun anew) less what it was before, all processes; the largest of the rounds",
    }),
    finding({
      figure: `1 GiB as ${form}: bytes per second, of openssl dgst -sha256`,
      value: medianRatio(rates, openssl),
      unit: "×",
      target: { atLeast: OF_OPENSSL },
      how: `${megabytes(rates)} of the document, openssl ${megabytes(openssl)} of the same file, in turns`,
      bound: boundOf(uploads),
    }),
  ];
}
