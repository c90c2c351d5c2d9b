import type { HashAlgorithm } from "../algorithms.ts";
import type { Caller, Presented } from "../caller.ts";
import type { BeginDigest } from "../document_digest.ts";
import { messageOf, SignerError } from "../errors.ts";
import type { Log } from "../log.ts";
import type { SignTimings } from "../signer.ts";
import { withCors } from "./cors.ts";
import type { Answered, HttpHandler, HttpReply, HttpRequest } from "./exchange.ts";
import { negotiate } from "./media_types.ts";
import { observed } from "./observed.ts";
import { problemReply } from "./problems.ts";
import { readDigest } from "./sign_request.ts";
import { type StaticFile, staticFile } from "./static_file.ts";

/** What the routes need of the service behind them. */
export interface Routes {
  /**
   * Who sent a request.
   *
   * @throws SignerError `ERR_UNAUTHENTICATED`, `ERR_ISSUER_UNAVAILABLE`, at once or later
   */
  authenticate(presented: Presented): Caller | Promise<Caller>;
  /**
   * Takes in a request of a caller.
   *
   * @returns what has to be called when it is answered
   * @throws SignerError `ERR_RATE_LIMITED`, `ERR_TOO_MANY_REQUESTS_IN_FLIGHT`
   */
  admit(caller: Caller): () => void;
  /**
   * @param label of the credential that a request asks for; `undefined` for the default one
   * @throws SignerError `ERR_CREDENTIAL_UNKNOWN`
   */
  credential(label: string | undefined): RoutedCredential;
  /** Hashes documents. */
  readonly beginDigest: BeginDigest;
  /** @throws SignerError with the reason when the service cannot sign */
  readiness(): Promise<void>;
  /** Facts for a person who asks whether the service can sign, and why not. */
  facts(): Readonly<Record<string, unknown>>;
  readonly corsOrigins: readonly string[];
  /**
   * Resolves when a signature may be answered.
   *
   * @throws SignerError when it may not
   */
  record(request: HttpRequest, credential: RoutedCredential, signedData: Uint8Array): Promise<void>;
  /** What `GET /metrics` shows; nothing is there without it. */
  readonly metrics?: MetricsSource;
  /** Told of every request when it is answered. */
  observe(answered: Answered): void;
  /** Further paths that can be read, such as the client module. */
  readonly files?: ReadonlyMap<string, StaticFile>;
  readonly log: Log;
}

/** The metrics as a text. */
export type MetricsSource = () => Promise<{ readonly contentType: string; readonly text: string }>;

/** What a request has to do with a credential. */
export interface RoutedCredential {
  readonly label: string;
  readonly hash: HashAlgorithm;
  /** Of the leaf, in hexadecimal digits. */
  readonly serialNumber: string;
  /**
   * @param timings takes what the signature took
   * @returns the SignedData over a digest, DER
   */
  sign(digest: Uint8Array, timings: SignTimings, asker: Asker): Promise<Uint8Array>;
  /** The certificate chain, PEM, leaf first. */
  readonly certificatePem: string;
}

/** Whom a signature is for. */
export interface Asker {
  readonly caller: Caller;
  /** Whether nobody waits for it any more. */
  isGone(): boolean;
}

type Methods = Readonly<Record<string, HttpHandler>>;

const DER_TYPES = ["application/pkcs7-signature", "application/cms"];
const JSON_HEADERS = { "content-type": "application/json" };
const NOT_STORED = { "cache-control": "no-store" };

/** The service's paths: a request goes in, a reply comes out; errors become problems here. */
export function createRoutes(routes: Routes): HttpHandler {
  const paths: ReadonlyMap<string, Methods> = new Map<string, Methods>([
    ["/sign", { POST: (request) => sign(routes, request) }],
    ["/certificate", readable((request) => certificate(routes, request))],
    ["/healthz", readable(() => ({ status: 200, headers: JSON_HEADERS, body: '{"status":"ok"}' }))],
    ["/readyz", readable(() => ready(routes))],
    ...[...(routes.files ?? [])].map(([path, file]): [string, Methods] => [path, readable(staticFile(file))]),
    ...(routes.metrics === undefined ? [] : [metricsRoute(routes.metrics)]),
  ]);
  const methodsOf = (path: string): string[] => Object.keys(paths.get(path) ?? {});
  const dispatching: HttpHandler = (request) => dispatch(paths.get(request.path), request, routes.log);
  return observed(withCors(dispatching, routes.corsOrigins, methodsOf), routes.observe);
}

/** The metrics alone, for an address of their own. */
export function createMetricsRoutes(metrics: MetricsSource, log: Log): HttpHandler {
  const [path, methods] = metricsRoute(metrics);
  return (request) => dispatch(request.path === path ? methods : undefined, request, log);
}

