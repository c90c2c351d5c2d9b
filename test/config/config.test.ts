import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { inspect } from "node:util";
import { CLOUDHSM_MODULE, type Config, parseConfig } from "../../lib/config/config.ts";
import { ConfigError, type ConfigSources, type Environment } from "../../lib/config/settings.ts";
import { distinguishedNameFault } from "../../lib/credential/distinguished_name.ts";

const MODULE = "/usr/lib/softhsm/libsofthsm2.so";
const PIN = "crypto-user:s3cret-PIN";
/** The least that has to be set. */
const MINIMUM: Environment = { HSM_MODULE: MODULE, HSM_PIN: PIN };

/** A machine with these files: what a file holds, or the reason why it cannot be read. */
function machine(files: Readonly<Record<string, string | Error>> = {}): ConfigSources {
  const all: Readonly<Record<string, string | Error>> = { [MODULE]: "", ...files };
  return {
    fileExists: (path) => Object.hasOwn(all, path),
    readFile: (path) => {
      const content = all[path] ?? new Error(`ENOENT: no such file or directory, open '${path}'`);
      if (content instanceof Error) throw content;
      return content;
    },
    distinguishedNameFault,
  };
}

const parse = (environment: Environment, files?: Readonly<Record<string, string | Error>>): Config =>
  parseConfig(environment, machine(files));

function mistakesOf(
  environment: Environment,
  files?: Readonly<Record<string, string | Error>>,
): readonly string[] {
  try {
    parse(environment, files);
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error));
    assert.equal(error.code, "ERR_CONFIGURATION");
    for (const mistake of error.mistakes) assert.ok(error.message.includes(mistake));
    assert.doesNotMatch(error.message + inspect(error) + JSON.stringify(error), /s3cret/);
    return error.mistakes;
  }
  return [];
}

/** The one mistake is about that setting, and says so in a sentence. */
function assertMistake(mistakes: readonly string[], name: string, pattern: RegExp = /./): void {
  assert.equal(mistakes.length, 1, mistakes.join("\n"));
  const [mistake = ""] = mistakes;
  assert.ok(mistake.startsWith(`${name} `), mistake);
  assert.match(mistake, /\.$/);
  assert.match(mistake, pattern);
}

describe("The configuration", () => {
  it("has the defaults of the README.", () => {
    const { token, credentials, demoPage, autoProvision, certificate, http, authentication, limits } =
      parse(MINIMUM);
    const [{ label, algorithm }] = credentials;
    assert.equal(token.modulePath, MODULE);
    assert.equal(token.pin.reveal(), PIN);
    assert.equal(token.label, undefined);
    assert.equal(token.sessions, 16);
    assert.equal(label, "hsm-signer");
    assert.equal(credentials.length, 1);
    assert.equal(autoProvision, false);
    assert.equal(demoPage, false);
    assert.equal(algorithm.key.name, "RSA-2048");
    assert.equal(algorithm.scheme, "PKCS1");
    assert.equal(algorithm.hash.name, "SHA-256");
    assert.equal(certificate.directory, "certs");
    assert.equal(certificate.days, 730);
    assert.match(certificate.subject, /self-signed/i);
    assert.equal(distinguishedNameFault(certificate.subject), undefined);
    assert.deepEqual(http, {
      host: "127.0.0.1",
      port: 3756,
      acceptsNetwork: false,
      corsOrigins: [],
      maxBodyBytes: 1024 ** 3,
      tls: undefined,
      trustedProxies: [],
    });
    assert.deepEqual(authentication, { tokens: undefined, certificates: undefined, jwt: undefined });
    assert.deepEqual(limits, { rate: undefined, burst: 0, inFlight: undefined });
  });

  it("takes an empty value for none.", () => {
    const names = [
      "HSM_TOKEN_LABEL",
      "HSM_SESSIONS",
      "HSM_KEY_LABEL",
      "DIGEST",
      "HOST",
      "PORT",
      "CORS_ORIGINS",
    ];
    const empty = Object.fromEntries(names.map((name) => [name, ""]));
    assert.deepEqual(JSON.stringify(parse({ ...MINIMUM, ...empty })), JSON.stringify(parse(MINIMUM)));
  });

  it("cannot be changed.", () => {
    const config = parse({ ...MINIMUM, CORS_ORIGINS: "https://a.test" });
    for (const part of [
      config,
      config.token,
      config.credentials,
      config.credentials[0],
      config.certificate,
      config.http,
      config.http.corsOrigins,
      config.http.trustedProxies,
      config.authentication,
      config.limits,
    ]) {
      assert.ok(Object.isFrozen(part));
    }
  });

  it("takes no notice of what is not its own.", () => {
    assert.deepEqual(mistakesOf({ ...MINIMUM, PATH: "/bin", XHSM_PIN: "x", hsm_pin: "x", HSM: "x" }), []);
  });
});

