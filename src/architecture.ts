/**
 * The rooms of the program, in dependency order: what each may import, and why it is there. The test beside it holds
 * every rule, and fails on one that is not used. ARCHITECTURE.md shows the picture.
 */

export interface Room {
  /** Rooms above in this table. */
  readonly may: readonly string[];
  readonly why: string;
}

export const ROOMS: Readonly<Record<string, Room>> = {
  base: {
    may: [],
    why: 'values and small tools; knows nothing of networks, kernels or stores',
  },
  sys: {
    may: ['base'],
    why: 'the only door to the operating system; decides nothing',
  },
  bpf: {
    may: ['base', 'sys'],
    why: 'has the kernel run programs; does not know what they are for',
  },
  netlink: {
    may: ['base', 'sys'],
    why: 'speaks netlink; does not know what Tulle wants from the kernel',
  },
  probe: {
    may: ['base', 'sys'],
    why: 'sends a packet and says what came back; does not know what that means for a network',
  },
  ownership: {
    may: ['base', 'netlink'],
    why: 'the one rule that says whose a thing on this host is',
  },
  store: {
    may: ['base'],
    why: 'a key-value store with revisions, and the client of etcd; does not know what is kept in it',
  },
  api: {
    may: ['base'],
    why: 'what the agent and its clients say to each other; the only thing both sides share',
  },
  dns: {
    may: ['base', 'sys'],
    why: 'answers questions of containers about names; does not know where names come from',
  },
  docker: {
    may: ['base'],
    why: "the part of Docker's API that Tulle uses; decides nothing",
  },
  console: {
    may: ['base', 'sys', 'api'],
    why: 'how every command speaks to a person or a script',
  },
  forwarder: {
    may: ['base', 'sys', 'console'],
    why: 'packets in user space: the only room on their path',
  },
  etcdserver: {
    may: ['base', 'store', 'console'],
    why: "the embedded store: etcd's API on SQLite; does not know what is kept in it",
  },
  subnet: {
    may: ['base', 'store'],
    why: 'the registry: configuration, leases, peers; never touches a kernel',
  },
  ipam: {
    may: ['base', 'sys', 'store', 'subnet'],
    why: 'which container of this host has which address; never touches a kernel',
  },
  dataplane: {
    may: ['base', 'netlink', 'ownership'],
    why: 'makes a Desired state real; does not know where it comes from',
  },
  fastpath: {
    may: ['base', 'sys', 'bpf', 'netlink', 'dataplane'],
    why: 'programs in the kernel that carry the packets of proven flows past the normal path; does not know which links those are',
  },
  firewall: {
    may: ['base', 'sys', 'netlink', 'ownership'],
    why: 'firewall rules of this host, beside the data plane',
  },
  extension: {
    may: ['base', 'sys', 'dataplane'],
    why: 'runs commands of the operator; does not know when one is wanted',
  },
  backend: {
    may: ['base', 'subnet', 'dataplane'],
    why: 'pure: facts and peers in, Desired state out',
  },
  sandbox: {
    may: ['base', 'sys', 'netlink'],
    why: 'attaches a network namespace to a bridge',
  },
  network: {
    may: [
      'base',
      'sys',
      'netlink',
      'probe',
      'ownership',
      'store',
      'api',
      'dns',
      'docker',
      'forwarder',
      'subnet',
      'ipam',
      'dataplane',
      'fastpath',
      'firewall',
      'extension',
      'backend',
      'sandbox',
    ],
    why: 'what this host has of networks: the overlay, tunnels, L2 networks; does not know the daemon around it',
  },
  plugin: {
    may: ['base', 'sys', 'netlink', 'api', 'docker', 'subnet', 'network'],
    why: 'what container engines call: their protocols, over the attachments of this host',
  },
  agent: {
    may: [
      'base',
      'sys',
      'netlink',
      'store',
      'api',
      'docker',
      'console',
      'subnet',
      'backend',
      'network',
      'plugin',
    ],
    why: 'the composition root of the daemon',
  },
  cli: {
    may: ['base', 'api', 'console'],
    why: 'thin clients of the agent',
  },
  inspect: {
    may: [
      'base',
      'sys',
      'bpf',
      'netlink',
      'probe',
      'docker',
      'subnet',
      'firewall',
      'fastpath',
      'api',
      'console',
      'cli',
    ],
    why: 'reads what is there and says what it means; owns nothing',
  },
  trust: {
    may: ['base', 'sys', 'store', 'console', 'etcdserver', 'subnet'],
    why: 'who may talk to the store, and as whom: certificates, tokens, joining',
  },
  cluster: {
    may: ['base', 'store', 'console', 'subnet', 'backend', 'cli', 'trust'],
    why: 'commands on the registry, which work where no agent runs',
  },
  host: {
    may: [
      'base',
      'sys',
      'bpf',
      'netlink',
      'ownership',
      'api',
      'console',
      'forwarder',
      'subnet',
      'docker',
      'dataplane',
      'fastpath',
      'firewall',
      'extension',
      'network',
      'agent',
      'cli',
    ],
    why: 'commands that change this host themselves, because no agent runs when they are needed',
  },
  up: {
    may: ['base', 'sys', 'netlink', 'store', 'console', 'etcdserver', 'subnet', 'network', 'agent', 'trust'],
    why: 'one command for a first and for every further host: store, trust and agent put together',
  },
  lab: {
    may: ['base', 'sys', 'docker', 'netlink', 'api', 'subnet', 'console', 'sandbox', 'inspect', 'trust'],
    why: 'hosts made of namespaces; drives real agents from outside, and shows what is there',
  },
  bench: {
    may: [
      'base',
      'sys',
      'netlink',
      'probe',
      'store',
      'api',
      'dns',
      'console',
      'etcdserver',
      'subnet',
      'dataplane',
      'backend',
      'network',
      'sandbox',
      'lab',
    ],
    why: 'measures the parts against what a user would pick instead',
  },
  testing: {
    may: [
      'base',
      'sys',
      'probe',
      'forwarder',
      'netlink',
      'store',
      'subnet',
      'ipam',
      'dataplane',
      'backend',
      'network',
      'agent',
    ],
    why: 'fakes, harnesses and contracts for tests; not in the package',
  },
};

