/** The ports of the overlay's bridges that containers are behind: whether frames pass them, both ways. */
import type { Link } from '../../netlink/route/objects.ts';
import { linkLine, type NameOf } from '../../netlink/text/link.ts';
import type { HostReader } from '../host/host-reader.ts';
import type { Member, Members } from '../host/members.ts';
import { byHand, type Cause, type Command, fixedBy } from './check.ts';

export interface PortFacts extends Members {
  readonly nameOf: NameOf;
  /** Containers that the host has a route to which does not need the bridge: `188.172.50.9 dev veth9`. */
  readonly routed: ReadonlySet<Member>;
}

export async function checkBridgePorts(host: HostReader): Promise<Cause[]> {
  const [members, nameOf] = await Promise.all([host.members(), host.nameOf()]);
  const unattached = members.members.filter(({ outer, home }) => outer.master !== home?.link.index);
  const routed = await Promise.all(
    unattached.map(async member => {
      const ways = await Promise.all(member.addresses.map(({ ip }) => host.lookup(ip)));
      return ways.some(({ route }) => route?.oif === member.outer.index) ? [member] : [];
    }),
  );
  return judgePorts({ ...members, nameOf, routed: new Set(routed.flat()) });
}

function judgePorts(facts: PortFacts): Cause[] {
  const ports = facts.members.filter(({ home }) => home !== undefined);
  return [...ports.flatMap(member => judgePort(member, facts)), ...judgeIsolation(ports, facts)];
}

function judgePort(member: Member, { nameOf, routed }: PortFacts): Cause[] {
  const { container, outer, inner, home } = member;
  const bridge = home?.link;
  if (bridge === undefined) return [];
  const evidence = [linkLine(outer, nameOf)];
  const of = `${outer.name}, the port of the container ${container.name},`;
  const error = { severity: 'error', layer: 'bridge', evidence } as const;
  if (outer.master !== bridge.index) {
    if (routed.has(member)) return [];
    const where = outer.master === undefined ? 'no bridge' : `the bridge ${nameOf(outer.master)}`;
    const reason = `${of} is on ${where} instead of ${bridge.name}: the container reaches nothing of the overlay`;
    const fix = [
      ['ip', 'link', 'set', 'dev', outer.name, 'master', bridge.name],
      ...(outer.up ? [] : [up(outer)]),
    ];
    const fault = { ...error, code: 'BRIDGE_PORT_DETACHED', reason };
    // Who has put it on another bridge may have meant it.
    return [outer.master === undefined ? fixedBy(fix, fault) : byHand(fix, fault)];
  }
  if (!outer.up) {
    const reason = `${of} is down: the container reaches nothing`;
    return [fixedBy([up(outer)], { ...error, code: 'BRIDGE_PORT_DOWN', reason })];
  }
  if (!outer.running && inner.up) {
    return [
      {
        ...error,
        code: 'BRIDGE_PORT_DOWN',
        reason: `${of} has no carrier although its other end is up: the container reaches nothing`,
        remedy: `ip link set dev ${outer.name} protodown off; ip link set dev ${outer.name} down; ip link set dev ${outer.name} up`,
      },
    ];
  }
  // The state of a port says nothing while its bridge is down.
  if (!bridge.up || !inner.up) return [];
  return [...judgeForwarding(member, evidence), ...judgeFlooding(member, evidence)];
}

const up = ({ name }: Link): Command => ['ip', 'link', 'set', 'dev', name, 'up'];

/** BR_STATE_*, include/uapi/linux/if_bridge.h. */
const STATES = ['disabled', 'listening', 'learning', 'forwarding', 'blocking'];
const DISABLED = 0;
const FORWARDING = 3;
/** IF_OPER_DOWN and IF_OPER_LOWERLAYERDOWN, include/uapi/linux/if.h. */
const OPER_DOWN: ReadonlySet<number | undefined> = new Set([2, 3]);

