/**
 * Tables, chains and rules of nftables, as far as a program writes them that does not go through `nft`: a table that
 * ends with its socket, chains at a hook, rules that compare fields of a packet.
 */
import { written } from '../../base/bytes.ts';
import { attributes, many, one } from '../attribute.ts';
import { bytes, i32be, nested, nestedBytes, text, u32be, u64be } from '../attribute-types.ts';
import { NLM_F_APPEND, NLM_F_CREATE, NLM_F_EXCL } from '../constants.ts';
import { MessageCodec } from '../message.ts';
import type { Change } from '../protocol.ts';
import * as constants from './constants.ts';
import { nfgenmsg, nftablesType } from './header.ts';

/** Where the kernel calls a chain, as `nft` says it. */
export type InetHook = 'prerouting' | 'input' | 'output' | 'postrouting';
/** Of one link: before all else, and after all else. */
export type LinkHook = 'ingress' | 'egress';

/** A bridge has the hooks of IP for its frames (include/uapi/linux/netfilter_bridge.h). */
const INET_HOOKS: Readonly<Record<string, number>> = {
  prerouting: constants.NF_INET_PRE_ROUTING,
  input: constants.NF_INET_LOCAL_IN,
  output: constants.NF_INET_LOCAL_OUT,
  postrouting: constants.NF_INET_POST_ROUTING,
};

const FAMILIES = {
  inet: { number: constants.NFPROTO_INET, hooks: INET_HOOKS },
  bridge: { number: constants.NFPROTO_BRIDGE, hooks: INET_HOOKS },
  arp: {
    number: constants.NFPROTO_ARP,
    hooks: { input: constants.NF_ARP_IN, output: constants.NF_ARP_OUT },
  },
  netdev: {
    number: constants.NFPROTO_NETDEV,
    hooks: { ingress: constants.NF_NETDEV_INGRESS, egress: constants.NF_NETDEV_EGRESS },
  },
} as const satisfies Record<string, { number: number; hooks: Readonly<Record<string, number>> }>;

/** Families of tables, as far as we make them. */
export type TableFamily = keyof typeof FAMILIES;

/** A chain of type `filter` that accepts what its rules do not. */
export interface NewBaseChain {
  /** inet unless given. */
  readonly family?: TableFamily;
  readonly table: string;
  readonly name: string;
  readonly hook: InetHook | LinkHook;
  /** Name of the link, for a hook of one. */
  readonly device?: string;
  /** Chains of a hook are called from the lowest to the highest. */
  readonly priority: number;
}

/** One step of a rule: a condition, or what is done when all before it hold. */
export type Expression =
  | { readonly compare: PacketField; readonly value: Uint8Array }
  | { readonly setTrace: true };

export type PacketField =
  /** `protocol`: the EtherType, two bytes, for families that see frames of all kinds. */
  | { readonly meta: 'nfproto' | 'l4proto' | 'protocol' }
  /** Bytes from the beginning of the header. */
  | { readonly header: 'network' | 'transport'; readonly offset: number };

export const nftTableMessage = new MessageCodec(
  'nfgenmsg',
  nfgenmsg,
  attributes({
    name: one(constants.NFTA_TABLE_NAME, text),
    flags: one(constants.NFTA_TABLE_FLAGS, u32be),
  }),
);

const hookAttributes = attributes({
  hook: one(constants.NFTA_HOOK_HOOKNUM, u32be),
  priority: one(constants.NFTA_HOOK_PRIORITY, i32be),
  device: one(constants.NFTA_HOOK_DEV, text),
});

export const nftChainMessage = new MessageCodec(
  'nfgenmsg',
  nfgenmsg,
  attributes({
    table: one(constants.NFTA_CHAIN_TABLE, text),
    name: one(constants.NFTA_CHAIN_NAME, text),
    hook: one(constants.NFTA_CHAIN_HOOK, nested(hookAttributes)),
    policy: one(constants.NFTA_CHAIN_POLICY, u32be),
    uses: one(constants.NFTA_CHAIN_USE, u32be),
    chainType: one(constants.NFTA_CHAIN_TYPE, text),
  }),
);

export const expressionAttributes = attributes({
  name: one(constants.NFTA_EXPR_NAME, text),
  data: one(constants.NFTA_EXPR_DATA, nestedBytes),
});

const expressionList = attributes({
  elements: many(constants.NFTA_LIST_ELEM, nested(expressionAttributes)),
});

export const nftRuleMessage = new MessageCodec(
  'nfgenmsg',
  nfgenmsg,
  attributes({
    table: one(constants.NFTA_RULE_TABLE, text),
    chain: one(constants.NFTA_RULE_CHAIN, text),
    handle: one(constants.NFTA_RULE_HANDLE, u64be),
    expressions: one(constants.NFTA_RULE_EXPRESSIONS, nested(expressionList)),
  }),
);

