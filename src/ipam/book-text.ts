/**
 * The text of an AddressBook in a file: a line that says of which network, and one for each change, as they came.
 *
 *     {"version":2,"network":"blue","id":"9f0c41d2a7e35b68"}
 *     {"range":"10.9.1.0/24","revision":"812"}        {"noRange":"10.9.1.0/24"}
 *     {"last":"10.9.1.3"}
 *     {"kept":"10.9.1.2","container":"web"}           {"notKept":"10.9.1.2"}
 *     {"ip":"10.9.1.2","mac":"02:...","container":"web","engine":"cni"}     {"free":"10.9.1.2"}
 *
 * Version 1 was one object, written anew with each change; it is still read.
 */
import { formatProblem, ParseError, type Problem } from '../base/errors.ts';
import { Fields, isObject } from '../base/fields.ts';
import { Ip } from '../base/ip.ts';
import { Mac } from '../base/mac.ts';
import { perFamily, valuesOf } from '../base/per-family.ts';
import { Prefix } from '../base/prefix.ts';
import type { Revision } from '../store/store.ts';
import { isContainerName, isSegmentName } from '../subnet/segment/segment.ts';
import { AddressBook, type BookChange, type GivenAddress, type OwnRange } from './address-book.ts';

/** The file of the overlay's addresses has a name that no L2 network can have. */
export const OVERLAY_BOOK = { name: 'default', id: 'overlay' } as const;

/** All that a book says. */
export function linesOfBook(book: AddressBook): readonly string[] {
  const { network, id } = book;
  return [JSON.stringify({ version: 2, network, id }), ...book.asChanges().map(lineOfChange)];
}

export function lineOfChange(change: BookChange): string {
  switch (change.type) {
    case 'given':
      return JSON.stringify(change.address);
    case 'freed':
      return JSON.stringify({ free: change.ip });
    case 'range':
      return JSON.stringify({ range: change.range.block, revision: `${change.range.revision}` });
    case 'no-range':
      return JSON.stringify({ noRange: change.block });
    case 'last':
      return JSON.stringify({ last: change.ip });
    case 'kept':
      return JSON.stringify({ kept: change.kept.ip, container: change.kept.container });
    case 'not-kept':
      return JSON.stringify({ notKept: change.ip });
  }
}

/** @throws ParseError for anything else than what `linesOfBook`, `lineOfChange` and version 1 make */
export function parseBook(lines: readonly string[]): AddressBook {
  const { book, unreadable } = readBook(lines);
  if (unreadable !== undefined) throw unreadable;
  return book;
}

/**
 * As `parseBook`, but a line that cannot be read costs only what it says.
 * @returns unreadable: what is wrong with such lines
 * @throws ParseError where the first line is none, or anything in a file of version 1
 */
export function readBook(lines: readonly string[]): {
  readonly book: AddressBook;
  readonly unreadable: ParseError | undefined;
} {
  const [head = '', ...rest] = lines;
  // Version 1 began with a line that has nothing but its bracket.
  if (head.trim() === '{' || objectIn(head).version !== 2) {
    return { book: parseFirstVersion(lines.join('\n')), unreadable: undefined };
  }
  const ofHead: Problem[] = [];
  const book = bookOf(new Fields(objectIn(head), '', ofHead));
  if (ofHead.length > 0) throw wrongFile(head, ofHead);
  const problems: Problem[] = [];
  for (const [at, line] of rest.entries()) {
    const path = `line ${at + 2}`;
    const object = tryObjectIn(line);
    if (object === undefined) problems.push({ path, message: 'must be a JSON object' });
    const change = object && changeOf(new Fields(object, path, problems));
    if (change !== undefined) book.apply(change);
  }
  return { book, unreadable: problems.length === 0 ? undefined : wrongFile(head, problems) };
}

