/** The words that a picture of a packet adds to the frame's own values, in the languages of the guide. */
export interface PacketWords {
  /** Of so many bytes. */
  readonly bytes: (count: number) => string;
  readonly data: string;
  /** What stands around a packet because of a tunnel, and the packet in it, each with its bytes. */
  readonly outer: (count: number) => string;
  readonly inner: (count: number) => string;
  readonly fields: Readonly<
    Record<
      | 'source'
      | 'destination'
      | 'type'
      | 'ttl'
      | 'hopLimit'
      | 'protocol'
      | 'length'
      | 'sourcePort'
      | 'destinationPort'
      | 'vni'
      | 'flags'
      | 'id'
      | 'sequence'
      | 'mtu'
      | 'operation'
      | 'sender'
      | 'senderMac'
      | 'target'
      | 'targetMac',
      string
    >
  >;
}

export const ENGLISH: PacketWords = {
  bytes: count => (count === 1 ? '1 byte' : `${count} bytes`),
  data: 'data',
  outer: count => `the underlay's: ${count} bytes`,
  inner: count => `the overlay's: ${count} bytes`,
  fields: {
    source: 'from',
    destination: 'to',
    type: 'type',
    ttl: 'TTL',
    hopLimit: 'hop limit',
    protocol: 'protocol',
    length: 'length',
    sourcePort: 'from port',
    destinationPort: 'to port',
    vni: 'VNI',
    flags: 'flags',
    id: 'id',
    sequence: 'sequence',
    mtu: 'MTU',
    operation: 'operation',
    sender: 'sender',
    senderMac: 'sender MAC',
    target: 'target',
    targetMac: 'target MAC',
  },
};

export const CHINESE: PacketWords = {
  bytes: count => `${count} 字节`,
  data: '数据',
  outer: count => `外层（underlay）：${count} 字节`,
  inner: count => `内层（overlay）：${count} 字节`,
  fields: {
    source: '源',
    destination: '目的',
    type: '类型',
    ttl: 'TTL',
    hopLimit: '跳数限制',
    protocol: '协议',
    length: '长度',
    sourcePort: '源端口',
    destinationPort: '目的端口',
    vni: 'VNI',
    flags: '标志',
    id: '标识',
    sequence: '序号',
    mtu: 'MTU',
    operation: '操作',
    sender: '发送方',
    senderMac: '发送方 MAC',
    target: '目标',
    targetMac: '目标 MAC',
  },
};
