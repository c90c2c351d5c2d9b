import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { HsmSignerError, hsmSigner } from "../../client/hsm_signer.js";
import { signatureAlgorithm } from "../../lib/algorithms.ts";
import { type SoftwareService, startSoftwareService } from "../support/http_service.ts";
import { judgeSignedData } from "../support/judges.ts";
import { type ScriptedReply, type SeenRequest, scriptedServer } from "../support/scripted_server.ts";

const ALGORITHM = signatureAlgorithm("P-256", "SHA-256");
const DOCUMENT = randomBytes(300_000);
const HASH = createHash("sha256").update(DOCUMENT).digest("hex").toUpperCase();

const CONTAINER = Buffer.from("3003020101", "hex");
const SIGNED: ScriptedReply = {
  status: 200,
  headers: { "content-type": "application/pkcs7-signature" },
  body: CONTAINER,
};

function busy(retryAfter?: string): ScriptedReply {
  return {
    status: 503,
    headers: {
      "content-type": "application/problem+json",
      ...(retryAfter ? { "retry-after": retryAfter } : {}),
    },
    body: '{"title":"Service Unavailable","status":503,"code":"ERR_TOKEN_BUSY","detail":"The HSM is busy."}',
  };
}

type Script = (request: SeenRequest, index: number) => ScriptedReply;

/** Runs a test against a server that answers as it is told. */
function against(script: Script, run: (url: string, seen: readonly SeenRequest[]) => Promise<void>) {
  return async (): Promise<void> => {
    const server = await scriptedServer(script);
    try {
      await run(`${server.url}/sign`, server.seen);
    } finally {
      server.close();
    }
  };
}

async function refusalOf(promise: Promise<unknown>): Promise<HsmSignerError> {
  try {
    await promise;
  } catch (error) {
    assert.ok(error instanceof HsmSignerError, String(error));
    assert.ok(error instanceof Error);
    assert.equal(error.name, "HsmSignerError");
    assert.equal(error.message, error.detail);
    return error;
  }
  throw new Error("Cannot go on: it was signed");
}

describe("With the service, the client", () => {
  let service: SoftwareService | undefined;
  const sign = (given: Parameters<ReturnType<typeof hsmSigner>>[0]): Promise<ArrayBuffer> =>
    hsmSigner({ url: `${service?.url}/sign` })(given);
  before(async () => {
    service = await startSoftwareService();
  });
  after(() => service?.server.stop(0));

  for (const [what, given] of [
    ["the SDK's hash", { hash: HASH, fileContents: DOCUMENT.buffer as ArrayBuffer }],
    ["the hash alone, as in CAdES mode", { hash: HASH, fileContents: null }],
    ["the hash in lower case", { hash: HASH.toLowerCase() }],
    ["the bytes, where there is no hash", { fileContents: new Uint8Array(DOCUMENT) }],
    [
      "the bytes, where the hash is another one",
      { hash: HASH.slice(0, 40), fileContents: new Blob([DOCUMENT]) },
    ],
    ["the bytes, where the hash is null", { hash: null, fileContents: new Uint8Array(DOCUMENT).buffer }],
  ] as const) {
    it(`gives a container over ${what} that the judges find valid.`, async () => {
      const container = await sign(given);
      assert.ok(container instanceof ArrayBuffer);
      const verdicts = judgeSignedData(
        new Uint8Array(container),
        DOCUMENT,
        service?.certificatePem ?? "",
        ALGORITHM,
      );
      for (const { judge, valid, text } of verdicts) assert.ok(valid, `${judge}: ${text}`);
    });
  }

  it("turns a problem into an error with its code, its detail and its status.", async () => {
    const { code, detail, status, requestId } = await refusalOf(sign({ fileContents: new ArrayBuffer(0) }));
    assert.match(requestId ?? "", /./);
    assert.deepEqual(
      { code, detail, status },
      { code: "ERR_DOCUMENT_EMPTY", detail: "Cannot sign: the document has no bytes", status: 422 },
    );
  });
});

