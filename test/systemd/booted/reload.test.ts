import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { signatureAlgorithm } from "../../../lib/algorithms.ts";
import { SteadyLoad } from "../../support/steady_load.ts";
import { Installation } from "../installation.ts";

describe("systemctl reload", () => {
  let installation: Installation;
  let load: SteadyLoad;

  before(async () => {
    installation = await Installation.make();
    await installation.systemctl("start", "hsm-signer");
    const algorithm = signatureAlgorithm("P-256", "SHA-256");
    load = new SteadyLoad({ url: installation.url, algorithm, concurrency: 8 });
    await load.nextSigned();
  });
  after(async () => {
    await load.stop();
    await installation.stop();
  });

  test("takes a new certificate for the key under load, and has done so when it returns", async () => {
    const former = await installation.certificate();
    await installation.machine.run("rm", "/var/lib/hsm-signer/certs/hsm-signer.pem");
    await installation.machine.run("hsm-signer", "provision", "--days", "7");
    const pid = await installation.mainPid();
    await installation.systemctl("reload", "hsm-signer");
    assert.notEqual(await installation.certificate(), former);
    await load.nextSigned();
    assert.equal(await installation.mainPid(), pid);
    assert.match(
      await installation.property("StatusText"),
      /^Signing.*"hsm-signer": .* expires in [67] days$/,
    );
  });

  test("fails where there is a mistake, says which, and changes nothing", async () => {
    const former = await installation.certificate();
    await installation.configure({ HSM_KEY_LABEL: "nobody", CERT_DAYS: "x" });
    const { code } = await installation.machine.try("systemctl", "reload", "hsm-signer");
    assert.notEqual(code, 0);
    assert.match(await installation.property("StatusText"), /^Signing.*changed nothing: .*CERT_DAYS must be/);
    assert.match(await installation.journal(), /^CERT_DAYS must be a whole number/m);
    assert.equal(await installation.property("ActiveState"), "active");
    assert.equal(await installation.certificate(), former);
  });

  test("is well again after the mistake is", async () => {
    await installation.configure();
    await installation.systemctl("reload", "hsm-signer");
    assert.doesNotMatch(await installation.property("StatusText"), /changed nothing/);
  });

  test("has lost no request in all that", async () => {
    await load.nextSigned();
    const { sent, signed, others } = await load.stop();
    assert.deepEqual(others, []);
    assert.equal(signed, sent);
  });
});
