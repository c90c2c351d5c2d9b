import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Access } from "../../lib/auth/access.ts";
import { hashOfBearerToken, newBearerToken } from "../../lib/auth/bearer_token.ts";
import { ANONYMOUS, type ClientCertificate, type Presented, UnauthenticatedError } from "../../lib/caller.ts";
import type { AuthenticationConfig } from "../../lib/config/authentication.ts";
import type { Grant } from "../../lib/config/grants.ts";
import { collectGarbage } from "../support/garbage.ts";
import { recordingLog } from "../support/recording_log.ts";

const NOW = new Date("2033-05-18T03:33:20Z");
const DAY_MS = 86_400_000;
const token = newBearerToken();

function grant(more: Partial<Grant> = {}): Grant {
  const key = hashOfBearerToken(token).toString("hex");
  return { name: "billing", key, credentials: [], expires: undefined, ...more };
}

function certificate(more: Partial<ClientCertificate> = {}): ClientCertificate {
  return { names: ["CN:archive"], notAfter: NOW.getTime() + DAY_MS, fault: undefined, ...more };
}

const named = (more: Partial<Grant> = {}): Grant => grant({ name: "archive", key: "CN:archive", ...more });

async function open(config: Partial<AuthenticationConfig>, labels: readonly string[] = ["standard", "seal"]) {
  const { log, events } = recordingLog();
  const all: AuthenticationConfig = { tokens: undefined, certificates: undefined, jwt: undefined, ...config };
  const access = await Access.open({ config: all, labels, now: () => NOW, log });
  const ask = (presented: Partial<Presented>) =>
    access.authenticate({ authorization: undefined, certificate: undefined, ...presented });
  const refusal = (presented: Partial<Presented>): UnauthenticatedError => {
    try {
      ask(presented);
    } catch (error) {
      assert.ok(error instanceof UnauthenticatedError, String(error));
      assert.ok(!`${error.message}${error.challenge}`.includes(token.slice(10, 20)), "it shows the token");
      return error;
    }
    throw new Error("it was let in");
  };
  return { access, ask, refusal, events };
}

describe("Where nobody is authenticated,", () => {
  it("everybody is let in, whatever he shows.", async () => {
    const { ask, access, events } = await open({});
    for (const presented of [{}, { authorization: "Bearer x" }, { certificate: certificate({ fault: "x" }) }])
      assert.equal(ask(presented), ANONYMOUS);
    assert.deepEqual(access.facts(), {});
    access.warn();
    assert.deepEqual(events, []);
  });
});

