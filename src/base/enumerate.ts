/** Many names in one sentence. */

/** `a, b, c`; of more than `most` only the first ones, and how many are left: `a, b and 4,998 more`. */
export function enumerate<T>(
  things: readonly T[],
  { most = 5, name = String }: { readonly most?: number; readonly name?: (thing: T) => string } = {},
): string {
  const names = things.slice(0, most).map(thing => name(thing));
  const left = things.length - names.length;
  return `${names.join(', ')}${left === 0 ? '' : ` and ${left.toLocaleString('en-US')} more`}`;
}
