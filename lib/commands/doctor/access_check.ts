import { Access } from "../../auth/access.ts";
import type { AuthenticationConfig } from "../../config/authentication.ts";
import { ConfigError } from "../../config/settings.ts";
import { warnOfPlainHttp } from "../../exposure.ts";
import { readTlsFiles, warnOfTlsExpiry } from "../../http/tls_files.ts";
import type { Log } from "../../log.ts";
import type { Examined } from "./examined.ts";
import { failure, need, type Outcome, ok, warning } from "./finding.ts";
import type { AccessConfig } from "./known_configuration.ts";

type Fields = Readonly<Record<string, unknown>>;

/** What the service would warn of at its start, for a person. */
const WARNINGS: Readonly<Record<string, (fields: Fields) => Outcome>> = {
  "access.nobody": ({ setting }) =>
    warning(`${setting} lets nobody in`, "hsm-signer token create makes a token; README.md, Who may sign."),
  "access.expired": ({ setting, name, expires }) =>
    warning(`"${name}" in ${setting} ended at ${expires}`, "Take the line out, or make a new one."),
  "access.expires": ({ setting, name, expires }) =>
    warning(`"${name}" in ${setting} ends at ${expires}`, "Make a new one in time."),
  "access.unknown_credential": ({ setting, name, credentials }) =>
    warning(
      `"${name}" in ${setting} is for credentials that are not served: ${[credentials].flat().join(", ")}`,
      "Correct the line, or HSM_KEY_LABEL.",
    ),
  "jwt.keys_unavailable": ({ reason }) =>
    warning(`nobody comes in with a JWT: ${reason}`, "See that the issuer can be reached from here."),
  "tls.certificate_expired": ({ setting, notAfter }) =>
    warning(`a certificate in ${setting} ended at ${notAfter}`, "Renew it."),
  "tls.certificate_expires": ({ setting, notAfter }) =>
    warning(`a certificate in ${setting} ends at ${notAfter}`, "Renew it in time."),
  "http.plain": ({ host }) =>
    warning(
      `tokens come over plain HTTP to ${host}, and may be read on their way`,
      "Set TLS_CERT_FILE and TLS_KEY_FILE, or TRUSTED_PROXIES where a proxy speaks TLS.",
    ),
};

/** Who may sign: the ways in, the issuer, what ends soon, TLS. */
export async function* checkAccess({ known, context }: Examined): AsyncGenerator<Outcome> {
  const config = need(known.access, "the settings of who may sign (AUTH_*, TLS_*, HOST)");
  const { authentication, credentials, http } = config;
  const now = context.now();
  const warnings: Outcome[] = [];
  const log: Log = (_level, event, fields = {}) => {
    const said = WARNINGS[event];
    if (said !== undefined) warnings.push(said(fields));
  };
  const labels = credentials.map(({ label }) => label);
  yield waysIn(config);
  try {
    const access = await Access.open({ config: authentication, labels, now: () => now, log });
    access.warn();
    access.close();
    if (http.tls !== undefined) warnOfTlsExpiry(readTlsFiles(http.tls, now), now, log);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    for (const mistake of error.mistakes) yield failure(mistake.replace(/\.$/, ""), "Correct the file.");
  }
  warnOfPlainHttp(http.host, config, log);
  yield* warnings;
}

function waysIn({ authentication, http }: AccessConfig): Outcome {
  const ways = waysOf(authentication);
  const speaks = http.tls === undefined ? "" : ", over TLS";
  if (ways.length > 0) return ok(`${ways.join("; ")}${speaks}`);
  if (http.acceptsNetwork) {
    return warning(
      `whoever reaches ${http.host} can sign (ALLOW_UNAUTHENTICATED_NETWORK)`,
      "Say who may: README.md, Who may sign.",
    );
  }
  return ok(`nobody is authenticated; only this machine reaches ${http.host}${speaks}`);
}

function waysOf({ tokens, jwt, certificates }: AuthenticationConfig): readonly string[] {
  return [
    ...(tokens ? [`bearer tokens: ${tokens.length}`] : []),
    ...(jwt ? [`JWTs of ${jwt.issuer}`] : []),
    ...(certificates ? [`client certificates: ${certificates.length}`] : []),
  ];
}
