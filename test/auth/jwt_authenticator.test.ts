import assert from "node:assert/strict";
import { createHmac, randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { exportJWK, exportSPKI } from "jose";
import { Access } from "../../lib/auth/access.ts";
import type { KeySet } from "../../lib/auth/key_set.ts";
import { VerifiedTokens } from "../../lib/auth/verified_tokens.ts";
import { type Caller, UnauthenticatedError } from "../../lib/caller.ts";
import type { JwtConfig } from "../../lib/config/authentication.ts";
import { lacks } from "../../lib/runtime.ts";
import { fails } from "../support/fails.ts";
import { compact, type IssuerKey, issuerKey, TestIssuer } from "../support/issuer.ts";
import { recordingLog } from "../support/recording_log.ts";
import { SeededRandom } from "../support/seeded_random.ts";
import { temporaryDirectory } from "../support/temporary.ts";

const HASH = randomBytes(32);
let issuer: TestIssuer;
let other: IssuerKey;
before(async () => {
  const algorithms = ["ES256", "RS256", "PS256", "EdDSA", "Ed25519", "ES384", "RS512"];
  issuer = await TestIssuer.start(
    ...(await Promise.all(algorithms.map((alg) => issuerKey(`key ${alg}`, alg)))),
  );
  other = await issuerKey("key ES256");
});
after(() => issuer.stop());

const { log, events } = recordingLog();

async function open(
  config: Partial<JwtConfig> = {},
  clock: () => Date = () => new Date(),
): Promise<(token: string) => Promise<Caller>> {
  const jwt: JwtConfig = {
    issuer: issuer.url,
    audiences: ["hsm-signer"],
    keysFile: undefined,
    algorithms: ["RS256", "PS256", "ES256", "EdDSA", "Ed25519"],
    toleranceSeconds: 30,
    nameClaim: "sub",
    credentialsClaim: undefined,
    digestClaim: undefined,
    ...config,
  };
  const access = await Access.open({
    config: { tokens: undefined, certificates: undefined, jwt },
    labels: ["standard", "seal"],
    now: clock,
    log,
  });
  after(() => access.close());
  return async (token) => access.authenticate({ authorization: `Bearer ${token}`, certificate: undefined });
}

/** Is refused with that state, and nothing of the token is told to anybody. */
async function assertRefused(answer: Promise<Caller>, token: string, state: RegExp): Promise<void> {
  await assert.rejects(answer, (error) => {
    assert.ok(error instanceof UnauthenticatedError, String(error));
    assert.match(error.message, state);
    assert.match(
      error.challenge,
      /^Bearer realm="hsm-signer", error="invalid_token", error_description="[^"\\]+"$/,
    );
    assert.equal(error.cause, undefined);
    for (const part of token.split(".").filter((text) => text.length > 8))
      assert.ok(!JSON.stringify([error, error.message, error.stack]).includes(part), "it shows the token");
    return true;
  });
}

const now = (): number => Math.floor(Date.now() / 1000);