function judgeForwarding({ container, outer, home }: Member, evidence: string[]): Cause[] {
  const { state = FORWARDING, locked = false } = outer.port ?? {};
  const of = `${outer.name}, the port of the container ${container.name},`;
  // The kernel has not followed yet: both ends of the link have just come up.
  if (state === DISABLED && OPER_DOWN.has(outer.operState)) return [];
  if (state !== FORWARDING) {
    const { info } = home?.link ?? {};
    const isStp = info?.kind === 'bridge' && (info.stpState ?? 0) !== 0;
    const cause = {
      code: 'BRIDGE_PORT_NOT_FORWARDING',
      severity: 'error' as const,
      layer: 'bridge' as const,
      reason: `${of} is ${STATES[state] ?? state} and forwards no frame: the container reaches nothing`,
      evidence: [...evidence, `bridge link show dev ${outer.name}: state ${STATES[state] ?? state}`],
    };
    if (!isStp) return [fixedBy([['bridge', 'link', 'set', 'dev', outer.name, 'state', '3']], cause)];
    return [
      {
        ...cause,
        remedy: `ip link set dev ${home?.link.name} type bridge stp_state 0  # spanning tree blocks it: look for a loop first`,
      },
    ];
  }
  if (!locked) return [];
  return [
    fixedBy([['bridge', 'link', 'set', 'dev', outer.name, 'locked', 'off']], {
      code: 'BRIDGE_PORT_LOCKED',
      severity: 'error',
      layer: 'bridge',
      reason: `${of} is locked: it takes no frame from the container unless an FDB entry allows its MAC address`,
      evidence: [...evidence, `bridge -d link show dev ${outer.name}: locked on`],
    }),
  ];
}

function judgeFlooding({ container, outer }: Member, evidence: string[]): Cause[] {
  const { unicastFlood = true, broadcastFlood = true, learning = true } = outer.port ?? {};
  const common = { code: 'BRIDGE_PORT_FLOOD', layer: 'bridge', evidence } as const;
  const of = `${outer.name}, the port of the container ${container.name},`;
  const causes: Cause[] = [];
  if (!broadcastFlood) {
    causes.push(
      fixedBy([['bridge', 'link', 'set', 'dev', outer.name, 'bcast_flood', 'on']], {
        ...common,
        severity: 'error',
        reason: `${of} gets no broadcast: the container hears no ARP request, and is found only while it speaks first`,
      }),
    );
  }
  if (!unicastFlood && !learning) {
    causes.push(
      fixedBy([['bridge', 'link', 'set', 'dev', outer.name, 'flood', 'on', 'learning', 'on']], {
        ...common,
        severity: 'error',
        reason: `${of} neither learns MAC addresses nor gets frames for unknown ones: without an FDB entry nothing reaches the container`,
      }),
    );
  }
  return causes;
}

/** An isolated port reaches the bridge, and so other hosts, but no other isolated one. */
function judgeIsolation(ports: readonly Member[], { nameOf }: PortFacts): Cause[] {
  const isolated = ports.filter(({ outer }) => outer.port?.isolated === true);
  const byBridge = Map.groupBy(isolated, ({ outer }) => outer.master);
  return [...byBridge.values()].map(members => {
    const names = members.map(({ container }) => container.name);
    const isAlone = members.length === 1;
    return fixedBy(
      members.map(({ outer }) => ['bridge', 'link', 'set', 'dev', outer.name, 'isolated', 'off']),
      {
        code: 'BRIDGE_PORT_ISOLATED',
        severity: isAlone ? 'info' : 'error',
        layer: 'bridge',
        reason: isAlone
          ? `the port of the container ${names[0]} is isolated: it would reach no container behind another isolated port`
          : `the ports of the containers ${names.join(', ')} are isolated: these do not reach each other, only other hosts`,
        evidence: members.slice(0, 20).map(({ outer }) => linkLine(outer, nameOf)),
      },
    );
  });
}