describe("A token from a file", () => {
  it("lets in whoever shows it, as whom it names, at once.", async () => {
    const { ask } = await open({ tokens: [grant({ credentials: ["seal"] })] });
    for (const scheme of ["Bearer", "bearer", "BEARER", "Bearer   "]) {
      const caller = ask({ authorization: `${scheme} ${token}` });
      assert.deepEqual(caller, { name: "token:billing", credentials: new Set(["seal"]), digest: undefined });
    }
  });

  it("is for the default credential where it names none, and for all where it says so.", async () => {
    for (const [credentials, granted] of [
      [[], new Set(["standard"])],
      [["*"], undefined],
      [["seal", "other"], new Set(["seal", "other"])],
    ] as const) {
      const { ask } = await open({ tokens: [grant({ credentials })] });
      const caller = ask({ authorization: `Bearer ${token}` });
      assert.deepEqual((caller as { credentials?: unknown }).credentials, granted);
    }
  });

  it("is one of many.", async () => {
    const tokens = Array.from({ length: 500 }, newBearerToken);
    const { ask, refusal } = await open({
      tokens: tokens.map((each, index) =>
        grant({ name: `n${index}`, key: hashOfBearerToken(each).toString("hex") }),
      ),
    });
    for (const [index, each] of tokens.entries())
      assert.equal((ask({ authorization: `Bearer ${each}` }) as { name?: string }).name, `token:n${index}`);
    assert.match(refusal({ authorization: `Bearer ${token}` }).message, /is not known/);
  });

  it("ends when it ends.", async () => {
    const at = async (expires: number) => open({ tokens: [grant({ expires })] });
    assert.ok((await at(NOW.getTime() + 1)).ask({ authorization: `Bearer ${token}` }));
    assert.match(
      (await at(NOW.getTime())).refusal({ authorization: `Bearer ${token}` }).message,
      /has expired/,
    );
  });

  for (const [what, authorization, state] of [
    ["one that nobody knows", `Bearer ${newBearerToken()}`, "is not known"],
    ["one that was cut", `Bearer ${token.slice(0, -1)}`, "is not whole, or was mistyped"],
    [
      "one that was mistyped",
      `Bearer ${token.slice(0, 20)}${token.slice(21)}A`,
      "is not whole, or was mistyped",
    ],
    [
      "its hash",
      `Bearer ${hashOfBearerToken(token).toString("hex")}`,
      "is none of the kinds that are known here",
    ],
    ["two in one field", `Bearer ${token} ${token}`, "is not whole, or was mistyped"],
    ["two that a proxy has joined", `Bearer ${token}, Bearer ${token}`, "is not whole, or was mistyped"],
    ["one with a comma", `Bearer ${token},`, "is not whole, or was mistyped"],
    ["one in quotes", `Bearer "${token}"`, "is none of the kinds that are known here"],
    ["none", "Bearer", "is none of the kinds that are known here"],
    ["a JWT", "Bearer eyJhbGciOiJub25lIn0.e30.", "is none of the kinds that are known here"],
    ["8,000 letters", `Bearer ${"a".repeat(8_000)}`, "is none of the kinds that are known here"],
    ["a long one of ours", `Bearer hsms_${"a".repeat(8_000)}`, "is not whole, or was mistyped"],
  ] as const) {
    it(`is not ${what}.`, async () => {
      const error = (await open({ tokens: [grant()] })).refusal({ authorization });
      assert.equal(error.message, `Cannot authenticate: the token ${state}`);
      assert.equal(
        error.challenge,
        `Bearer realm="hsm-signer", error="invalid_token", error_description="the token ${state}"`,
      );
    });
  }

  for (const authorization of [
    undefined,
    "",
    token,
    `Basic ${Buffer.from(`x:${token}`).toString("base64")}`,
    `Bearer:${token}`,
    `Bearer=${token}`,
    `Bearer${token}`,
    `Token ${token}`,
    `DPoP ${token}`,
    `x Bearer ${token}`,
  ]) {
    it(`is not shown by ${JSON.stringify(authorization?.replace(token, "…"))}, and no error is named.`, async () => {
      const { message, challenge } = (await open({ tokens: [grant()] })).refusal({ authorization });
      assert.equal(message, "Cannot authenticate: nothing says who asks");
      assert.equal(challenge, 'Bearer realm="hsm-signer"');
    });
  }
});

describe("A client certificate", () => {
  it("lets in whoever shows it, as whom the file names.", async () => {
    const { ask } = await open({ certificates: [named({ credentials: ["seal"] })] });
    const caller = { name: "tls:archive", credentials: new Set(["seal"]), digest: undefined };
    assert.deepEqual(ask({ certificate: certificate() }), caller);
    const names = ["DNS:x.example.com", "CN:archive", "URI:x"];
    assert.deepEqual(ask({ certificate: certificate({ names }) }), caller);
    // There is nobody here who takes tokens.
    assert.deepEqual(ask({ certificate: certificate(), authorization: "Bearer x" }), caller);
  });

  it("may have several names of one caller, and none of two.", async () => {
    const certificates = [named(), named({ name: "other", key: "DNS:other" })];
    const { refusal } = await open({ certificates });
    const { message } = refusal({ certificate: certificate({ names: ["CN:archive", "DNS:other"] }) });
    assert.match(message, /is of several who may sign/);
  });

  for (const [what, shown, state] of [
    ["of another authority", certificate({ fault: "UNABLE_TO_VERIFY" }), /is not valid \(UNABLE_TO_VERIFY\)/],
    ["that has ended since it was shown", certificate({ notAfter: NOW.getTime() - 1 }), /has expired/],
    ["of somebody else", certificate({ names: ["CN:other"] }), /is of nobody who may sign/],
    ["without a name", certificate({ names: [] }), /is of nobody who may sign/],
    ["with its name as another kind", certificate({ names: ["DNS:archive"] }), /is of nobody who may sign/],
    ["with its name in capitals", certificate({ names: ["CN:ARCHIVE"] }), /is of nobody who may sign/],
    ["with its name and more", certificate({ names: ["CN:archive\u0000"] }), /is of nobody who may sign/],
    ["with the name of what every object has", certificate({ names: ["constructor"] }), /is of nobody/],
  ] as const) {
    it(`is not one ${what}.`, async () => {
      const { message, challenge } = (await open({ certificates: [named()] })).refusal({
        certificate: shown,
      });
      assert.match(message, state);
      assert.equal(challenge, 'ClientCertificate realm="hsm-signer"');
    });
  }

  it("is no use any more when its line has ended.", async () => {
    const { refusal } = await open({ certificates: [named({ expires: NOW.getTime() })] });
    assert.match(refusal({ certificate: certificate() }).message, /may not sign any more/);
  });

  it("is what 401 asks for where there is no other way in.", async () => {
    const { challenge } = (await open({ certificates: [named()] })).refusal({});
    assert.equal(challenge, 'ClientCertificate realm="hsm-signer"');
  });
});