describe("A token of the issuer", () => {
  it("lets in whoever shows it, for the default credential.", async () => {
    const ask = await open();
    const caller = await ask(await issuer.token());
    assert.deepEqual(caller, { name: "jwt:alice", credentials: new Set(["standard"]), digest: undefined });
  });

  for (const alg of ["RS256", "PS256", "ES256", "EdDSA", "Ed25519"]) {
    it(`may be signed with ${alg}.`, async () => {
      const key = issuer.keys.find((each) => each.alg === alg);
      assert.equal((await (await open())(await issuer.token({}, { key }))).name, "jwt:alice");
    });
  }

  for (const [what, claims, header] of [
    ["that has just ended, by a clock that goes after ours", { exp: () => now() - 20 }, {}],
    ["that begins soon, by a clock that goes before ours", { nbf: () => now() + 20 }, {}],
    ["for several audiences", { aud: ["x", "hsm-signer"] }, {}],
    ["of the type at+jwt", {}, { typ: "at+JWT" }],
    ["of the type application/at+jwt", {}, { typ: "application/at+jwt" }],
    ["without a type", {}, { typ: undefined }],
    ["with an issuer's own claims", { roles: ["a"], "https://x/y": { z: 1 } }, {}],
    ["with a place to find another key, which nobody looks at", {}, { jku: "http://127.0.0.1:1/", x5u: "x" }],
  ] as const) {
    it(`may be one ${what}.`, async () => {
      const values = Object.entries(claims).map(([name, value]) => [
        name,
        typeof value === "function" ? value() : value,
      ]);
      const token = await issuer.token(Object.fromEntries(values), { header });
      assert.equal((await (await open())(token)).name, "jwt:alice");
    });
  }

  it("says whose it is by another claim, where that is configured.", async () => {
    const ask = await open({ nameClaim: "https://example.com/name" });
    const token = await issuer.token({ "https://example.com/name": "J\u00fcrgen M." });
    assert.equal((await ask(token)).name, "jwt:J\u00fcrgen M.");
    await assertRefused(ask(await issuer.token()), "", /does not say whose it is/);
  });
});

describe("A token that comes again", () => {
  it("is known at once, until it ends.", async () => {
    // Once: the second may end in the midst of this.
    const start = now();
    let time = new Date(1_000 * start);
    const ask = await open({ toleranceSeconds: 0 }, () => time);
    const token = await issuer.token({ exp: start + 100 });
    const first = await ask(token);
    assert.equal(await ask(token), first);
    time = new Date(1_000 * (start + 99));
    assert.equal(await ask(token), first);
    time = new Date(1_000 * (start + 101));
    await assertRefused(ask(token), token, /has expired/);
  });

  it("is one and not another: each is known by all of it.", async () => {
    const ask = await open();
    const [token, another] = [await issuer.token(), await issuer.token({ sub: "bob" })];
    const mixed = [...token.split(".").slice(0, 2), another.split(".")[2]].join(".");
    for (let round = 0; round < 3; round += 1) {
      assert.equal((await ask(token)).name, "jwt:alice");
      assert.equal((await ask(another)).name, "jwt:bob");
      await assertRefused(ask(mixed), mixed, /has a wrong signature/);
    }
  });

  it("is one of a thousand that are remembered, whoever comes.", () => {
    const verified = new VerifiedTokens();
    const keys = {} as KeySet;
    const caller: Caller = { name: "a", credentials: undefined, digest: undefined };
    const known = (name: string): boolean => verified.find(name, keys, new Date(0)) !== undefined;
    for (let count = 0; count < 2_500; count += 1) verified.add(String(count), keys, caller, 1);
    assert.deepEqual(["1499", "1500", "2499", "2500"].map(known), [false, true, true, false]);
    assert.equal(verified.find("2499", keys, new Date(1)), undefined);
    assert.equal(verified.find("2499", {} as KeySet, new Date(0)), undefined);
    verified.add("x", {} as KeySet, caller, 1);
    assert.equal(known("2499"), false);
  });
});

describe("The credentials in a token", () => {
  for (const [claim, granted] of [
    [["seal", "invoices"], new Set(["seal", "invoices"])],
    ["openid seal", new Set(["openid", "seal"])],
    ["*", undefined],
    [["*"], undefined],
    [[], new Set()],
    ["", new Set()],
    [undefined, new Set()],
    [null, new Set()],
    [1, new Set()],
    [{ seal: true }, new Set()],
    [["seal", 1, null, ["x"]], new Set(["seal"])],
  ] as const) {
    it(`are ${granted === undefined ? "all" : JSON.stringify([...granted])} for ${JSON.stringify(claim)}.`, async () => {
      const ask = await open({ credentialsClaim: "credentials" });
      assert.deepEqual((await ask(await issuer.token({ credentials: claim }))).credentials, granted);
    });
  }

  it("are not those of what every object has.", async () => {
    const ask = await open({ credentialsClaim: "constructor" });
    assert.deepEqual((await ask(await issuer.token())).credentials, new Set());
  });
});

