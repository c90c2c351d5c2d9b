import assert from "node:assert/strict";
import { test } from "node:test";
import { SignerError } from "../../lib/errors.ts";
import { type KeyShelf, provisionKey } from "../../lib/hsm/key_provision.ts";
import { SeededRandom } from "../support/seeded_random.ts";

/**
 * A world with a clock of its own, in which machines take their turns in the order of the times that they wait
 * for. What a machine does takes time too, so that others come between.
 */
class World {
  readonly #random: () => number;
  #now = 0;
  #sleepers: { readonly until: number; readonly wake: () => void }[] = [];
  /** Pairs that are there, and when each can be seen by everybody. */
  readonly pairs = new Map<string, { readonly maker: string; readonly visibleAt: number }>();
  readonly destroyedByOthers: string[] = [];

  constructor(random: () => number) {
    this.#random = random;
  }

  wait(milliseconds: number): Promise<void> {
    return new Promise((wake) => this.#sleepers.push({ until: this.#now + milliseconds, wake }));
  }

  /** @param generation how long making a pair takes, at most; another machine sees it `lag` later, at most */
  shelf(maker: string, generation: number, lag: number): KeyShelf {
    return {
      ids: () =>
        [...this.pairs]
          .filter(([, pair]) => pair.maker === maker || pair.visibleAt <= this.#now)
          .map(([id]) => id),
      generate: async () => {
        await this.wait(this.#random() * generation);
        const id = Math.floor(this.#random() * 2 ** 32)
          .toString(16)
          .padStart(8, "0");
        this.pairs.set(id, { maker, visibleAt: this.#now + this.#random() * lag });
        await this.wait(this.#random() * generation);
        return id;
      },
      destroy: (id) => {
        if (this.pairs.get(id)?.maker !== maker) this.destroyedByOthers.push(id);
        this.pairs.delete(id);
      },
    };
  }

  /** Lets time go on until nobody waits any more. */
  async run(): Promise<void> {
    for (;;) {
      // Who was woken goes as far as he can.
      for (let turn = 0; turn < 50; turn += 1) await Promise.resolve();
      const next = this.#sleepers.toSorted((a, b) => a.until - b.until)[0];
      if (next === undefined) return;
      this.#sleepers = this.#sleepers.filter((sleeper) => sleeper !== next);
      this.#now = next.until;
      next.wake();
    }
  }
}

interface Outcome {
  readonly world: World;
  readonly ids: readonly string[];
  readonly made: number;
}

function seededRandom(seed: number): () => number {
  const random = new SeededRandom(seed);
  return () => random.next();
}

async function provisionAtOnce(
  machines: number,
  seed: number,
  { generation = 500, lag = 900, stagger = 3_000 } = {},
): Promise<Outcome> {
  const random = seededRandom(seed);
  const world = new World(random);
  const results = Array.from({ length: machines }, async (_, index) => {
    await world.wait(random() * stagger);
    const shelf = world.shelf(`machine ${index}`, generation, lag);
    return provisionKey({ shelf, label: "label", wait: (ms) => world.wait(ms), random });
  });
  await world.run();
  const keys = await Promise.all(results);
  return { world, ids: keys.map(({ id }) => id), made: keys.filter(({ wasMade }) => wasMade).length };
}

for (const machines of [1, 2, 3, 5]) {
  test(`${machines} at once end with the same pair, and no other is left, in 300 orders of events`, async () => {
    for (let seed = 1; seed <= 300; seed += 1) {
      const { world, ids, made } = await provisionAtOnce(machines, seed);
      const context = `seed ${seed}: ${ids.join(", ")}; there: ${[...world.pairs.keys()].join(", ")}`;
      assert.deepEqual(new Set(ids), new Set(world.pairs.keys()), context);
      assert.equal(world.pairs.size, 1, context);
      assert.equal(made, 1, context);
      assert.deepEqual(world.destroyedByOthers, [], context);
    }
  });
}

test("a pair that takes an HSM long does not become a second one", async () => {
  for (let seed = 1; seed <= 200; seed += 1) {
    const { world, ids } = await provisionAtOnce(2, seed, { generation: 20_000, stagger: 30_000 });
    assert.deepEqual([new Set(ids).size, world.pairs.size], [1, 1], `seed ${seed}`);
  }
});

test("a pair that is there already is taken, and none is made", async () => {
  const world = new World(seededRandom(1));
  world.pairs.set("aa", { maker: "somebody", visibleAt: 0 });
  const shelf = { ...world.shelf("machine", 1, 1), generate: () => Promise.reject(new Error("never")) };
  const result = provisionKey({ shelf, label: "label", wait: (ms) => world.wait(ms), random: () => 0 });
  await world.run();
  assert.deepEqual(await result, { id: "aa", wasMade: false });
});

test("what a machine that died left behind is taken by the next one", async () => {
  const random = seededRandom(7);
  const world = new World(random);
  // It made its pair, and was gone before it looked.
  const dead = world.shelf("dead", 1, 1);
  const dying = dead.generate();
  await world.run();
  const left = await dying;
  const result = provisionKey({
    shelf: world.shelf("machine", 1, 1),
    label: "label",
    wait: (ms) => world.wait(ms),
    random,
  });
  await world.run();
  assert.deepEqual(await result, { id: left, wasMade: false });
});

test("several pairs that stay are refused with all their ids, and none of them is destroyed", async () => {
  const world = new World(seededRandom(1));
  for (const id of ["aa", "bb"]) world.pairs.set(id, { maker: "somebody", visibleAt: 0 });
  const shelf = world.shelf("machine", 1, 1);
  const result = provisionKey({ shelf, label: "label", wait: (ms) => world.wait(ms), random: () => 0 });
  const refused = assert.rejects(
    result,
    (error: unknown) =>
      error instanceof SignerError &&
      error.code === "ERR_KEY_AMBIGUOUS" &&
      /CKA_ID aa, bb/.test(error.message),
  );
  await world.run();
  await refused;
  assert.deepEqual([...world.pairs.keys()], ["aa", "bb"]);
});

test("an HSM that cannot make a pair is told to whoever asked", async () => {
  const world = new World(seededRandom(1));
  const shelf = { ...world.shelf("machine", 1, 1), generate: () => Promise.reject(new Error("no")) };
  await assert.rejects(
    provisionKey({ shelf, label: "label", wait: (ms) => world.wait(ms), random: () => 0 }),
    /^Error: no$/,
  );
});
