/**
 * What the kernel says of a packet with the mark `meta nftrace set 1`: one message for each rule that applied and for
 * each end of a chain (net/netfilter/nf_tables_trace.c).
 *
 * The headers come with the first message of each base chain only. There is no hook in it: that is the base chain's.
 */
import { defined } from '../../base/defined.ts';
import { attributes, one } from '../attribute.ts';
import { bytes, nested, text, u8, u16be, u32be, u64be } from '../attribute-types.ts';
import { MessageCodec } from '../message.ts';
import * as constants from './constants.ts';
import { nfgenmsg } from './header.ts';
import { verdictAttributes } from './table.ts';

export const traceMessage = new MessageCodec(
  'nfgenmsg',
  nfgenmsg,
  attributes({
    table: one(constants.NFTA_TRACE_TABLE, text),
    chain: one(constants.NFTA_TRACE_CHAIN, text),
    ruleHandle: one(constants.NFTA_TRACE_RULE_HANDLE, u64be),
    traceType: one(constants.NFTA_TRACE_TYPE, u32be),
    verdict: one(constants.NFTA_TRACE_VERDICT, nested(verdictAttributes)),
    id: one(constants.NFTA_TRACE_ID, u32be),
    linkHeader: one(constants.NFTA_TRACE_LL_HEADER, bytes),
    networkHeader: one(constants.NFTA_TRACE_NETWORK_HEADER, bytes),
    transportHeader: one(constants.NFTA_TRACE_TRANSPORT_HEADER, bytes),
    input: one(constants.NFTA_TRACE_IIF, u32be),
    inputType: one(constants.NFTA_TRACE_IIFTYPE, u16be),
    output: one(constants.NFTA_TRACE_OIF, u32be),
    outputType: one(constants.NFTA_TRACE_OIFTYPE, u16be),
    mark: one(constants.NFTA_TRACE_MARK, u32be),
    protocol: one(constants.NFTA_TRACE_NFPROTO, u32be),
    policy: one(constants.NFTA_TRACE_POLICY, u32be),
    conntrackId: one(constants.NFTA_TRACE_CT_ID, u32be),
    conntrackDirection: one(constants.NFTA_TRACE_CT_DIRECTION, u8),
    conntrackStatus: one(constants.NFTA_TRACE_CT_STATUS, u32be),
    conntrackState: one(constants.NFTA_TRACE_CT_STATE, u32be),
  }),
);

/** As `nft` calls the families. */
export type NftFamily = 'inet' | 'ip' | 'ip6' | 'arp' | 'bridge' | 'netdev';

/** By NFPROTO_*. */
export const NFT_FAMILIES: ReadonlyMap<number, NftFamily> = new Map([
  [constants.NFPROTO_INET, 'inet'],
  [constants.NFPROTO_IPV4, 'ip'],
  [constants.NFPROTO_IPV6, 'ip6'],
  [constants.NFPROTO_ARP, 'arp'],
  [constants.NFPROTO_BRIDGE, 'bridge'],
  [constants.NFPROTO_NETDEV, 'netdev'],
]);

export type TraceVerdict =
  | 'accept'
  | 'drop'
  | 'stolen'
  | 'queue'
  | 'repeat'
  | 'continue'
  | 'break'
  | 'jump'
  | 'goto'
  | 'return';

const VERDICTS: ReadonlyMap<number, TraceVerdict> = new Map([
  [constants.NF_DROP, 'drop'],
  [constants.NF_ACCEPT, 'accept'],
  [constants.NF_STOLEN, 'stolen'],
  [constants.NF_QUEUE, 'queue'],
  [constants.NF_REPEAT, 'repeat'],
  [constants.NFT_CONTINUE, 'continue'],
  [constants.NFT_BREAK, 'break'],
  [constants.NFT_JUMP, 'jump'],
  [constants.NFT_GOTO, 'goto'],
  [constants.NFT_RETURN, 'return'],
]);

/** Bits of the upper half of a verdict: the number of a queue, or the errno of a drop (NF_VERDICT_MASK). */
const VERDICT_MASK = 0xff;

const KINDS = new Map([
  [constants.NFT_TRACETYPE_POLICY, 'policy'],
  [constants.NFT_TRACETYPE_RETURN, 'end'],
  [constants.NFT_TRACETYPE_RULE, 'rule'],
] as const);

/** From the lowest bit up, as in `ct state` (NF_CT_STATE_BIT, include/uapi/linux/netfilter/nf_conntrack_common.h). */
const STATES = ['invalid', 'established', 'related', 'new', undefined, undefined, 'untracked'] as const;
export type ConnectionState = NonNullable<(typeof STATES)[number]>;

/** One step of a marked packet through nftables. */
export interface TraceEvent {
  readonly type: 'trace';
  /** Of the packet: the same in one pass through the stack, another after it was received by another link. */
  readonly id: number;
  readonly family: NftFamily;
  readonly table: string;
  readonly chain: string;
  /** A rule applied; no more rule of the chain does; or, after that, the policy of a base chain. */
  readonly kind: 'rule' | 'end' | 'policy';
  /** Of the rule, within its table. */
  readonly handle?: bigint;
  readonly verdict: TraceVerdict;
  /** Of a jump or goto. */
  readonly target?: string;
  /** Indexes of links; in the first event of a base chain only, as are the headers. */
  readonly input?: number;
  readonly output?: number;
  readonly networkHeader?: Uint8Array;
  readonly transportHeader?: Uint8Array;
  /** Of the packet; absent when it is 0. */
  readonly mark?: number;
  /** What connection tracking knows of it; from Linux 6.16 on. */
  readonly state?: ConnectionState;
}

/** undefined for a trace without a place, or of a kind or verdict that we do not know. @throws CodecError */
export function decodeTraceEvent(payload: Uint8Array): TraceEvent | undefined {
  const { header, attributes: found } = traceMessage.decode(payload);
  const family = NFT_FAMILIES.get(header.family);
  const kind = kindOf(found.traceType, found.ruleHandle);
  const verdict = verdictOf(found.verdict?.code ?? found.policy);
  const { id, table, chain } = found;
  if (!family || !kind || !verdict || id === undefined || table === undefined || chain === undefined)
    return undefined;
  return defined({
    type: 'trace' as const,
    id,
    family,
    table,
    chain,
    kind,
    handle: found.ruleHandle,
    verdict,
    target: found.verdict?.chain,
    input: found.input,
    output: found.output,
    networkHeader: found.networkHeader,
    transportHeader: found.transportHeader,
    mark: found.mark,
    state: STATES.find((_, bit) => ((found.conntrackState ?? 0) & (1 << bit)) !== 0),
  });
}

/** Newer kernels announce the end of a chain as a rule that has no handle. */
function kindOf(type: number | undefined, handle: bigint | undefined): TraceEvent['kind'] | undefined {
  const kind = KINDS.get(type as 1 | 2 | 3);
  return kind === 'rule' && handle === undefined ? 'end' : kind;
}

function verdictOf(code: number | undefined): TraceVerdict | undefined {
  if (code === undefined) return undefined;
  return VERDICTS.get(code < 0 ? code : code & VERDICT_MASK);
}
