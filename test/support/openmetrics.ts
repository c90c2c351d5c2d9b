import { printed } from "./programs.ts";

/** A sample as a reader that is not ours sees it. */
export interface ReadSample {
  readonly family: string;
  readonly type: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

const READER = `
import json, math, sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families
families = text_string_to_metric_families(open(sys.argv[1]).read())
print(json.dumps([
  {"family": family.name, "type": family.type, "name": sample.name, "labels": sample.labels,
   "value": None if math.isnan(sample.value) else sample.value}
  for family in families for sample in family.samples
]))
`;

/**
 * Reads OpenMetrics with the strict parser of Prometheus' own Python client.
 *
 * @throws Error with its complaint when the text is not OpenMetrics
 */
export function readOpenMetrics(text: string): readonly ReadSample[] {
  // The system's own Python: another one that may be in PATH has not got the package.
  return JSON.parse(printed(text, "/usr/bin/python3", "-c", READER, "FILE"));
}

/** The value of the one sample with this name and these labels. */
export function sampleValue(
  samples: readonly ReadSample[],
  name: string,
  labels: Readonly<Record<string, string>> = {},
): number | undefined {
  const found = samples.filter(
    (sample) =>
      sample.name === name &&
      Object.entries(labels).every(([label, value]) => sample.labels[label] === value),
  );
  if (found.length > 1) throw new Error(`There are ${found.length} samples of ${name}`);
  return found[0]?.value;
}
