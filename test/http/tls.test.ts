import assert from "node:assert/strict";
import { createPrivateKey, randomBytes } from "node:crypto";
import { chmodSync, writeFileSync } from "node:fs";
import { Agent } from "node:https";
import { connect as connectPlainly } from "node:net";
import { afterEach, before, describe, it } from "node:test";
import { type ConnectionOptions, connect, type SecureVersion } from "node:tls";
import type { ClientCertificate } from "../../lib/caller.ts";
import { ANONYMOUS, UnauthenticatedError } from "../../lib/caller.ts";
import { ConfigError } from "../../lib/config/settings.ts";
import type * as x509 from "../../lib/credential/x509.ts";
import { deferred } from "../../lib/deferred.ts";
import { readTlsFiles, type TlsFiles, warnOfTlsExpiry } from "../../lib/http/tls_files.ts";
import { lacks } from "../../lib/runtime.ts";
import { GOOD_BODY, sha256 } from "../support/hostile/row.ts";
import {
  type SoftwareService,
  type SoftwareServiceOptions,
  startSoftwareService,
} from "../support/http_service.ts";
import { pemOf, rootCa } from "../support/pki.ts";
import { recordingLog } from "../support/recording_log.ts";
import { assertStopsByItself } from "../support/stop.ts";
import { TlsAuthority, type TlsIdentity, validFor } from "../support/tls_pki.ts";
import { requestOverTls, type TlsReply, type TlsRequestOptions } from "../support/tls_request.ts";
import { until } from "../support/until.ts";

let authority: TlsAuthority;
let other: TlsAuthority;
let server: TlsIdentity;
before(async () => {
  authority = await TlsAuthority.create();
  other = await TlsAuthority.create("CN=Another root");
  server = await authority.server();
});

const filesOf = ({ certificateFile, keyFile }: TlsIdentity, clientCaFile?: string): TlsFiles =>
  readTlsFiles({ certificateFile, keyFile, clientCaFile }, new Date());

let service: SoftwareService | undefined;
/** Who was seen by the service, by his certificate. */
let seen: (ClientCertificate | undefined)[] = [];
async function start(tls: TlsFiles, options: SoftwareServiceOptions = {}): Promise<SoftwareService> {
  seen = [];
  const authenticate = ({ certificate }: { certificate: ClientCertificate | undefined }) => {
    seen.push(certificate);
    return ANONYMOUS;
  };
  service = await startSoftwareService({ tls, ...options, routes: { authenticate, ...options.routes } });
  return service;
}
afterEach(async () => {
  await service?.server.stop(0);
  service = undefined;
});

const ask = (url: string, options: TlsRequestOptions = {}): Promise<TlsReply> =>
  requestOverTls(url, { ca: authority.pem, ...options });

const dn = async (
  options: Parameters<TlsAuthority["issue"]>[0],
): Promise<Pick<TlsIdentity, "cert" | "key">> => {
  const { cert, key } = await authority.issue(options);
  return { cert, key };
};

