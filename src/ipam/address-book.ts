/**
 * Who has which address on one L2 network of this host, and which ranges it gives them out of: a value in memory, and its
 * text in a file.
 *
 *     {"version":1,"network":"blue","id":"9f0c41d2a7e35b68",
 *      "ranges":[{"block":"10.9.1.0/24","revision":"812"}],
 *      "last":{"ipv4":"10.9.1.3"},
 *      "addresses":[{"ip":"10.9.1.2","mac":"02:...","container":"web"}]}
 */
import { formatProblem, ParseError, type Problem } from '../base/errors.ts';
import { Fields, isObject } from '../base/fields.ts';
import { type Family, Ip } from '../base/ip.ts';
import { Mac } from '../base/mac.ts';
import { perFamily, valuesOf } from '../base/per-family.ts';
import { Prefix } from '../base/prefix.ts';
import type { Revision } from '../store/store.ts';
import { isContainerName, isSegmentName, type Segment } from '../subnet/segment/segment.ts';

/** One address of one container. */
export interface GivenAddress {
  readonly ip: Ip;
  readonly mac: Mac;
  readonly container: string;
}

/** A range as this host leased it. */
export interface OwnRange {
  readonly block: Prefix;
  /** Since when the store has it: an older state of the store says nothing about it. */
  readonly revision: Revision;
}

export class AddressBook {
  readonly network: string;
  /** Of the network: a later one of the same name has other addresses. */
  readonly id: string;
  readonly #ranges = new Map<number | bigint, OwnRange>();
  readonly #addresses = new Map<number | bigint, GivenAddress>();
  readonly #last = new Map<Family, Ip>();

  constructor({ name, id }: Pick<Segment, 'name' | 'id'>) {
    this.network = name;
    this.id = id;
  }

  /** @throws ParseError for anything else than what `toText` makes */
  static parse(text: string): AddressBook {
    const problems: Problem[] = [];
    const fields = new Fields(objectIn(text), '', problems);
    if (fields.value('version') !== 1) fields.problem('version', 'must be 1');
    const [name, id] = [fields.text('network') ?? '', fields.text('id') ?? ''];
    if (!isSegmentName(name)) fields.problem('network', 'must be the name of a network');
    if (!/^[0-9a-f]{16}$/.test(id)) fields.problem('id', 'must be the id of a network');
    const book = new AddressBook({ name, id });
    for (const item of itemsOf(fields, 'ranges', problems)) {
      const block = item.parsed('block', Prefix.parse, 'a block');
      const revision = item.parsed('revision', revisionIn, 'a number');
      if (block !== undefined && revision !== undefined) book.addRange({ block, revision });
      else item.problem('block', 'or revision is missing');
    }
    for (const item of itemsOf(fields, 'addresses', problems)) {
      const ip = item.parsed('ip', Ip.parse, 'an address');
      const mac = item.parsed('mac', Mac.parse, 'a MAC address');
      const container = item.text('container') ?? '';
      if (ip === undefined || mac?.isUnicast !== true || !isContainerName(container)) {
        item.problem('ip', 'or mac or container is missing or wrong');
      } else book.give({ ip, mac, container });
    }
    const last = fields.value('last');
    const lastFields = new Fields(isObject(last) ? last : {}, 'last', problems);
    for (const ip of valuesOf(perFamily(family => lastFields.address(family, family)))) book.remember(ip);
    if (problems.length === 0) return book;
    throw new ParseError('a file of addresses', text.slice(0, 64), problems.map(formatProblem).join('; '));
  }

  toText(): string {
    const ranges = this.ranges().map(({ block, revision }) => ({ block, revision: `${revision}` }));
    const last = Object.fromEntries(this.#last);
    const file = {
      version: 1,
      network: this.network,
      id: this.id,
      ranges,
      last,
      addresses: this.addresses(),
    };
    return `${JSON.stringify(file, undefined, 1)}\n`;
  }

  addresses(): readonly GivenAddress[] {
    return [...this.#addresses.values()];
  }

  /** In order. */
  ranges(): readonly OwnRange[] {
    return [...this.#ranges.values()].sort((a, b) => a.block.compare(b.block));
  }

  at(ip: Ip): GivenAddress | undefined {
    return this.#addresses.get(ip.key);
  }

  of(container: string): readonly GivenAddress[] {
    return this.addresses().filter(one => one.container === container);
  }

  /** The address of the family that was given out last. */
  last(family: Family): Ip | undefined {
    return this.#last.get(family);
  }

  give(address: GivenAddress): void {
    this.#addresses.set(address.ip.key, address);
  }

  /** The search for the next one goes on from here. */
  remember(last: Ip): void {
    this.#last.set(last.family, last);
  }

  free(ip: Ip): void {
    this.#addresses.delete(ip.key);
  }

  addRange(range: OwnRange): void {
    this.#ranges.set(range.block.key, range);
  }

  removeRange(block: Prefix): void {
    this.#ranges.delete(block.key);
  }

  /** Whether an address of the block is given out. */
  isUsed(block: Prefix): boolean {
    return this.addresses().some(({ ip }) => block.contains(ip));
  }
}

function objectIn(text: string): object {
  try {
    const parsed: unknown = JSON.parse(text);
    if (isObject(parsed)) return parsed;
  } catch {
    // No JSON is as wrong as any other.
  }
  throw new ParseError('a file of addresses', text.slice(0, 64), 'want a JSON object');
}

function itemsOf(fields: Fields, name: string, problems: Problem[]): readonly Fields[] {
  const value = fields.value(name);
  if (Array.isArray(value) && value.every(isObject)) {
    return value.map((item, at) => new Fields(item, `${name}.${at}`, problems));
  }
  fields.problem(name, 'must be a list of objects');
  return [];
}

function revisionIn(text: string): Revision {
  if (!/^\d{1,20}$/.test(text)) throw new ParseError('a revision', text, 'want digits');
  return BigInt(text);
}
