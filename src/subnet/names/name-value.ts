/**
 * The JSON value of a name's key:
 *
 *     {"hostId":"5d1c...","hostName":"docker1","names":["web","api"]}
 */
import { ParseError } from '../../base/errors.ts';
import { encodeStored, hostIn, readStored } from '../publish/stored-json.ts';
import type { NameKey } from './name-key.ts';
import { MOST_NAMES, type NamedAddress, toDnsName } from './names.ts';

/** @throws ParseError */
export function decodeNames({ network, ip }: NameKey, value: Uint8Array): NamedAddress {
  return readStored('names of a container', value, fields => {
    const names = fields.value('names');
    const isNames = Array.isArray(names) && names.length >= 1 && names.length <= MOST_NAMES;
    if (!isNames || !names.every(isDnsName) || new Set(names).size < names.length) {
      fields.problem('names', `must be 1 to ${MOST_NAMES} different names of DNS in lower case`);
    }
    return { network, ip, names: names as readonly string[], ...hostIn(fields) };
  });
}

export function encodeNames({ names, hostId, hostName }: NamedAddress): Uint8Array {
  return encodeStored({ hostId, hostName, names });
}

/** The same, for what may come from anybody: undefined when it cannot be read. */
export function tryDecodeNames(key: NameKey, value: Uint8Array): NamedAddress | undefined {
  try {
    return decodeNames(key, value);
  } catch (error) {
    if (error instanceof ParseError) return undefined;
    throw error;
  }
}

const isDnsName = (name: unknown) => typeof name === 'string' && toDnsName(name) === name;
