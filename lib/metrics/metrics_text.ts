import type { Counts } from "./counts.ts";
import type { Exposition } from "./exposition.ts";
import { type ServiceState, stateFamilies } from "./state_families.ts";

/** The metrics of a service, for whoever reads them. */
export class MetricsText {
  readonly #counts: Counts;
  readonly #state: ServiceState;
  #exposition: Promise<Exposition> | undefined;

  constructor(counts: Counts, state: ServiceState) {
    this.#counts = counts;
    this.#state = state;
  }

  /** Has what takes time to measure, such as the delay of the event loop, be measured from now on. */
  async begin(): Promise<Exposition> {
    // Most services show no metrics, and no command does: the library is loaded where somebody wants it.
    this.#exposition ??= import("./exposition.ts").then(
      ({ Exposition }) => new Exposition([...this.#counts.families(), ...stateFamilies(this.#state)]),
    );
    return this.#exposition;
  }

  async read(): Promise<{ readonly contentType: string; readonly text: string }> {
    const exposition = await this.begin();
    return { contentType: exposition.contentType, text: await exposition.text() };
  }
}