async function dispatch(methods: Methods | undefined, request: HttpRequest, log: Log): Promise<HttpReply> {
  try {
    if (request.fault !== undefined) throw request.fault;
    if (methods === undefined) throw new SignerError("ERR_NOT_FOUND", "Cannot find this path");
    const handler = methods[request.method];
    if (handler !== undefined) return await handler(request);
    const allow = [...Object.keys(methods), "OPTIONS"].join(", ");
    if (request.method === "OPTIONS") return { status: 204, headers: { allow } };
    return problemReply(
      new SignerError("ERR_METHOD_NOT_ALLOWED", `Cannot use this method here; it takes ${allow}`),
      {
        allow,
      },
    );
  } catch (error) {
    const reply = problemReply(error, NOT_STORED);
    // Anybody can have these said, as often as he likes: the line of the request has room for it.
    if (isAboutCaller(reply)) request.facts.refusal = messageOf(error);
    else if (reply.status >= 500)
      log("error", "request.failed", { id: request.id, path: request.path, error });
    return reply;
  }
}

function isAboutCaller({ status, code }: HttpReply): boolean {
  return status === 401 || status === 403 || code === "ERR_ISSUER_UNAVAILABLE";
}

/** Whoever may not have what he asks for is told so before his document is read. */
async function sign(routes: Routes, request: HttpRequest): Promise<HttpReply> {
  const { facts } = request;
  const caller = await routes.authenticate(request.presented);
  facts.caller = caller.name;
  const credential = grantedCredential(routes, caller, request.query("credential"));
  facts.credential = credential.label;
  const answered = routes.admit(caller);
  try {
    const digest = await readDigest(request, credential.hash, routes.beginDigest);
    facts.digest = digest.toString("hex");
    requireGranted(caller, digest);
    facts.certificateSerial = credential.serialNumber;
    const asker: Asker = { caller, isGone: () => request.isAbandoned() };
    const signedData = await credential.sign(digest, facts.timings, asker);
    await routes.record(request, credential, signedData);
    return signReply(signedData, request.header("accept"));
  } finally {
    answered();
  }
}

function signReply(signedData: Uint8Array, accept: string | undefined): HttpReply {
  const type = negotiate(accept, ["application/json", ...DER_TYPES]);
  const isDer = DER_TYPES.includes(type);
  return {
    status: 200,
    headers: { ...NOT_STORED, "content-type": type },
    body: isDer ? signedData : `{"p7":"${base64(signedData)}"}`,
  };
}

function base64({ buffer, byteOffset, byteLength }: Uint8Array): string {
  return Buffer.from(buffer, byteOffset, byteLength).toString("base64");
}

/** What the caller may not use he need not know of: it is refused alike whether it is there or not. */
function grantedCredential(routes: Routes, caller: Caller, label: string | undefined): RoutedCredential {
  const credential = label === undefined ? routes.credential(label) : undefined;
  const asked = credential?.label ?? label ?? "";
  if (caller.credentials?.has(asked) === false) {
    throw new SignerError("ERR_FORBIDDEN", "Cannot sign: this credential is not granted to this caller");
  }
  return credential ?? routes.credential(label);
}

function requireGranted(caller: Caller, digest: Buffer): void {
  if (caller.digest === undefined || digest.equals(caller.digest)) return;
  throw new SignerError("ERR_DIGEST_NOT_GRANTED", "Cannot sign: the token was issued for another hash");
}

function certificate(routes: Routes, request: HttpRequest): HttpReply {
  return {
    status: 200,
    headers: { "content-type": "application/pem-certificate-chain", "cache-control": "no-cache" },
    body: routes.credential(request.query("credential")).certificatePem,
  };
}

/** A refusal says the facts too: which sessions hang, which certificate has expired. */
async function ready(routes: Routes): Promise<HttpReply> {
  try {
    await routes.readiness();
  } catch (error) {
    return problemReply(error, NOT_STORED, routes.facts());
  }
  return {
    status: 200,
    headers: { ...JSON_HEADERS, ...NOT_STORED },
    body: JSON.stringify({ status: "ready", ...routes.facts() }),
  };
}

function metricsRoute(metrics: MetricsSource): [path: string, methods: Methods] {
  const show = async (): Promise<HttpReply> => {
    const { contentType, text } = await metrics();
    return { status: 200, headers: { ...NOT_STORED, "content-type": contentType }, body: text };
  };
  return ["/metrics", readable(show)];
}

function readable(handler: HttpHandler): Methods {
  return { GET: handler, HEAD: handler };
}
