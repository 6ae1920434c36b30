/** What is said of stations that use an address of another one. */
import { enumerate } from '../../../base/enumerate.ts';
import type { OwnedWarning } from '../../reports.ts';
import type { Duplicate } from './segment-endpoints.ts';

/** One for each network. @param duplicates by name of the network */
export function duplicateWarnings(
  duplicates: ReadonlyMap<string, readonly Duplicate[]>,
): readonly OwnedWarning[] {
  return [...duplicates].flatMap(([name, of]) => {
    if (of.length === 0) return [];
    const each = of.map(({ ip, mac, container, owner, isOfMac }) => {
      const [both, other] = isOfMac ? [mac, ip] : [ip, mac];
      return `${both}, which ${owner} has, by ${container} (${other})`;
    });
    return [
      {
        id: name,
        code: 'DUPLICATE_ADDRESS',
        severity: 'warning' as const,
        title: `a container of this host uses an address of another one in the network ${name}`,
        text: `addresses in use twice: ${enumerate(each, { most: 5 })}`,
        hint: 'give the container of this host another address; until then what it sends from this one is dropped',
      },
    ];
  });
}
