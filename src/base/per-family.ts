/** A value per address family: `{ ipv4: ..., ipv6: ... }`. A family that has none is absent. */
import { FAMILIES, type Family } from './ip.ts';

export type PerFamily<T> = { readonly [Key in Family]?: T };

/** Made family by family; undefined leaves one out. */
export function perFamily<T>(valueOf: (family: Family) => T | undefined): PerFamily<T> {
  const record: { [Key in Family]?: T } = {};
  for (const family of FAMILIES) {
    const value = valueOf(family);
    if (value !== undefined) record[family] = value;
  }
  return record;
}

/** Each value under its own family; of two of one family the last one. */
export function byFamily<T extends { readonly family: Family }>(...values: readonly T[]): PerFamily<T> {
  return perFamily(family => values.findLast(value => value.family === family));
}

/** The same families, with other values; undefined leaves one out. */
export function mapFamilies<T, U>(
  record: PerFamily<T>,
  change: (value: T, family: Family) => U | undefined,
): PerFamily<U> {
  return perFamily(family => {
    const value = record[family];
    return value === undefined ? undefined : change(value, family);
  });
}

/** The families of a record, IPv4 first. */
export function familiesOf(record: PerFamily<unknown>): readonly Family[] {
  return FAMILIES.filter(family => record[family] !== undefined);
}

/** The values of a record, IPv4 first. */
export function valuesOf<T>(record: PerFamily<T>): readonly T[] {
  return FAMILIES.map(family => record[family]).filter(value => value !== undefined);
}
