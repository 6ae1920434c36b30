/** Options in the Backend object of a network configuration that several backends have. */

import type { Problem } from '../base/errors.ts';
import { Fields } from '../base/fields.ts';
import { LEAST_MTU } from '../base/mtu.ts';

/** The most that fits into the length of an IP packet. */
const LARGEST_MTU = 65535;

/** A whole number; zero means "not set", as in flannel. */
function numberUnlessZero(
  fields: Fields,
  name: string,
  range: { readonly min: number; readonly max: number },
): number | undefined {
  return fields.value(name) === 0 ? undefined : fields.integer(name, range);
}

export function portOption(fields: Fields, name = 'Port'): number | undefined {
  return numberUnlessZero(fields, name, { min: 1, max: 65535 });
}

/** MTU of the underlay, from which the overhead is taken. */
export function mtuOption(fields: Fields): number | undefined {
  return numberUnlessZero(fields, 'MTU', { min: LEAST_MTU.ipv4, max: LARGEST_MTU });
}

/** Whatever has not been read by now, and so has no effect. */
export function unusedOptions(fields: Fields, type: string): readonly Problem[] {
  // It chose the backend.
  fields.value('Type');
  return fields.unknownProblems(`the backend ${type}`);
}

/** The check of a backend without options: any is unused. */
export const noOptions =
  (type: string) =>
  (options: Readonly<Record<string, unknown>>, problems: Problem[], warnings: Problem[]): void => {
    warnings.push(...unusedOptions(new Fields(options, 'Backend', problems), type));
  };