type Row = readonly [Environment, (config: Config) => unknown, unknown];

const VALID: readonly Row[] = [
  [{ HSM_TOKEN_LABEL: "my token" }, ({ token }) => token.label, "my token"],
  [{ HSM_SESSIONS: "1" }, ({ token }) => token.sessions, 1],
  [{ HSM_SESSIONS: "1023" }, ({ token }) => token.sessions, 1023],
  [{ HSM_KEY_LABEL: "Key 1_a-b.c@d+e" }, ({ credentials: [{ label }] }) => label, "Key 1_a-b.c@d+e"],
  [{ HSM_KEY_LABEL: "k".repeat(100) }, ({ credentials: [{ label }] }) => label, "k".repeat(100)],
  [{ HSM_AUTO_PROVISION: "true" }, ({ autoProvision }) => autoProvision, true],
  [{ HSM_AUTO_PROVISION: "false" }, ({ autoProvision }) => autoProvision, false],
  [{ DEMO_PAGE: "true" }, ({ demoPage }) => demoPage, true],
  ...["RSA-2048", "RSA-3072", "RSA-4096", "P-256", "P-384", "P-521"].map(
    (name): Row => [
      { HSM_KEY_ALGORITHM: name },
      ({ credentials: [{ algorithm }] }) => algorithm.key.name,
      name,
    ],
  ),
  ...["SHA-256", "SHA-384", "SHA-512"].map(
    (name): Row => [{ DIGEST: name }, ({ credentials: [{ algorithm }] }) => algorithm.hash.name, name],
  ),
  ...["PKCS1", "PSS"].map(
    (name): Row => [{ SIGNATURE_SCHEME: name }, ({ credentials: [{ algorithm }] }) => algorithm.scheme, name],
  ),
  [{ HSM_KEY_ALGORITHM: "P-384" }, ({ credentials: [{ algorithm }] }) => algorithm.scheme, "ECDSA"],
  [{ CERT_DIR: "/var/lib/hsm signer" }, ({ certificate }) => certificate.directory, "/var/lib/hsm signer"],
  [{ CERT_SUBJECT: "CN=A, O=B" }, ({ certificate }) => certificate.subject, "CN=A, O=B"],
  [{ CERT_DAYS: "1" }, ({ certificate }) => certificate.days, 1],
  [{ CERT_DAYS: "3650" }, ({ certificate }) => certificate.days, 3650],
  ...["127.0.0.1", "127.255.255.254", "::1", "0:0:0:0:0:0:0:1", "::ffff:127.0.0.1", "localhost"].map(
    (host): Row => [{ HOST: host }, ({ http }) => http.host, host],
  ),
  ...["0.0.0.0", "::", "10.0.0.1", "2001:db8::1"].map(
    (host): Row => [{ HOST: host, ALLOW_UNAUTHENTICATED_NETWORK: "true" }, ({ http }) => http.host, host],
  ),
  [{ PORT: "0" }, ({ http }) => http.port, 0],
  [{ PORT: "65535" }, ({ http }) => http.port, 65535],
  [{ CORS_ORIGINS: "*" }, ({ http }) => http.corsOrigins, ["*"]],
  [
    { CORS_ORIGINS: " https://a.test,http://localhost:3000\nhttps://[::1]:8443 " },
    ({ http }) => http.corsOrigins,
    ["https://a.test", "http://localhost:3000", "https://[::1]:8443"],
  ],
  [{ CORS_ORIGINS: " , " }, ({ http }) => http.corsOrigins, []],
  [{ MAX_BODY_BYTES: "1" }, ({ http }) => http.maxBodyBytes, 1],
  [{ MAX_BODY_BYTES: "9007199254740991" }, ({ http }) => http.maxBodyBytes, Number.MAX_SAFE_INTEGER],
];