describe("A service that speaks TLS", () => {
  it("signs, says so in its address, and stops by itself.", async () => {
    const { url, server: running } = await start(filesOf(server));
    assert.match(url, /^https:\/\/127\.0\.0\.1:\d+$/);
    assert.equal((await ask(url)).status, 200);
    assert.deepEqual(seen, [undefined]);
    await assertStopsByItself(running);
  });

  for (const [version, isSpoken] of [
    ["TLSv1.3", true],
    ["TLSv1.2", true],
    ["TLSv1.1", false],
    ["TLSv1", false],
  ] as const satisfies readonly (readonly [SecureVersion, boolean])[]) {
    it(`${isSpoken ? "speaks" : "does not speak"} ${version}.`, async () => {
      const { url } = await start(filesOf(server));
      const options = { minVersion: version, maxVersion: version, ciphers: "DEFAULT@SECLEVEL=0" };
      if (isSpoken) assert.equal((await ask(url, options)).status, 200);
      else await assert.rejects(ask(url, options), /protocol|alert|handshake|ECONNRESET|unsupported/i);
    });
  }

  it("signs large documents, several at once, each over its own bytes.", async () => {
    const signed: string[] = [];
    const sign = async (digest: Uint8Array): Promise<Buffer> => {
      signed.push(Buffer.from(digest).toString("hex"));
      return Buffer.from("3000", "hex");
    };
    const { url } = await start(filesOf(server), { sign, maxBodyBytes: 32 * 1024 ** 2 });
    const documents = Array.from({ length: 6 }, (_, index) => randomBytes(3_000_000 * (index + 1) + index));
    const replies = await Promise.all(documents.map((document) => ask(url, { document })));
    assert.deepEqual(new Set(replies.map(({ status }) => status)), new Set([200]));
    assert.deepEqual(signed.toSorted(), documents.map((document) => sha256(document)).toSorted());
  });

  it("takes a new certificate for new connections; requests in flight end as they began.", async () => {
    const signature = deferred<Uint8Array>();
    let isSlow = true;
    const sign = () => (isSlow ? signature.promise : Promise.resolve(Buffer.from("3000", "hex")));
    const { url, server: running } = await start(filesOf(server), { sign });
    const agent = new Agent({ keepAlive: true, ca: authority.pem });
    const slow = ask(url, { agent });
    await until(() => seen.length === 1);
    isSlow = false;
    running.renew({ tls: filesOf(await authority.server({ subject: "CN=renewed" })) });
    assert.equal((await ask(url)).serverName, "renewed");
    signature.resolve(Buffer.from("3000", "hex"));
    const { status, serverName, headers } = await slow;
    assert.deepEqual([status, serverName, headers["connection"]], [200, "server", "keep-alive"]);
    assert.equal((await ask(url, { agent })).serverName, "server");
    agent.destroy();
  });

  for (const [what, bytes] of [
    ["plain HTTP", "POST /sign HTTP/1.1\r\nHost: x\r\n\r\n"],
    ["garbage", Buffer.from(Array.from({ length: 256 }, (_, index) => index))],
    ["half a hello", Buffer.from("1603010200010001fc0303", "hex")],
    ["nothing", ""],
  ] as const) {
    it(`ends a connection that brings ${what}, without a word, and signs on.`, async () => {
      const { url, events } = await start(filesOf(server), { limits: { headersTimeoutMs: 300 } });
      const socket = connectPlainly({ host: "127.0.0.1", port: Number(new URL(url).port) });
      const received: Buffer[] = [];
      socket.on("error", () => {});
      socket.on("data", (piece: Buffer) => received.push(piece)).write(bytes);
      await new Promise((resolve) => socket.once("close", resolve));
      assert.ok(!Buffer.concat(received).includes("HTTP"), Buffer.concat(received).toString());
      assert.equal((await ask(url)).status, 200);
      assert.deepEqual(
        events.filter(({ level }) => level === "error"),
        [],
      );
    });
  }

  it("ends a connection whose request it has refused before its body.", async () => {
    const authenticate = (): never => {
      throw new UnauthenticatedError("Cannot authenticate: nobody may", "Bearer");
    };
    const { url, server: running } = await start(filesOf(server), { routes: { authenticate } });
    const begin = performance.now();
    assert.equal((await ask(url)).status, 401);
    await assertStopsByItself(running);
    // Where the connection does not end by itself, it is a clock that has cut it.
    if (lacks("end of refused TLS connections")) assert.ok(performance.now() - begin > 900);
  });

  it("stops at once, whoever has not ended his handshake.", async () => {
    const { url, server: running } = await start(filesOf(server));
    const sockets = Array.from({ length: 5 }, () => {
      const socket = connectPlainly({ host: "127.0.0.1", port: Number(new URL(url).port) });
      socket.on("error", () => {});
      return socket;
    });
    await Promise.all(sockets.map((socket) => new Promise((resolve) => socket.once("connect", resolve))));
    assert.equal((await ask(url)).status, 200);
    await assertStopsByItself(running);
  });

  it("asks nobody for a certificate where no authority is named.", async () => {
    const { url } = await start(filesOf(server));
    assert.equal((await ask(url, await dn({ subject: "CN=client" }))).status, 200);
    assert.deepEqual(seen, [undefined]);
  });
});

