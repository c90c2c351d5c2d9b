export function quoted(labels: readonly string[]): string {
  return labels.map((label) => `"${label}"`).join(", ");
}

/** As it is written in a command line of sh. */
export function shellWord(text: string): string {
  return /^[\w.@+/-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
