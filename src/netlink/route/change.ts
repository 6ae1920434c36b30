/**
 * Modifications as values: made here without touching anything, sent by `Rtnetlink.apply`. The verbs are those of
 * `ip` and `bridge`: add fails when the object exists, replace does not care, append adds beside it.
 */
import type { Writer } from '../../base/bytes.ts';
import type { Ip } from '../../base/ip.ts';
import { NLM_F_APPEND, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE } from '../constants.ts';
import type { Change } from '../protocol.ts';
import { writeAddress } from './address.ts';
import {
  RTM_DELADDR,
  RTM_DELLINK,
  RTM_DELNEIGH,
  RTM_DELNEXTHOP,
  RTM_DELQDISC,
  RTM_DELROUTE,
  RTM_DELRULE,
  RTM_DELTFILTER,
  RTM_NEWADDR,
  RTM_NEWLINK,
  RTM_NEWNEIGH,
  RTM_NEWNEXTHOP,
  RTM_NEWQDISC,
  RTM_NEWROUTE,
  RTM_NEWRULE,
  RTM_NEWTFILTER,
} from './constants.ts';
import { writeLinkChange, writeNewLink } from './link.ts';
import { linkKind } from './link-info.ts';
import { writeFdbEntry, writeNeighbor } from './neighbor.ts';
import { writeNexthop, writeNexthopId } from './nexthop.ts';
import type {
  LinkChange,
  NewAddress,
  NewFdbEntry,
  NewLink,
  NewNeighbor,
  NewNexthop,
  NewRoute,
  NewRule,
} from './objects.ts';
import {
  type FilterKey,
  type NewProgramFilter,
  writeClsact,
  writeFilterKey,
  writeProgramFilter,
} from './program-filter.ts';
import { writeRoute, writeRouteSelector } from './route.ts';
import { writeRule, writeRuleSelector } from './rule.ts';

const ADD = NLM_F_CREATE | NLM_F_EXCL;
const REPLACE = NLM_F_CREATE | NLM_F_REPLACE;
const APPEND = NLM_F_CREATE | NLM_F_APPEND;

/** What is done to a kind of object, and how that is sent. */
interface Action<Subject> {
  /** `replace route` */
  readonly verb: string;
  /** RTM_*. */
  readonly type: number;
  /** NLM_F_*. */
  readonly flags: number;
  name(subject: Subject): string;
  write(writer: Writer, subject: Subject): void;
}

/** There are many of these at a time, so words and bytes are made only on demand. */
class ActionOn<Subject> implements Change {
  readonly #action: Action<Subject>;
  readonly #subject: Subject;

  constructor(action: Action<Subject>, subject: Subject) {
    this.#action = action;
    this.#subject = subject;
  }

  get what(): string {
    return `${this.#action.verb} ${this.#action.name(this.#subject)}`;
  }

  get type(): number {
    return this.#action.type;
  }

  get flags(): number {
    return this.#action.flags;
  }

  write(writer: Writer): void {
    this.#action.write(writer, this.#subject);
  }
}

function maker<Subject>(action: Action<Subject>): (subject: Subject) => Change {
  return subject => new ActionOn(action, subject);
}

interface ChangedLink {
  readonly nameOrIndex: string | number;
  readonly to: LinkChange;
}

const LINK = {
  name: ({ nameOrIndex }: ChangedLink) => String(nameOrIndex),
  write: (writer: Writer, { nameOrIndex, to }: ChangedLink) => writeLinkChange(writer, nameOrIndex, to),
};
const changedLink = maker({ verb: 'change link', type: RTM_NEWLINK, flags: 0, ...LINK });
const deletedLink = maker({ verb: 'delete link', type: RTM_DELLINK, flags: 0, ...LINK });

const ADDRESS = { name: ({ ip, length }: NewAddress) => `${ip}/${length}`, write: writeAddress };
const ROUTE = {
  name: ({ destination, gateway }: NewRoute) => `${destination ?? 'default'}${via(gateway)}`,
  write: writeRoute,
};
const NEXTHOP = { name: ({ id }: NewNexthop) => String(id), write: writeNexthop };
const NEIGHBOR = { name: ({ ip }: NewNeighbor) => ip.toString(), write: writeNeighbor };
const FDB = {
  name: ({ mac, destination }: NewFdbEntry) => `${mac}${via(destination)}`,
  write: writeFdbEntry,
};
const RULE = { name: ({ priority }: NewRule) => String(priority ?? 'of any priority'), write: writeRule };
const CLSACT = { name: (index: number) => `of link ${index}`, write: writeClsact };
const FILTER = {
  name: ({ index, priority, handle }: FilterKey) => `${priority}/${handle.toString(16)} of link ${index}`,
};