describe("The hash in a token", () => {
  for (const claim of [
    HASH.toString("hex"),
    HASH.toString("hex").toUpperCase(),
    HASH.toString("base64url"),
  ]) {
    it(`binds it: ${claim.length} characters.`, async () => {
      const ask = await open({ digestClaim: "hash" });
      assert.deepEqual((await ask(await issuer.token({ hash: claim }))).digest, HASH);
    });
  }

  it("may be of SHA-384 and SHA-512.", async () => {
    const ask = await open({ digestClaim: "hash" });
    for (const length of [48, 64])
      for (const encoding of ["hex", "base64url"] as const) {
        const hash = randomBytes(length);
        const token = await issuer.token({ hash: hash.toString(encoding) });
        assert.deepEqual((await ask(token)).digest, hash);
      }
  });

  for (const claim of [
    undefined,
    null,
    "",
    1,
    [HASH.toString("hex")],
    HASH.toString("hex").slice(2),
    `${HASH.toString("hex")}00`,
    `0x${HASH.toString("hex")}`,
    HASH.toString("base64"),
    `${HASH.toString("base64url")}=`,
    `${Buffer.alloc(32).toString("base64url").slice(0, -1)}B`,
    "z".repeat(64).slice(0, 60),
  ]) {
    it(`has to be there, and not ${JSON.stringify(claim)}.`, async () => {
      const ask = await open({ digestClaim: "hash" });
      await assertRefused(ask(await issuer.token({ hash: claim })), "", /does not say which hash it is for/);
    });
  }
});