describe("The client", () => {
  it(
    "sends the hash and nothing else, where it is usable",
    against(
      () => SIGNED,
      async (url, seen) => {
        const container = await hsmSigner({ url })({ hash: HASH, fileContents: new Uint8Array(DOCUMENT) });
        assert.deepEqual(Buffer.from(container), CONTAINER);
        assert.equal(seen.length, 1);
        assert.equal(seen[0]?.method, "POST");
        assert.equal(seen[0]?.headers["content-type"], "application/json");
        assert.equal(seen[0]?.headers.accept, "application/pkcs7-signature");
        assert.equal(seen[0]?.headers.authorization, undefined);
        assert.deepEqual(JSON.parse(String(seen[0]?.body)), { hash: HASH });
      },
    ),
  );

  it(
    "sends the bytes as they are, where it is not",
    against(
      () => SIGNED,
      async (url, seen) => {
        for (const hash of [undefined, null, "", `${HASH}0`, `${HASH.slice(1)}g`, ` ${HASH.slice(1)}`]) {
          await hsmSigner({ url })({ hash: hash ?? null, fileContents: new Uint8Array(DOCUMENT) });
          assert.equal(seen.at(-1)?.headers["content-type"], "application/octet-stream");
          assert.ok(seen.at(-1)?.body.equals(DOCUMENT));
        }
      },
    ),
  );

  it(
    "sends nothing when there is neither",
    against(
      () => SIGNED,
      async (url, seen) => {
        const { code, status } = await refusalOf(hsmSigner({ url })({ hash: null, fileContents: null }));
        assert.deepEqual([code, status, seen.length], ["ERR_CLIENT_INPUT", undefined, 0]);
      },
    ),
  );

  it(
    "names the credential, beside what the address has in its query",
    against(
      () => SIGNED,
      async (url, seen) => {
        await hsmSigner({ url: `${url}?mode=ca`, credential: "board & seal" })({ hash: HASH });
        const query = new URL(seen[0]?.url ?? "", url).searchParams;
        assert.deepEqual(
          [...query],
          [
            ["mode", "ca"],
            ["credential", "board & seal"],
          ],
        );
      },
    ),
  );

  it(
    "sends a token, and asks a function for one each time",
    against(
      (_, index) => (index === 2 ? busy("0") : SIGNED),
      async (url, seen) => {
        await hsmSigner({ url, token: "fixed" })({ hash: HASH });
        await hsmSigner({ url, token: () => "made" })({ hash: HASH });
        let count = 0;
        await hsmSigner({ url: new URL(url), token: async () => `asked-${++count}` })({ hash: HASH });
        assert.deepEqual(
          seen.map(({ headers }) => headers.authorization),
          ["Bearer fixed", "Bearer made", "Bearer asked-1", "Bearer asked-2"],
        );
      },
    ),
  );

  it(
    "lets the failure of a token's function through",
    against(
      () => SIGNED,
      async (url, seen) => {
        const token = (): never => {
          throw new RangeError("logged out");
        };
        await assert.rejects(hsmSigner({ url, token })({ hash: HASH }), RangeError);
        assert.equal(seen.length, 0);
      },
    ),
  );

  for (const [what, field] of [
    ["seconds", () => "1"],
    ["no seconds", () => "0"],
    ["a date", () => new Date(Date.now() + 1_500).toUTCString()],
    ["a date that has passed", () => new Date(Date.now() - 60_000).toUTCString()],
  ] as const) {
    it(
      `tries a 503 once more, after ${what}`,
      against(
        (_, index) => (index === 0 ? busy(field()) : SIGNED),
        async (url, seen) => {
          const container = await hsmSigner({ url })({ hash: HASH });
          assert.equal(container.byteLength, CONTAINER.length);
          assert.equal(seen.length, 2);
          assert.deepEqual(seen[0]?.body, seen[1]?.body);
        },
      ),
    );
  }

  it(
    "waits as long as it is told before it tries again",
    against(
      (_, index) => (index === 0 ? busy("1") : SIGNED),
      async (url) => {
        const start = performance.now();
        await hsmSigner({ url })({ hash: HASH });
        // A timer may fire a millisecond early.
        assert.ok(performance.now() - start > 990);
      },
    ),
  );

  it(
    "tries no third time",
    against(
      () => busy("0"),
      async (url, seen) => {
        const { code, detail, status } = await refusalOf(hsmSigner({ url })({ hash: HASH }));
        assert.deepEqual([code, detail, status], ["ERR_TOKEN_BUSY", "The HSM is busy.", 503]);
        assert.equal(seen.length, 2);
      },
    ),
  );

  for (const [what, field, timeoutMs] of [
    ["it is not told when", undefined, 60_000],
    ["it is told to wait for long", "60", 600_000],
    ["the wait takes most of its time", "6", 10_000],
    ["the wait is nonsense", "soon", 60_000],
    ["the wait is negative", "-1.5e", 60_000],
  ] as const) {
    it(
      `does not try a 503 again when ${what}`,
      against(
        () => busy(field),
        async (url, seen) => {
          const { code } = await refusalOf(hsmSigner({ url, timeoutMs })({ hash: HASH }));
          assert.deepEqual([code, seen.length], ["ERR_TOKEN_BUSY", 1]);
        },
      ),
    );
  }

  for (const status of [400, 401, 422, 429, 500, 502]) {
    it(
      `does not try ${status} again, whatever the answer says of it`,
      against(
        () => ({ status, headers: { "content-type": "text/html", "retry-after": "0" }, body: "<h1>no</h1>" }),
        async (url, seen) => {
          const refusal = await refusalOf(hsmSigner({ url })({ hash: HASH }));
          assert.deepEqual([refusal.code, refusal.status, seen.length], ["ERR_CLIENT_ANSWER", status, 1]);
          assert.match(refusal.detail, new RegExp(`status ${status} and is not the signing service's`));
        },
      ),
    );
  }

  for (const [what, reply] of [
    ["a page with 200", { status: 200, headers: { "content-type": "text/html" }, body: "<h1>log in</h1>" }],
    ["an answer without a type", { status: 200, body: "" }],
    [
      "a problem that is cut off",
      { status: 400, headers: { "content-type": "application/problem+json" }, body: "{" },
    ],
    [
      "a problem of nobody's",
      { status: 403, headers: { "content-type": "application/problem+json" }, body: "{}" },
    ],
  ] as const) {
    it(
      `takes ${what} for no answer of the service`,
      against(
        () => reply,
        async (url) => {
          const { code, status } = await refusalOf(hsmSigner({ url })({ hash: HASH }));
          assert.deepEqual([code, status], ["ERR_CLIENT_ANSWER", reply.status]);
        },
      ),
    );
  }

  it(
    "says that the service is away, and keeps what the platform said of it",
    against(
      () => undefined,
      async (url) => {
        const { code, cause, status } = await refusalOf(hsmSigner({ url })({ hash: HASH }));
        assert.deepEqual([code, status], ["ERR_CLIENT_NETWORK", undefined]);
        assert.ok(cause instanceof TypeError);
      },
    ),
  );

  it(
    "ends when its time is over, with what was signed so far thrown away",
    against(
      () => "nothing",
      async (url) => {
        const { code, detail } = await refusalOf(hsmSigner({ url, timeoutMs: 50 })({ hash: HASH }));
        assert.deepEqual([code, detail], ["ERR_CLIENT_TIMEOUT", "Cannot sign: no answer in 50 ms"]);
      },
    ),
  );

  it("ends when its time is over while a token's function does not return.", async () => {
    const token = (): Promise<string> => new Promise(() => {});
    const { code } = await refusalOf(
      hsmSigner({ url: "http://127.0.0.1:9/", token, timeoutMs: 50 })({ hash: HASH }),
    );
    assert.equal(code, "ERR_CLIENT_TIMEOUT");
  });

  it(
    "knows times that no timer can hold",
    against(
      () => SIGNED,
      async (url) => {
        await hsmSigner({ url, timeoutMs: Number.POSITIVE_INFINITY })({ hash: HASH });
      },
    ),
  );

  it(
    "ends with the signal's own reason, in the middle of a request",
    against(
      () => "nothing",
      async (url, seen) => {
        const controller = new AbortController();
        const reason = new Error("the user went away");
        const signing = hsmSigner({ url, signal: controller.signal })({ hash: HASH });
        while (seen.length === 0) await new Promise((resolve) => setTimeout(resolve, 1));
        controller.abort(reason);
        await assert.rejects(signing, (error) => error === reason);
      },
    ),
  );

  it(
    "sends nothing more when the signal comes between two tries",
    against(
      () => busy("1"),
      async (url, seen) => {
        const controller = new AbortController();
        const signing = hsmSigner({ url, signal: controller.signal })({ hash: HASH });
        while (seen.length === 0) await new Promise((resolve) => setTimeout(resolve, 1));
        await new Promise((resolve) => setTimeout(resolve, 200));
        controller.abort();
        await assert.rejects(signing, { name: "AbortError" });
        await new Promise((resolve) => setTimeout(resolve, 1_200));
        assert.equal(seen.length, 1);
      },
    ),
  );

  it(
    "sends nothing when the signal was there before",
    against(
      () => SIGNED,
      async (url, seen) => {
        const sign = hsmSigner({ url, signal: AbortSignal.abort() });
        await assert.rejects(sign({ hash: HASH }), { name: "AbortError" });
        assert.equal(seen.length, 0);
      },
    ),
  );

  it(
    "leaves nothing behind on a signal that outlives it",
    against(
      () => SIGNED,
      async (url) => {
        const { signal } = new AbortController();
        let listeners = 0;
        const { addEventListener, removeEventListener } = signal;
        signal.addEventListener = (...args: Parameters<typeof addEventListener>) => {
          listeners += 1;
          addEventListener.apply(signal, args);
        };
        signal.removeEventListener = (...args: Parameters<typeof removeEventListener>) => {
          listeners -= 1;
          removeEventListener.apply(signal, args);
        };
        const sign = hsmSigner({ url, signal });
        for (let count = 0; count < 3; count += 1) await sign({ hash: HASH });
        assert.equal(listeners, 0);
      },
    ),
  );
});