export const change = {
  addLink: maker<NewLink>({
    verb: 'add',
    type: RTM_NEWLINK,
    flags: ADD,
    name: ({ name, info }) => `${linkKind(info)} link ${name}`,
    write: writeNewLink,
  }),
  /** A link that is to be renamed must be given by its index. @throws RangeError */
  changeLink(nameOrIndex: string | number, to: LinkChange): Change {
    if (to.name !== undefined && typeof nameOrIndex === 'string') {
      throw new RangeError(`link ${nameOrIndex} can only be renamed by its index`);
    }
    return changedLink({ nameOrIndex, to });
  },
  deleteLink: (nameOrIndex: string | number, inside: Pick<LinkChange, 'targetNetnsId'> = {}): Change =>
    deletedLink({ nameOrIndex, to: inside }),
  /** All that are in a group, at the cost of one. */
  deleteLinksOf: maker<number>({
    verb: 'delete links of group',
    type: RTM_DELLINK,
    flags: 0,
    name: String,
    write: (writer, group) => writeLinkChange(writer, 0, { group }),
  }),

  replaceAddress: maker({ verb: 'replace address', type: RTM_NEWADDR, flags: REPLACE, ...ADDRESS }),
  deleteAddress: maker({ verb: 'delete address', type: RTM_DELADDR, flags: 0, ...ADDRESS }),

  addRoute: maker({ verb: 'add route', type: RTM_NEWROUTE, flags: ADD, ...ROUTE }),
  replaceRoute: maker({ verb: 'replace route', type: RTM_NEWROUTE, flags: REPLACE, ...ROUTE }),
  deleteRoute: maker({
    verb: 'delete route',
    type: RTM_DELROUTE,
    flags: 0,
    ...ROUTE,
    write: writeRouteSelector,
  }),

  addNexthop: maker({ verb: 'add nexthop', type: RTM_NEWNEXTHOP, flags: ADD, ...NEXTHOP }),
  replaceNexthop: maker({ verb: 'replace nexthop', type: RTM_NEWNEXTHOP, flags: REPLACE, ...NEXTHOP }),
  deleteNexthop: maker<number>({
    verb: 'delete nexthop',
    type: RTM_DELNEXTHOP,
    flags: 0,
    name: String,
    write: writeNexthopId,
  }),

  replaceNeighbor: maker({ verb: 'replace neighbor', type: RTM_NEWNEIGH, flags: REPLACE, ...NEIGHBOR }),
  deleteNeighbor: maker({ verb: 'delete neighbor', type: RTM_DELNEIGH, flags: 0, ...NEIGHBOR }),

  replaceFdb: maker({ verb: 'replace FDB entry', type: RTM_NEWNEIGH, flags: REPLACE, ...FDB }),
  /** Another destination for the same address (head-end replication). */
  appendFdb: maker({ verb: 'append FDB entry', type: RTM_NEWNEIGH, flags: APPEND, ...FDB }),
  deleteFdb: maker({ verb: 'delete FDB entry', type: RTM_DELNEIGH, flags: 0, ...FDB }),

  addClsact: maker({ verb: 'add clsact', type: RTM_NEWQDISC, flags: ADD, ...CLSACT }),
  /** All its filters go with it. */
  deleteClsact: maker({ verb: 'delete clsact', type: RTM_DELQDISC, flags: 0, ...CLSACT }),
  /** In one step where there is one of its key. */
  setProgramFilter: maker<NewProgramFilter>({
    verb: 'set filter',
    type: RTM_NEWTFILTER,
    flags: NLM_F_CREATE,
    ...FILTER,
    write: writeProgramFilter,
  }),
  deleteFilter: maker<FilterKey>({
    verb: 'delete filter',
    type: RTM_DELTFILTER,
    flags: 0,
    ...FILTER,
    write: writeFilterKey,
  }),

  addRule: maker({ verb: 'add rule', type: RTM_NEWRULE, flags: ADD, ...RULE }),
  deleteRule: maker({ verb: 'delete rule', type: RTM_DELRULE, flags: 0, ...RULE, write: writeRuleSelector }),
};

function via(ip: Ip | undefined): string {
  return ip === undefined ? '' : ` via ${ip}`;
}
