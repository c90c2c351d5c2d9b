import { type Agent, request as tlsRequest } from "node:https";
import { type ConnectionOptions, TLSSocket } from "node:tls";
import { deferred } from "../../lib/deferred.ts";
import { GOOD_BODY } from "./hostile/row.ts";

export interface TlsReply {
  readonly status: number | undefined;
  readonly headers: Readonly<Record<string, unknown>>;
  /** The common name in the server's certificate. */
  readonly serverName: string | undefined;
}

export interface TlsRequestOptions extends ConnectionOptions {
  /** Keeps connections; without, each request has its own. */
  readonly agent?: Agent;
  /** A document, in place of the good request's. */
  readonly document?: Buffer;
}

/** A good sign request over TLS. */
export function requestOverTls(url: string, options: TlsRequestOptions): Promise<TlsReply> {
  const { promise, resolve, reject } = deferred<TlsReply>();
  const { document, ...how } = options;
  const headers = { "content-type": document === undefined ? "application/json" : "application/pdf" };
  const request = tlsRequest(`${url}/sign`, { method: "POST", headers, agent: false, ...how }, (response) => {
    const { socket, statusCode: status } = response;
    const serverName =
      socket instanceof TLSSocket ? String(socket.getPeerCertificate().subject.CN) : undefined;
    response.resume().once("end", () => resolve({ status, headers: response.headers, serverName }));
  });
  request.once("error", reject).end(document ?? GOOD_BODY);
  return promise;
}
