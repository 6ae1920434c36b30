/**
 * Steps of rules as the kernel lists them, as far as it is asked what a rule does and to whom (libnftnl and nft have all
 * of it). A step takes its operand from a register and leaves its result in one.
 */
import { defined } from '../../base/defined.ts';
import { attributes, many, one } from '../attribute.ts';
import { bytes, nested, text, u8, u32be } from '../attribute-types.ts';
import * as constants from './constants.ts';
import {
  compareAttributes,
  dataAttributes,
  expressionAttributes,
  immediateAttributes,
  metaAttributes,
  payloadAttributes,
} from './table.ts';

export type ReadExpression =
  /** Of the packet: read `into` a register, or set `from` one. */
  | { readonly kind: 'meta'; readonly key: number; readonly into?: number; readonly from?: number }
  | { readonly kind: 'ct'; readonly key: number; readonly into?: number; readonly from?: number }
  | {
      readonly kind: 'payload';
      /** NFT_PAYLOAD_*. */
      readonly base: number;
      readonly offset: number;
      readonly length: number;
      readonly into?: number;
      readonly from?: number;
    }
  | { readonly kind: 'mask'; readonly from: number; readonly into: number; readonly mask: Uint8Array }
  | {
      readonly kind: 'compare';
      readonly from: number;
      /** `order`: less or greater. */
      readonly operator: 'equal' | 'unequal' | 'order';
      readonly value: Uint8Array;
    }
  | { readonly kind: 'verdict'; readonly code: number; readonly chain?: string }
  /** In a set; or in a map of verdicts. */
  | { readonly kind: 'lookup'; readonly from: number; readonly hasVerdict: boolean }
  /** NFT_OBJECT_*; undefined when a map has the objects. */
  | { readonly kind: 'object'; readonly type: number | undefined }
  /** Adds to a set, with steps for each element. */
  | { readonly kind: 'update'; readonly steps: readonly string[] }
  /** Of TCP or IP, by its number: read, or set or taken out. */
  | { readonly kind: 'option'; readonly option: number; readonly isChange: boolean }
  | {
      readonly kind: 'match' | 'target';
      /** Of iptables. */
      readonly name: string;
      readonly info: Uint8Array;
    }
  /** `limit`, `log`, `counter`, ... */
  | { readonly kind: 'other'; readonly name: string };

const maskAttributes = attributes({
  from: one(constants.NFTA_BITWISE_SREG, u32be),
  into: one(constants.NFTA_BITWISE_DREG, u32be),
  mask: one(constants.NFTA_BITWISE_MASK, nested(dataAttributes)),
});
const lookupAttributes = attributes({
  from: one(constants.NFTA_LOOKUP_SREG, u32be),
  into: one(constants.NFTA_LOOKUP_DREG, u32be),
});
const connectionAttributes = attributes({
  into: one(constants.NFTA_CT_DREG, u32be),
  key: one(constants.NFTA_CT_KEY, u32be),
  from: one(constants.NFTA_CT_SREG, u32be),
});
const optionAttributes = attributes({
  into: one(constants.NFTA_EXTHDR_DREG, u32be),
  option: one(constants.NFTA_EXTHDR_TYPE, u8),
});
const objectAttributes = attributes({ type: one(constants.NFTA_OBJREF_IMM_TYPE, u32be) });
const expressions = attributes({
  elements: many(constants.NFTA_LIST_ELEM, nested(expressionAttributes)),
});
const updateAttributes = attributes({
  step: one(constants.NFTA_DYNSET_EXPR, nested(expressionAttributes)),
  steps: one(constants.NFTA_DYNSET_EXPRESSIONS, nested(expressions)),
});
const extensionAttributes = attributes({
  name: one(constants.NFTA_TARGET_NAME, text),
  info: one(constants.NFTA_TARGET_INFO, bytes),
});

const NOTHING = new Uint8Array();

/** Of the kernel's nft_*.c. */
const READERS = {
  meta: data => ({ kind: 'meta', ...place(metaAttributes.fromBytes(data, 'meta')) }),
  ct: data => ({ kind: 'ct', ...place(connectionAttributes.fromBytes(data, 'ct')) }),
  payload(data) {
    const found = payloadAttributes.fromBytes(data, 'payload');
    const { base = 0, offset = 0, length = 0, into, from } = found;
    return { kind: 'payload', base, offset, length, ...defined({ into, from }) };
  },
  bitwise(data) {
    const { from = 0, into = 0, mask } = maskAttributes.fromBytes(data, 'bitwise');
    return { kind: 'mask', from, into, mask: mask?.value ?? NOTHING };
  },
  cmp(data) {
    const { from = 0, operator, data: operand } = compareAttributes.fromBytes(data, 'cmp');
    const value = operand?.value ?? NOTHING;
    return { kind: 'compare', from, operator: OPERATORS.get(operator ?? 0) ?? 'order', value };
  },
  immediate(data) {
    const { code, chain } = immediateAttributes.fromBytes(data, 'immediate').data?.verdict ?? {};
    if (code === undefined) return { kind: 'other', name: 'immediate' };
    return { kind: 'verdict', code, ...defined({ chain }) };
  },
  lookup(data) {
    const { from = 0, into } = lookupAttributes.fromBytes(data, 'lookup');
    return { kind: 'lookup', from, hasVerdict: into === constants.NFT_REG_VERDICT };
  },
  objref: data => ({ kind: 'object', type: objectAttributes.fromBytes(data, 'objref').type }),
  dynset(data) {
    const { step, steps } = updateAttributes.fromBytes(data, 'dynset');
    return {
      kind: 'update',
      steps: [step, ...(steps?.elements ?? [])].flatMap(each => each?.name ?? []),
    };
  },
  exthdr(data) {
    const { into, option = 0 } = optionAttributes.fromBytes(data, 'exthdr');
    return { kind: 'option', option, isChange: into === undefined };
  },
  match: data => ({ kind: 'match', ...extension(data) }),
  target: data => ({ kind: 'target', ...extension(data) }),
} satisfies Readonly<Record<string, (data: Uint8Array) => ReadExpression>>;

const OPERATORS: ReadonlyMap<number, 'equal' | 'unequal'> = new Map([
  [constants.NFT_CMP_EQ, 'equal'],
  [constants.NFT_CMP_NEQ, 'unequal'],
]);

const place = ({ key = 0, into, from }: { key?: number; into?: number; from?: number }) => ({
  key,
  ...defined({ into, from }),
});

function extension(data: Uint8Array) {
  const { name = '', info = NOTHING } = extensionAttributes.fromBytes(data, 'extension');
  return { name, info };
}

/** @throws CodecError */
export function readExpression(name: string, data: Uint8Array): ReadExpression {
  return Object.hasOwn(READERS, name) ? READERS[name as keyof typeof READERS](data) : { kind: 'other', name };
}
