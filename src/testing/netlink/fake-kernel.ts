/**
 * A kernel in memory, for tests of everything above netlink. It speaks bytes at the transport seam, so the real
 * connection, codecs and watcher run on top of it. Links, addresses, routes, next hops, neighbors, FDB entries and
 * rules behave and refuse as Linux does, as far as the conformance suite shows, which runs against both.
 *
 *     const kernel = new FakeKernel();
 *     kernel.plugIn({ name: 'eth0', up: true });
 *     await using rtnetlink = kernel.connect();
 *     kernel.refuse('EBUSY', request => request.type === 'route');
 *     ...
 *     assert.equal(kernel.show('ip route'), '10.3.2.0/24 nhid 5 via 10.3.2.0 dev flannel.88 proto 77 onlink');
 */

import { isCode } from '../../base/errors.ts';
import { FAMILIES } from '../../base/ip.ts';
import { NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_MULTI, NLMSG_DONE } from '../../netlink/constants.ts';
import { type Message, readMessages } from '../../netlink/message.ts';
import { rtnetlinkOver } from '../../netlink/route/connect.ts';
import { FR_ACT_TO_TBL, RTM_DELLINK, RTM_NEWLINK, RTM_NEWNEXTHOP } from '../../netlink/route/constants.ts';
import type { Link } from '../../netlink/route/objects.ts';
import type { Rtnetlink } from '../../netlink/route/rtnetlink.ts';
import { decodeKernelEvent, GROUPS } from '../../netlink/route/watch.ts';
import type { NetlinkTransport } from '../../netlink/transport.ts';
import { deleteLink, loopback, plugIn, setLink } from './fake-links.ts';
import { decodeLinkRequest, encodeAcknowledgement, encodeAnnouncement } from './fake-messages.ts';
import { deleteFdbEntry, deleteNeighbor, setFdbEntry, setNeighbor } from './fake-neighbors.ts';
import { answer, list } from './fake-queries.ts';
import { type ErrnoName, FakeRefusal } from './fake-refusal.ts';
import {
  addRule,
  deleteAddress,
  deleteNexthop,
  deleteRoute,
  deleteRule,
  setAddress,
  setNexthop,
  setRoute,
} from './fake-routing.ts';
import { FakeSocket } from './fake-socket.ts';
import { type Announcement, type FakeState, isAnnouncement } from './fake-state.ts';
import { show } from './fake-text.ts';

/** Tables local, main and default. */
const RULES = [
  { priority: 0, table: 255 },
  { priority: 32766, table: 254 },
  { priority: 32767, table: 253 },
];

interface Fault {
  readonly refusal: FakeRefusal;
  readonly matches: (request: Announcement) => boolean;
  times: number;
}

export class FakeKernel {
  readonly #sockets = new Set<FakeSocket>();
  readonly #state: FakeState;
  #faults: Fault[] = [];
  #interruptedDumps = 0;
  #lastPort = 0;
  /** Port of the socket whose request is being handled. */
  #cause = 0;

  readonly #hasNexthops: boolean;

