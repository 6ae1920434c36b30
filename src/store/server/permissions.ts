/** What a set of roles allows: ranges of keys to read and to write. Pure. */
import { type Permission, Permission_Type as PermissionType } from '../wire/generated/authority_pb.ts';
import { compareKeys, covers, type KeyRange, rangeOf } from './range.ts';

export type Access = 'read' | 'write';

/** A permission as it is kept; `rangeEnd` as in a RangeRequest. */
export type Grant = Pick<Permission, 'key' | 'rangeEnd' | 'permType'>;

export class Permissions {
  /** Not overlapping, not touching, in key order. */
  readonly #read: readonly KeyRange[];
  readonly #write: readonly KeyRange[];

  constructor(grants: readonly Grant[]) {
    this.#read = merge(grants.filter(grant => grant.permType !== PermissionType.WRITE).map(toRange));
    this.#write = merge(grants.filter(grant => grant.permType !== PermissionType.READ).map(toRange));
  }

  /** Whether every key of `range` may be read or written, also when it takes several permissions to cover it. */
  allow(access: Access, range: KeyRange): boolean {
    return (access === 'read' ? this.#read : this.#write).some(granted => covers(granted, range));
  }
}

function toRange({ key, rangeEnd }: Grant): KeyRange {
  return rangeOf(key, rangeEnd);
}

/** Ranges that overlap or touch become one. */
function merge(ranges: readonly KeyRange[]): KeyRange[] {
  const merged: KeyRange[] = [];
  for (const range of ranges.toSorted((a, b) => compareKeys(a.start, b.start))) {
    const last = merged.at(-1);
    if (last === undefined || (last.end !== undefined && compareKeys(last.end, range.start) < 0)) {
      merged.push({ ...range, single: false });
    } else if (last.end !== undefined && (range.end === undefined || compareKeys(range.end, last.end) > 0)) {
      merged[merged.length - 1] = { start: last.start, end: range.end, single: false };
    }
  }
  return merged;
}
