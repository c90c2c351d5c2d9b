import { BlockList, isIP } from "node:net";
import type { Settings } from "./settings.ts";

/**
 * The address to listen on; anything wider than loopback has to be wanted in words.
 *
 * @param acceptsRisk whether it was
 */
export function readHost(settings: Settings, acceptsRisk: boolean): string {
  const host = settings.text("HOST") ?? "127.0.0.1";
  if (host !== "localhost" && isIP(host) === 0) {
    settings.mistake(`HOST must be an IP address or localhost, not "${host}".`);
  } else if (!isLoopback(host) && !acceptsRisk) {
    settings.mistake(
      `HOST is ${host}, but nobody is authenticated yet: whoever reaches the port can sign. ` +
        "Listen on loopback behind a proxy that authenticates, or accept the risk with " +
        "ALLOW_UNAUTHENTICATED_NETWORK=true.",
    );
  }
  return host;
}

/** Whether only this machine reaches an IP address, or `localhost`. */
export function isLoopback(host: string): boolean {
  const loopback = new BlockList();
  loopback.addSubnet("127.0.0.0", 8, "ipv4");
  loopback.addAddress("::1", "ipv6");
  return host === "localhost" || loopback.check(host, isIP(host) === 6 ? "ipv6" : "ipv4");
}

/** The origins whose pages may call. */
export function readOrigins(settings: Settings): readonly string[] {
  const origins = (settings.text("CORS_ORIGINS") ?? "").split(/[\s,]+/).filter((origin) => origin !== "");
  for (const origin of origins) {
    if (origin === "*") continue;
    // URL takes * for a host's letter; it would be compared as it stands, and no page be let in.
    if (origin.includes("*") || !URL.canParse(origin) || new URL(origin).origin !== origin) {
      settings.mistake(
        `CORS_ORIGINS holds "${origin}", which is not an origin such as https://app.example.com (or * alone).`,
      );
    }
  }
  if (origins.includes("*") && origins.length > 1) {
    settings.mistake("CORS_ORIGINS holds * beside other origins; * alone allows all of them.");
  }
  return Object.freeze(origins);
}
