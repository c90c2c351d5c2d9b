import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { signatureAlgorithm } from "../../lib/algorithms.ts";
import type { Order } from "../cloudhsm/order.ts";
import { type CloudHsmBackEnd, cloudHsmBackEnd } from "../support/back_ends.ts";
import { type ReloadableService, reloadableServiceOn } from "../support/service_on.ts";
import { SteadyLoad } from "../support/steady_load.ts";
import { tokenServer } from "../support/token_server.ts";
import { until } from "../support/until.ts";
import { type FaultRow, faultTable } from "./fault_table.ts";

/**
 * What the service promises of a cluster's bad days: each fault comes under a steady load of valid requests and
 * goes again. Nothing is signed wrongly, every request is answered, and the same process signs on.
 */

const backEnd = cloudHsmBackEnd();
const { simulator } = backEnd;
const algorithm = signatureAlgorithm("P-256", "SHA-256");
const LABEL = "proof";
const SETTINGS = { HSM_KEY_LABEL: LABEL, HSM_KEY_ALGORITHM: "P-256", HSM_SESSIONS: "4" };
const rows: FaultRow[] = [];
after(() => void process.stdout.write(`\n${faultTable(rows)}\n\n`));

/** A fault, and how it goes away. */
interface Fault {
  readonly name: string;
  begin(service: ReloadableService): void | Promise<void>;
  /** What is true while it lasts; resolves when that was seen. */
  seen?(service: ReloadableService, load: SteadyLoad): Promise<void>;
  end?(service: ReloadableService): void | Promise<void>;
  /** Whether the simulator does not count the calls that it befalls. */
  readonly isUncounted?: true;
  /** Whether callers may notice: those that may not are answered 200, all of them. */
  readonly isHidden?: true;
}

const order = (what: Order) => (): void => simulator.order(what);
const readyCode = async ({ url }: ReloadableService): Promise<unknown> =>
  ((await (await fetch(`${url}/readyz`)).json()) as Record<string, unknown>)["code"];

/** The service says of itself that it cannot sign, and why; and callers are told. */
const notReady =
  (code: RegExp) =>
  async (service: ReloadableService, load: SteadyLoad): Promise<void> => {
    await until(async () => code.test(String(await readyCode(service))));
    await load.answers(40);
  };

const answered =
  (count: number) =>
  (_: ReloadableService, load: SteadyLoad): Promise<void> =>
    load.answers(count);

const AWAY = /ERR_TOKEN_(UNAVAILABLE|BUSY)/;

const FAULTS: readonly Fault[] = [
  {
    name: "one call in five throttled (CKR_FUNCTION_FAILED)",
    begin: order({ calls: [{ on: "C_Sign", returns: "CKR_FUNCTION_FAILED", probability: 0.2 }] }),
    seen: answered(200),
  },
  {
    name: "every call throttled",
    begin: order({ calls: [{ on: "C_Sign", returns: "CKR_FUNCTION_FAILED" }] }),
    seen: notReady(AWAY),
  },
  {
    name: "slow: 100 ms for each C_Sign, 5 ms for each C_SignInit",
    begin: order({
      calls: [
        { on: "C_Sign", latencyUs: 100_000 },
        { on: "C_SignInit", latencyUs: 5_000 },
      ],
    }),
    seen: answered(40),
    isHidden: true,
    isUncounted: true,
  },
  {
    name: "an HSM replaced: what is in flight fails once",
    begin: async () => {
      simulator.order({ calls: [{ on: "C_Sign", latencyUs: 20_000 }] });
      await delay(100);
      simulator.order({ hsmReplaced: true });
    },
    seen: answered(40),
    isHidden: true,
    isUncounted: true,
  },
  {
    name: "sessions die, one after the other",
    begin: order({ calls: [{ on: "C_Sign", returns: "CKR_SESSION_HANDLE_INVALID", probability: 0.1 }] }),
    seen: answered(100),
  },
  {
    name: "no further sessions, while others die",
    begin: order({
      sessionsExhausted: true,
      calls: [{ on: "C_Sign", returns: "CKR_SESSION_CLOSED", times: 3 }],
    }),
    seen: answered(100),
  },
  {
    name: "handles invalid: the objects were deleted and restored",
    begin: order({ handlesRenewed: true }),
    seen: answered(40),
    isHidden: true,
    isUncounted: true,
  },
  {
    name: "device error, once",
    begin: order({ calls: [{ on: "C_Sign", returns: "CKR_DEVICE_ERROR", times: 1 }] }),
    seen: answered(40),
    isHidden: true,
  },
  {
    name: "device error, for a while",
    begin: order({ calls: [{ on: "C_Sign", returns: "CKR_DEVICE_ERROR" }] }),
    seen: notReady(AWAY),
  },
  {
    name: "cluster cannot be reached; sessions and login lost",
    begin: order({ disconnected: true }),
    seen: notReady(AWAY),
    isUncounted: true,
  },
  {
    name: "the same, and C_Initialize fails meanwhile",
    begin: order({ disconnected: { initializeFails: true } }),
    seen: notReady(AWAY),
    isUncounted: true,
  },
  {
    name: "wrong signatures with CKR_OK, one in three",
    begin: order({ calls: [{ on: "C_Sign", signs: "wrongly", probability: 0.33 }] }),
    seen: answered(100),
  },
  {
    name: "one C_Sign hangs",
    begin: order({ calls: [{ on: "C_Sign", hangs: true, times: 1 }] }),
    // Until its deadline it waits like any other; the sessions beside it sign on.
    seen: (_, load) => until(() => load.tally.refusals.includes("ERR_SIGN_TIMEOUT")),
    end: order({ released: true }),
  },
  {
    name: "every C_Sign hangs",
    begin: order({ calls: [{ on: "C_Sign", hangs: true }] }),
    seen: notReady(/ERR_TOKEN_HANGS/),
    end: order({ released: true }),
  },
];