const NOT_WHOLE = [
  "-1",
  "+1",
  "1.5",
  "1e3",
  "0x10",
  " 1",
  "1 ",
  "\u0661",
  "NaN",
  "Infinity",
  "many",
  "1,000",
  "9".repeat(30),
];
const NOT_ORIGINS = [
  "app.example.com",
  "https://app.example.com/",
  "https://app.example.com/path",
  "https://app.example.com?x",
  "https://app.example.com:443",
  "HTTPS://app.example.com",
  "https://APP.example.com",
  "https://user@app.example.com",
  "https://*.example.com",
  "https://",
  "//app.example.com",
  "file:///etc",
  "data:text/html",
  "null",
  "https://m\u00fcnchen.test",
] as const;

/** What each setting does not take. */
const INVALID: Readonly<Record<string, readonly string[]>> = {
  HSM_MODULE: ["/nowhere/libx.so"],
  HSM_SESSIONS: ["0", "1024", ...NOT_WHOLE],
  HSM_KEY_LABEL: [
    "../key",
    "a/b",
    "a\\b",
    ".hidden",
    "..",
    "a\nb",
    "a\u0000b",
    "schl\u00fcssel",
    "k".repeat(101),
    "a:b",
    "a*",
  ],
  HSM_KEY_ALGORITHM: [
    "RSA",
    "RSA-1024",
    "rsa-2048",
    "P-255",
    "Ed25519",
    "secp256k1",
    "constructor",
    " RSA-2048",
  ],
  HSM_AUTO_PROVISION: ["1", "yes", "TRUE", "on", "0", "false "],
  DEMO_PAGE: ["1", "yes", "TRUE"],
  DIGEST: ["SHA-1", "MD5", "sha256", "SHA256", "SHA-224", "__proto__"],
  SIGNATURE_SCHEME: ["PKCS7", "pss", "ECDSA", "RSA-PSS"],
  CERT_DAYS: ["0", "3651", ...NOT_WHOLE],
  CERT_SUBJECT: ["Example Ltd", "=", "CN=", "CN=A,,O=B", "XX=A"],
  HOST: [
    "example.com",
    "127.1",
    "0177.0.0.1",
    "127.0.0.1:3756",
    "[::1]",
    "http://127.0.0.1",
    "*",
    "LOCALHOST",
    "256.0.0.1",
  ],
  ALLOW_UNAUTHENTICATED_NETWORK: ["1", "yes"],
  PORT: ["65536", ...NOT_WHOLE],
  CORS_ORIGINS: [...NOT_ORIGINS, "* https://a.test", "https://a.test *"],
  MAX_BODY_BYTES: ["0", "9007199254740992", "1GiB", ...NOT_WHOLE],
};

