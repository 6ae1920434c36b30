/** Neighbors and FDB entries of the fake kernel. */
import type { Family } from '../../base/ip.ts';
import { NLM_F_APPEND, NLM_F_EXCL, NLM_F_REPLACE } from '../../netlink/constants.ts';
import { NTF_MASTER, NUD_NOARP, NUD_PERMANENT } from '../../netlink/route/constants.ts';
import type { FdbEntry, Link, Neighbor } from '../../netlink/route/objects.ts';
import { FakeRefusal } from './fake-refusal.ts';
import { type FakeState, linkByIndex, without } from './fake-state.ts';

const sameNeighbor = (a: Neighbor) => (b: Neighbor) => a.index === b.index && a.ip.equals(b.ip);

export function setNeighbor(state: FakeState, neighbor: Neighbor, flags: number): void {
  linkByIndex(state, neighbor.index);
  const known = state.neighbors.some(sameNeighbor(neighbor));
  if (known && flags & NLM_F_EXCL) throw new FakeRefusal('EEXIST');
  state.neighbors = [...state.neighbors.filter(other => !sameNeighbor(neighbor)(other)), neighbor];
  state.announce({ type: 'neighbor', gone: false, neighbor });
}

export function deleteNeighbor(state: FakeState, neighbor: Neighbor): void {
  linkByIndex(state, neighbor.index);
  if (!state.neighbors.some(sameNeighbor(neighbor))) throw new FakeRefusal('ENOENT');
  state.neighbors = without(state.neighbors, sameNeighbor(neighbor), gone =>
    state.announce({ type: 'neighbor', gone: true, neighbor: gone }),
  );
}

/** A link that goes down, or changes its address, forgets all its neighbors, the permanent ones too. */
export function flushNeighbors(state: FakeState, index: number, family?: Family): void {
  state.neighbors = without(
    state.neighbors,
    neighbor => neighbor.index === index && (family ?? neighbor.ip.family) === neighbor.ip.family,
    neighbor => state.announce({ type: 'neighbor', gone: true, neighbor }),
  );
}

export function setFdbEntry(state: FakeState, asked: FdbEntry, flags: number): void {
  const entry = located(state, asked);
  if (
    entry.master === undefined &&
    entry.destination === undefined &&
    state.links.get(entry.index)?.info?.kind === 'vxlan'
  ) {
    throw new FakeRefusal('EINVAL');
  }
  const known = state.fdb.filter(sameMac(entry));
  if (known.length > 0 && flags & NLM_F_EXCL) throw new FakeRefusal('EEXIST');
  if (entry.mac.isUnicast || entry.master !== undefined) {
    // Appending to the single destination of a unicast address is accepted and does nothing.
    if (known.length > 0 && flags & NLM_F_APPEND) return;
    state.fdb = state.fdb.filter(other => !known.includes(other));
  } else if (known.length > 0 && flags & NLM_F_REPLACE) {
    throw new FakeRefusal('EOPNOTSUPP', 'Cannot replace non-unicast fdb entries');
  } else if (known.length > 0 && (flags & NLM_F_APPEND) === 0) {
    throw new FakeRefusal('EEXIST');
  } else if (known.some(other => sameDestination(entry, other))) {
    return;
  }
  state.fdb = [...state.fdb, entry];
  state.announce({ type: 'fdb', gone: false, entry });
}

export function deleteFdbEntry(state: FakeState, asked: FdbEntry): void {
  const wanted = located(state, asked);
  const goes = (entry: FdbEntry) =>
    sameMac(wanted)(entry) &&
    entry.index === wanted.index &&
    (wanted.destination === undefined || sameDestination(wanted, entry));
  if (!state.fdb.some(goes)) throw new FakeRefusal('ENOENT');
  state.fdb = without(state.fdb, goes, entry => state.announce({ type: 'fdb', gone: true, entry }));
}

/** With the link gone, all entries go; with the link down, only the learned ones. */
export function flushFdb(state: FakeState, index: number, what: 'all' | 'learned'): void {
  state.fdb = without(
    state.fdb,
    entry => entry.index === index && (what === 'all' || (entry.state & (NUD_PERMANENT | NUD_NOARP)) === 0),
    entry => state.announce({ type: 'fdb', gone: true, entry }),
  );
}

/** A bridge knows the addresses of its ports. */
export function enterBridge(state: FakeState, { index, mac, master }: Link): void {
  if (mac === undefined || master === undefined) return;
  const entry: FdbEntry = { index, mac, master, state: NUD_PERMANENT, flags: 0, unknown: [] };
  state.fdb = [...state.fdb, entry];
  state.announce({ type: 'fdb', gone: false, entry });
}

/** A bridge forgets what is behind a port that leaves it. */
export function leaveBridge(state: FakeState, { index, master }: Link): void {
  state.fdb = without(
    state.fdb,
    entry => entry.index === index && entry.master === master,
    entry => state.announce({ type: 'fdb', gone: true, entry }),
  );
}

/** In the table of the link itself, or of the bridge it is a port of. */
function located(state: FakeState, entry: FdbEntry): FdbEntry {
  const link = linkByIndex(state, entry.index);
  if ((entry.flags & NTF_MASTER) === 0) return entry;
  if (link.master === undefined) throw new FakeRefusal('EINVAL');
  return { ...entry, flags: entry.flags & ~NTF_MASTER, master: link.master };
}

/** A bridge has one entry for an address, whichever its port is. */
const sameMac = (a: FdbEntry) => (b: FdbEntry) =>
  (a.index === b.index || a.master !== undefined) &&
  a.master === b.master &&
  a.vlan === b.vlan &&
  a.mac.equals(b.mac);

function sameDestination(a: FdbEntry, b: FdbEntry): boolean {
  return a.destination?.equals(b.destination) === true && a.vni === b.vni && a.port === b.port;
}
