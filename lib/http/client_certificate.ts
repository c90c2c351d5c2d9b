import type { X509Certificate } from "node:crypto";
import { TLSSocket } from "node:tls";
import type { ClientCertificate } from "../caller.ts";
import { lacks } from "../runtime.ts";

/** One name of several, as Node.js writes them: what could be read in two ways stands in quotes. */
const NAME = /^([A-Za-z][\w ]*):("(?:[^"\\]|\\.)*"|[^",]*)(?:, |$)/;
const KINDS: ReadonlySet<string> = new Set(["DNS", "URI", "email"]);

/** The certificate that a connection's other side has shown; `undefined` where it has shown none. */
export function clientCertificateOf(socket: unknown): ClientCertificate | undefined {
  if (!(socket instanceof TLSSocket)) return undefined;
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined) return undefined;
  // What is there is text, although the types say otherwise.
  const fault = socket.authorized ? undefined : String(socket.authorizationError);
  return { names: namesIn(certificate), notAfter: Date.parse(certificate.validTo), fault };
}

/** The subject's common name, if it has just one, and the alternative names. */
export function namesIn(certificate: X509Certificate): readonly string[] {
  const { CN: commonName }: { CN?: unknown } = { ...certificate.toLegacyObject().subject };
  const own = typeof commonName === "string" ? [`CN:${commonName}`] : [];
  if (lacks("quoted alternative names")) return own;
  return [...own, ...alternativeNames(certificate.subjectAltName ?? "")];
}

/** None at all where one of them cannot be read: a name inside of a name is nobody's. */
function alternativeNames(text: string): readonly string[] {
  const names: string[] = [];
  for (let rest = text; rest !== ""; ) {
    const [whole, kind = "", value = ""] = NAME.exec(rest) ?? [];
    if (whole === undefined || whole === "") return [];
    if (KINDS.has(kind) && !value.startsWith('"')) names.push(`${kind}:${value}`);
    rest = rest.slice(whole.length);
  }
  return names;
}
