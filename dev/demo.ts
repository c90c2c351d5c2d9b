import { spawnSync } from "node:child_process";
import { createHash, X509Certificate } from "node:crypto";
import { createWriteStream, existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { messageOf } from "../lib/errors.ts";
import { embedSignature, type PreparedPdf, preparePdf } from "./sample_pdf.ts";
import { type Ending, PROJECT, type ServiceProcess, ServiceStartError } from "./service_process.ts";
import { startThrowawayService } from "./throwaway_service.ts";

/**
 * `npm run demo`: the real service, started as `npm start` does it but on a throwaway SoftHSM2 token, signs a
 * PDF as the front end would have it signed; outside programs judge the result. Stays up until it is stopped.
 *
 * Exit codes: 0 stopped as asked; 1 the service did not start or ended by itself, or a signature is not valid.
 */
const DIRECTORY = join(PROJECT, ".softhsm/demo");
const CERTIFICATES = join(DIRECTORY, "certs");
const SERVER_LOG = join(DIRECTORY, "server.log");
const SIGNED_PDF = join(PROJECT, "signed.pdf");
const PORT = process.env["PORT"] || "3756";

interface Signature {
  readonly der: Buffer;
  readonly milliseconds: number;
}

interface Verdict {
  readonly judge: string;
  readonly text: string;
  readonly valid: boolean;
}

let service: ServiceProcess | undefined;
let isStopping = false;

async function main(): Promise<void> {
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, stop);
  const isFirst = !existsSync(DIRECTORY);
  say("", "hsm-signer, shown on a throwaway SoftHSM2 token", "");
  const { url } = await startService(isFirst);
  const certificatePem = await (await request(url, "/certificate")).text();
  describeCertificate(new X509Certificate(certificatePem));
  const prepared = await preparePdf();
  const hash = createHash("sha256").update(prepared.signedBytes).digest("hex").toUpperCase();
  const verdicts = await signAndVerify(url, prepared, hash, certificatePem);
  if (!verdicts.every((verdict) => verdict.valid)) throw new Error("A signature is not valid: see above");
  say(
    "",
    "To have that hash signed again:",
    "",
    `  curl -sS ${url}/sign -H 'Content-Type: application/json' -d '{"hash":"${hash}"}'`,
    "",
    `To sign a PDF of your own in the browser: ${url}/`,
    "",
    "The service stays up. Ctrl-C stops it.",
  );
}

/** The way of the front end: hash, POST, embed; then the same with the bytes beside the hash. */
async function signAndVerify(
  url: string,
  prepared: PreparedPdf,
  hash: string,
  certificatePem: string,
): Promise<Verdict[]> {
  say("");
  const byHash = await sign(url, { hash });
  row("POST /sign", `{ hash } gave a container of ${described(byHash)}`);
  const encodedContents = prepared.signedBytes.toString("base64");
  const byContents = await sign(url, { encodedContents, hash });
  row("", `{ encodedContents, hash } gave one of ${described(byContents)}`);
  const signed = embedSignature(prepared, byHash.der);
  writeFileSync(SIGNED_PDF, signed);
  row("PDF", `${shown(SIGNED_PDF)}, ${bytesShown(signed.length)}, with the first container embedded`);
  const verdicts = [
    judgeWithOpenSsl("{ hash }", byHash.der, prepared, certificatePem),
    judgeWithOpenSsl("{ encodedContents, hash }", byContents.der, prepared, certificatePem),
    judgeWithPdfsig(),
  ];
  say("");
  for (const { judge, text } of verdicts) row(judge, text);
  return verdicts;
}

/** Returns once the service says that it can sign. From now on the demo ends with it. */
async function startService(isFirst: boolean): Promise<ServiceProcess> {
  const began = performance.now();
  mkdirSync(DIRECTORY, { recursive: true, mode: 0o700 });
  // Between the lines of the demo its log would only confuse.
  const log = createWriteStream(SERVER_LOG);
  const settings = { PORT, DEMO_PAGE: "true" };
  const onLine = (line: string): void => void log.write(`${line}\n`);
  const started = await startThrowawayService(DIRECTORY, settings, { onLine });
  service = started;
  void service.ended.then(endWithService);
  const { url, token } = started;
  const facts = (await (await request(url, "/readyz")).json()) as Record<string, unknown>;
  const seconds = ((performance.now() - began) / 1000).toFixed(1);
  row("Token", `"${token.label}" in ${shown(DIRECTORY)}, ${isFirst ? "made just now" : "found"}`);
  row("Service", `${url}, ready after ${seconds} s, its log in ${shown(SERVER_LOG)}`);
  row("Key", `"${facts["credential"]}", signs with ${facts["algorithm"]}`);
  return service;
}