describe("A setting", () => {
  for (const [environment, actual, expected] of VALID) {
    it(`may be ${JSON.stringify(environment)}.`, () => {
      assert.deepEqual(actual(parse({ ...MINIMUM, ...environment })), expected);
    });
  }

  for (const [name, values] of Object.entries(INVALID)) {
    for (const value of values) {
      it(`may not be ${name}=${JSON.stringify(value.length > 40 ? `${value.slice(0, 20)}…` : value)}.`, () => {
        assertMistake(mistakesOf({ ...MINIMUM, [name]: value }), name);
      });
    }
  }

  for (const host of [
    "0.0.0.0",
    "::",
    "10.0.0.1",
    "128.0.0.1",
    "126.255.255.255",
    "::2",
    "::ffff:10.0.0.1",
    "fe80::1%lo",
  ]) {
    it(`may not be HOST=${host}, which others reach, without a word that the risk is accepted.`, () => {
      for (const flag of [undefined, "", "false"]) {
        const mistakes = mistakesOf({ ...MINIMUM, HOST: host, ALLOW_UNAUTHENTICATED_NETWORK: flag });
        assertMistake(mistakes, "HOST", /ALLOW_UNAUTHENTICATED_NETWORK=true/);
      }
    });
  }

  it("may not be a scheme of RSA where the key is another.", () => {
    for (const scheme of ["PKCS1", "PSS"]) {
      const mistakes = mistakesOf({ ...MINIMUM, HSM_KEY_ALGORITHM: "P-256", SIGNATURE_SCHEME: scheme });
      assertMistake(mistakes, "SIGNATURE_SCHEME", /P-256/);
    }
  });

  it("may not have a name with HSM_ before it that nobody knows, and its value is not shown.", () => {
    for (const name of ["HSM_PINFILE", "HSM_PIN2", "HSM_SLOT", "HSM_", "HSM_pin"]) {
      assertMistake(mistakesOf({ ...MINIMUM, [name]: "s3cret" }), name, /HSM_PIN_FILE/);
    }
  });

  it("is one of several mistakes that are reported together, each with its name.", () => {
    const environment = {
      HSM_TOKEN: "x",
      HSM_SESSIONS: "0",
      HSM_KEY_LABEL: "/",
      HSM_KEY_ALGORITHM: "DSA",
      HSM_AUTO_PROVISION: "maybe",
      DIGEST: "SHA-1",
      SIGNATURE_SCHEME: "none",
      CERT_DAYS: "x",
      CERT_SUBJECT: "x",
      HOST: "0.0.0.0",
      PORT: "x",
      CORS_ORIGINS: "x, y",
      MAX_BODY_BYTES: "x",
    };
    const mistakes = mistakesOf(environment);
    const names = mistakes.map((mistake) => mistake.split(" ")[0]).sort();
    const expected = [...Object.keys(environment), "CORS_ORIGINS", "HSM_MODULE", "HSM_PIN_FILE"].sort();
    assert.deepEqual(names, expected);
  });
});

describe("The PKCS#11 module", () => {
  it("is CloudHSM's where that is installed and nothing else is said.", () => {
    const { token } = parse({ HSM_PIN: PIN }, { [CLOUDHSM_MODULE]: "" });
    assert.equal(token.modulePath, CLOUDHSM_MODULE);
  });

  it("is the one that is named, where CloudHSM's is installed too.", () => {
    assert.equal(parse(MINIMUM, { [CLOUDHSM_MODULE]: "" }).token.modulePath, MODULE);
  });

  it("has to be named where CloudHSM's is not installed: nothing is guessed.", () => {
    assertMistake(mistakesOf({ HSM_PIN: PIN }), "HSM_MODULE");
  });
});

const FILE = "/run/secrets/pin";
const CREDENTIAL = "/run/credentials/hsm-signer.service/hsm-pin";
const EVERYWHERE: Environment = {
  HSM_MODULE: MODULE,
  HSM_PIN_FILE: FILE,
  CREDENTIALS_DIRECTORY: "/run/credentials/hsm-signer.service",
  HSM_PIN: "u:from HSM_PIN",
  PIN: "u:from PIN",
};
const FILES = { [FILE]: "u:from the file\n", [CREDENTIAL]: "u:from the credential\n" };