describe("A client's certificate", () => {
  const startAsking = () => start(filesOf(server, authority.file));

  it("is known by its names and its end.", async () => {
    const { url } = await startAsking();
    const names: x509.JsonGeneralNames = [{ type: "dns", value: "billing.example.com" }];
    await ask(url, await dn({ subject: "CN=billing, O=Example", names }));
    const [{ names: found, notAfter, fault } = { names: [], notAfter: 0, fault: "" }] =
      seen as ClientCertificate[];
    const alternative = lacks("quoted alternative names") ? [] : ["DNS:billing.example.com"];
    assert.deepEqual([found, fault], [["CN:billing", ...alternative], undefined]);
    assert.ok(notAfter > Date.now() + 29 * 86_400_000 && notAfter < Date.now() + 31 * 86_400_000);
  });

  it("need not be shown.", async () => {
    const { url } = await startAsking();
    assert.equal((await ask(url)).status, 200);
    assert.deepEqual(seen, [undefined]);
  });

  const clientAuth = "1.3.6.1.5.5.7.3.2";
  const serverAuth = "1.3.6.1.5.5.7.3.1";
  for (const [what, make, fault] of [
    ["of the authority is believed", () => dn({ subject: "CN=a" }), undefined],
    ["for clients is believed", () => dn({ subject: "CN=a", extendedKeyUsage: [clientAuth] }), undefined],
    ["for servers is not", () => dn({ subject: "CN=a", extendedKeyUsage: [serverAuth] }), /PURPOSE/],
    ["that has ended is not", () => dn({ subject: "CN=a", days: validFor(-9, -1) }), /EXPIRED/],
    ["that has not begun is not", () => dn({ subject: "CN=a", days: validFor(1, 9) }), /NOT_YET_VALID/],
    ["of another authority is not", () => other.issue({ subject: "CN=a" }), /UNABLE|VERIFY/],
    [
      "that another has signed in the authority's name is not",
      () => dn({ subject: "CN=a", signedWith: other.root.keys }),
      /UNABLE|SIGNATURE/,
    ],
    [
      "that nobody has signed is not",
      async () => {
        const self = await TlsAuthority.create("CN=a");
        return self.issue({ subject: "CN=a", issuer: self.root, keys: self.root.keys });
      },
      /UNABLE|SELF_SIGNED/,
    ],
    [
      "that one who may not has signed is not",
      async () => {
        const { root } = await TlsAuthority.create("CN=x");
        const keys = root.keys;
        const middle = await authority.issue({ subject: "CN=middle", keys });
        const leaf = await other.issue({
          subject: "CN=a",
          issuer: { der: root.der, subject: "CN=middle", keys },
        });
        return { cert: leaf.cert + middle.cert, key: leaf.key };
      },
      /INVALID|UNABLE/,
    ],
  ] as const) {
    it(`${what}.`, async () => {
      const { url } = await startAsking();
      const { cert, key } = await make();
      assert.equal((await ask(url, { cert, key })).status, 200);
      assert.equal(seen.length, 1);
      if (fault === undefined) assert.equal(seen[0]?.fault, undefined);
      else assert.match(String(seen[0]?.fault), lacks("reasons from TLS") ? /^UNABLE_TO_VERIFY/ : fault);
    });
  }

  it("is known again on a connection that is resumed.", async () => {
    for (const maxVersion of ["TLSv1.2", "TLSv1.3"] as const) {
      const { url } = await startAsking();
      const identity = await dn({ subject: "CN=again" });
      const resumed = await resume(url, { ...identity, maxVersion }, () => {});
      assert.equal(resumed, !lacks("resumption of TLS sessions"));
      assert.deepEqual(
        seen.map((certificate) => certificate?.names),
        [["CN:again"], ["CN:again"]],
      );
      await service?.server.stop(0);
    }
  });

  it("is not believed any more, resumed or kept, when its authority is not.", async () => {
    for (const maxVersion of ["TLSv1.2", "TLSv1.3"] as const) {
      const { url, server: running } = await startAsking();
      const identity = await dn({ subject: "CN=again" });
      const agent = new Agent({ keepAlive: true, ca: authority.pem, maxVersion, ...identity });
      assert.equal((await ask(url, { agent })).status, 200);
      const resumed = await resume(url, { ...identity, maxVersion }, () =>
        running.renew({ tls: filesOf(server, other.file) }),
      );
      assert.equal(resumed, false);
      await ask(url, { agent });
      agent.destroy();
      const faults = seen.map((certificate) => certificate?.fault !== undefined);
      assert.deepEqual(faults, [false, false, true, true]);
      await running.stop(0);
    }
  });

  it("that is in use when its authority goes ends with its reply.", async () => {
    const signature = deferred<Uint8Array>();
    const { url, server: running } = await start(filesOf(server, authority.file), {
      sign: () => signature.promise,
    });
    const agent = new Agent({ keepAlive: true, ca: authority.pem, ...(await dn({ subject: "CN=a" })) });
    const slow = ask(url, { agent });
    await until(() => seen.length === 1);
    running.renew({ tls: filesOf(server, other.file) });
    signature.resolve(Buffer.from("3000", "hex"));
    const { status, headers } = await slow;
    assert.deepEqual([status, headers["connection"]], [200, "close"]);
    agent.destroy();
  });

  it("that is still to be shown on a connection of before its authority goes lets nobody in.", async () => {
    const { url, server: running } = await startAsking();
    const early = connectPlainly({ host: "127.0.0.1", port: Number(new URL(url).port) });
    await new Promise((resolve) => early.once("connect", resolve));
    // Whoever came before is accepted by now.
    assert.equal((await ask(url)).status, 200);
    const identity = await dn({ subject: "CN=a" });
    running.renew({ tls: filesOf(server, other.file) });
    const answer = new Promise((resolve) => {
      const socket = connect({ socket: early, host: "127.0.0.1", ca: authority.pem, ...identity });
      for (const event of ["secureConnect", "close"]) socket.once(event, () => resolve(event));
      socket.on("error", () => {});
    });
    assert.equal(await answer, "close");
    assert.equal((await ask(url, identity)).status, 200);
    assert.ok(seen.at(-1)?.fault);
  });

  it("that is not shown has nothing to do with it: the connection is kept.", async () => {
    const { url, server: running } = await startAsking();
    const agent = new Agent({ keepAlive: true, ca: authority.pem });
    await ask(url, { agent });
    running.renew({ tls: filesOf(await authority.server({ subject: "CN=renewed" }), other.file) });
    const { status, serverName, headers } = await ask(url, { agent });
    assert.deepEqual([status, serverName, headers["connection"]], [200, "server", "keep-alive"]);
    agent.destroy();
  });

  it("is kept where only the server's certificate is new.", async () => {
    const { url, server: running } = await startAsking();
    const agent = new Agent({
      keepAlive: true,
      maxSockets: 1,
      ca: authority.pem,
      ...(await dn({ subject: "CN=a" })),
    });
    await ask(url, { agent });
    running.renew({ tls: filesOf(await authority.server({ subject: "CN=renewed" }), authority.file) });
    assert.equal((await ask(url, { agent })).serverName, "server");
    agent.destroy();
  });
});

