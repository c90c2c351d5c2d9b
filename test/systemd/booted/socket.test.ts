import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { EXIT } from "../../../lib/exit_codes.ts";
import { until } from "../../support/until.ts";
import { FreshConnections } from "../fresh_connections.ts";
import { Installation } from "../installation.ts";

const SOCKET = "hsm-signer.socket";

describe("The socket that systemd opens", () => {
  let installation: Installation;

  before(async () => {
    // Neither is used then.
    installation = await Installation.make({ HOST: "127.0.0.9", PORT: "9" });
    await installation.systemctl("start", SOCKET);
  });
  after(() => installation.stop());

  test("starts the service with the first connection, which is answered", async () => {
    assert.equal(await installation.property("ActiveState"), "inactive");
    assert.equal(await installation.isReady(), true);
    await installation.untilProperty("StatusText", /^Signing, on http:\/\/127\.0\.0\.1:3756$/);
  });

  test("refuses no connection and loses no request while the service restarts under load", async () => {
    const load = new FreshConnections(installation.url, 8);
    const pids = new Set<number>();
    for (let restart = 0; restart < 3; restart += 1) {
      const before = load.signed;
      await until(() => load.signed > before + 50);
      pids.add(await installation.mainPid());
      await installation.systemctl("restart", "hsm-signer");
    }
    const before = load.signed;
    await until(() => load.signed > before + 50);
    const { answers, failures } = await load.stop();
    assert.deepEqual(failures, {});
    assert.deepEqual(Object.keys(answers), ["200"]);
    assert.equal(pids.size, 3);
  });

  test("refuses no connection while the service is killed and comes back", async () => {
    const load = new FreshConnections(installation.url, 8);
    await until(() => load.signed > 50);
    await installation.signal("KILL", await installation.mainPid());
    const before = load.signed;
    await until(() => load.signed > before + 50);
    const { answers, failures } = await load.stop();
    assert.equal(failures["ECONNREFUSED"], undefined);
    assert.deepEqual(Object.keys(answers), ["200"]);
  });

  test("may be a Unix socket, which only those reach who may open the file", async () => {
    await installation.systemctl("stop", "hsm-signer.service", SOCKET);
    await installation.adjust("[Socket]\nListenStream=\nListenStream=/run/hsm-signer.sock\n", SOCKET);
    await installation.systemctl("start", SOCKET, "hsm-signer.service");
    await installation.untilProperty("StatusText", /^Signing, on a Unix socket$/);
  });

  test("is not served when other machines reach it and nobody is authenticated", async () => {
    await installation.systemctl("stop", "hsm-signer.service", SOCKET);
    await installation.adjust("[Socket]\nListenStream=\nListenStream=0.0.0.0:3757\n", SOCKET);
    await installation.systemctl("start", SOCKET);
    await installation.machine.try("systemctl", "start", "hsm-signer.service");
    assert.equal(await installation.property("ExecMainStatus"), String(EXIT.usage));
    assert.match(
      await installation.property("StatusText"),
      /Cannot listen on 0\.0\.0\.0 \(HOST, ListenStream\)/,
    );
    await installation.configure({ ALLOW_UNAUTHENTICATED_NETWORK: "true" });
    await installation.systemctl("start", "hsm-signer.service");
    await installation.untilProperty("StatusText", /^Signing, on http:\/\/0\.0\.0\.0:3757$/);
  });
});
