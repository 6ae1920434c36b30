/** What a set of roles allows: ranges of keys to read and to write. Pure. */
import {
  type Permission,
  Permission_Type as PermissionType,
} from '../../store/wire/generated/authority_pb.ts';
import { compareKeys, type KeyRange, rangeOf } from '../kv/range.ts';

export type AccessKind = 'read' | 'write';

/** A permission as it is kept; `rangeEnd` as in a RangeRequest. */
export type Grant = Pick<Permission, 'key' | 'rangeEnd' | 'permType'>;

export class Permissions {
  /** In the order of their starts. */
  readonly #read: readonly KeyRange[];
  readonly #write: readonly KeyRange[];

  constructor(grants: readonly Grant[]) {
    this.#read = rangesOf(grants.filter(grant => grant.permType !== PermissionType.WRITE));
    this.#write = rangesOf(grants.filter(grant => grant.permType !== PermissionType.READ));
  }

  /** Whether every key of `range` may be read or written, also when it takes several permissions to cover it. */
  allow(access: AccessKind, range: KeyRange): boolean {
    const granted = (access === 'read' ? this.#read : this.#write).filter(one => overlap(one, range));
    const [first] = granted;
    if (first === undefined || compareKeys(first.start, range.start) > 0) return false;
    let reached = first.end;
    for (const { start, end } of granted) {
      if (reached !== undefined && compareKeys(reached, start) < 0) return false;
      if (compareEnds(end, reached) > 0) reached = end;
    }
    return compareEnds(reached, range.end) >= 0;
  }
}

function rangesOf(grants: readonly Grant[]): KeyRange[] {
  return grants
    .map(({ key, rangeEnd }) => rangeOf(key, rangeEnd))
    .sort((a, b) => compareKeys(a.start, b.start) || compareEnds(a.end, b.end));
}

function overlap(a: KeyRange, b: KeyRange): boolean {
  const before = (start: Uint8Array, end: Uint8Array | undefined) =>
    end === undefined || compareKeys(start, end) < 0;
  return before(a.start, b.end) && before(b.start, a.end);
}

/** The end of all keys (undefined) comes after every other. */
function compareEnds(a: Uint8Array | undefined, b: Uint8Array | undefined): number {
  if (a === undefined || b === undefined) return a === b ? 0 : a === undefined ? 1 : -1;
  return compareKeys(a, b);
}
