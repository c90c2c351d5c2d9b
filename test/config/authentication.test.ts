import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type Config, parseConfig } from "../../lib/config/config.ts";
import { ConfigError, type Environment } from "../../lib/config/settings.ts";

const MINIMUM: Environment = { HSM_MODULE: "/module.so", HSM_PIN: "1234" };
const HASH = "0123456789abcdef".repeat(4);
const FILES: Readonly<Record<string, string>> = {
  "/module.so": "",
  tokens: `{"name":"billing","sha256":"${HASH}"}\n`,
  wrong: "{}\n[]\n",
  names: '{"name":"archive","certificate":"DNS:archive.example.com"}\n',
  "keys.json": "{}",
};
const ISSUER = "https://issuer.example.com/realm";
const JWT = { AUTH_JWT_ISSUER: ISSUER, AUTH_JWT_AUDIENCE: "hsm-signer" };
const TLS = { TLS_CERT_FILE: "cert.pem", TLS_KEY_FILE: "key.pem" };
const CERTIFICATES = { ...TLS, TLS_CLIENT_CA_FILE: "ca.pem", AUTH_TLS_NAMES_FILE: "names" };

function parse(environment: Environment): Config {
  return parseConfig(
    { ...MINIMUM, ...environment },
    {
      fileExists: (path) => Object.hasOwn(FILES, path),
      readFile: (path) => {
        const text = FILES[path];
        if (text === undefined) throw new Error(`ENOENT: no such file or directory, open '${path}'`);
        return text;
      },
      distinguishedNameFault: () => undefined,
    },
  );
}

function mistakesOf(environment: Environment): readonly string[] {
  try {
    parse(environment);
    return [];
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error));
    return error.mistakes;
  }
}

describe("The ways in", () => {
  it("are bearer tokens from a file,", () => {
    const { tokens, jwt, certificates } = parse({ AUTH_TOKENS_FILE: "tokens" }).authentication;
    assert.deepEqual(tokens, [{ name: "billing", key: HASH, credentials: [], expires: undefined }]);
    assert.deepEqual([jwt, certificates], [undefined, undefined]);
  });

  it("tokens of an issuer,", () => {
    const { jwt } = parse(JWT).authentication;
    assert.deepEqual(jwt, {
      issuer: ISSUER,
      audiences: ["hsm-signer"],
      keysFile: undefined,
      algorithms: ["RS256", "PS256", "ES256", "EdDSA", "Ed25519"],
      toleranceSeconds: 30,
      nameClaim: "sub",
      credentialsClaim: undefined,
      digestClaim: undefined,
    });
  });

  it("with all that can be said of these,", () => {
    const { jwt } = parse({
      AUTH_JWT_ISSUER: "anything",
      AUTH_JWT_AUDIENCE: "https://a.example.com, b",
      AUTH_JWKS_FILE: "keys.json",
      AUTH_JWT_ALGORITHMS: "ES384 ES512",
      AUTH_JWT_CLOCK_TOLERANCE: "0",
      AUTH_JWT_NAME_CLAIM: "client_id",
      AUTH_JWT_CREDENTIALS_CLAIM: "scope",
      AUTH_JWT_DIGEST_CLAIM: "hash",
    }).authentication;
    assert.deepEqual(jwt, {
      issuer: "anything",
      audiences: ["https://a.example.com", "b"],
      keysFile: "keys.json",
      algorithms: ["ES384", "ES512"],
      toleranceSeconds: 0,
      nameClaim: "client_id",
      credentialsClaim: "scope",
      digestClaim: "hash",
    });
  });

  it("and client certificates.", () => {
    const { http, authentication } = parse(CERTIFICATES);
    assert.deepEqual(http.tls, { certificateFile: "cert.pem", keyFile: "key.pem", clientCaFile: "ca.pem" });
    assert.equal(authentication.certificates?.[0]?.key, "DNS:archive.example.com");
  });

  for (const [what, environment] of [
    ["tokens", { AUTH_TOKENS_FILE: "tokens" }],
    ["an issuer", JWT],
    ["client certificates", CERTIFICATES],
    ["an accepted risk", { ALLOW_UNAUTHENTICATED_NETWORK: "true" }],
  ] as const) {
    it(`open the service to other machines: ${what}.`, () => {
      const { http } = parse({ ...environment, HOST: "0.0.0.0" });
      assert.equal(http.acceptsNetwork, true);
    });
  }

  it("are not opened by TLS, proxies or limits alone.", () => {
    const environment = { ...TLS, TRUSTED_PROXIES: "10.0.0.0/8", LIMIT_RATE: "5", HOST: "0.0.0.0" };
    assert.match(mistakesOf(environment).join(), /^HOST is 0\.0\.0\.0, but nobody is authenticated/);
  });

  for (const issuer of [
    "https://a.example.com",
    "https://a.example.com/",
    "http://127.0.0.1:8080/x",
    "http://[::1]:1",
  ]) {
    it(`may be an issuer at ${issuer}.`, () => {
      assert.deepEqual(mistakesOf({ ...JWT, AUTH_JWT_ISSUER: issuer }), []);
    });
  }
});

