import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { linesOf } from "../audit/lines.ts";
import type { AuditRecord } from "../audit/record.ts";
import { type TrailReport, type TrailSource, type VerifyOptions, verifyTrail } from "../audit/verify.ts";
import type { Command, CommandContext, CommandOptions } from "../command.ts";
import { ConfigError } from "../config/settings.ts";
import { nativeCertificate } from "../credential/certificate.ts";
import { nameText, printable } from "../credential/printable.ts";
import { EXIT, type ExitCode } from "../exit_codes.ts";
import { type AuditTrust, distrust } from "./audit_trust.ts";
import { readCertificateFile } from "./certificate_file.ts";

/** Proves an audit trail, offline: it needs neither the token nor a configuration. */
export const AUDIT_VERIFY: Command = {
  name: "audit verify",
  summary: "prove that nothing is missing from an audit trail, and nothing was changed",
  description:
    "Follows the records of an audit trail through its files, given in any order: each carries the hash of the one " +
    "before it, and the checkpoints among them are signed by the token. Says up to where the token has signed for " +
    "them; what stands behind that can be replaced by whoever can write to the file, and an end that was cut off " +
    "shows only with --expect. The first record that does not fit is named, and the exit code is 1 then.",
  argument: ["file...", "the files of one trail"],
  options: [
    ["--certificate <file>", "the certificates that may have signed (GET /certificate, CERT_DIR)"],
    ["--ca <file>", "the CA certificates that theirs have to lead to"],
    ["--expect <hash>", "of a record that has to be there: the last audit.checkpoint in the service's log"],
    ["--json", "the result as JSON"],
  ],
  run: verify,
};

async function verify(
  context: CommandContext,
  options: CommandOptions,
  first: string,
  further: readonly string[],
): Promise<ExitCode> {
  const { certificate, ca, expect } = options;
  const trust: AuditTrust = {
    signers: certificate === undefined ? [] : readCertificateFile(certificate),
    authorities: ca === undefined ? [] : readCertificateFile(ca),
  };
  if (expect !== undefined && !/^[0-9a-f]{64}$/.test(expect)) {
    throw new ConfigError(["--expect must be 64 hexadecimal digits in small letters."]);
  }
  const report = await verifyTrail([first, ...further].map(sourceOf), {
    distrust: rememberingVerdicts(trust),
    ...(expect === undefined ? {} : { expected: expect }),
  });
  if (options.json) context.print(JSON.stringify(jsonOf(report)));
  else show(context, report, trust, expect);
  return report.fault === undefined ? EXIT.ok : EXIT.failed;
}

/** @throws ConfigError where it is missing */
function sourceOf(name: string): TrailSource {
  if (!existsSync(name)) throw new ConfigError([`There is no file ${name}.`]);
  return { name, lines: () => linesOf(name) };
}

/** Most checkpoints carry the same certificates; a verdict is good for those of one day. */
function rememberingVerdicts(trust: AuditTrust): NonNullable<VerifyOptions["distrust"]> {
  const verdicts = new Map<string, Promise<string | undefined>>();
  return (certificates, time) => {
    const fingerprint = createHash("sha256").update(Buffer.concat(certificates)).digest("hex");
    const key = `${fingerprint} ${time.toISOString().slice(0, 10)}`;
    const verdict = verdicts.get(key) ?? distrust(trust, certificates, time);
    verdicts.set(key, verdict);
    return verdict;
  };
}

function jsonOf({
  fault,
  trail,
  files,
  signatures,
  last,
  proven,
  notes,
}: TrailReport): Record<string, unknown> {
  return {
    isGood: fault === undefined,
    ...(fault === undefined ? {} : { fault }),
    trail,
    files,
    isFromBeginning: files[0]?.first === 1,
    signatures,
    last: last === undefined ? undefined : { record: last.n, hash: last.hash },
    proven: proven === undefined ? undefined : { ...proven, certificate: describe(proven.certificate) },
    notes,
  };
}

function describe(der: Uint8Array): Record<string, string> {
  const { subject, serialNumber, fingerprint256 } = nativeCertificate(der);
  return { subject: nameText(subject), serialNumber, fingerprint: fingerprint256 };
}

function show(
  context: CommandContext,
  report: TrailReport,
  trust: AuditTrust,
  expect: string | undefined,
): void {
  const { fault, files, last, proven, signatures, notes, trail } = report;
  for (const { name, first, last: end } of files) context.print(`${name}: records ${first} to ${end}`);
  const [{ first } = { first: 0 }] = files;
  if (last !== undefined) {
    const beginning =
      first === 1 ? "from its beginning" : `from record ${first} (the file before it was not given)`;
    context.print(
      `Trail ${trail}, ${beginning} to record ${last.n}; ${signatures} of its records are signatures.`,
    );
    context.print(`The last record has the hash ${last.hash}.`);
  }
  for (const note of notes) context.print(sentenceOf(note));
  context.print(provenText(report));
  if (proven !== undefined && trust.signers.length + trust.authorities.length === 0) {
    context.print(
      "That certificate was compared with nothing: name the service's with --certificate or --ca.",
    );
  }
  if (fault !== undefined) {
    const line = fault.line === undefined ? "" : `, line ${fault.line}`;
    context.tell(`${fault.file}${line}: ${fault.reason}.`);
    return;
  }
  context.print("No record is missing, changed or out of its order between the first and the last of them.");
  if (expect === undefined) {
    context.print(
      "Whether more followed the last one, its file cannot show: compare it with the log (--expect).",
    );
  }
}

function provenText({ proven, last }: TrailReport): string {
  if (proven === undefined) return "No checkpoint proves any of it.";
  const { record, checkpoint, time, credential, certificate } = proven;
  const { subject, serialNumber } = describe(certificate);
  const behind = (last?.n ?? 0) - checkpoint;
  return (
    `Signed by the token up to record ${record} (checkpoint ${checkpoint}, ${time}, credential ` +
    `"${printable(credential)}", certificate ${subject}, serial number ${serialNumber}); ` +
    `records behind that checkpoint: ${behind}.`
  );
}

function sentenceOf(record: AuditRecord): string {
  if (record.type === "gap") {
    const { n, since, time, reason, unrecorded, withheld } = record;
    return (
      `Record ${n}: nothing could be written from ${since} to ${time} (${printable(reason)}); ` +
      `signatures answered without a record: ${unrecorded}, made and not answered: ${withheld}.`
    );
  }
  if (record.type === "torn") {
    return `Record ${record.n}: a crash had left ${record.bytes} bytes, which are in ${printable(record.kept)}.`;
  }
  return `Record ${record.n}.`;
}
