/** All chains and rules of nftables in a namespace, read without `nft`: those of iptables-nft and ebtables-nft are among them. */
import { NetlinkSocket } from '../../sys/netlink-socket.ts';
import type { Netns } from '../../sys/netns.ts';
import { NetlinkConnection } from '../connection.ts';
import * as constants from './constants.ts';
import { type ReadExpression, readExpression } from './expression.ts';
import { nftablesType } from './header.ts';
import { NETFILTER_PROTOCOL } from './protocol.ts';
import { nftChainMessage, nftRuleMessage } from './table.ts';
import { NFT_FAMILIES, type NftFamily } from './trace-event.ts';

export interface KernelChain {
  readonly family: NftFamily;
  readonly table: string;
  readonly chain: string;
  /** Number of the hook of its family, and `filter`, `nat`, `route`: of chains that the kernel itself calls. */
  readonly hook?: number;
  readonly type?: string;
}

export interface KernelRule {
  readonly family: NftFamily;
  readonly table: string;
  readonly chain: string;
  readonly handle: bigint;
  readonly expressions: readonly ReadExpression[];
}

export interface KernelRules {
  readonly chains: readonly KernelChain[];
  readonly rules: readonly KernelRule[];
}

const QUERY = {
  payload: nftChainMessage.encode({ family: constants.NFPROTO_UNSPEC, version: 0, resource: 0 }, {}),
  // A kernel without nftables.
  emptyOn: ['EINVAL', 'ENOTSUP', 'EOPNOTSUPP', 'EAFNOSUPPORT', 'EPROTONOSUPPORT'],
};

/** @param wanted whether the rules of a table are of interest. @throws NetlinkError, SysError */
export async function listRules(
  netns: Netns,
  wanted: (table: Pick<KernelChain, 'family' | 'table'>) => boolean,
): Promise<KernelRules> {
  const socket = NetlinkSocket.open(netns, [], NETFILTER_PROTOCOL.number);
  await using connection = new NetlinkConnection(socket, NETFILTER_PROTOCOL);
  const chains: KernelChain[] = [];
  const rules: KernelRule[] = [];
  await connection.dump([{ ...QUERY, what: 'list chains', type: nftablesType(constants.NFT_MSG_GETCHAIN) }], {
    begin: () => void chains.splice(0),
    each({ payload }) {
      const { header, attributes: found } = nftChainMessage.decode(payload);
      const family = NFT_FAMILIES.get(header.family);
      const { table = '', name: chain = '', hook, chainType: type = '' } = found;
      if (family === undefined || !wanted({ family, table })) return;
      chains.push({ family, table, chain, ...(hook?.hook !== undefined && { hook: hook.hook, type }) });
    },
  });
  if (chains.length === 0) return { chains, rules };
  await connection.dump([{ ...QUERY, what: 'list rules', type: nftablesType(constants.NFT_MSG_GETRULE) }], {
    begin: () => void rules.splice(0),
    each({ payload }) {
      const { header, attributes: found } = nftRuleMessage.decode(payload);
      const family = NFT_FAMILIES.get(header.family);
      const { table = '', chain = '', handle = 0n, expressions } = found;
      if (family === undefined || !wanted({ family, table })) return;
      const read = expressions?.elements ?? [];
      rules.push({
        family,
        table,
        chain,
        handle,
        expressions: read.map(({ name = '', data = new Uint8Array() }) => readExpression(name, data)),
      });
    },
  });
  return { chains, rules };
}