describe("A token is refused", () => {
  const cases: readonly (readonly [string, () => Promise<string> | string, RegExp])[] = [
    ["that has expired", () => issuer.token({ exp: now() - 31 }), /has expired/],
    ["that is not valid yet", () => issuer.token({ nbf: now() + 60 }), /is not valid yet/],
    ["without an end", () => issuer.token({ exp: undefined }), /does not say when it ends/],
    ["with a word for its end", () => issuer.token({ exp: "never" }), /does not say when it ends/],
    ["of another issuer", () => issuer.token({ iss: "https://evil.test" }), /is of another issuer/],
    ["of an issuer with a slash more", () => issuer.token({ iss: `${issuer.url}/` }), /is of another issuer/],
    ["of no issuer", () => issuer.token({ iss: undefined }), /is of another issuer/],
    ["for another audience", () => issuer.token({ aud: "other" }), /is for another audience/],
    ["for no audience", () => issuer.token({ aud: undefined }), /is for another audience/],
    ["for an audience in capitals", () => issuer.token({ aud: "HSM-SIGNER" }), /is for another audience/],
    ["for nobody", () => issuer.token({ aud: [] }), /is for another audience/],
    ["of nobody", () => issuer.token({ sub: undefined }), /does not say whose it is/],
    ["of a number", () => issuer.token({ sub: 1 }), /does not say whose it is/],
    ["of an empty name", () => issuer.token({ sub: "" }), /does not say whose it is/],
    ["of a name with a line feed", () => issuer.token({ sub: "alice\nbob" }), /does not say whose it is/],
    [
      "of a name with a change of direction",
      () => issuer.token({ sub: "a\u202eb" }),
      /does not say whose it is/,
    ],
    ["of a name that is too long", () => issuer.token({ sub: "a".repeat(256) }), /does not say whose it is/],
    [
      "of the type of a logout",
      () => issuer.token({}, { header: { typ: "logout+jwt" } }),
      /type that grants nothing/,
    ],
    ["of a type that is no text", () => issuer.token({}, { header: { typ: ["JWT"], x: 1 } }), /./],
    ["signed by somebody else", () => issuer.token({}, { key: other }), /has a wrong signature/],
    [
      "with a key that nobody has",
      () => issuer.token({}, { header: { kid: "../../key" } }),
      /a key that its issuer does not have/,
    ],
    ["with a number for a key", () => issuer.token({}, { header: { kid: 1 } }), /./],
    [
      "with its own key in the header",
      async () => {
        const { kty, crv, x, y } = await exportJWK(other.pair.publicKey);
        return issuer.token({}, { key: other, header: { jwk: { kty, crv, x, y } } });
      },
      /has a wrong signature/,
    ],
    [
      "with an algorithm that is not on the list",
      () => issuer.token({}, { key: issuer.keys.find(({ alg }) => alg === "ES384") }),
      /an algorithm that is not allowed/,
    ],
    [
      "without a signature (none)",
      () => compact({ alg: "none" }, { iss: issuer.url, aud: "hsm-signer", sub: "a", exp: now() + 60 }),
      /an algorithm that is not allowed/,
    ],
    ...["None", "NONE", "nOnE", ""].map(
      (alg) => [`without a signature (${alg})`, () => compact({ alg }, { sub: "a" }), /./] as const,
    ),
    [
      "signed with the public key as a secret (HS256)",
      async () => {
        const [key] = issuer.keys;
        const text = compact(
          { alg: "HS256", kid: key?.kid },
          { iss: issuer.url, aud: "hsm-signer", sub: "a", exp: now() + 60 },
        );
        const input = text.slice(0, -1);
        const pem = key === undefined ? "" : await exportSPKI(key.pair.publicKey);
        return `${input}.${createHmac("sha256", pem).update(input).digest("base64url")}`;
      },
      /an algorithm that is not allowed/,
    ],
    [
      "whose claims were changed",
      async () => {
        const [header, , signature] = (await issuer.token()).split(".");
        const claims = { iss: issuer.url, aud: "hsm-signer", sub: "admin", exp: now() + 60 };
        return `${header}.${Buffer.from(JSON.stringify(claims)).toString("base64url")}.${signature}`;
      },
      /has a wrong signature/,
    ],
    ["whose signature is empty", async () => (await issuer.token()).replace(/[^.]*$/, ""), /./],
    ["whose signature is cut", async () => (await issuer.token()).slice(0, -4), /./],
    [
      "whose signature is zero",
      async () => (await issuer.token()).replace(/[^.]*$/, "A".repeat(86)),
      /wrong signature/,
    ],
    ["whose header is no JSON", () => compact("{", {}), /is malformed/],
    ["whose header is an array", () => compact([], {}), /is malformed/],
    ["whose header has no algorithm", () => compact({}, {}), /is malformed/],
    [
      "that must be understood",
      () =>
        issuer
          .token({}, { header: { crit: ["exp"], exp: 1 } })
          .catch(() => compact({ alg: "ES256", crit: ["x"], x: 1 }, {})),
      /is malformed/,
    ],
    ["that is too long", () => issuer.token({ x: "a".repeat(8_000) }), /is too long/],
    ["of empty parts", () => "a..", /is malformed/],
    ["that is encrypted", () => "a.b.c.d.e", /is none of the kinds/],
    ["with something after it", async () => `${await issuer.token()} x`, /is none of the kinds/],
    ["with padding", async () => `${await issuer.token()}==`, /is none of the kinds/],
  ];
  for (const [what, make, state] of cases) {
    it(`${what}.`, async () => {
      const token = await make();
      await assertRefused((await open())(token), token, state);
    });
  }

  it("that was bent at random.", async () => {
    const random = new SeededRandom(11);
    const ask = await open();
    const token = await issuer.token();
    const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_..";
    for (let round = 0; round < 500; round += 1) {
      const place = random.below(token.length);
      const letter = alphabet.charAt(random.below(alphabet.length));
      const bent = token.slice(0, place) + letter + token.slice(place + random.below(3));
      // The last letter of base64url has bits that do not count.
      const signatureOf = (text: string): string =>
        Buffer.from(text.split(".")[2] ?? "", "base64url").toString("hex");
      const isSame = bent.slice(0, token.lastIndexOf(".")) === token.slice(0, token.lastIndexOf("."));
      if (isSame && signatureOf(bent) === signatureOf(token)) continue;
      await assertRefused(ask(bent), "", /./);
    }
  });

  it("when the wide list of algorithms is narrowed.", async () => {
    const ask = await open({ algorithms: ["RS512"] });
    await assertRefused(ask(await issuer.token()), "", /an algorithm that is not allowed/);
    const key = issuer.keys.find(({ alg }) => alg === "RS512");
    assert.equal((await ask(await issuer.token({}, { key }))).name, "jwt:alice");
  });
});

