/** Something new that is ready beside what serves, and takes its place or is given up. */
export interface Change {
  /** It serves from this moment on; resolves when its predecessor has ended. */
  commit(): Promise<void>;
  discard(): Promise<void>;
}

/**
 * Prepares one after the other.
 *
 * @throws what the first failure throws; those before it are given up
 */
export async function prepareAll(preparations: readonly (() => Promise<Change>)[]): Promise<Change> {
  const prepared: Change[] = [];
  const discard = async (): Promise<void> => {
    await Promise.all(prepared.map((change) => change.discard()));
  };
  try {
    for (const prepare of preparations) prepared.push(await prepare());
  } catch (error) {
    await discard();
    throw error;
  }
  return {
    commit: async () => {
      // All of them in one turn: no request finds the one changed and the other not.
      await Promise.all(prepared.map((change) => change.commit()));
    },
    discard,
  };
}
