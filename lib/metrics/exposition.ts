import { collectDefaultMetrics, type Gauge, type OpenMetricsContentType, Registry } from "prom-client";
import type { Family } from "./family.ts";

/** Counts of libuv's own objects, under names that OpenMetrics keeps for counters, which they are not. */
const LEFT_OUT: readonly string[] = ["handles", "requests", "resources"].flatMap((name) => [
  `nodejs_active_${name}`,
  `nodejs_active_${name}_total`,
]);

/** The metrics as a text: OpenMetrics 1.0. One for each process: it measures the event loop from now on. */
export class Exposition {
  readonly contentType: string = Registry.OPENMETRICS_CONTENT_TYPE;
  readonly #registry = new Registry<OpenMetricsContentType>();

  constructor(families: readonly Family[]) {
    this.#registry.setContentType(Registry.OPENMETRICS_CONTENT_TYPE);
    for (const family of families) this.#registry.registerMetric(collected(family));
    // CPU, memory, descriptors, the delay of the event loop, garbage collection, under the names that all know.
    collectDefaultMetrics({ register: this.#registry });
    for (const name of LEFT_OUT) this.#registry.removeSingleMetric(name);
  }

  /** Asks for all values now. */
  text(): Promise<string> {
    return this.#registry.metrics();
  }
}

/**
 * What the registry asks of a metric when it writes it down: the rest of one is for counting, which is done
 * elsewhere, in plain numbers.
 */
function collected({ name, help, type, samples }: Family): Gauge {
  const metric = {
    name,
    help,
    type,
    async get() {
      const values = samples().map(({ labels = {}, value, suffix }) => ({
        labels,
        value,
        ...(suffix === undefined ? {} : { metricName: `${name}${suffix}` }),
      }));
      return { name: metric.name, help, type, values };
    },
  };
  return metric as unknown as Gauge;
}
