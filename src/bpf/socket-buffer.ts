/** A packet as programs of traffic control see it: struct __sk_buff, include/uapi/linux/bpf.h. The kernel never moves a field of it. */
import { MemoryLayout } from './memory-layout.ts';

export const SOCKET_BUFFER = new MemoryLayout('__sk_buff', {
  len: 'u32',
  /** PACKET_HOST and others, linux/if_packet.h. */
  pktType: 'u32',
  mark: 'u32',
  queueMapping: 'u32',
  /** EtherType in the network's byte order. */
  protocol: 'be32',
  vlanPresent: 'u32',
  vlanTci: 'u32',
  vlanProto: 'u32',
  priority: 'u32',
  ingressIfindex: 'u32',
  ifindex: 'u32',
  tcIndex: 'u32',
  cb: 20,
  hash: 'u32',
  tcClassid: 'u32',
  /** Loads of these two become addresses. */
  data: 'u32',
  dataEnd: 'u32',
  napiId: 'u32',
  ofSocketPrograms: 52,
  dataMeta: 'u32',
  flowKeys: 'u64',
  tstamp: 'u64',
  wireLen: 'u32',
  gsoSegs: 'u32',
  socket: 'u64',
  /** Bytes of data in each segment that the packet will be cut into; 0: it will not. */
  gsoSize: 'u32',
  tstampType: 'u8',
  padding: 3,
  hwtstamp: 'u64',
});
