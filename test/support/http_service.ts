import { signatureAlgorithm } from "../../lib/algorithms.ts";
import { ANONYMOUS } from "../../lib/caller.ts";
import { ChainFile } from "../../lib/credential/chain_file.ts";
import type { Credential } from "../../lib/credential/credential.ts";
import { type DocumentDigest, documentDigests } from "../../lib/document_digest.ts";
import { DocumentSigner } from "../../lib/document_signer.ts";
import { type HttpLimits, HttpServer, type HttpServerOptions } from "../../lib/http/http_server.ts";
import { createRoutes, type RoutedCredential, type Routes } from "../../lib/http/routes.ts";
import type { TlsFiles } from "../../lib/http/tls_files.ts";
import { loadAddon } from "../../lib/native/addon.ts";
import { recordingLog } from "./recording_log.ts";
import { softwareCredential } from "./software.ts";

/** The HTTP side of the service with a software key behind it: all that a hostile client can reach. */
export interface SoftwareService {
  readonly server: HttpServer;
  readonly url: string;
  readonly certificatePem: string;
  readonly credential: Credential;
  readonly events: ReturnType<typeof recordingLog>["events"];
}

export interface SoftwareServiceOptions {
  /** In place of the software key. */
  readonly sign?: RoutedCredential["sign"];
  readonly routes?: Partial<Routes>;
  /** Stands between the service and the digests of its documents. */
  readonly watchDigests?: (digest: DocumentDigest) => DocumentDigest;
  readonly limits?: Partial<HttpLimits>;
  readonly refused?: HttpServerOptions["refused"];
  readonly maxBodyBytes?: number;
  readonly tls?: TlsFiles;
  readonly trustedProxies?: readonly string[];
}

/** P-256, since it is quick to make; the caller stops `server`. */
export async function startSoftwareService(options: SoftwareServiceOptions = {}): Promise<SoftwareService> {
  const algorithm = signatureAlgorithm("P-256", "SHA-256");
  const credential = await softwareCredential(algorithm);
  const signer = new DocumentSigner(credential, () => new Date());
  const certificatePem = ChainFile.toPem(credential.chain.certificates);
  const { log, events } = recordingLog();
  const addon = loadAddon();
  const beginDigest = documentDigests(addon);
  const handler = createRoutes({
    authenticate: () => ANONYMOUS,
    admit: () => () => {},
    credential: () => ({
      label: credential.label,
      serialNumber: credential.chain.leaf.serialNumber,
      hash: algorithm.hash,
      sign: options.sign ?? ((digest, timings) => signer.sign(digest, timings)),
      certificatePem,
    }),
    beginDigest: (hash) => (options.watchDigests ?? itself)(beginDigest(hash)),
    readiness: async () => {},
    facts: () => ({}),
    record: async () => {},
    observe: (answered) => log("info", "request", { ...answered }),
    corsOrigins: [],
    log,
    ...options.routes,
  });
  const server = await HttpServer.listen({
    host: "127.0.0.1",
    port: 0,
    maxBodyBytes: options.maxBodyBytes ?? 8 * 1024 * 1024,
    handler,
    release: (bytes) => addon.release(bytes),
    log,
    ...(options.refused ? { refused: options.refused } : {}),
    tls: options.tls,
    trustedProxies: options.trustedProxies ?? [],
    ...(options.limits ? { limits: options.limits } : {}),
  });
  return { server, url: server.url, certificatePem, credential, events };
}

const itself = (digest: DocumentDigest): DocumentDigest => digest;
