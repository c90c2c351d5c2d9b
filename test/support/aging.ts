import { EventEmitter } from "node:events";
import type { ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { Admission } from "../../lib/admission.ts";
import { WaitingLine } from "../../lib/hsm/waiting_line.ts";
import { Connections } from "../../lib/http/connections.ts";
import { agedBy } from "./garbage.ts";

/** What comes and goes in one piece of work. */
export const MEMBERS = 100;
/** Numbers that each of them holds. */
export const BALLAST = 100;
/** Of them are there at once. */
const PRESENT = 10;

export type Aging = "map" | "waitingLine" | "connections" | "admission";

const ballast = (): number[] => Array.from({ length: BALLAST }, (_, index) => index + 0.5);

/**
 * What grows old of what comes and goes in these, in bytes for each piece of work. For a process of its own: node:test
 * keeps something of each promise.
 */
export const AGED: Readonly<Record<Aging, () => Promise<number>>> = {
  async map() {
    const members = new Map<number, number[]>();
    let last = 0;
    return agedBy(() => {
      for (let count = 0; count < MEMBERS; count += 1) {
        last += 1;
        members.set(last, ballast());
        members.delete(last - PRESENT);
      }
    });
  },

  async waitingLine() {
    const line = new WaitingLine<{ made: number[] }>(60_000);
    let last = 0;
    const aged = await agedBy(() => {
      for (let count = 0; count < MEMBERS; count += 1) {
        last += 1;
        const [ticket, made] = [last, ballast()];
        const place = { ticket, made, withdraw: () => true, follow: () => void made };
        line.add({ begin: () => void made, standBy: () => place, refuse: () => {} });
        if (ticket > PRESENT) line.heir(ticket - PRESENT).follow({ made });
      }
    });
    line.refuseAll(new Error("over"));
    return aged;
  },

  async connections() {
    const connections = new Connections();
    const socket = new EventEmitter() as Socket;
    connections.add(socket);
    return agedBy(() => {
      let former: EventEmitter | undefined;
      for (let count = 0; count < MEMBERS; count += 1) {
        const response = Object.assign(new EventEmitter(), { made: ballast() });
        connections.expect(socket, response as unknown as ServerResponse);
        former?.emit("close");
        former = response;
      }
      former?.emit("close");
    });
  },

  async admission() {
    const admission = new Admission({ slots: 1, maxWaiting: 1_000, maxWaitMs: 60_000 });
    const ends: (() => void)[] = [];
    const all: Promise<void>[] = [];
    const begin = (caller: number): void => {
      const made = ballast();
      const work = (): Promise<void> => new Promise((resolve) => ends.push(() => resolve(void made)));
      all.push(admission.run(`caller ${caller % 2}`, work));
    };
    const endFirst = async (): Promise<void> => {
      ends.shift()?.();
      await all.shift();
    };
    begin(0);
    const aged = await agedBy(async () => {
      for (let count = 0; count < MEMBERS; count += 1) {
        begin(count);
        await endFirst();
      }
    });
    await endFirst();
    return aged;
  },
};