  /**
   * With a loopback link and the three standard rules, like any new namespace.
   * @param options.nexthops false makes it a kernel before 5.3, which has no next hop objects.
   */
  constructor(options: { readonly nexthops?: boolean } = {}) {
    this.#hasNexthops = options.nexthops ?? true;
    this.#state = {
      links: new Map([[1, loopback()]]),
      lastIndex: 1,
      addresses: [],
      routes: [],
      nexthops: [],
      neighbors: [],
      fdb: [],
      rules: FAMILIES.flatMap(family =>
        RULES.map(rule => ({ ...rule, family, action: FR_ACT_TO_TBL, unknown: [] })),
      ),
      announce: event => this.#announce(event),
    };
  }

  connect(): Rtnetlink {
    return rtnetlinkOver(groups => this.open(groups));
  }

  /** A transport of rtnetlink to this kernel that receives these multicast groups. */
  open(groups: readonly number[]): NetlinkTransport {
    const socket = new FakeSocket(
      ++this.#lastPort,
      groups,
      (from, datagram) => this.#handle(from, datagram),
      gone => this.#sockets.delete(gone),
    );
    this.#sockets.add(socket);
    return socket;
  }

  /** Puts in a device that no request can make or delete, such as an Ethernet card. */
  plugIn(link: Pick<Link, 'name'> & Partial<Link>): Link {
    return plugIn(this.#state, link);
  }

  /**
   * Refuses the next requests to change something that match, as often as `times` says.
   * @param words the extended ack.
   */
  refuse(code: ErrnoName, matches: (request: Announcement) => boolean, times = 1, words = ''): void {
    this.#faults.push({ refusal: new FakeRefusal(code, words), matches, times });
  }

  /** Marks the next lists as changed while they were read. */
  interruptDumps(times: number): void {
    this.#interruptedDumps = times;
  }

  /** Loses everything that watchers have not read yet. */
  overrun(): void {
    for (const socket of this.#sockets) if (socket.groups.size > 0) socket.overrun();
  }

  /**
   * The state as `ip link`, `ip addr`, `ip route`, `ip nexthop`, `ip neigh`, `ip rule` and `bridge fdb` print it, one
   * line per object, sorted.
   */
  show(command: Parameters<typeof show>[1]): string {
    return show(this.#state, command);
  }

  #announce(event: Announcement): void {
    // drivers/net/vxlan and net/bridge do not say who changed their FDB.
    const port = event.type === 'fdb' ? 0 : this.#cause;
    const message = { ...encodeAnnouncement(event), flags: 0, sequence: 0, port };
    const groups = groupsOf(event);
    for (const socket of this.#sockets) {
      if (groups.some(group => socket.groups.has(group))) socket.deliver([message]);
    }
  }

  #handle(socket: FakeSocket, datagram: Uint8Array): void {
    // A test may send from within the handling of a request.
    const outer = this.#cause;
    this.#cause = socket.port;
    for (const request of readMessages(datagram)) {
      try {
        socket.deliver(this.#answer(request));
        if (request.flags & NLM_F_ACK) socket.deliver([encodeAcknowledgement(request)]);
      } catch (error) {
        socket.deliver([encodeAcknowledgement(request, asRefusal(error))]);
      }
    }
    this.#cause = outer;
  }

  /** @throws FakeRefusal, CodecError */
  #answer(request: Message): Message[] {
    const { sequence, port } = request;
    if (request.type >= RTM_NEWNEXTHOP && !this.#hasNexthops) throw new FakeRefusal('EOPNOTSUPP');
    // Of each group of three message types, the last one reads.
    if (request.type % 4 !== 2) {
      this.#change(request);
      return [];
    }
    if ((request.flags & NLM_F_DUMP) !== NLM_F_DUMP) {
      return [{ ...encodeAnnouncement(answer(this.#state, request)), flags: 0, sequence, port }];
    }
    const interrupted = this.#interruptedDumps > 0 ? NLM_F_DUMP_INTR : 0;
    if (interrupted) this.#interruptedDumps--;
    const flags = NLM_F_MULTI | interrupted;
    const entries = list(this.#state, request).map(event => ({
      ...encodeAnnouncement(event),
      flags,
      sequence,
      port,
    }));
    return [...entries, { type: NLMSG_DONE, flags, sequence, port, payload: new Uint8Array(4) }];
  }

  #change(request: Message): void {
    // A request to make or delete something has the form of the announcement that it happened.
    const wanted = decodeKernelEvent(request);
    if (wanted === undefined || !isAnnouncement(wanted)) throw new FakeRefusal('EOPNOTSUPP');
    const fault = this.#faults.find(({ matches }) => matches(wanted));
    if (fault !== undefined) {
      if (--fault.times === 0) this.#faults = this.#faults.filter(other => other !== fault);
      throw fault.refusal;
    }
    if (request.type === RTM_NEWLINK) setLink(this.#state, decodeLinkRequest(request.payload), request.flags);
    else if (request.type === RTM_DELLINK) deleteLink(this.#state, decodeLinkRequest(request.payload));
    else if (wanted.gone) remove(this.#state, wanted);
    else put(this.#state, wanted, request.flags);
  }
}

function put(state: FakeState, wanted: Announcement, flags: number): void {
  switch (wanted.type) {
    case 'address':
      return setAddress(state, wanted.address, flags);
    case 'route':
      return setRoute(state, wanted.route, flags);
    case 'nexthop':
      return setNexthop(state, wanted.nexthop, flags);
    case 'neighbor':
      return setNeighbor(state, wanted.neighbor, flags);
    case 'fdb':
      return setFdbEntry(state, wanted.entry, flags);
    case 'rule':
      return addRule(state, wanted.rule, flags);
    case 'link':
    case 'port':
    case 'netconf':
      throw new FakeRefusal('EOPNOTSUPP');
  }
}

function remove(state: FakeState, wanted: Announcement): void {
  switch (wanted.type) {
    case 'address':
      return deleteAddress(state, wanted.address);
    case 'route':
      return deleteRoute(state, wanted.route);
    case 'nexthop':
      return deleteNexthop(state, wanted.nexthop.id);
    case 'neighbor':
      return deleteNeighbor(state, wanted.neighbor);
    case 'fdb':
      return deleteFdbEntry(state, wanted.entry);
    case 'rule':
      return deleteRule(state, wanted.rule);
    case 'link':
    case 'port':
    case 'netconf':
      throw new FakeRefusal('EOPNOTSUPP');
  }
}

/** The multicast groups that get it: of two groups, the first is IPv4's. */
function groupsOf(event: Announcement): readonly number[] {
  const groups = GROUPS[groupOf(event)];
  if (groups.length < 2) return groups;
  return groups.slice(isIpv6(event) ? 1 : 0).slice(0, 1);
}

function groupOf({ type }: Announcement): keyof typeof GROUPS {
  if (type === 'fdb') return 'neighbor';
  return type === 'port' ? 'link' : type;
}

function isIpv6(event: Announcement): boolean {
  if (event.type === 'netconf') return event.netconf.family === 'ipv6';
  const object = event.type === 'address' ? event.address : event.type === 'route' ? event.route : undefined;
  return (object ?? (event.type === 'rule' ? event.rule : undefined))?.family === 'ipv6';
}

function asRefusal(error: unknown): FakeRefusal {
  if (error instanceof FakeRefusal) return error;
  if (isCode(error, 'MALFORMED')) return new FakeRefusal('EINVAL', error.message);
  throw error;
}