describe("The keys of an issuer in a file", () => {
  const path = join(temporaryDirectory(), "keys.json");

  it("take the place of discovery, whatever the issuer is called.", async () => {
    writeFileSync(path, JSON.stringify(await issuer.jwks()));
    const before = issuer.asked.length;
    const ask = await open({ issuer: "urn:issuer", keysFile: path });
    assert.equal((await ask(await issuer.token({ iss: "urn:issuer" }))).name, "jwt:alice");
    await assertRefused(ask(await issuer.token({}, { header: { kid: "new" } })), "", /does not have/);
    assert.equal(issuer.asked.length, before);
  });

  it("may be one that does not say which it is, and not two.", async () => {
    const [key] = (await issuer.jwks()).keys as Record<string, unknown>[];
    const bare = { ...key, kid: undefined, alg: undefined, use: undefined };
    writeFileSync(path, JSON.stringify({ keys: [bare] }));
    const token = await issuer.token({}, { header: { kid: undefined } });
    assert.equal((await (await open({ keysFile: path }))(token)).name, "jwt:alice");
    writeFileSync(path, JSON.stringify({ keys: [bare, { ...bare, kid: "b" }] }));
    await assertRefused((await open({ keysFile: path }))(token), token, /does not say which key/);
  });

  for (const [what, text, reason] of [
    ["is no JSON", "keys: s3cret", /it is not JSON$/],
    ["is no key set", '{"kty":"EC"}', /it is not a key set/],
    ["has a word for a key", '{"keys":["s3cret"]}', /it is not a key set/],
    ["has no key", '{"keys":[]}', /there is no key to verify with$/],
    ["has a key of an unknown kind", '{"keys":[{"kty":"XY"}]}', /there is no key to verify with \(.+\)$/],
    [
      "has a key that is not on its curve",
      '{"keys":[{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}]}',
      /no key/,
    ],
    [
      "has a key for encryption",
      '{"keys":[{"kty":"RSA","use":"enc","n":"AA","e":"AQAB"}]}',
      /not for signatures/,
    ],
    ["has a secret", '{"keys":[{"kty":"oct","k":"czNjcmV0"}]}', /there is a secret key among the keys/],
    ["has a private key", '{"keys":[{"kty":"EC","d":"czNjcmV0"}]}', /there is a secret key among the keys/],
    ["has too many", JSON.stringify({ keys: Array(101).fill({ kty: "EC" }) }), /more than 100 keys/],
    [
      "has a key that is too short",
      JSON.stringify({ keys: [{ kty: "RSA", e: "AQAB", n: Buffer.alloc(128, 0xff).toString("base64url") }] }),
      /an RSA key of 1024 bits/,
    ],
  ] as const) {
    it(`are not taken when it ${what}.`, async () => {
      writeFileSync(path, text);
      if (what.includes("not on its curve") && lacks("points on their curve")) {
        await open({ keysFile: path });
        return;
      }
      await assert.rejects(open({ keysFile: path }), (error) => {
        assert.ok(fails("ERR_CONFIGURATION", reason)(error), String(error));
        assert.doesNotMatch(String(error), /s3cret|czNj/);
        return true;
      });
    });
  }

  it("are not taken when it is not there.", async () => {
    await assert.rejects(open({ keysFile: `${path}.not` }), fails("ERR_CONFIGURATION", /ENOENT/));
  });
});

it("Nothing of a token was logged.", () => {
  assert.doesNotMatch(JSON.stringify(events), /eyJ|alice/);
});