describe("Several ways in", () => {
  const both = { tokens: [grant()], certificates: [named()] };
  const bearer = `Bearer ${token}`;

  it("let in by either.", async () => {
    const { ask } = await open(both);
    assert.equal((ask({ authorization: bearer }) as { name?: string }).name, "token:billing");
    assert.equal((ask({ certificate: certificate() }) as { name?: string }).name, "tls:archive");
    const basic = { authorization: "Basic eDp4", certificate: certificate() };
    assert.equal((ask(basic) as { name?: string }).name, "tls:archive");
  });

  it("take a token before a certificate, which may be bad or that of a proxy.", async () => {
    const { ask } = await open(both);
    for (const shown of [certificate(), certificate({ fault: "x" }), certificate({ names: ["CN:proxy"] })])
      assert.equal(
        (ask({ authorization: bearer, certificate: shown }) as { name?: string }).name,
        "token:billing",
      );
  });

  it("refuse a token that is not good, whatever certificate comes with it.", async () => {
    const { refusal } = await open(both);
    for (const authorization of ["Bearer", "Bearer x", `Bearer ${newBearerToken()}`]) {
      const { challenge } = refusal({ authorization, certificate: certificate() });
      assert.match(challenge, /invalid_token/);
    }
  });

  it("are named in the facts, and nobody else is.", async () => {
    const { access } = await open(both);
    assert.deepEqual(access.facts(), { authentication: { ways: ["tokens", "certificates"] } });
  });
});

describe("One reading of the configuration", () => {
  it("keeps nothing of those before it.", async () => {
    const config: AuthenticationConfig = { tokens: [grant()], certificates: undefined, jwt: undefined };
    const former: WeakRef<Access>[] = [];
    let access: Access | undefined;
    for (let count = 0; count < 5; count += 1) {
      if (access !== undefined) former.push(new WeakRef(access));
      access = await Access.open({
        config,
        labels: [],
        now: () => NOW,
        log: () => {},
        former: former.at(-1)?.deref(),
      });
    }
    // Whatever a WeakRef was made of lives until the end of the job.
    await new Promise((resolve) => setImmediate(resolve));
    collectGarbage();
    assert.ok(access);
    assert.deepEqual(
      former.map((each) => each.deref()),
      former.map(() => undefined),
    );
  });
});

describe("An operator hears", () => {
  it("of tokens that have ended or will soon, of credentials that nobody serves, and of files of nobody.", async () => {
    const at = (days: number): number => NOW.getTime() + days * DAY_MS;
    const { access, events } = await open({
      tokens: [
        grant({ name: "ended", expires: at(-2) }),
        grant({ name: "ends", expires: at(14) }),
        grant({ name: "lasts", expires: at(16), credentials: ["seal"] }),
        grant({ name: "all", credentials: ["*"] }),
        grant({ name: "slip", credentials: ["seal", "saal"] }),
      ],
      certificates: [],
    });
    access.warn();
    const setting = "AUTH_TOKENS_FILE";
    assert.deepEqual(
      events.map(({ level, event, fields }) => [level, event, fields]),
      [
        [
          "warning",
          "access.expired",
          { setting, name: "ended", expires: "2033-05-16T03:33:20.000Z", days: -2 },
        ],
        [
          "warning",
          "access.expires",
          { setting, name: "ends", expires: "2033-06-01T03:33:20.000Z", days: 14 },
        ],
        ["warning", "access.unknown_credential", { setting, name: "slip", credentials: ["saal"] }],
        ["warning", "access.nobody", { setting: "AUTH_TLS_NAMES_FILE" }],
      ],
    );
  });
});
