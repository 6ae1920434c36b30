/** A rule of others that judges each packet by itself, so that packets of a proven flow must not pass it by. */
export interface JudgingRule {
  /** `chain DOCKER-USER of nftables table ip filter`. */
  readonly where: string;
  /** `limit a rate, drop`. */
  readonly rule: string;
  /** The command that shows it. */
  readonly look: string;
}

/** What a rule looks at that differs from packet to packet of a flow, in words. */
export const MEASURES = {
  rate: 'limit a rate',
  quota: 'count down a quota',
  connections: 'count connections',
  chance: 'choose packets by number or chance',
  length: 'look at the length',
  content: 'look into the content',
  header: 'look at what packets of a flow differ in',
  bytes: 'count packets or bytes of connections',
  queue: 'ask a program in user space',
  copy: 'copy packets',
  change: 'change packets',
  zone: 'track connections in a zone',
  helper: 'read what connections say',
} as const;
export type Measure = keyof typeof MEASURES;

/** What does not matter in packets of tunnels: their headers are the same for all packets of a flow. */
export const OF_FLOWS: ReadonlySet<Measure> = new Set(['content', 'header', 'change', 'zone', 'helper']);

/** Matches of iptables and ebtables. */
export const XT_MATCHES: Readonly<Record<string, Measure>> = {
  limit: 'rate',
  hashlimit: 'rate',
  rateest: 'rate',
  recent: 'rate',
  quota: 'quota',
  nfacct: 'quota',
  connlimit: 'connections',
  statistic: 'chance',
  connbytes: 'bytes',
  length: 'length',
  ecn: 'header',
  string: 'content',
  u32: 'content',
  bpf: 'content',
};

/** Targets of iptables that need each packet whatever else the rule says. */
export const XT_TARGETS: Readonly<Record<string, Measure>> = {
  NFQUEUE: 'queue',
  QUEUE: 'queue',
  TEE: 'copy',
  TCPOPTSTRIP: 'change',
  ECN: 'change',
};

/** Targets of iptables that decide nothing about a packet. */
export const XT_WATCHING = new Set(['LOG', 'NFLOG', 'ULOG', 'TRACE', 'AUDIT', 'LED', 'log', 'nflog']);
