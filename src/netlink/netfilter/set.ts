/**
 * What named sets, maps and counters of nftables hold: elements are added and deleted, and all are read, without `nft`.
 *
 * A key is as the kernel compares it: each field of a concatenation is filled up to a multiple of four bytes. The data of
 * a map's element is written the same way.
 */
import { Reader, written } from '../../base/bytes.ts';
import { defined } from '../../base/defined.ts';
import { attributes, many, one } from '../attribute.ts';
import { bytes, nested, text, u32be, u64be } from '../attribute-types.ts';
import { NLM_F_CREATE } from '../constants.ts';
import { MessageCodec } from '../message.ts';
import type { Change } from '../protocol.ts';
import * as constants from './constants.ts';
import { nfgenmsg, nftablesType } from './header.ts';
import { dataAttributes } from './table.ts';

/** A named set or map of a table. */
export interface SetName {
  /** inet unless given. */
  readonly family?: 'inet' | 'bridge';
  readonly table: string;
  readonly set: string;
}

export interface SetElement {
  readonly key: Uint8Array;
  /** The last key, of a set of ranges of concatenations. */
  readonly keyEnd?: Uint8Array;
  /** Where the key leads to, of a map. */
  readonly data?: Uint8Array;
  /** What `nft` shows beside it: at most 127 characters of ASCII. */
  readonly comment?: string;
}

const elementAttributes = attributes({
  key: one(constants.NFTA_SET_ELEM_KEY, nested(dataAttributes)),
  data: one(constants.NFTA_SET_ELEM_DATA, nested(dataAttributes)),
  userdata: one(constants.NFTA_SET_ELEM_USERDATA, bytes),
  keyEnd: one(constants.NFTA_SET_ELEM_KEY_END, nested(dataAttributes)),
});
const elementList = attributes({ elements: many(constants.NFTA_LIST_ELEM, nested(elementAttributes)) });

export const nftElementsMessage = new MessageCodec(
  'nfgenmsg',
  nfgenmsg,
  attributes({
    table: one(constants.NFTA_SET_ELEM_LIST_TABLE, text),
    set: one(constants.NFTA_SET_ELEM_LIST_SET, text),
    list: one(constants.NFTA_SET_ELEM_LIST_ELEMENTS, nested(elementList)),
  }),
);

const counterAttributes = attributes({ packets: one(constants.NFTA_COUNTER_PACKETS, u64be) });

export const nftObjectMessage = new MessageCodec(
  'nfgenmsg',
  nfgenmsg,
  attributes({
    table: one(constants.NFTA_OBJ_TABLE, text),
    name: one(constants.NFTA_OBJ_NAME, text),
    type: one(constants.NFTA_OBJ_TYPE, u32be),
    data: one(constants.NFTA_OBJ_DATA, nested(counterAttributes)),
  }),
);

const headerOf = ({ family = 'inet' }: Pick<SetName, 'family'>) => ({
  family: family === 'inet' ? constants.NFPROTO_INET : constants.NFPROTO_BRIDGE,
  version: 0,
  resource: 0,
});
const named = ({ family = 'inet', table, set }: SetName) => `the set ${set} of ${family} ${table}`;
/** In one message, without and with data or a comment: the length of an attribute is a number of 16 bits. */
const MOST_KEYS = 1000;
const MOST_ELEMENTS = 200;
/** Of user data, which is a list of type, length and value; the type of a comment (libnftnl, udata.h). */
const COMMENT_TYPE = 0;

/** Those that are there already stay. @throws at the commit NetlinkError EEXIST when one has other data */
export const addElements = (name: SetName, elements: readonly (Uint8Array | SetElement)[]): Change[] =>
  inPieces('add', constants.NFT_MSG_NEWSETELEM, NLM_F_CREATE, name, elements);

/** @throws at the commit NetlinkError ENOENT when one is not there */
export const deleteElements = (name: SetName, elements: readonly (Uint8Array | SetElement)[]): Change[] =>
  inPieces('delete', constants.NFT_MSG_DELSETELEM, 0, name, elements.map(keysOf));

function inPieces(
  verb: string,
  message: number,
  flags: number,
  name: SetName,
  all: readonly (Uint8Array | SetElement)[],
): Change[] {
  const { table, set } = name;
  const most = all.every(element => element instanceof Uint8Array) ? MOST_KEYS : MOST_ELEMENTS;
  return Array.from({ length: Math.ceil(all.length / most) }, (_, piece) => {
    const elements = all.slice(piece * most, (piece + 1) * most).map(attributesOf);
    return {
      what: `${verb} elements of ${named(name)}`,
      type: nftablesType(message),
      flags,
      write: writer => nftElementsMessage.write(writer, headerOf(name), { table, set, list: { elements } }),
    };
  });
}

/** What a map leads to is not asked for when an element is deleted. */
const keysOf = (element: Uint8Array | SetElement): Uint8Array | SetElement =>
  element instanceof Uint8Array ? element : defined({ key: element.key, keyEnd: element.keyEnd });

function attributesOf(element: Uint8Array | SetElement) {
  if (element instanceof Uint8Array) return { key: { value: element } };
  const { key, keyEnd, data, comment } = element;
  return {
    key: { value: key },
    ...(keyEnd && { keyEnd: { value: keyEnd } }),
    ...(data && { data: { value: data } }),
    ...(comment !== undefined && { userdata: encodeComment(comment) }),
  };
}

function encodeComment(comment: string): Uint8Array {
  const text = new TextEncoder().encode(`${comment}\0`);
  return written(writer => writer.u8(COMMENT_TYPE).u8(text.byteLength).bytes(text));
}

function decodeComment(userdata: Uint8Array): string | undefined {
  const reader = new Reader(userdata, 'user data of an element');
  while (reader.remaining > 0) {
    const type = reader.u8();
    const value = reader.bytes(reader.u8());
    if (type === COMMENT_TYPE) return new TextDecoder().decode(value).replace(/\0+$/, '');
  }
  return undefined;
}

/** Deletes all elements. */
export const flushSet = (name: SetName): Change => ({
  what: `flush ${named(name)}`,
  type: nftablesType(constants.NFT_MSG_DELSETELEM),
  flags: 0,
  write: writer => nftElementsMessage.write(writer, headerOf(name), { table: name.table, set: name.set }),
});

/** Asks for all elements of a set. */
export const askElements = (name: SetName): Change => ({
  what: `list ${named(name)}`,
  type: nftablesType(constants.NFT_MSG_GETSETELEM),
  flags: 0,
  write: writer => nftElementsMessage.write(writer, headerOf(name), { table: name.table, set: name.set }),
});

/** The elements in a message of the answer. @throws CodecError */
export function decodeElements(payload: Uint8Array): SetElement[] {
  const { elements = [] } = nftElementsMessage.decode(payload).attributes.list ?? {};
  return elements.flatMap(({ key, keyEnd, data, userdata }) =>
    key?.value === undefined
      ? []
      : {
          key: key.value,
          ...defined({
            keyEnd: keyEnd?.value,
            data: data?.value,
            comment: userdata && decodeComment(userdata),
          }),
        },
  );
}

/** Asks for all counters of a table that have a name. */
export const askCounters = (table: string): Change => ({
  what: `list the counters of inet ${table}`,
  type: nftablesType(constants.NFT_MSG_GETOBJ),
  flags: 0,
  write: writer =>
    nftObjectMessage.write(writer, headerOf({}), { table, type: constants.NFT_OBJECT_COUNTER }),
});
