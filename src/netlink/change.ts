/**
 * Modifications as values: made here without touching anything, sent by `Rtnetlink.apply`. The verbs are those of
 * `ip` and `bridge`: add fails when the object exists, replace does not care, append adds beside it.
 */
import type { Ip } from '../base/ip.ts';
import {
  NLM_F_APPEND,
  NLM_F_CREATE,
  NLM_F_EXCL,
  NLM_F_REPLACE,
  RTM_DELADDR,
  RTM_DELLINK,
  RTM_DELNEIGH,
  RTM_DELNEXTHOP,
  RTM_DELROUTE,
  RTM_DELRULE,
  RTM_NEWADDR,
  RTM_NEWLINK,
  RTM_NEWNEIGH,
  RTM_NEWNEXTHOP,
  RTM_NEWROUTE,
  RTM_NEWRULE,
} from './constants.ts';
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
import { encodeAddress } from './route/address.ts';
import { encodeLinkChange, encodeNewLink } from './route/link.ts';
import { encodeFdbEntry, encodeNeighbor } from './route/neighbor.ts';
import { encodeNexthop, encodeNexthopId } from './route/nexthop.ts';
import { encodeRoute, encodeRouteSelector } from './route/route.ts';
import { encodeRule, encodeRuleSelector } from './route/rule.ts';
import type { Change } from './rtnetlink.ts';

const ADD = NLM_F_CREATE | NLM_F_EXCL;
const REPLACE = NLM_F_CREATE | NLM_F_REPLACE;
const APPEND = NLM_F_CREATE | NLM_F_APPEND;

export const change = {
  addLink: (link: NewLink): Change => ({
    what: `add ${link.info.kind === 'other' ? link.info.name : link.info.kind} link ${link.name}`,
    type: RTM_NEWLINK,
    flags: ADD,
    payload: encodeNewLink(link),
  }),
  /** A link that is to be renamed must be given by its index. @throws RangeError */
  changeLink(nameOrIndex: string | number, to: LinkChange): Change {
    if (to.name !== undefined && typeof nameOrIndex === 'string') {
      throw new RangeError(`link ${nameOrIndex} can only be renamed by its index`);
    }
    return {
      what: `change link ${nameOrIndex}`,
      type: RTM_NEWLINK,
      flags: 0,
      payload: encodeLinkChange(nameOrIndex, to),
    };
  },
  deleteLink: (nameOrIndex: string | number): Change => ({
    what: `delete link ${nameOrIndex}`,
    type: RTM_DELLINK,
    flags: 0,
    payload: encodeLinkChange(nameOrIndex, {}),
  }),

  replaceAddress: (address: NewAddress): Change => addressChange('replace', RTM_NEWADDR, REPLACE, address),
  deleteAddress: (address: NewAddress): Change => addressChange('delete', RTM_DELADDR, 0, address),

  addRoute: (route: NewRoute): Change => ({
    what: `add ${routeText(route)}`,
    type: RTM_NEWROUTE,
    flags: ADD,
    payload: encodeRoute(route),
  }),
  replaceRoute: (route: NewRoute): Change => ({
    what: `replace ${routeText(route)}`,
    type: RTM_NEWROUTE,
    flags: REPLACE,
    payload: encodeRoute(route),
  }),
  deleteRoute: (route: NewRoute): Change => ({
    what: `delete ${routeText(route)}`,
    type: RTM_DELROUTE,
    flags: 0,
    payload: encodeRouteSelector(route),
  }),

  addNexthop: (nexthop: NewNexthop): Change => ({
    what: `add nexthop ${nexthop.id}`,
    type: RTM_NEWNEXTHOP,
    flags: ADD,
    payload: encodeNexthop(nexthop),
  }),
  replaceNexthop: (nexthop: NewNexthop): Change => ({
    what: `replace nexthop ${nexthop.id}`,
    type: RTM_NEWNEXTHOP,
    flags: REPLACE,
    payload: encodeNexthop(nexthop),
  }),
  deleteNexthop: (id: number): Change => ({
    what: `delete nexthop ${id}`,
    type: RTM_DELNEXTHOP,
    flags: 0,
    payload: encodeNexthopId(id),
  }),

  replaceNeighbor: (neighbor: NewNeighbor): Change => ({
    what: `replace neighbor ${neighbor.ip}`,
    type: RTM_NEWNEIGH,
    flags: REPLACE,
    payload: encodeNeighbor(neighbor),
  }),
  deleteNeighbor: (neighbor: NewNeighbor): Change => ({
    what: `delete neighbor ${neighbor.ip}`,
    type: RTM_DELNEIGH,
    flags: 0,
    payload: encodeNeighbor(neighbor),
  }),

  replaceFdb: (entry: NewFdbEntry): Change => fdbChange('replace', RTM_NEWNEIGH, REPLACE, entry),
  /** Another destination for the same address (head-end replication). */
  appendFdb: (entry: NewFdbEntry): Change => fdbChange('append', RTM_NEWNEIGH, APPEND, entry),
  deleteFdb: (entry: NewFdbEntry): Change => fdbChange('delete', RTM_DELNEIGH, 0, entry),

  addRule: (rule: NewRule): Change => ({
    what: `add ${ruleText(rule)}`,
    type: RTM_NEWRULE,
    flags: ADD,
    payload: encodeRule(rule),
  }),
  deleteRule: (rule: NewRule): Change => ({
    what: `delete ${ruleText(rule)}`,
    type: RTM_DELRULE,
    flags: 0,
    payload: encodeRuleSelector(rule),
  }),
};

function addressChange(verb: string, type: number, flags: number, address: NewAddress): Change {
  const { ip, length } = address;
  return { what: `${verb} address ${ip}/${length}`, type, flags, payload: encodeAddress(address) };
}

function fdbChange(verb: string, type: number, flags: number, entry: NewFdbEntry): Change {
  return {
    what: `${verb} FDB entry ${entry.mac}${via(entry.destination)}`,
    type,
    flags,
    payload: encodeFdbEntry(entry),
  };
}

function ruleText({ priority }: NewRule): string {
  return priority === undefined ? 'rule' : `rule ${priority}`;
}

function routeText({ destination, gateway }: NewRoute): string {
  return `route ${destination ?? 'default'}${via(gateway)}`;
}

function via(ip: Ip | undefined): string {
  return ip === undefined ? '' : ` via ${ip}`;
}
