/**
 * Takes a member out of a list, if it is there. What comes and goes with requests is in lists, and not in a Map or Set:
 * one that gains and loses members all the time gets ever new tables, and V8 has each refer to the next, whose members
 * live until a table that has become old is collected, and with them all that their requests made.
 */
export function remove<T>(list: T[], member: T): void {
  const index = list.indexOf(member);
  if (index !== -1) list.splice(index, 1);
}
