import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { after, before, describe, it } from "node:test";
import type { HsmSignerOptions } from "../../client/hsm_signer.js";
import { signatureAlgorithm } from "../../lib/algorithms.ts";
import { Access } from "../../lib/auth/access.ts";
import { hashOfBearerToken, newBearerToken } from "../../lib/auth/bearer_token.ts";
import { SignerError } from "../../lib/errors.ts";
import { frontEnd } from "../../lib/http/front_end.ts";
import {
  type SoftwareService,
  type SoftwareServiceOptions,
  startSoftwareService,
} from "../support/http_service.ts";
import { judgeSignedData } from "../support/judges.ts";
import type { ScriptedServer } from "../support/scripted_server.ts";
import { startApp } from "./support/app.ts";
import { type OpenPage, useChromium } from "./support/chromium.ts";

const ALGORITHM = signatureAlgorithm("P-256", "SHA-256");
const DOCUMENT = randomBytes(2_000_000);
const HASH = createHash("sha256").update(DOCUMENT).digest("hex").toUpperCase();

/** What happens in the page: the module from somewhere, its options, and what the SDK would hand over. */
interface Act {
  readonly module: string;
  readonly options: Omit<HsmSignerOptions, "url" | "signal"> & { readonly url: string };
  readonly hash?: string;
  /** Base64 of the byte range. */
  readonly contents?: string;
  readonly abortAfterMs?: number;
}

/** What came of it: the container, in base64, or what was thrown. */
type Outcome =
  | { readonly container: string; readonly isArrayBuffer: boolean }
  | { readonly name: string; readonly code: unknown; readonly detail: unknown; readonly status: unknown };

async function act({ page }: OpenPage, given: Act): Promise<Outcome> {
  return page.evaluate(async ({ module, options, hash, contents, abortAfterMs }) => {
    const { HsmSignerError, hsmSigner } = await import(module);
    const controller = new AbortController();
    if (abortAfterMs !== undefined) setTimeout(() => controller.abort(), abortAfterMs);
    const bytes =
      contents === undefined ? null : await (await fetch(`data:;base64,${contents}`)).arrayBuffer();
    try {
      const sign = hsmSigner({ ...options, signal: controller.signal });
      const container = await sign({ hash, fileContents: bytes, dataToBeSigned: new Uint8Array(77) });
      const text = String.fromCharCode(...new Uint8Array(container));
      return { container: btoa(text), isArrayBuffer: container instanceof ArrayBuffer };
    } catch (error) {
      const { name, code, detail, status } = error as Record<string, unknown>;
      return {
        name: error instanceof HsmSignerError ? "HsmSignerError" : String(name),
        code,
        detail,
        status,
      };
    }
  }, given);
}

function assertValid(outcome: Outcome, { certificatePem }: SoftwareService): void {
  assert.ok("container" in outcome, JSON.stringify(outcome));
  assert.ok(outcome.isArrayBuffer);
  const container = Buffer.from(outcome.container, "base64");
  for (const { judge, valid, text } of judgeSignedData(container, DOCUMENT, certificatePem, ALGORITHM)) {
    assert.ok(valid, `${judge}: ${text}`);
  }
}

