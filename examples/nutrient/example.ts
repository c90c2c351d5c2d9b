import { mkdirSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { PROJECT } from "../../dev/service_process.ts";
import { startThrowawayService } from "../../dev/throwaway_service.ts";
import { startPageServer } from "./page_server.ts";

const DIRECTORY = join(PROJECT, ".softhsm/example");

export interface Example {
  /** Of the page. */
  readonly url: string;
  /** Of the service that it signs through. */
  readonly service: string;
  stop(): Promise<void>;
}

/**
 * Starts a throwaway service, and a page on an origin of its own that signs through it.
 *
 * @param ports 0 for any free one
 */
export async function startExample(ports: {
  readonly page: number;
  readonly service: number;
}): Promise<Example> {
  let address = "";
  // The service has to know the page's origin, and the page where the service is.
  const server = await startPageServer(ports.page, () => address);
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  mkdirSync(DIRECTORY, { recursive: true, mode: 0o700 });
  const service = await startThrowawayService(DIRECTORY, { PORT: String(ports.service), CORS_ORIGINS: url });
  address = service.url;
  const stop = async (): Promise<void> => {
    server.close();
    server.closeAllConnections();
    await service.stop();
  };
  return { url, service: address, stop };
}