describe("The PIN", () => {
  const pinOf = (environment: Environment, files: Readonly<Record<string, string | Error>> = FILES): string =>
    parse(environment, files).token.pin.reveal();

  it("comes from the file, the systemd credential, HSM_PIN or PIN, in this order.", () => {
    assert.equal(pinOf(EVERYWHERE), "u:from the file");
    assert.equal(pinOf({ ...EVERYWHERE, HSM_PIN_FILE: undefined }), "u:from the credential");
    assert.equal(pinOf({ ...EVERYWHERE, HSM_PIN_FILE: "" }), "u:from the credential");
    const withoutCredential = { ...EVERYWHERE, HSM_PIN_FILE: undefined, CREDENTIALS_DIRECTORY: undefined };
    assert.equal(pinOf(withoutCredential), "u:from HSM_PIN");
    assert.equal(pinOf({ ...withoutCredential, HSM_PIN: undefined }), "u:from PIN");
    assert.equal(pinOf({ ...withoutCredential, HSM_PIN: "" }), "u:from PIN");
  });

  it("comes from the environment where systemd gives other credentials only.", () => {
    assert.equal(pinOf({ ...EVERYWHERE, HSM_PIN_FILE: undefined }, { [FILE]: "" }), "u:from HSM_PIN");
  });

  it("has to come from somewhere.", () => {
    assertMistake(mistakesOf({ HSM_MODULE: MODULE }), "HSM_PIN_FILE", /hsm-pin/);
  });

  for (const [text, pin] of [
    ["u:secret", "u:secret"],
    ["u:secret\n", "u:secret"],
    ["u:secret\r\n", "u:secret"],
    ["u:secret\n\n", "u:secret\n"],
    ["u:secret \n", "u:secret "],
    [" u:secret\n", " u:secret"],
    ["1234\r", "1234\r"],
    ["\u00fc:\u{1f511}\n", "\u00fc:\u{1f511}"],
  ] as const) {
    it(`is ${JSON.stringify(pin)} where its file holds ${JSON.stringify(text)}.`, () => {
      assert.equal(pinOf(EVERYWHERE, { [FILE]: text }), pin);
    });
  }

  it("is never looked for elsewhere when its file cannot be read or is empty.", () => {
    const denied = new Error(`EACCES: permission denied, open '${FILE}'`);
    for (const [content, pattern] of [
      [denied, /EACCES/],
      ["", /no PIN/],
      ["\n", /no PIN/],
    ] as const) {
      assertMistake(mistakesOf(EVERYWHERE, { ...FILES, [FILE]: content }), "HSM_PIN_FILE", pattern);
      const { HSM_PIN_FILE, ...rest } = EVERYWHERE;
      assertMistake(mistakesOf(rest, { ...FILES, [CREDENTIAL]: content }), "The systemd credential", pattern);
      assert.equal(HSM_PIN_FILE, FILE);
    }
    assertMistake(mistakesOf(EVERYWHERE, {}), "HSM_PIN_FILE", /ENOENT/);
  });

  it("has a user part on CloudHSM, since each refused login brings the user nearer to being locked.", () => {
    const cloudHsm = { HSM_MODULE: CLOUDHSM_MODULE };
    const files = { [CLOUDHSM_MODULE]: "" };
    for (const pin of ["s3cret", ":s3cret", "s3cret:", ":"]) {
      for (const name of ["HSM_PIN", "PIN"]) {
        assertMistake(mistakesOf({ ...cloudHsm, [name]: pin }, files), name, /<crypto user>:<password>/);
      }
      const mistakes = mistakesOf({ ...cloudHsm, HSM_PIN_FILE: FILE }, { ...files, [FILE]: pin });
      assertMistake(mistakes, "HSM_PIN_FILE", /<crypto user>:<password>/);
    }
    assert.deepEqual(mistakesOf({ ...cloudHsm, PIN: "user:pass:word" }, files), []);
    assert.deepEqual(mistakesOf({ HSM_MODULE: MODULE, PIN: "1234" }), []);
  });

  it("shows nowhere, however the configuration is printed.", () => {
    const config = parse(MINIMUM);
    const { pin } = config.token;
    const texts = [
      JSON.stringify(config),
      inspect(config, { depth: null, showHidden: true, getters: true }),
      inspect(pin, { showHidden: true, customInspect: false }),
      `${pin}`,
      String(pin),
      JSON.stringify({ ...pin }),
      Object.keys(pin).join(),
    ];
    for (const text of texts) assert.doesNotMatch(text, /s3cret|crypto-user/);
    assert.match(JSON.stringify(config), /\[redacted\]/);
  });

  it("shows in no mistake, not even where it was written in the place of its file.", () => {
    assertMistake(mistakesOf({ ...MINIMUM, HSM_PIN_FILE: PIN }), "HSM_PIN_FILE", /ENOENT/);
    // mistakesOf looks for it in the error.
    mistakesOf({ ...MINIMUM, HSM_MODULE: undefined, PORT: "x", HSM_PINS: PIN });
  });
});