/** Settings, and the beginnings of the mistakes in them. */
const WRONG: readonly (readonly [Environment, readonly string[]])[] = [
  [
    { AUTH_TOKENS_FILE: "nowhere" },
    ['AUTH_TOKENS_FILE names "nowhere", which does not exist; hsm-signer token create'],
  ],
  [
    { AUTH_TOKENS_FILE: "wrong" },
    ["AUTH_TOKENS_FILE has a mistake: wrong, line 1", "AUTH_TOKENS_FILE has a mistake: wrong, line 2"],
  ],
  [
    { AUTH_TOKEN_FILE: "tokens" },
    ["AUTH_TOKEN_FILE is not a setting; the AUTH_* settings are AUTH_TOKENS_FILE"],
  ],
  [{ LIMIT_RATES: "5" }, ["LIMIT_RATES is not a setting; the LIMIT_* settings are LIMIT_RATE"]],
  [{ AUTH_JWT_ISSUER: ISSUER }, ["AUTH_JWT_AUDIENCE must say"]],
  [{ AUTH_JWT_AUDIENCE: "a" }, ["AUTH_JWT_AUDIENCE needs AUTH_JWT_ISSUER"]],
  [{ AUTH_JWKS_FILE: "keys.json" }, ["AUTH_JWKS_FILE needs AUTH_JWT_ISSUER"]],
  [{ AUTH_JWT_DIGEST_CLAIM: "hash" }, ["AUTH_JWT_DIGEST_CLAIM needs AUTH_JWT_ISSUER"]],
  [{ ...JWT, AUTH_JWKS_FILE: "nowhere" }, ["AUTH_JWKS_FILE names"]],
  ...[
    "http://issuer.example.com",
    "issuer.example.com",
    "https://a.example.com?x",
    "https://u:p@a.example.com",
    "ftp://a",
  ].map((issuer) => [{ ...JWT, AUTH_JWT_ISSUER: issuer }, ["AUTH_JWT_ISSUER must be an https URL"]] as const),
  ...["none", "HS256", "RS256 HS512", "rs256", "ES256K", "dir"].map(
    (names) => [{ ...JWT, AUTH_JWT_ALGORITHMS: names }, ["AUTH_JWT_ALGORITHMS holds"]] as const,
  ),
  [{ ...JWT, AUTH_JWT_CLOCK_TOLERANCE: "301" }, ["AUTH_JWT_CLOCK_TOLERANCE must be"]],
  [{ TLS_CERT_FILE: "a" }, ["TLS_CERT_FILE needs TLS_KEY_FILE"]],
  [{ TLS_KEY_FILE: "a" }, ["TLS_KEY_FILE needs TLS_CERT_FILE"]],
  [
    { TLS_CLIENT_CA_FILE: "a" },
    ["TLS_CLIENT_CA_FILE needs TLS_CERT_FILE", "TLS_CLIENT_CA_FILE needs AUTH_TLS_NAMES_FILE"],
  ],
  [{ ...TLS, TLS_CLIENT_CA_FILE: "a" }, ["TLS_CLIENT_CA_FILE needs AUTH_TLS_NAMES_FILE"]],
  [{ ...TLS, AUTH_TLS_NAMES_FILE: "names" }, ["AUTH_TLS_NAMES_FILE needs TLS_CLIENT_CA_FILE"]],
  [{ ...CERTIFICATES, AUTH_TLS_NAMES_FILE: "tokens" }, ["AUTH_TLS_NAMES_FILE has a mistake: tokens, line 1"]],
  ...["10.0.0.0/33", "::/129", "10.0.0", "proxy.example.com", "10.0.0.0/8/8", "10.0.0.0/-1", "/8"].map(
    (proxy) => [{ TRUSTED_PROXIES: `127.0.0.1 ${proxy}` }, ["TRUSTED_PROXIES holds"]] as const,
  ),
  [{ LIMIT_BURST: "5" }, ["LIMIT_BURST needs LIMIT_RATE"]],
  [{ LIMIT_RATE: "0", LIMIT_IN_FLIGHT: "x" }, ["LIMIT_RATE must be", "LIMIT_IN_FLIGHT must be"]],
];

describe("A mistake in who may sign", () => {
  for (const [environment, expected] of WRONG) {
    it(`is named for ${JSON.stringify(environment)}.`, () => {
      const mistakes = mistakesOf(environment);
      assert.equal(mistakes.length, expected.length, mistakes.join("\n"));
      for (const beginning of expected) {
        assert.ok(
          mistakes.some((mistake) => mistake.startsWith(beginning) && mistake.endsWith(".")),
          `${beginning} … in\n${mistakes.join("\n")}`,
        );
      }
    });
  }
});

describe("The limits and the proxies", () => {
  it("are read.", () => {
    const { limits, http } = parse({
      LIMIT_RATE: "5",
      LIMIT_IN_FLIGHT: "3",
      TRUSTED_PROXIES: "10.0.0.0/8, 127.0.0.1 fd00::/8",
    });
    assert.deepEqual(limits, { rate: 5, burst: 5, inFlight: 3 });
    assert.deepEqual(http.trustedProxies, ["10.0.0.0/8", "127.0.0.1", "fd00::/8"]);
    assert.equal(parse({ LIMIT_RATE: "5", LIMIT_BURST: "50" }).limits.burst, 50);
  });
});
