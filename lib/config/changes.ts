import type { Config } from "./config.ts";

/** The settings that differ and that a reload leaves as they were. */
export function unchangeable(former: Config, next: Config): readonly string[] {
  const differs: Readonly<Record<string, boolean>> = {
    HSM_MODULE: former.token.modulePath !== next.token.modulePath,
    HSM_TOKEN_LABEL: former.token.label !== next.token.label,
    HSM_SESSIONS: former.token.sessions !== next.token.sessions,
    HOST: former.http.host !== next.http.host,
    PORT: former.http.port !== next.http.port,
    MAX_BODY_BYTES: former.http.maxBodyBytes !== next.http.maxBodyBytes,
    TLS_CERT_FILE: (former.http.tls === undefined) !== (next.http.tls === undefined),
    TLS_CLIENT_CA_FILE: asksForCertificates(former) !== asksForCertificates(next),
  };
  return Object.keys(differs).filter((name) => differs[name]);
}

/** The next configuration as far as a reload can let it hold. */
export function reloadable(former: Config, next: Config): Config {
  const { host, port, maxBodyBytes, tls } = former.http;
  const speaksAlike = !unchangeable(former, next).some((name) => name.startsWith("TLS_"));
  const http = { ...next.http, host, port, maxBodyBytes, tls: speaksAlike ? next.http.tls : tls };
  return { ...next, token: former.token, http };
}

function asksForCertificates({ http }: Config): boolean {
  return http.tls?.clientCaFile !== undefined;
}
