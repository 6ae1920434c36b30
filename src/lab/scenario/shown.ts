/** What is shown of an output, where a program prints its lines in an order of chance. */

/** Lines in an order that does not depend on MAC addresses and other names that are drawn: by what follows them. */
export function inOrder(output: string): string {
  const keyOf = (line: string) => line.replaceAll(/\b[\da-f]{2}(?::[\da-f]{2}){5}\b/g, '');
  const lines = output.split('\n').filter(line => line.trim() !== '');
  return lines.toSorted((one, other) => compare(keyOf(one), keyOf(other)) || compare(one, other)).join('\n');
}

const compare = (one: string, other: string) => (one < other ? -1 : one > other ? 1 : 0);