function stop(): void {
  isStopping = true;
  service?.kill("SIGTERM");
  // One that does not listen yet has nothing to finish; it does not outlive this process.
  if (service === undefined) process.exit(0);
}

function endWithService({ code, signal, complaint }: Ending): void {
  if (!isStopping || code !== 0) {
    end(
      `The service ended (${signal ?? `exit code ${code}`}); its log is ${shown(SERVER_LOG)}. ${complaint}`,
    );
  }
  say("", "Stopped.");
  process.exit(0);
}

function describeCertificate(certificate: X509Certificate): void {
  row("Certificate", certificate.subject.replaceAll("\n", ", "));
  row("", `valid until ${certificate.validTo}, kept in ${shown(CERTIFICATES)}`);
  row("", `SHA-256 ${certificate.fingerprint256}`);
}

async function sign(url: string, body: Record<string, string>): Promise<Signature> {
  const began = performance.now();
  const response = await request(url, "/sign", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  const { p7 } = (await response.json()) as { p7: string };
  return { der: Buffer.from(p7, "base64"), milliseconds: performance.now() - began };
}

async function request(url: string, path: string, init?: RequestInit): Promise<Response> {
  const response = await fetch(`${url}${path}`, init);
  if (!response.ok) throw new Error(`${path} answers ${response.status}: ${await response.text()}`);
  return response;
}

function judgeWithOpenSsl(
  form: string,
  der: Buffer,
  { signedBytes }: PreparedPdf,
  certificatePem: string,
): Verdict {
  const file = (name: string, bytes: string | Buffer): string => {
    writeFileSync(join(DIRECTORY, name), bytes);
    return join(DIRECTORY, name);
  };
  const files = ["-in", file("p7.der", der), "-content", file("content", signedBytes)];
  const trust = ["-CAfile", file("certificate.pem", certificatePem), "-out", "/dev/null"];
  const args = ["cms", "-verify", "-binary", "-inform", "DER", ...files, ...trust];
  const { stderr, status, error } = spawnSync("openssl", args, { encoding: "utf8" });
  const text = error ? messageOf(error) : stderr.trim();
  return { judge: "openssl cms", text: `${text} (${form})`, valid: status === 0 };
}

/** What poppler says of the file, where it is installed. It exits 0 whatever it finds: its text counts. */
function judgeWithPdfsig(): Verdict {
  // Without -nocert it would look for a trust store, and a self-signed certificate is in none.
  const { stdout, error } = spawnSync("pdfsig", ["-nocert", SIGNED_PDF], { encoding: "utf8" });
  if (error) return { judge: "pdfsig", text: "not asked: poppler-utils is not installed", valid: true };
  const findings = stdout.match(/(Not total|Total) document signed|Signature is .*/g) ?? [stdout.trim()];
  const text = findings.join(", ");
  return { judge: "pdfsig", text, valid: text === "Total document signed, Signature is Valid." };
}

function described({ der, milliseconds }: Signature): string {
  return `${bytesShown(der.length)} in ${milliseconds.toFixed(0)} ms`;
}

function bytesShown(count: number): string {
  return `${count.toLocaleString("en")} bytes`;
}

function shown(path: string): string {
  return relative(process.cwd(), path) || ".";
}

function say(...lines: string[]): void {
  process.stdout.write(`${lines.join("\n")}\n`);
}

function row(name: string, text: string): void {
  say(`  ${name.padEnd(13)}${text}`);
}

/** Ends the demo, and with it the service. */
function end(sentence: string): never {
  process.stderr.write(`\ndemo: ${sentence.trim()}\n`);
  process.exit(1);
}

function explain(error: unknown): string {
  const complaint = error instanceof ServiceStartError ? error.ending?.complaint : undefined;
  if (complaint?.includes("EADDRINUSE")) {
    return `Port ${PORT} is in use: stop what listens there, or choose another, as in PORT=3757 npm run demo.`;
  }
  return messageOf(error);
}

try {
  await main();
} catch (error) {
  // A request that the stopping service cut off is no failure; the service's end is the demo's.
  if (!isStopping) end(explain(error));
}
