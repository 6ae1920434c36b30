/** The links of containers on the overlay, and settings of theirs that keep packets away. */
import { IFF_NOARP } from '../../netlink/route/constants.ts';
import { linkLine, type NameOf } from '../../netlink/text/link.ts';
import type { HostReader } from '../host/host-reader.ts';
import type { Member } from '../host/members.ts';
import { type Cause, fixedBy, inContainer, sysctlName } from './check.ts';
import { defaultRouteCommands } from './container-netmask.ts';
import { stillUnfinished } from './settled.ts';

export interface ContainerLinkFacts {
  readonly member: Member;
  /** Of links in the container. */
  readonly nameOf: NameOf;
  /** Values of kernel parameters by path; absent where there is no such parameter. */
  readonly sysctls: ReadonlyMap<string, string>;
}

const ECHO = ['net/ipv4/icmp_echo_ignore_all', 'net/ipv6/icmp/echo_ignore_all'];
/** Of IPv6 it is a setting of the link. */
const ttlOf = ({ inner, addresses }: Member) => [
  'net/ipv4/ip_default_ttl',
  ...(addresses.some(({ family }) => family === 'ipv6') ? [`net/ipv6/conf/${inner.name}/hop_limit`] : []),
];
const arpIgnore = (link: string) => ['all', link].map(name => `net/ipv4/conf/${name}/arp_ignore`);

export async function checkContainerLinks(host: HostReader): Promise<Cause[]> {
  const { members } = await host.members();
  const unfinished = await stillUnfinished(members);
  const settled = members.filter(member => member.inner.up || unfinished.has(member));
  const causes = settled.map(async member => {
    const { inside } = member.container;
    const sysctls = inside.sysctls([...ECHO, ...ttlOf(member), ...arpIgnore(member.inner.name)]);
    return judgeLink({ member, nameOf: await inside.nameOf(), sysctls });
  });
  return (await Promise.all(causes)).flat();
}

function judgeLink({ member, nameOf, sysctls }: ContainerLinkFacts): Cause[] {
  const { container, inner } = member;
  const evidence = [`${container.name}: ${linkLine(inner, nameOf)}`];
  if (inner.up) return [...judgeArp(member, evidence, sysctls), ...judgeSettings(member, sysctls)];
  const up = inContainer(container, 'ip', 'link', 'set', 'dev', inner.name, 'up');
  return [
    // With the link its routes go.
    fixedBy([up, ...defaultRouteCommands(member)], {
      code: 'CONTAINER_LINK_DOWN',
      severity: 'error',
      layer: 'container',
      reason: `${inner.name} of the container ${container.name} is down: it neither sends nor receives`,
      evidence,
    }),
  ];
}

function judgeArp(
  { container, inner }: Member,
  evidence: string[],
  sysctls: ReadonlyMap<string, string>,
): Cause[] {
  const common = { code: 'ARP_OFF', severity: 'error', layer: 'container' } as const;
  const consequence = `it does not answer ARP, so that nothing reaches ${container.name}`;
  if ((inner.flags & IFF_NOARP) !== 0) {
    const reason = `ARP is off on ${inner.name} of the container ${container.name}: ${consequence}`;
    const fix = inContainer(container, 'ip', 'link', 'set', 'dev', inner.name, 'arp', 'on');
    return [fixedBy([fix], { ...common, reason, evidence })];
  }
  // The larger one of both is in force; 8 answers nothing (Documentation/networking/ip-sysctl.rst).
  const path = arpIgnore(inner.name).find(name => sysctls.get(name) === '8');
  if (path === undefined) return [];
  const reason = `${inner.name} of the container ${container.name} ignores ARP requests: ${consequence}`;
  const setting = `${sysctlName(path)} = 8`;
  const fix = inContainer(container, 'sysctl', '-w', `${sysctlName(path)}=0`);
  return [fixedBy([fix], { ...common, reason, evidence: [`${container.name}: ${setting}`] })];
}

/** Routers that a packet to a container of another host passes: both hosts. */
const HOPS = 2;

function judgeSettings(member: Member, sysctls: ReadonlyMap<string, string>): Cause[] {
  const { container } = member;
  const causes: Cause[] = [];
  const set = (path: string, value: number) =>
    inContainer(container, 'sysctl', '-w', `${sysctlName(path)}=${value}`);
  const shown = (path: string) => `${container.name}: ${sysctlName(path)} = ${sysctls.get(path)}`;
  const ignored = ECHO.filter(path => sysctls.get(path) === '1');
  if (ignored.length > 0) {
    causes.push(
      fixedBy(
        ignored.map(path => set(path, 0)),
        {
          code: 'CONTAINER_IGNORES_ECHO',
          severity: 'warning',
          layer: 'container',
          reason: `the container ${container.name} answers no ping; other packets are not concerned`,
          evidence: ignored.map(shown),
        },
      ),
    );
  }
  for (const path of ttlOf(member)) {
    const ttl = Number(sysctls.get(path) ?? 64);
    if (ttl > HOPS) continue;
    causes.push(
      fixedBy([set(path, 64)], {
        code: 'CONTAINER_TTL',
        severity: 'error',
        layer: 'container',
        reason: `packets of the container ${container.name} begin with a TTL of ${ttl}, and end before they reach a container of another host`,
        evidence: [shown(path)],
      }),
    );
  }
  return causes;
}
