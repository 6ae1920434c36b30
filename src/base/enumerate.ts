/** Many names in one sentence. */

/** `a, b, c`; of more than `most` only the first ones, and how many are left: `a, b and 4,998 more`. */
export function enumerate(names: readonly string[], most = 5): string {
  if (names.length <= most) return names.join(', ');
  return `${names.slice(0, most).join(', ')} and ${(names.length - most).toLocaleString('en-US')} more`;
}