describe("In a page of another origin, the client module", () => {
  const open = useChromium();
  let app: ScriptedServer | undefined;
  let page: OpenPage | undefined;
  const services: SoftwareService[] = [];

  before(async () => {
    app = await startApp();
  });
  after(async () => {
    app?.close();
    for (const { server } of services) await server.stop(0);
  });

  async function startService(options: SoftwareServiceOptions = {}): Promise<SoftwareService> {
    const routes = { corsOrigins: [app?.url ?? ""], files: frontEnd({ demoPage: false }), ...options.routes };
    const service = await startSoftwareService({ ...options, routes });
    services.push(service);
    return service;
  }

  /** Runs a test in a fresh page of the app. */
  const inApp = (run: (page: OpenPage) => Promise<void>) => async (): Promise<void> => {
    page = await open(app?.url ?? "");
    try {
      await run(page);
    } finally {
      await page.close();
    }
  };

  const of = ({ url }: { readonly url: string }, options: Partial<Act["options"]> = {}) => ({
    module: `${url}/client.js`,
    options: { url: `${url}/sign`, ...options },
  });

  it(
    "comes from the service, and has the hash signed; nothing else leaves the page",
    inApp(async (page) => {
      const service = await startService();
      const contents = DOCUMENT.toString("base64");
      assertValid(await act(page, { ...of(service), hash: HASH, contents }), service);
      const posts = page.requests.filter(({ method }) => method === "POST");
      assert.deepEqual(
        posts.map(({ url, body }) => ({ url, body })),
        [{ url: `${service.url}/sign`, body: JSON.stringify({ hash: HASH }) }],
      );
      assert.deepEqual(page.faults, []);
    }),
  );

  it(
    "sends the bytes where the SDK has no usable hash",
    inApp(async (page) => {
      const service = await startService();
      const contents = DOCUMENT.toString("base64");
      for (const hash of ["", HASH.slice(0, 40)]) {
        assertValid(await act(page, { ...of(service), hash, contents }), service);
      }
      const posts = page.requests.filter(({ method }) => method === "POST");
      assert.deepEqual(
        posts.map(({ headers }) => headers["content-type"]),
        ["application/octet-stream", "application/octet-stream"],
      );
    }),
  );

  it(
    "sends a token, which a preflight asks for, and the name of a credential",
    inApp(async (page) => {
      const service = await startService();
      const options = { token: "a.b.c", credential: "board & seal" };
      assertValid(await act(page, { ...of(service, options), hash: HASH }), service);
      const posted = page.requests.find(({ method }) => method === "POST");
      assert.equal(posted?.headers["authorization"], "Bearer a.b.c");
      assert.equal(new URL(posted?.url ?? "").searchParams.get("credential"), "board & seal");
    }),
  );

  it(
    "is let in with its token, and says what is wrong with another",
    inApp(async (page) => {
      const token = newBearerToken();
      const key = hashOfBearerToken(token).toString("hex");
      const tokens = [{ name: "page", key, credentials: ["*"], expires: undefined }];
      const access = await Access.open({
        config: { tokens, certificates: undefined, jwt: undefined },
        labels: [],
        now: () => new Date(),
        log: () => {},
      });
      const service = await startService({
        routes: { authenticate: (presented) => access.authenticate(presented) },
      });
      assertValid(await act(page, { ...of(service, { token }), hash: HASH }), service);
      const refused = { name: "HsmSignerError", code: "ERR_UNAUTHENTICATED", status: 401 };
      assert.deepEqual(await act(page, { ...of(service, { token: newBearerToken() }), hash: HASH }), {
        ...refused,
        detail: "Cannot authenticate: the token is not known",
      });
      assert.deepEqual(await act(page, { ...of(service), hash: HASH }), {
        ...refused,
        detail: "Cannot authenticate: nothing says who asks",
      });
    }),
  );

  it(
    "turns a problem into an error with code, detail and status",
    inApp(async (page) => {
      const service = await startService();
      assert.deepEqual(await act(page, { ...of(service), contents: "" }), {
        name: "HsmSignerError",
        code: "ERR_DOCUMENT_EMPTY",
        detail: "Cannot sign: the document has no bytes",
        status: 422,
      });
    }),
  );

  it(
    "tries a busy service once more, when it said to",
    inApp(async (page) => {
      let count = 0;
      const service = await startService({
        sign: async () => {
          count += 1;
          if (count % 3 !== 0) throw new SignerError("ERR_TOKEN_BUSY", "Cannot sign: no session is free");
          return Buffer.from("3000", "hex");
        },
      });
      const first = await act(page, { ...of(service), hash: HASH });
      assert.deepEqual(first, {
        name: "HsmSignerError",
        code: "ERR_TOKEN_BUSY",
        detail: "The HSM is busy.",
        status: 503,
      });
      assert.equal(count, 2);
      count = 1;
      const second = await act(page, { ...of(service), hash: HASH });
      assert.ok("container" in second, JSON.stringify(second));
      assert.equal(count, 3);
    }),
  );

  it(
    "ends when its time is over, and when it is told to",
    inApp(async (page) => {
      const service = await startService({ sign: () => new Promise(() => {}) });
      const late = await act(page, { ...of(service, { timeoutMs: 300 }), hash: HASH });
      assert.deepEqual(late, {
        name: "HsmSignerError",
        code: "ERR_CLIENT_TIMEOUT",
        detail: "Cannot sign: no answer in 300 ms",
        status: undefined,
      });
      const aborted = await act(page, { ...of(service), hash: HASH, abortAfterMs: 300 });
      assert.equal("name" in aborted && aborted.name, "AbortError");
    }),
  );

  it(
    "cannot be had, nor used, by a page whose origin is not listed",
    inApp(async (page) => {
      const service = await startService({ routes: { corsOrigins: ["https://app.example.com"] } });
      await assert.rejects(
        act(page, { ...of(service), hash: HASH }),
        /Failed to fetch dynamically imported module/,
      );
      const outcome = await act(page, { ...of(service), module: `${app?.url}/client.js`, hash: HASH });
      assert.equal("code" in outcome && outcome.code, "ERR_CLIENT_NETWORK");
      assert.ok(
        page.faults.some((fault) => /blocked by CORS policy/.test(fault)),
        page.faults.join("\n"),
      );
    }),
  );

  it(
    "says that a service is away",
    inApp(async (page) => {
      const gone = await startApp();
      gone.close();
      const outcome = await act(page, { ...of(gone), module: `${app?.url}/client.js`, hash: HASH });
      assert.deepEqual(outcome, {
        name: "HsmSignerError",
        code: "ERR_CLIENT_NETWORK",
        detail: "Cannot sign: the signing service cannot be reached, or does not allow pages of this origin",
        status: undefined,
      });
    }),
  );

  it(
    "is readable when the browser had it already and asked whether it has changed",
    inApp(async (page) => {
      const service = await startService();
      // No function with a name may be in here: what tsx makes of it is not in the page.
      const texts = await page.page.evaluate(async (url) => {
        const found: string[] = [];
        for (const cache of ["default", "no-cache"] as const)
          found.push(await (await fetch(url, { cache })).text());
        return found;
      }, `${service.url}/client.js`);
      assert.match(texts[0] ?? "", /export function hsmSigner/);
      assert.equal(texts[1], texts[0]);
    }),
  );
});

