import { BlockList, isIP } from "node:net";
import type { Settings } from "./settings.ts";

/**
 * The address to listen on; anything wider than loopback has to be wanted in words, where nobody is authenticated.
 *
 * @param acceptsNetwork whether other machines may reach the service
 */
export function readHost(settings: Settings, acceptsNetwork: boolean): string {
  const host = settings.text("HOST") ?? "127.0.0.1";
  if (host !== "localhost" && isIP(host) === 0) {
    settings.mistake(`HOST must be an IP address or localhost, not "${host}".`);
  } else if (!isLoopback(host) && !acceptsNetwork) {
    settings.mistake(
      `HOST is ${host}, but nobody is authenticated yet: whoever reaches the port can sign. ` +
        "Say who may sign with AUTH_TOKENS_FILE, AUTH_JWT_ISSUER or AUTH_TLS_NAMES_FILE, listen on loopback " +
        "behind a proxy that authenticates, or accept the risk with ALLOW_UNAUTHENTICATED_NETWORK=true.",
    );
  }
  return host;
}

/** Whether only this machine reaches an IP address, or `localhost`. */
export function isLoopback(host: string): boolean {
  const loopback = new BlockList();
  loopback.addSubnet("127.0.0.0", 8, "ipv4");
  loopback.addAddress("::1", "ipv6");
  const family = isIP(host);
  return host === "localhost" || (family !== 0 && loopback.check(host, family === 6 ? "ipv6" : "ipv4"));
}

/** The origins whose pages may call. */
export function readOrigins(settings: Settings): readonly string[] {
  const origins = settings.list("CORS_ORIGINS");
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
  return origins;
}

/** The addresses of proxies before the service, IP addresses and networks as in `10.0.0.0/8`. */
export function readTrustedProxies(settings: Settings): readonly string[] {
  const proxies = settings.list("TRUSTED_PROXIES");
  for (const proxy of proxies.filter((candidate) => !isNetwork(candidate))) {
    settings.mistake(
      `TRUSTED_PROXIES holds "${proxy}", which is neither an IP address nor a network such as 10.0.0.0/8.`,
    );
  }
  return proxies;
}

function isNetwork(text: string): boolean {
  const [, address = "", prefix] = /^([^/]*)(?:\/(\d{1,3}))?$/.exec(text) ?? [];
  const family = isIP(address);
  return family !== 0 && Number(prefix ?? 0) <= (family === 6 ? 128 : 32);
}
