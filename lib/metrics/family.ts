/** One value of a family. */
export interface Sample {
  readonly labels?: Readonly<Record<string, string>>;
  readonly value: number;
  /** Stands behind the family's name: `_bucket`, `_sum`, `_count` of a histogram. */
  readonly suffix?: string;
}

/** Metrics of one name; their values are asked for when somebody reads them. */
export interface Family {
  readonly name: string;
  readonly help: string;
  readonly type: "counter" | "gauge" | "histogram";
  samples(): readonly Sample[];
}

/** A family of one value, or of none where it is not known. */
export function gauge(name: string, help: string, value: () => number | undefined): Family {
  return single(name, help, "gauge", value);
}

export function counter(name: string, help: string, value: () => number | undefined): Family {
  return single(name, help, "counter", value);
}

function single(name: string, help: string, type: Family["type"], value: () => number | undefined): Family {
  const samples = (): readonly Sample[] => {
    const known = value();
    return known === undefined ? [] : [{ value: known }];
  };
  return { name, help, type, samples };
}
