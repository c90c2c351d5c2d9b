import { isIP } from "node:net";
import { isLoopback } from "./listener.ts";
import type { Settings } from "./settings.ts";

export interface MetricsConfig {
  /** Whether the service's own address answers `GET /metrics`. */
  readonly onService: boolean;
  /** An address of their own. */
  readonly listener: { readonly host: string; readonly port: number } | undefined;
}

export const METRICS_SETTINGS: readonly string[] = [
  "METRICS",
  "METRICS_HOST",
  "METRICS_PORT",
  "ALLOW_METRICS_NETWORK",
];

/** Where the metrics are shown: nowhere, unless somebody wants it; and whom they show load and errors to. */
export function readMetrics(settings: Settings): MetricsConfig {
  const onService = settings.flag("METRICS");
  const acceptsRisk = settings.flag("ALLOW_METRICS_NETWORK");
  const hasPort = settings.text("METRICS_PORT") !== undefined;
  const port = settings.integer("METRICS_PORT", 0, 0, 65_535);
  const host = settings.text("METRICS_HOST") ?? "127.0.0.1";
  if (!hasPort) {
    for (const name of ["METRICS_HOST", "ALLOW_METRICS_NETWORK"]) {
      if (settings.text(name) === undefined) continue;
      settings.mistake(`${name} is for an address of the metrics' own, and METRICS_PORT does not say which.`);
    }
    return Object.freeze({ onService, listener: undefined });
  }
  if (host !== "localhost" && isIP(host) === 0) {
    settings.mistake(`METRICS_HOST must be an IP address or localhost, not "${host}".`);
  } else if (!isLoopback(host) && !acceptsRisk) {
    settings.mistake(
      `METRICS_HOST is ${host}, where whoever reaches the port reads the metrics. Listen on loopback, or accept ` +
        "that with ALLOW_METRICS_NETWORK=true.",
    );
  }
  return Object.freeze({ onService, listener: Object.freeze({ host, port }) });
}
