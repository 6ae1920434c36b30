/**
 * The chains of nftables that the kernel itself calls in a namespace, without their rules: enough to know whether a listing
 * by `nft`, which is a program to start, has anything to say.
 */
import { NetlinkSocket } from '../../sys/netlink-socket.ts';
import type { Netns } from '../../sys/netns.ts';
import { NetlinkConnection } from '../connection.ts';
import * as constants from './constants.ts';
import { nftablesType } from './header.ts';
import { NETFILTER_PROTOCOL } from './protocol.ts';
import { nftChainMessage } from './table.ts';

export interface ListedBaseChain {
  readonly table: string;
  readonly name: string;
  /** `filter`, `nat`, `route`. */
  readonly type: string;
  /** What its rules let through is dropped. */
  readonly isDropping: boolean;
  /** Rules in it. */
  readonly rules: number;
}

/** Of all families. Empty where the kernel has no nftables. @throws NetlinkError, SysError */
export async function listBaseChains(netns: Netns): Promise<ListedBaseChain[]> {
  const socket = NetlinkSocket.open(netns, [], NETFILTER_PROTOCOL.number);
  await using connection = new NetlinkConnection(socket, NETFILTER_PROTOCOL);
  let chains: ListedBaseChain[] = [];
  const query = {
    what: 'list chains',
    type: nftablesType(constants.NFT_MSG_GETCHAIN),
    payload: nftChainMessage.encode({ family: constants.NFPROTO_UNSPEC, version: 0, resource: 0 }, {}),
    emptyOn: ['EINVAL', 'ENOTSUP', 'EOPNOTSUPP', 'EAFNOSUPPORT', 'EPROTONOSUPPORT'],
  };
  await connection.dump([query], {
    begin() {
      chains = [];
    },
    each({ payload }) {
      const { attributes: found } = nftChainMessage.decode(payload);
      const { table = '', name = '', hook, policy, chainType = '', uses = 0 } = found;
      if (hook === undefined) return;
      chains.push({ table, name, type: chainType, isDropping: policy === constants.NF_DROP, rules: uses });
    },
  });
  return chains;
}