describe("Several credentials", () => {
  const credentialsOf = (environment: Environment): string[] =>
    parse({ ...MINIMUM, ...environment }).credentials.map(
      ({ label, algorithm: { key, scheme, hash } }) => `${label}: ${key.name} ${scheme} ${hash.name}`,
    );

  it("are labels with commas between, the default one first.", () => {
    assert.deepEqual(credentialsOf({ HSM_KEY_LABEL: "main, second one ,third" }), [
      "main: RSA-2048 PKCS1 SHA-256",
      "second one: RSA-2048 PKCS1 SHA-256",
      "third: RSA-2048 PKCS1 SHA-256",
    ]);
  });

  it("each say what differs from the other settings, in any order.", () => {
    const environment = {
      HSM_KEY_LABEL: "a, b:P-384:SHA-384, c:PSS, d : SHA-512 : PKCS1 : RSA-4096",
      HSM_KEY_ALGORITHM: "RSA-3072",
      SIGNATURE_SCHEME: "PSS",
    };
    assert.deepEqual(credentialsOf(environment), [
      "a: RSA-3072 PSS SHA-256",
      "b: P-384 ECDSA SHA-384",
      "c: RSA-3072 PSS SHA-256",
      "d: RSA-4096 PKCS1 SHA-512",
    ]);
  });

  it("may have a scheme for those of RSA beside others.", () => {
    const environment = { HSM_KEY_LABEL: "a:P-256, b", SIGNATURE_SCHEME: "PSS" };
    assert.deepEqual(credentialsOf(environment), ["a: P-256 ECDSA SHA-256", "b: RSA-2048 PSS SHA-256"]);
  });

  for (const [value, pattern] of [
    ["a,a", /names "a" twice/],
    ["a,,b", /one is ""/],
    ["a,", /one is ""/],
    ["a:RSA-1024", /"RSA-1024" of "a", which is none of RSA-2048, .*SHA-512, PKCS1, PSS/],
    ["a:", /"" of "a"/],
    ["a:P-256:PSS", /"a" a scheme for RSA, but P-256 signs with ECDSA/],
    ["a:pss", /"pss" of "a"/],
    ["a, ../b", /one is "..\/b"/],
  ] as const) {
    it(`may not be "${value}".`, () => {
      assertMistake(mistakesOf({ ...MINIMUM, HSM_KEY_LABEL: value }), "HSM_KEY_LABEL", pattern);
    });
  }
});

describe("A settings file", () => {
  const file = "/etc/hsm-signer.conf";
  const mistakesIn = (text: string | Error, environment: Environment = {}): readonly string[] =>
    mistakesOf({ ...MINIMUM, CONFIG_FILE: file, ...environment }, { [file]: text });

  it("stands beside the environment.", () => {
    const config = parse(
      { ...MINIMUM, CONFIG_FILE: file, CERT_DAYS: "10" },
      { [file]: "PORT=1234\nHSM_KEY_LABEL=x" },
    );
    assert.equal(config.http.port, 1234);
    assert.equal(config.credentials[0].label, "x");
    assert.equal(config.certificate.days, 10);
  });

  it("gives way to what a command line says.", () => {
    const sources = machine({ [file]: "HSM_KEY_LABEL=x" });
    const config = parseConfig({ ...MINIMUM, CONFIG_FILE: file }, sources, { HSM_KEY_LABEL: "y" });
    assert.equal(config.credentials[0].label, "y");
  });

  it("has its mistakes reported with all others.", () => {
    const mistakes = mistakesIn("PORT\nPORTS=1\nHSM_PINS=1", { DIGEST: "SHA-1" });
    assert.equal(mistakes.length, 4, mistakes.join("\n"));
    assert.match(
      mistakes.join("\n"),
      /line 1, does not read.*\nPORTS in .* is not a setting.*\nHSM_PINS in .*\nDIGEST must/s,
    );
  });

  it("holds no PIN, and shows none that it holds.", () => {
    for (const name of ["HSM_PIN", "PIN"]) {
      assertMistake(mistakesIn(`${name}=s3cret`), name, /does not belong .* HSM_PIN_FILE/);
    }
  });

  it("says nothing that the environment says too.", () => {
    assertMistake(
      mistakesIn("PORT=1", { PORT: "1" }),
      "PORT",
      /environment and in \/etc\/hsm-signer.conf; keep one/,
    );
    assert.deepEqual(mistakesIn("PORT=1", { PORT: "" }), []);
  });

  it("is named when it cannot be read.", () => {
    assertMistake(mistakesIn(new Error("EACCES: permission denied")), "CONFIG_FILE", /EACCES/);
  });
});
