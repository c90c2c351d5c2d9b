import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { type KeyObject, randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, afterEach, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import pkcs11 from "pkcs11js";
import { scriptCommand } from "../support/module_command.ts";
import { temporaryDirectory } from "../support/temporary.ts";
import { until } from "../support/until.ts";
import { giveOrder } from "./order.ts";
import {
  beginOn,
  CURVES,
  type Inside,
  isRefusal,
  isSignature,
  RawLibrary,
  READ_WRITE,
  refused,
  run,
  sha256,
} from "./raw_library.ts";
import { CODE_SWITCHES, type SimulatorSettings } from "./settings.ts";
import { cloudHsmSimulator } from "./simulator.ts";

const simulator = cloudHsmSimulator();
const raw = new RawLibrary(simulator);
const { library } = raw;
after(() => library.close());
afterEach(() => simulator.order({ released: true }));

/** A key pair on the token beside the rest. */
interface WithKey extends Inside {
  readonly id: Buffer;
  readonly key: Buffer;
  readonly publicKey: KeyObject;
}

function withKey<T>(settings: SimulatorSettings, use: (inside: WithKey) => T): T {
  return raw.loggedIn(settings, (inside) => {
    const id = randomBytes(8);
    const pair = raw.pair(
      inside.session,
      "EC",
      { TOKEN: true, ID: id, VERIFY: true },
      { TOKEN: true, ID: id, SIGN: true },
    );
    const publicKey = raw.publicKey(inside.session, pair.publicKey);
    return use({ ...inside, id, key: pair.privateKey, publicKey });
  });
}

const DATA = Buffer.from("what is signed");
const open = (slot: Buffer): Buffer => library.C_OpenSession(slot, READ_WRITE);

function logIn(session: Buffer, pin: string = simulator.pin): void {
  library.C_Login(session, pkcs11.CKU_USER, pin);
}

/** How many of so many calls failed with this return value; no other one is expected. */
function failures(code: string, count: number, call: () => unknown): number {
  let failed = 0;
  for (let index = 0; index < count; index += 1) {
    try {
      call();
    } catch (error) {
      isRefusal(code)(error);
      failed += 1;
    }
  }
  return failed;
}

/** How long calls took, in milliseconds. */
function durations(count: number, call: () => unknown): number[] {
  return Array.from({ length: count }, () => {
    const start = performance.now();
    call();
    return performance.now() - start;
  });
}

describe("latency", () => {
  const LATENCY_MS = 100;
  const latencyUs = 1_000 * LATENCY_MS;

  test("is of C_SignInit or of C_Sign alone, for so many calls, and is no failure", () => {
    withKey({}, ({ session, key }) => {
      for (const on of ["C_SignInit", "C_Sign"] as const) {
        simulator.order({ calls: [{ on, latencyUs, times: 2 }] });
        const took: Record<string, number[]> = { C_SignInit: [], C_Sign: [] };
        for (let count = 0; count < 12; count += 1) {
          took["C_SignInit"]?.push(
            ...durations(1, () => library.C_SignInit(session, { mechanism: pkcs11.CKM_ECDSA }, key)),
          );
          took["C_Sign"]?.push(
            ...durations(1, () => library.C_Sign(session, sha256(DATA), Buffer.alloc(64))),
          );
        }
        for (const [name, all] of Object.entries(took)) {
          const slow = on === name ? all.splice(0, 2) : [];
          assert.ok(Math.min(...slow, Number.POSITIVE_INFINITY) >= LATENCY_MS, name);
          assert.ok(Math.min(...all) < LATENCY_MS / 2, name);
        }
      }
    });
  });

  test("of several orders for one call adds up", () => {
    raw.initialized({}, () => {
      const fault = { on: "C_GetSlotList", latencyUs: latencyUs / 2 } as const;
      simulator.order({ calls: [fault, fault] });
      assert.ok(Math.min(...durations(1, () => library.C_GetSlotList(true))) >= LATENCY_MS);
    });
  });

  test("is not spent one after the other by calls on several sessions", async () => {
    await withKey({}, async ({ slot, key }) => {
      simulator.order({ calls: [{ on: "C_Sign", latencyUs: 3 * latencyUs }] });
      const sessions = Array.from({ length: 4 }, () => open(slot));
      const start = performance.now();
      await Promise.all(sessions.map((session) => raw.signAsync(session, key, DATA)));
      assert.ok(performance.now() - start < 4 * 3 * LATENCY_MS * 0.8);
    });
  });

  test("of C_Sign comes before its input is read", async () => {
    await withKey({}, async ({ session, key, publicKey }) => {
      simulator.order({ calls: [{ on: "C_Sign", latencyUs: 10 * latencyUs }] });
      const before = simulator.calls("C_Sign");
      const input = sha256(DATA);
      library.C_SignInit(session, { mechanism: pkcs11.CKM_ECDSA }, key);
      const signing = library.C_SignAsync(session, input, Buffer.alloc(64));
      await until(() => simulator.calls("C_Sign") > before);
      const other = Buffer.from("what came later");
      sha256(other).copy(input);
      assert.ok(isSignature(publicKey, other, await signing));
    });
  });

  test("does not hide two threads on one session", () => {
    simulator.configure({});
    simulator.order({ calls: [{ on: "C_Sign", latencyUs: 10 * latencyUs }] });
    const script = `${beginOn(simulator)}
      ${MAKE_KEY}
      library.C_SignInit(session, { mechanism: pkcs11.CKM_ECDSA }, privateKey);
      const input = Buffer.alloc(32, 1);
      for (let count = 0; count < 2; count += 1) library.C_SignAsync(session, input, Buffer.alloc(64));`;
    assert.match(run(script, {}).stderr, /two threads use one session at once \(C_Sign during C_Sign\)/);
  });
});

/** Of a process that has begun with `beginOn`. */
const MAKE_KEY = `
  const { privateKey } = library.C_GenerateKeyPair(session, { mechanism: pkcs11.CKM_EC_KEY_PAIR_GEN },
    [{ type: pkcs11.CKA_EC_PARAMS, value: Buffer.from("${CURVES["P-256"]}", "hex") }],
    [{ type: pkcs11.CKA_SIGN, value: true }]);`;

describe("a return value", () => {
  test("is had by so many calls, which do nothing, and by no other function", () => {
    withKey({}, ({ session, key, publicKey }) => {
      const before = simulator.injected().failed;
      simulator.order({ calls: [{ on: "C_Sign", returns: "CKR_FUNCTION_FAILED", times: 3 }] });
      for (let count = 0; count < 3; count += 1) {
        refused("CKR_FUNCTION_FAILED", () => raw.sign(session, key, DATA));
        raw.read(session, key, "ID");
      }
      // The operation ended with each failure, as PKCS#11 has it.
      assert.ok(isSignature(publicKey, DATA, raw.sign(session, key, DATA)));
      assert.equal(simulator.injected().failed - before, 3);
    });
  });

  test("ends the operation also in the middle of several parts", () => {
    withKey({}, ({ session, key }) => {
      for (const on of ["C_SignUpdate", "C_SignFinal"] as const) {
        simulator.order({ calls: [{ on, returns: "CKR_DEVICE_ERROR", times: 1 }] });
        const parts = (): Buffer => {
          library.C_SignInit(session, { mechanism: pkcs11.CKM_ECDSA_SHA256 }, key);
          library.C_SignUpdate(session, DATA);
          return library.C_SignFinal(session, Buffer.alloc(64));
        };
        refused("CKR_DEVICE_ERROR", parts);
        assert.equal(parts().length, 64);
      }
    });
  });

  test("is had as long as the order is in force, and may be a vendor's own", () => {
    withKey({}, ({ session, key }) => {
      simulator.order({ calls: [{ on: "C_SignInit", returns: 0x80000001 }] });
      for (let count = 0; count < 20; count += 1) {
        assert.throws(() => raw.sign(session, key, DATA), { code: 0x80000001 });
      }
      simulator.order();
      raw.sign(session, key, DATA);
    });
  });

  test("is had by none with probability 0, by all with 1, and by some in between, up to the count", () => {
    withKey({}, ({ session, key }) => {
      const returns = "CKR_FUNCTION_FAILED";
      const failed = (calls: number): number => failures(returns, calls, () => raw.sign(session, key, DATA));
      simulator.order({ calls: [{ on: "C_Sign", returns, probability: 0 }] });
      assert.equal(failed(100), 0);
      simulator.order({ calls: [{ on: "C_Sign", returns, probability: 1 }] });
      assert.equal(failed(100), 100);
      simulator.order({ calls: [{ on: "C_Sign", returns, probability: 0.5 }] });
      const some = failed(200);
      assert.ok(some > 0 && some < 200, `${some} of 200`);
      simulator.order({ calls: [{ on: "C_Sign", returns, probability: 0.5, times: 5 }] });
      assert.equal(failed(500), 5);
    });
  });

  test("can be that of whatever asks the cluster, and of nothing that the library knows by itself", () => {
    for (const validatesKeyAtInit of [true, false]) {
      simulator.order();
      withKey({ validatesKeyAtInit }, ({ slot, session, key }) => {
        simulator.order({ calls: [{ on: "cluster requests", returns: "CKR_FUNCTION_FAILED" }] });
        const before = simulator.clusterRequests();
        refused("CKR_FUNCTION_FAILED", () => raw.read(session, key, "ID"));
        refused("CKR_FUNCTION_FAILED", () => library.C_GenerateRandom(session, Buffer.alloc(8)));
        refused("CKR_FUNCTION_FAILED", () => raw.sign(session, key, DATA));
        assert.equal(simulator.clusterRequests() - before, 3, "they are counted all the same");
        library.C_GetSessionInfo(session);
        library.C_GetTokenInfo(slot);
        library.C_CloseSession(open(slot));
        const init = (): void => library.C_SignInit(session, { mechanism: pkcs11.CKM_ECDSA }, key);
        if (validatesKeyAtInit) refused("CKR_FUNCTION_FAILED", init);
        else init();
      });
    }
  });

  test("can be C_Initialize's, C_Finalize's, C_Login's", () => {
    simulator.configure({});
    simulator.order({
      calls: [
        { on: "C_Initialize", returns: "CKR_GENERAL_ERROR", times: 1 },
        { on: "C_Login", returns: "CKR_PIN_LOCKED", times: 1 },
        { on: "C_Finalize", returns: "CKR_FUNCTION_FAILED", times: 1 },
      ],
    });
    const initialize = (): void => library.C_Initialize({ flags: pkcs11.CKF_OS_LOCKING_OK });
    refused("CKR_GENERAL_ERROR", initialize);
    raw.initialized({}, ({ session }) => {
      const before = simulator.pinsRefused();
      refused("CKR_PIN_LOCKED", () => logIn(session));
      assert.equal(simulator.pinsRefused(), before, "no PIN was looked at");
      logIn(session);
      refused("CKR_FUNCTION_FAILED", () => library.C_Finalize());
      library.C_GetSessionInfo(session);
    });
  });

  test("is had in a process that starts later too, and all processes share the count", () => {
    withKey({}, ({ session, key }) => {
      simulator.order({ calls: [{ on: "C_Sign", returns: "CKR_DEVICE_ERROR", times: 3 }] });
      refused("CKR_DEVICE_ERROR", () => raw.sign(session, key, DATA));
      const script = `${beginOn(simulator)} ${MAKE_KEY}
        for (let count = 0; count < 4; count += 1) {
          library.C_SignInit(session, { mechanism: pkcs11.CKM_ECDSA }, privateKey);
          try { console.log(library.C_Sign(session, Buffer.alloc(32, 1), Buffer.alloc(64)).length); }
          catch (error) { console.log(error.message); }
        }`;
      assert.equal(run(script, {}).stdout, "CKR_DEVICE_ERROR\nCKR_DEVICE_ERROR\n64\n64\n");
      raw.sign(session, key, DATA);
    });
  });

  test("is had in a process that runs already, by an order from another one", () => {
    withKey({}, ({ session, key }) => {
      const { SIM_CONTROL = "" } = simulator.environment;
      for (let count = 0; count < 50; count += 1) {
        giveOrder(SIM_CONTROL, { calls: [{ on: "C_Sign", returns: "CKR_DEVICE_ERROR", times: 1 }] });
        assert.equal(
          failures("CKR_DEVICE_ERROR", 2, () => raw.sign(session, key, DATA)),
          1,
        );
      }
    });
  });
});

describe("an HSM that is replaced", () => {
  for (const code of CODE_SWITCHES.REPLACED) {
    test(`fails the requests under way with ${code}, once, and what they did is not known`, async () => {
      await withKey({ codes: { REPLACED: code } }, async ({ slot, session, id, key, publicKey }) => {
        simulator.order({ calls: [{ on: "C_Sign", hangs: true, times: 3 }] });
        const before = simulator.injected().hung;
        const sessions = Array.from({ length: 3 }, () => open(slot));
        const signing = sessions.map((each) => raw.signAsync(each, key, DATA));
        const outcomes = Promise.allSettled(signing);
        await until(() => simulator.injected().hung === before + 3);
        simulator.order({ hsmReplaced: true, released: true });
        for (const outcome of await outcomes) {
          assert.ok(outcome.status === "rejected" && isRefusal(code)(outcome.reason));
        }
        for (const each of [...sessions, session]) {
          assert.ok(isSignature(publicKey, DATA, raw.sign(each, key, DATA)));
        }
        assert.deepEqual(raw.read(session, key, "ID"), id);
      });
    });
  }

  test("leaves alone what asks no HSM", async () => {
    await raw.initialized({}, async ({ session }) => {
      simulator.order({ calls: [{ on: "C_Digest", hangs: true }] });
      const before = simulator.injected().hung;
      library.C_DigestInit(session, { mechanism: pkcs11.CKM_SHA256 });
      const hashing = library.C_DigestAsync(session, DATA, Buffer.alloc(32));
      await until(() => simulator.injected().hung > before);
      simulator.order({ hsmReplaced: true, released: true });
      assert.deepEqual(await hashing, sha256(DATA));
    });
  });
});

describe("a cluster that is away", () => {
  for (const code of CODE_SWITCHES.AWAY) {
    test(`fails every request with ${code}, and the library goes on with what it knows`, () => {
      withKey({ codes: { AWAY: code } }, ({ slot, session, key }) => {
        simulator.order({ disconnected: true });
        refused(code, () => raw.sign(session, key, DATA));
        refused(code, () => raw.read(session, key, "ID"));
        refused(code, () => library.C_FindObjectsInit(session, []));
        const other = open(slot);
        refused(code, () => logIn(other));
        refused(code, () => library.C_GenerateRandom(other, Buffer.alloc(8)));
        assert.equal(library.C_GetTokenInfo(slot).label.trim(), "hsm1");
      });
    });
  }

  for (const code of CODE_SWITCHES.SESSION_LOST) {
    test(`takes the sessions, refused with ${code} when it is back, and the login along`, () => {
      withKey({ codes: { SESSION_LOST: code } }, ({ slot, session, id, key, publicKey }) => {
        const idle = open(slot);
        simulator.order({ disconnected: true });
        simulator.order();
        for (const each of [session, idle]) {
          refused(code, () => library.C_GetSessionInfo(each));
          refused(code, () => raw.sign(each, key, DATA));
          refused(code, () => library.C_CloseSession(each));
        }
        const fresh = open(slot);
        refused("CKR_USER_NOT_LOGGED_IN", () => raw.sign(fresh, key, DATA));
        logIn(fresh);
        refused("CKR_KEY_HANDLE_INVALID", () => raw.sign(fresh, key, DATA));
        assert.ok(isSignature(publicKey, DATA, raw.sign(fresh, raw.find(fresh, id), DATA)));
      });
    });
  }

  test("is back by itself after the time that was ordered, and not before", async () => {
    await raw.loggedIn({}, async ({ slot }) => {
      const start = performance.now();
      simulator.order({ disconnected: { forMs: 300 } });
      const fresh = open(slot);
      refused("CKR_DEVICE_ERROR", () => logIn(fresh));
      await until(() => failures("CKR_DEVICE_ERROR", 1, () => logIn(fresh)) === 0);
      assert.ok(performance.now() - start >= 300);
    });
  });

  test("may fail C_Initialize too, until it is back", () => {
    const code = "CKR_GENERAL_ERROR";
    simulator.configure({ codes: { AWAY: code } });
    const initialize = (): void => library.C_Initialize({ flags: pkcs11.CKF_OS_LOCKING_OK });
    simulator.order({ disconnected: true });
    initialize();
    library.C_Finalize();
    simulator.order({ disconnected: { initializeFails: true } });
    for (let count = 0; count < 3; count += 1) refused(code, initialize);
    simulator.order();
    initialize();
    library.C_Finalize();
  });

  test("fails what is under way also when it is back before that returns, and its session is free then", async () => {
    await withKey({ sessions: 2 }, async ({ slot, key, id }) => {
      simulator.order({ calls: [{ on: "C_Sign", hangs: true, times: 1 }] });
      const before = simulator.injected().hung;
      const signing = assert.rejects(raw.signAsync(open(slot), key, DATA), isRefusal("CKR_DEVICE_ERROR"));
      await until(() => simulator.injected().hung > before);
      simulator.order({ disconnected: true });
      simulator.order();
      const fresh = open(slot);
      logIn(fresh);
      refused("CKR_SESSION_COUNT", () => open(slot));
      simulator.order({ released: true });
      await signing;
      raw.sign(open(slot), raw.find(fresh, id), DATA);
    });
  });

  test("makes room for as many sessions as before", () => {
    raw.loggedIn({ sessions: 3 }, ({ slot }) => {
      for (const free of [2, 3, 3]) {
        assert.equal(
          failures("CKR_SESSION_COUNT", 10, () => open(slot)),
          10 - free,
        );
        simulator.order({ disconnected: true });
        simulator.order();
      }
    });
  });

  test("is away in other processes at once, and gone for those that start", () => {
    simulator.configure({});
    simulator.order({ disconnected: true });
    const { stderr } = run(beginOn(simulator), {});
    assert.match(stderr, /CKR_DEVICE_ERROR/);
    simulator.order();
    assert.equal(run(beginOn(simulator), {}).stderr, "");
  });
});

describe("a new key", () => {
  test("cannot sign before it has refused so many C_SignInits, while older ones can", () => {
    withKey({}, ({ session, key, publicKey }) => {
      simulator.order({ quorum: { refusals: 3 } });
      const id = randomBytes(8);
      const common = { TOKEN: true, ID: id };
      const made = raw.pair(session, "EC", { ...common, VERIFY: true }, { ...common, SIGN: true });
      for (let count = 0; count < 3; count += 1) {
        refused("CKR_FUNCTION_FAILED", () => raw.sign(session, made.privateKey, DATA));
        assert.ok(isSignature(publicKey, DATA, raw.sign(session, key, DATA)));
      }
      raw.sign(session, made.privateKey, DATA);
    });
  });

  test("cannot sign before its time, in whichever process", async () => {
    await raw.loggedIn({}, async ({ session }) => {
      simulator.order({ quorum: { delayMs: 2_000 } });
      const start = performance.now();
      const common = { TOKEN: true, LABEL: "too new" };
      const { privateKey } = raw.pair(session, "EC", common, { ...common, SIGN: true });
      refused("CKR_FUNCTION_FAILED", () => raw.sign(session, privateKey, DATA));
      const script = `${beginOn(simulator)}
        library.C_FindObjectsInit(session, [{ type: pkcs11.CKA_LABEL, value: "too new" },
          { type: pkcs11.CKA_CLASS, value: pkcs11.CKO_PRIVATE_KEY }]);
        const [key] = library.C_FindObjects(session, 1);
        try { library.C_SignInit(session, { mechanism: pkcs11.CKM_ECDSA }, key); console.log("it signs"); }
        catch (error) { console.log(error.message); }`;
      assert.equal(run(script, {}).stdout, "CKR_FUNCTION_FAILED\n");
      const sign = (): unknown => raw.sign(session, privateKey, DATA);
      await until(() => failures("CKR_FUNCTION_FAILED", 1, sign) === 0);
      assert.ok(performance.now() - start >= 2_000);
    });
  });

  test("can sign at once where it is no token key, or where nobody looks whether it is available", () => {
    raw.loggedIn({}, ({ session }) => {
      simulator.order({ quorum: { refusals: 1_000, delayMs: 60_000 } });
      raw.sign(session, raw.signingPair(session, "EC").privateKey, DATA);
    });
    raw.loggedIn({ checksKeyAvailability: false }, ({ session }) => {
      const { privateKey } = raw.pair(session, "EC", { TOKEN: true }, { TOKEN: true, SIGN: true });
      raw.sign(session, privateKey, DATA);
    });
  });
});

describe("sessions that are exhausted", () => {
  for (const code of CODE_SWITCHES.SESSION_COUNT) {
    test(`are refused with ${code}, so many times or until the next order`, () => {
      raw.initialized({ codes: { SESSION_COUNT: code } }, ({ slot, session }) => {
        simulator.order({ sessionsExhausted: 2 });
        refused(code, () => open(slot));
        refused(code, () => open(slot));
        library.C_CloseSession(open(slot));
        simulator.order({ sessionsExhausted: true });
        for (let count = 0; count < 20; count += 1) refused(code, () => open(slot));
        library.C_GetSessionInfo(session);
        simulator.order();
        open(slot);
      });
    });
  }
});

describe("a PIN that was changed", () => {
  test("is the right one, and the former one is refused and counted, until the next order", () => {
    raw.initialized({ pinTries: 10 }, ({ session }) => {
      simulator.order({ pin: "signer:another" });
      const before = simulator.pinsRefused();
      for (const pin of [simulator.pin, "signer:anothe", "signer:another ", "nobody:another"]) {
        refused("CKR_PIN_INCORRECT", () => logIn(session, pin));
      }
      assert.equal(simulator.pinsRefused() - before, 4);
      logIn(session, "signer:another");
      library.C_Logout(session);
      simulator.order();
      refused("CKR_PIN_INCORRECT", () => logIn(session, "signer:another"));
      logIn(session);
    });
  });

  test("does not end the login that there is", () => {
    withKey({}, ({ session, key }) => {
      simulator.order({ pin: "signer:another" });
      raw.sign(session, key, DATA);
      refused("CKR_USER_ALREADY_LOGGED_IN", () => logIn(session));
    });
  });
});

describe("a C_Sign that hangs", () => {
  test("goes on when it is released, and with no other order", async () => {
    await withKey({}, async ({ slot, session, key, publicKey }) => {
      const before = simulator.injected().hung;
      simulator.order({ calls: [{ on: "C_Sign", hangs: true, times: 2 }] });
      let returned = 0;
      const hanging = [open(slot), open(slot)].map(async (each) => {
        const signature = await raw.signAsync(each, key, DATA);
        returned += 1;
        return signature;
      });
      await until(() => simulator.injected().hung === before + 2);
      // The others are well.
      raw.sign(session, key, DATA);
      simulator.order({ calls: [{ on: "C_SignInit", returns: "CKR_DEVICE_ERROR", times: 1 }] });
      refused("CKR_DEVICE_ERROR", () => raw.sign(session, key, DATA));
      simulator.order();
      await delay(100);
      assert.equal(returned, 0);
      simulator.order({ released: true });
      for (const signature of await Promise.all(hanging)) assert.ok(isSignature(publicKey, DATA, signature));
    });
  });

  test("does not outlast its process, and holds up no other one", () => {
    simulator.configure({});
    simulator.order({ calls: [{ on: "C_Sign", hangs: true, times: 1 }] });
    const begin = `${beginOn(simulator)} ${MAKE_KEY}
      library.C_SignInit(session, { mechanism: pkcs11.CKM_ECDSA }, privateKey);`;
    const hang = `${begin}
      library.C_SignAsync(session, Buffer.alloc(32, 1), Buffer.alloc(64));
      setTimeout(() => process.kill(process.pid, "SIGKILL"), 100);`;
    const { program, args } = scriptCommand(hang);
    const { signal } = spawnSync(program, args);
    assert.equal(signal, "SIGKILL");
    const sign = `${begin} console.log(library.C_Sign(session, Buffer.alloc(32, 1), Buffer.alloc(64)).length);`;
    assert.equal(run(sign, {}).stdout, "64\n");
  });
});

describe("a wrong signature", () => {
  test("comes with CKR_OK and the right length, so many times", () => {
    withKey({}, ({ session, key, publicKey }) => {
      const before = simulator.injected().wrongSignatures;
      simulator.order({ calls: [{ on: "C_Sign", signs: "wrongly", times: 2 }] });
      const verdicts = Array.from({ length: 4 }, () => {
        const signature = raw.sign(session, key, DATA);
        assert.equal(signature.length, 64);
        return isSignature(publicKey, DATA, signature);
      });
      assert.deepEqual(verdicts, [false, false, true, true]);
      assert.equal(simulator.injected().wrongSignatures - before, 2);
    });
  });

  test("comes never with probability 0, and always with 1", () => {
    withKey({}, ({ session, key, publicKey }) => {
      for (const probability of [0, 1]) {
        simulator.order({ calls: [{ on: "C_Sign", signs: "wrongly", probability }] });
        for (let count = 0; count < 50; count += 1) {
          assert.equal(isSignature(publicKey, DATA, raw.sign(session, key, DATA)), probability === 0);
        }
      }
    });
  });

  test("comes out of C_SignFinal where that is ordered, and out of RSA", () => {
    raw.loggedIn({}, ({ session }) => {
      const { privateKey, publicKey } = raw.signingPair(session, "RSA");
      const mechanism = { mechanism: pkcs11.CKM_SHA256_RSA_PKCS };
      simulator.order({ calls: [{ on: "C_SignFinal", signs: "wrongly", times: 1 }] });
      for (const isRight of [false, true]) {
        library.C_SignInit(session, mechanism, privateKey);
        library.C_SignUpdate(session, DATA);
        const signature = library.C_SignFinal(session, Buffer.alloc(256));
        library.C_VerifyInit(session, mechanism, publicKey);
        if (isRight) library.C_Verify(session, DATA, signature);
        else refused("CKR_SIGNATURE_INVALID", () => library.C_Verify(session, DATA, signature));
      }
    });
  });
});

test("handles that were renewed are refused, and sessions and the login are as before", () => {
  withKey({}, ({ session, id, key, publicKey }) => {
    simulator.order({ handlesRenewed: true });
    refused("CKR_OBJECT_HANDLE_INVALID", () => raw.read(session, key, "ID"));
    refused("CKR_KEY_HANDLE_INVALID", () => raw.sign(session, key, DATA));
    const again = raw.find(session, id);
    assert.ok(isSignature(publicKey, DATA, raw.sign(session, again, DATA)));
    simulator.order();
    raw.sign(session, again, DATA);
  });
});

test("a control file that is none keeps the library from being loaded", () => {
  const control = join(temporaryDirectory(), "control");
  writeFileSync(control, "not an order");
  assert.match(run(beginOn(simulator), { SIM_CONTROL: control }).stderr, /CKR_GENERAL_ERROR/);
});