function changeOf(fields: Fields): BookChange | undefined {
  const has = (name: string) => fields.value(name) !== undefined;
  if (has('ip')) {
    const address = addressOf(fields);
    return address && { type: 'given', address };
  }
  if (has('range')) {
    const range = rangeOf(fields, 'range');
    return range && { type: 'range', range };
  }
  const block = fields.parsed('noRange', Prefix.parse, 'a block');
  if (block !== undefined) return { type: 'no-range', block };
  const address = (name: string) => fields.parsed(name, Ip.parse, 'an address');
  const [free, last, kept, notKept] = [address('free'), address('last'), address('kept'), address('notKept')];
  if (free !== undefined) return { type: 'freed', ip: free };
  if (last !== undefined) return { type: 'last', ip: last };
  if (notKept !== undefined) return { type: 'not-kept', ip: notKept };
  const container = fields.text('container') ?? '';
  if (kept !== undefined && isContainerName(container))
    return { type: 'kept', kept: { ip: kept, container } };
  return fields.problem('ip', 'or another change is missing or wrong');
}

function parseFirstVersion(text: string): AddressBook {
  const problems: Problem[] = [];
  const fields = new Fields(objectIn(text), '', problems);
  if (fields.value('version') !== 1) fields.problem('version', 'must be 1 or 2');
  const book = bookOf(fields);
  for (const item of itemsOf(fields, 'ranges', problems)) {
    const range = rangeOf(item, 'block');
    if (range !== undefined) book.apply({ type: 'range', range });
  }
  for (const item of itemsOf(fields, 'addresses', problems)) {
    const address = addressOf(item);
    if (address !== undefined) book.apply({ type: 'given', address });
  }
  const last = fields.value('last');
  const lastFields = new Fields(isObject(last) ? last : {}, 'last', problems);
  for (const ip of valuesOf(perFamily(family => lastFields.address(family, family)))) {
    book.apply({ type: 'last', ip });
  }
  return bookOrThrow(book, text, problems);
}

function bookOf(fields: Fields): AddressBook {
  const [name, id] = [fields.text('network') ?? '', fields.text('id') ?? ''];
  const isOverlay = name === OVERLAY_BOOK.name && id === OVERLAY_BOOK.id;
  if (!isOverlay && !isSegmentName(name)) fields.problem('network', 'must be the name of a network');
  if (!isOverlay && !/^[0-9a-f]{16}$/.test(id)) fields.problem('id', 'must be the id of a network');
  return new AddressBook({ name, id });
}

function addressOf(fields: Fields): GivenAddress | undefined {
  const ip = fields.parsed('ip', Ip.parse, 'an address');
  const mac = fields.parsed('mac', Mac.parse, 'a MAC address');
  const [container = '', engine] = [fields.text('container'), fields.text('engine')];
  const isEngine = engine === undefined || /^[a-z]{1,16}$/.test(engine);
  if (ip === undefined || mac?.isUnicast !== true || !isContainerName(container) || !isEngine) {
    return fields.problem('ip', 'or mac, container or engine is missing or wrong');
  }
  return { ip, mac, container, ...(engine !== undefined && { engine }) };
}

function rangeOf(fields: Fields, name: string): OwnRange | undefined {
  const block = fields.parsed(name, Prefix.parse, 'a block');
  const revision = fields.parsed('revision', revisionIn, 'a number');
  if (block !== undefined && revision !== undefined) return { block, revision };
  return fields.problem(name, 'or revision is missing');
}

function bookOrThrow(book: AddressBook, text: string, problems: readonly Problem[]): AddressBook {
  if (problems.length === 0) return book;
  throw wrongFile(text, problems);
}

function wrongFile(text: string, problems: readonly Problem[]): ParseError {
  const more = problems.length > MOST_REASONS ? [`and ${problems.length - MOST_REASONS} more`] : [];
  const reasons = [...problems.slice(0, MOST_REASONS).map(formatProblem), ...more];
  return new ParseError('a file of addresses', text.slice(0, 64), reasons.join('; '));
}

const MOST_REASONS = 5;

function objectIn(text: string): { readonly version?: unknown } {
  const object = tryObjectIn(text);
  if (object === undefined)
    throw new ParseError('a file of addresses', text.slice(0, 64), 'want a JSON object');
  return object;
}

/** Undefined for anything else. No JSON is as wrong as any other. */
function tryObjectIn(text: string): object | undefined {
  try {
    const parsed: unknown = JSON.parse(text);
    return isObject(parsed) ? parsed : undefined;
  } catch {
    return undefined;
  }
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
