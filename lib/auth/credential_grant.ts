/** Stands for every credential. */
const ALL = "*";

/**
 * What a list of labels grants: all for `*`; for none, the default credential, so that one that is added later
 * is nobody's before somebody says so.
 *
 * @param standard label of the default credential
 */
export function grantedCredentials(
  labels: readonly string[],
  standard: string,
): ReadonlySet<string> | undefined {
  if (labels.includes(ALL)) return undefined;
  return new Set(labels.length === 0 ? [standard] : labels);
}