export const verdictAttributes = attributes({
  code: one(constants.NFTA_VERDICT_CODE, i32be),
  chain: one(constants.NFTA_VERDICT_CHAIN, text),
});
export const dataAttributes = attributes({
  value: one(constants.NFTA_DATA_VALUE, bytes),
  verdict: one(constants.NFTA_DATA_VERDICT, nested(verdictAttributes)),
});
export const metaAttributes = attributes({
  into: one(constants.NFTA_META_DREG, u32be),
  key: one(constants.NFTA_META_KEY, u32be),
  from: one(constants.NFTA_META_SREG, u32be),
});
export const payloadAttributes = attributes({
  into: one(constants.NFTA_PAYLOAD_DREG, u32be),
  base: one(constants.NFTA_PAYLOAD_BASE, u32be),
  offset: one(constants.NFTA_PAYLOAD_OFFSET, u32be),
  length: one(constants.NFTA_PAYLOAD_LEN, u32be),
  from: one(constants.NFTA_PAYLOAD_SREG, u32be),
});
export const compareAttributes = attributes({
  from: one(constants.NFTA_CMP_SREG, u32be),
  operator: one(constants.NFTA_CMP_OP, u32be),
  data: one(constants.NFTA_CMP_DATA, nested(dataAttributes)),
});
export const immediateAttributes = attributes({
  into: one(constants.NFTA_IMMEDIATE_DREG, u32be),
  data: one(constants.NFTA_IMMEDIATE_DATA, nested(dataAttributes)),
});

const headerOf = (family: TableFamily) => ({ family: FAMILIES[family].number, version: 0, resource: 0 });
const REGISTER = constants.NFT_REG32_00;

const META_KEYS = {
  protocol: constants.NFT_META_PROTOCOL,
  nfproto: constants.NFT_META_NFPROTO,
  l4proto: constants.NFT_META_L4PROTO,
} as const;
const BASES = {
  network: constants.NFT_PAYLOAD_NETWORK_HEADER,
  transport: constants.NFT_PAYLOAD_TRANSPORT_HEADER,
} as const;

/** @param isOwned the table and all in it end with the socket that this is sent over. */
export function newTable(name: string, isOwned: boolean, family: TableFamily = 'inet'): Change {
  const flags = isOwned ? constants.NFT_TABLE_F_OWNER : 0;
  return {
    what: `add table ${family} ${name}`,
    type: nftablesType(constants.NFT_MSG_NEWTABLE),
    flags: NLM_F_CREATE | NLM_F_EXCL,
    write: writer => nftTableMessage.write(writer, headerOf(family), { name, flags }),
  };
}

/** With everything that is in it. */
export function deleteTable(name: string, family: TableFamily = 'inet'): Change {
  return {
    what: `delete table ${family} ${name}`,
    type: nftablesType(constants.NFT_MSG_DELTABLE),
    flags: 0,
    write: writer => nftTableMessage.write(writer, headerOf(family), { name }),
  };
}

export function newBaseChain({ family = 'inet', table, name, hook, priority, device }: NewBaseChain): Change {
  const hooks: Readonly<Record<string, number>> = FAMILIES[family].hooks;
  const number = hooks[hook];
  if (number === undefined) throw new RangeError(`tables of family ${family} have no hook ${hook}`);
  return {
    what: `add chain ${family} ${table} ${name}`,
    type: nftablesType(constants.NFT_MSG_NEWCHAIN),
    flags: NLM_F_CREATE,
    write: writer =>
      nftChainMessage.write(writer, headerOf(family), {
        table,
        name,
        hook: { hook: number, priority, ...(device === undefined ? {} : { device }) },
        policy: constants.NF_ACCEPT,
        chainType: 'filter',
      }),
  };
}

/** A rule at the end of a chain. */
export function newRule(
  table: string,
  chain: string,
  expressions: readonly Expression[],
  family: TableFamily = 'inet',
): Change {
  return {
    what: `add a rule to ${family} ${table} ${chain}`,
    type: nftablesType(constants.NFT_MSG_NEWRULE),
    flags: NLM_F_CREATE | NLM_F_APPEND,
    write: writer =>
      nftRuleMessage.write(writer, headerOf(family), {
        table,
        chain,
        expressions: { elements: expressions.flatMap(encodeExpression) },
      }),
  };
}

interface EncodedExpression {
  readonly name: string;
  readonly data: Uint8Array;
}

function encodeExpression(expression: Expression): EncodedExpression[] {
  if ('setTrace' in expression) {
    const on = { value: Uint8Array.of(1) };
    return [
      { name: 'immediate', data: immediateAttributes.toBytes({ into: REGISTER, data: on }) },
      { name: 'meta', data: metaAttributes.toBytes({ key: constants.NFT_META_NFTRACE, from: REGISTER }) },
    ];
  }
  const { compare: field, value } = expression;
  const comparison = { from: REGISTER, operator: constants.NFT_CMP_EQ, data: { value } };
  return [
    'meta' in field
      ? { name: 'meta', data: metaAttributes.toBytes({ into: REGISTER, key: META_KEYS[field.meta] }) }
      : {
          name: 'payload',
          data: payloadAttributes.toBytes({
            into: REGISTER,
            base: BASES[field.header],
            offset: field.offset,
            length: value.byteLength,
          }),
        },
    { name: 'cmp', data: compareAttributes.toBytes(comparison) },
  ];
}

/** The message that begins or ends a transaction of nftables. */
export function batchBoundary(type: number): Change {
  const header = { family: 0, version: 0, resource: constants.NFNL_SUBSYS_NFTABLES };
  return { what: 'transaction', type, flags: 0, write: writer => nfgenmsg.encode(writer, header) };
}

/** A number as a packet has it: the most significant byte first. */
export const fieldOfPort = (port: number): Uint8Array => written(writer => writer.u16be(port));