describe("In a page of another origin, the guide's own client", () => {
  const open = useChromium();

  it("signs what it can read, and ends at its own limit", async () => {
    const app = await startApp();
    const service = await startSoftwareService({ routes: { corsOrigins: [app.url] } });
    const page = await open(app.url);
    const sign = (length: number): Promise<string> =>
      page.page.evaluate(
        async ({ url, length }) => {
          const module = "/guide_client.js";
          const { generatePKCS7 } = await import(module);
          const fileContents = new Uint8Array(length).fill(7).buffer;
          const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", fileContents));
          const hash = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0").toUpperCase()).join(
            "",
          );
          const container = await generatePKCS7(url, { hash, fileContents });
          return btoa(String.fromCharCode(...new Uint8Array(container)));
        },
        { url: service.url, length },
      );
    try {
      for (const length of [1, 60_000, 100_000]) {
        const container = Buffer.from(await sign(length), "base64");
        const content = Buffer.alloc(length, 7);
        for (const { judge, valid, text } of judgeSignedData(
          container,
          content,
          service.certificatePem,
          ALGORITHM,
        )) {
          assert.ok(valid, `${length} bytes, ${judge}: ${text}`);
        }
      }
      assert.deepEqual(page.faults, []);
      await assert.rejects(sign(1_000_000), /RangeError: Maximum call stack size exceeded/);
    } finally {
      await page.close();
      app.close();
      await service.server.stop(0);
    }
  });
});