/** A fault under load: before, during, after. */
async function prove(fault: Fault, service: ReloadableService): Promise<FaultRow> {
  const load = new SteadyLoad({ url: service.url, algorithm, concurrency: 8 });
  await load.answers(50);
  await fault.begin(service);
  await fault.seen?.(service, load);
  await (fault.end ?? order({}))(service);
  const cleared = performance.now();
  await load.nextSigned();
  const untilSigned = performance.now() - cleared;
  await load.answers(50);
  const tally = await load.stop();
  const wasRestarted = await Promise.race([service.ended.then(() => true), delay(0, false)]);
  return { fault: fault.name, tally, untilSigned, wasRestarted };
}

function assertKept({ tally, wasRestarted }: FaultRow, isHidden = false): void {
  const { sent, signed, refused, refusals, wrong, unanswered, others } = tally;
  assert.deepEqual({ wrong, unanswered, others }, { wrong: 0, unanswered: 0, others: [] });
  assert.equal(signed + refused, sent);
  assert.ok(signed > 50);
  if (isHidden) assert.deepEqual(refusals, [], "nobody should have noticed");
  assert.equal(wasRestarted, false);
}

/** What orders did to calls so far, on whichever simulator. */
function harm({ simulator: { injected } }: CloudHsmBackEnd): number {
  return Object.values(injected()).reduce((sum, count) => sum + count, 0);
}

async function proveAndRecord(fault: Fault, service: ReloadableService): Promise<void> {
  const before = harm(backEnd);
  const row = await prove(fault, service);
  rows.push(row);
  assertKept(row, fault.isHidden);
  if (fault.isUncounted === undefined) assert.ok(harm(backEnd) > before, "the fault did nothing");
  await until(async () => (await fetch(`${service.url}/readyz`)).status === 200);
  // A connection that is as young as this is not replaced again.
  await delay(1_100);
}

describe("The service under a fault of its cluster", () => {
  let service: ReloadableService;
  before(async () => {
    service = await reloadableServiceOn(backEnd, { ...SETTINGS, HSM_AUTO_PROVISION: "true" });
  });
  after(async () => {
    simulator.order({ released: true });
    await service.stop();
  });

  for (const fault of FAULTS) test(fault.name, () => proveAndRecord(fault, service));

  test("a PIN changed under way: one refused login, and none until an operator acts", async () => {
    const pin = `${backEnd.pin}-new`;
    const refusedBefore = simulator.pinsRefused();
    const fault: Fault = {
      name: "the PIN changed, then the login lost; an operator corrects it and sends SIGHUP",
      isUncounted: true,
      begin: async () => {
        // The cluster is away for a moment: the login has to be made again.
        simulator.order({ pin, disconnected: { forMs: 100 } });
      },
      seen: async (running, load) => {
        await notReady(/ERR_PIN_REJECTED/)(running, load);
        assert.equal((await running.reload(SETTINGS))["event"], "reload.failed");
        assert.equal(simulator.pinsRefused() - refusedBefore, 1, "refused logins");
      },
      end: async (running) => {
        writeFileSync(running.pinFile, pin);
        assert.equal((await running.reload(SETTINGS))["event"], "reloaded");
      },
    };
    await proveAndRecord(fault, service);
    assert.equal(simulator.pinsRefused() - refusedBefore, 1, "refused logins");
    assert.ok(service.events("token.given_up").length === 1);
  });
});

test("The service while the process of its token is killed and started again", async () => {
  const apart = cloudHsmBackEnd();
  const server = tokenServer(apart);
  await server.start();
  const settings = { ...apart.settings, ...server.environment, HSM_MODULE: server.modulePath };
  const service = await reloadableServiceOn(
    { ...apart, settings },
    { ...SETTINGS, HSM_AUTO_PROVISION: "true" },
  );
  await proveAndRecord(
    {
      name: "the token's process killed, later started again (p11-kit server)",
      isUncounted: true,
      begin: () => server.kill(),
      seen: notReady(AWAY),
      end: () => server.start(),
    },
    service,
  );
  await service.stop();
  await server.kill();
});
