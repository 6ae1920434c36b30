/**
 * JSON values that hosts publish in the store. Everything read is checked, however it came there: a value that is too
 * long, is no JSON object, or states what cannot be is a ParseError with all that is wrong. Unknown members are
 * ignored, as a later version may have more.
 */
import { formatProblem, ParseError, type Problem } from '../../base/errors.ts';
import { Fields, isObject } from '../../base/fields.ts';
import { isHostName } from '../lease/attributes.ts';

/** Bytes of a value. The longest that Tulle writes has about 1,500. */
const MOST_VALUE = 2048;

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** The host that has published something. */
export interface PublishingHost {
  readonly hostId: string;
  readonly hostName?: string;
}

/** @param what with its article, as it stands in the message. @throws ParseError */
export function readStored<T>(
  what: string,
  value: Uint8Array,
  take: (fields: Fields, problems: readonly Problem[]) => T,
): T {
  if (value.byteLength > MOST_VALUE) {
    throw new ParseError(what, '', `it has ${value.byteLength} bytes, and ${MOST_VALUE} are the most`);
  }
  const problems: Problem[] = [];
  const taken = take(new Fields(parse(what, value), '', problems), problems);
  if (problems.length === 0) return taken;
  throw new ParseError(what, textOf(value), problems.map(formatProblem).join('; '));
}

export const encodeStored = (value: object) => new TextEncoder().encode(JSON.stringify(value));

export function hostIn(fields: Fields): PublishingHost {
  const hostId = fields.text('hostId') ?? '';
  if (!isHostId(hostId)) fields.problem('hostId', 'must be the id of a host');
  return { hostId, ...hostNameIn(fields) };
}

/** A name is for people. One that is none is no reason to do without the rest. */
export function hostNameIn(fields: Fields): { hostName?: string } {
  const hostName = fields.value('hostName');
  return typeof hostName === 'string' && isHostName(hostName) ? { hostName } : {};
}

/** Whether a host may have this id: what identity.json and certificates have. */
export function isHostId(text: string): boolean {
  return /^[\w.-]{1,128}$/.test(text);
}

function parse(what: string, value: Uint8Array): object {
  let parsed: unknown;
  try {
    parsed = JSON.parse(utf8.decode(value));
  } catch {
    throw new ParseError(what, textOf(value), 'want JSON');
  }
  if (isObject(parsed)) return parsed;
  throw new ParseError(what, textOf(value), 'want a JSON object');
}

/** A start of the value that is fit for a message, whatever its bytes are. */
function textOf(value: Uint8Array): string {
  return new TextDecoder().decode(value.subarray(0, 64)).replaceAll(/[^\x20-\x7e]/g, '?');
}