/** Module name -> the only rooms that may name it. */
export const CONFINED: Readonly<Record<string, { readonly to: readonly string[]; readonly why: string }>> = {
  koffi: { to: ['sys'], why: 'foreign function calls stay behind the door to the operating system' },
  'node:child_process': { to: ['sys'], why: 'one place starts processes, always with an argument array' },
  '@grpc/grpc-js': { to: ['store'], why: 'only the client of etcd needs it' },
  '@bufbuild/protobuf': {
    to: ['etcdserver', 'store'],
    why: 'only the store and its client speak the etcd protocol',
  },
  '@peculiar/x509': { to: ['trust'], why: 'one place makes certificates' },
  'reflect-metadata': { to: ['trust'], why: 'wanted by the library that makes certificates' },
  'node:sqlite': { to: ['etcdserver'], why: 'the embedded store is the only database' },
  'node:http2': { to: ['etcdserver'], why: 'the embedded store is the only server of HTTP/2' },
  commander: {
    to: [
      'agent',
      'bench',
      'cli',
      'cluster',
      'console',
      'etcdserver',
      'forwarder',
      'host',
      'inspect',
      'lab',
      'trust',
      'up',
    ],
    why: 'command lines are read at the edge',
  },
  pino: { to: ['console'], why: 'one form of log for every daemon; everything else is handed a Logger' },
  'prom-client': { to: ['agent', 'etcdserver'], why: 'the daemons expose metrics' },
  yaml: { to: ['lab'], why: 'only topology files are written in it' },
  valibot: {
    to: ['agent', 'api', 'docker', 'extension', 'firewall', 'forwarder', 'lab', 'plugin', 'trust'],
    why: 'what comes from outside is checked where it comes in',
  },
};

/** An arrow to a room that another import leads to anyway would only hide the others. */
function isDirect(from: string, to: string): boolean {
  return ROOMS[from]?.may.every(other => other === to || !reaches(other, to)) === true;
}

function reaches(from: string, to: string): boolean {
  return ROOMS[from]?.may.some(next => next === to || reaches(next, to)) === true;
}

/** The graph of the rooms in mermaid's words, without the rooms of tests and measurements. */
export const PICTURE = [
  'graph BT',
  ...Object.entries(ROOMS)
    .filter(([from]) => from !== 'testing' && from !== 'bench')
    .flatMap(([from, { may }]) => may.filter(to => isDirect(from, to)).map(to => `  ${from} --> ${to}`)),
].join('\n');