/** Asks on a connection, then on one that tries to go on where that one was. @returns whether it could */
async function resume(url: string, options: ConnectionOptions, between: () => void): Promise<boolean> {
  const { port } = new URL(url);
  const once = async (session?: Buffer): Promise<{ session: Buffer | undefined; isResumed: boolean }> => {
    const socket = connect({
      host: "127.0.0.1",
      port: Number(port),
      ca: authority.pem,
      ...options,
      ...(session ? { session } : {}),
    });
    let given: Buffer | undefined;
    socket.on("session", (ticket) => {
      given = ticket;
    });
    await new Promise((resolve, reject) => socket.once("secureConnect", resolve).once("error", reject));
    const isResumed = socket.isSessionReused();
    socket.write(
      `POST /sign HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: ${GOOD_BODY.length}\r\n\r\n${GOOD_BODY}`,
    );
    await new Promise((resolve) => socket.once("close", resolve).resume());
    return { session: given, isResumed };
  };
  const { session } = await once();
  assert.ok(session);
  between();
  return (await once(session)).isResumed;
}

describe("The files of TLS", () => {
  const mistakesOf = (files: Partial<Parameters<typeof readTlsFiles>[0]>): readonly string[] => {
    try {
      const { certificateFile, keyFile } = server;
      readTlsFiles({ certificateFile, keyFile, clientCaFile: undefined, ...files }, new Date());
      return [];
    } catch (error) {
      assert.ok(error instanceof ConfigError, String(error));
      return error.mistakes;
    }
  };

  it("may hold more than what is wanted of them.", async () => {
    const { cert, key, certificateFile, keyFile } = await authority.server();
    writeFileSync(certificateFile, `Bag Attributes\r\n${cert}\r\n${authority.pem}`);
    writeFileSync(keyFile, `# key\n${key}`);
    assert.deepEqual(mistakesOf({ certificateFile, keyFile, clientCaFile: authority.file }), []);
  });

  for (const [what, make, pattern] of [
    ["is not there", () => ({ certificateFile: "/nowhere" }), /^TLS_CERT_FILE cannot be used: ENOENT/],
    [
      "has no certificate",
      () => ({ certificateFile: server.keyFile }),
      /^TLS_CERT_FILE .* holds no certificate/,
    ],
    ["has no key", () => ({ keyFile: server.certificateFile }), /^TLS_KEY_FILE cannot be used/],
    [
      "has another key",
      async () => ({ keyFile: (await authority.server()).keyFile }),
      /^TLS_KEY_FILE is not the key of the first certificate/,
    ],
    [
      "has a certificate that has ended",
      async () => authority.server({ days: validFor(-9, -1) }),
      /^TLS_CERT_FILE .* expired at/,
    ],
    [
      "has a certificate that has not begun",
      async () => authority.server({ days: validFor(1, 9) }),
      /^TLS_CERT_FILE .* not valid yet/,
    ],
    [
      "has a key that everybody may read",
      async () => {
        const identity = await authority.server();
        chmodSync(identity.keyFile, 0o644);
        return identity;
      },
      /^TLS_KEY_FILE cannot be used: everybody may read/,
    ],
    [
      "has an encrypted key",
      async () => {
        const identity = await authority.server();
        const encryption = { cipher: "aes-256-cbc", passphrase: "sesame" };
        const encrypted = createPrivateKey(identity.key).export({
          format: "pem",
          type: "pkcs8",
          ...encryption,
        });
        writeFileSync(identity.keyFile, encrypted);
        return identity;
      },
      /^TLS_KEY_FILE cannot be used: the key in .* is encrypted/,
    ],
    [
      "has no authority",
      () => ({ clientCaFile: server.keyFile }),
      /^TLS_CLIENT_CA_FILE .* holds no certificate/,
    ],
  ] as const) {
    it(`are a mistake where one ${what}.`, async () => {
      const { certificateFile, keyFile } = server;
      const mistakes = mistakesOf({ certificateFile, keyFile, ...(await make()) });
      assert.equal(mistakes.length, 1, mistakes.join("\n"));
      assert.match(mistakes[0] ?? "", pattern);
      assert.doesNotMatch(mistakes.join(), /PRIVATE KEY/);
    });
  }

  it("have all their mistakes named at once.", () => {
    const nowhere = { certificateFile: "/a", keyFile: "/b", clientCaFile: "/c" };
    assert.deepEqual(
      mistakesOf(nowhere).map((mistake) => mistake.split(" ")[0]),
      ["TLS_CERT_FILE", "TLS_KEY_FILE", "TLS_CLIENT_CA_FILE"],
    );
  });

  const heardOf = (files: TlsFiles, days: number): unknown[] => {
    const { log, events } = recordingLog();
    warnOfTlsExpiry(files, new Date(Date.now() + days * 86_400_000), log);
    return events.map(({ level, event, fields }) => [level, event, Object(fields).setting]);
  };

  it("are a warning when they end soon.", () => {
    const files = filesOf(server);
    const setting = "TLS_CERT_FILE";
    assert.deepEqual([heardOf(files, 0), heardOf(files, 14.5)], [[], []]);
    assert.deepEqual(heardOf(files, 16.5), [["warning", "tls.certificate_expires", setting]]);
    assert.deepEqual(heardOf(files, 31), [["error", "tls.certificate_expired", setting]]);
  });

  it("are a warning when an authority in them ends soon, of the server's or of the clients'.", async () => {
    const root = await rootCa({ subject: "CN=Ends soon", days: validFor(-10, 20) });
    const { cert, certificateFile, keyFile } = await authority.server();
    writeFileSync(certificateFile, cert + pemOf(root));
    const clientCaFile = (await authority.server()).certificateFile;
    writeFileSync(clientCaFile, authority.pem + pemOf(root));
    const files = readTlsFiles({ certificateFile, keyFile, clientCaFile }, new Date());
    assert.deepEqual(heardOf(files, 0), []);
    assert.deepEqual(heardOf(files, 10), [
      ["warning", "tls.certificate_expires", "TLS_CERT_FILE"],
      ["warning", "tls.certificate_expires", "TLS_CLIENT_CA_FILE"],
    ]);
  });
});
