import type { Server as TlsServer } from "node:https";
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import type { ClientCertificate } from "../caller.ts";
import { clientCertificateOf } from "./client_certificate.ts";
import type { TlsFiles } from "./tls_files.ts";

export interface TlsSideOptions {
  readonly server: TlsServer;
  readonly files: TlsFiles;
  /** Takes a connection that speaks TLS. */
  onSecure(socket: Socket): void;
  /** Told of a connection that never came to it. */
  onRefused(address: string | undefined, error: NodeJS.ErrnoException): void;
}

/** What a server has to do with TLS before and besides HTTP. */
export class TlsSide {
  readonly #server: TlsServer;
  #files: TlsFiles;
  /** Connections that do not speak TLS yet, by the address of their other side. */
  readonly #handshakes = new Map<string, Socket>();
  readonly #certificates = new WeakMap<object, ClientCertificate>();

  constructor({ server, files, onSecure, onRefused }: TlsSideOptions) {
    this.#server = server;
    this.#files = files;
    server.on("connection", (socket: Socket) => this.#await(socket));
    server.on("secureConnection", (socket: TLSSocket) => {
      this.#handshakes.delete(placeOf(socket));
      const certificate = clientCertificateOf(socket);
      if (certificate !== undefined) this.#certificates.set(socket, certificate);
      onSecure(socket);
    });
    // Otherwise it would be answered as bad HTTP, on a connection that speaks nothing yet.
    server.removeAllListeners("tlsClientError");
    server.on("tlsClientError", (error: NodeJS.ErrnoException, socket: TLSSocket) => {
      onRefused(socket.remoteAddress, error);
      socket.destroy();
    });
  }

  certificateOf(socket: object): ClientCertificate | undefined {
    return this.#certificates.get(socket);
  }

  /**
   * What connections are made with from now on. Sessions of before are not resumed: their tickets' key is gone.
   * Where clients are vouched for by others than before, what does not speak TLS yet ends: its handshake would be
   * judged by the former ones.
   *
   * @returns whether clients are vouched for by others than before
   */
  renew(files: TlsFiles): boolean {
    const isOther = files.clientCa !== this.#files.clientCa;
    this.#server.setSecureContext(files.context);
    this.#files = files;
    if (isOther) this.close();
    return isOther;
  }

  /** Ends what does not speak TLS yet. */
  close(): void {
    for (const socket of this.#handshakes.values()) socket.destroy();
  }

  #await(socket: Socket): void {
    const place = placeOf(socket);
    this.#handshakes.set(place, socket);
    socket.once("close", () => {
      if (this.#handshakes.get(place) === socket) this.#handshakes.delete(place);
    });
  }
}

function placeOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}
