/** The status document as one screen: facts first, then the peers, then what needs attention. */
import type { FirewallStatus } from '../api/firewall-status.ts';
import type { ForwarderTraffic } from '../api/messages.ts';
import {
  type AgentState,
  type BackendStatus,
  type Condition,
  containersCanTalk,
  type FamilyStatus,
  type Status,
} from '../api/status.ts';
import { mapFamilies, valuesOf } from '../base/per-family.ts';
import { formatCount, formatDuration, formatNumber } from '../console/format.ts';
import { paint, type Style } from '../console/output.ts';
import { formatFacts, wrap } from '../console/table.ts';
import { fastPathText } from './fast-path-text.ts';
import { networksSection } from './status-networks.ts';
import { peerCounts, peersSection } from './status-peers.ts';
import { totalTraffic } from './traffic.ts';

export interface ScreenOptions {
  /** Milliseconds since the epoch. */
  readonly now: number;
  /** Show every peer with its entries; otherwise only as many as fit, and the entries of those in trouble. */
  readonly all: boolean;
  /** Where a forwarder moves the packets. */
  readonly traffic?: ForwarderTraffic | undefined;
}

export function statusScreen(status: Status, options: ScreenOptions): string {
  const sections = [
    facts(status, options),
    ...peersSection(status, options.all, options.now),
    ...networksSection(status, options.all),
    ...conditions(status, options.now),
    ...warnings(status, options.now),
  ];
  return sections.join('\n\n');
}

function facts(status: Status, { now, traffic }: ScreenOptions): string {
  const { host, agent, underlay, backend, dataplane } = status;
  return formatFacts([
    [
      'host',
      `${host.name}, tulle ${status.version}, up ${status.uptimeSeconds === 0 ? 'just now' : formatDuration(status.uptimeSeconds * 1000)}`,
    ],
    ['state', `${state(agent.state)} for ${since(agent.since, now)}`],
    ['reason', reason(status, now)],
    ['hint', agent.hint],
    ['lease', lease(status, now)],
    ['network', network(status)],
    [
      'backend',
      backend &&
        [
          backend.type,
          ...backend.devices.map(one => device(one, backend)),
          `MTU ${backend.overlayMtu} for containers${explanation(backend)}`,
        ].join(', '),
    ],
    [
      'underlay',
      underlay &&
        joined(
          [underlay.link.name, ...valuesOf(underlay.ip)],
          [publicAddress(status), underlayMtu(underlay), `chosen by ${underlay.chosenBy}`],
        ),
    ],
    ['store', store(status, now)],
    ['certificate', firstEnd(status)],
    ['peer API', peerApi(status)],
    ['resolver', resolver(status)],
    ['meanwhile', meanwhile(status)],
    ['firewall', firewall(status)],
    ['fast path', fastPathText(status)],
    ['forwarder', traffic && totalTraffic(traffic)],
    [
      'data plane',
      joined([
        dataplane.inSync
          ? 'in sync'
          : paint('yellow', dataplane.failed === 0 ? 'being written' : 'not in sync'),
        formatCount(dataplane.wanted, 'entry', 'entries'),
        dataplane.failed === 0 ? undefined : paint('red', `${dataplane.failed} failed`),
        // A problem of a peer is shown with the peer.
        status.peers.some(peer => peer.state === 'failed') ? undefined : dataplane.lastError,
      ]),
    ],
    ['repaired', repaired(status, now)],
    ['peers', peerCounts(status.peers)],
    ['subnet file', status.subnetFile],
  ]);
}

/** Whether other hosts may ask this one; absent from an agent that knows of no such thing. */
function peerApi({ peerApi: api }: Status): string | undefined {
  if (api === undefined) return undefined;
  return api.listening.length === 0 ? `off: ${api.reason}` : api.listening.join(', ');
}

/** Who answers containers about names; absent where nobody would ask. */
function resolver({ resolver: report }: Status): string | undefined {
  if (report === undefined || report.listening.length === 0) return undefined;
  const { listening, names, questions, upstream } = report;
  const failed = questions.failed === 0 ? undefined : `${formatNumber(questions.failed)} without answer`;
  return joined([
    formatCount(names, 'name', 'names'),
    `answers at ${formatCount(listening.length, 'address', 'addresses')}`,
    upstream.length === 0 ? paint('yellow', 'nobody else to ask') : `asks ${upstream.join(' and ')}`,
    failed,
  ]);
}

function lease({ lease: held }: Status, now: number): string {
  if (held === undefined) return paint('yellow', 'none');
  const expiry =
    held.expires === undefined
      ? undefined
      : `expires in ${formatDuration(Math.max(0, Date.parse(held.expires) - now))}`;
  const ownership = held.ownership === 'held' ? undefined : paint('yellow', 'not confirmed by the store');
  return joined([...valuesOf(held.subnet), held.reservation ? 'reserved' : expiry, ownership]);
}

function network({ network: { config, problems } }: Status): string {
  const wrong =
    config === undefined
      ? problems.map(({ path, message }) => paint('red', `${path} ${message}`))
      : problems.slice(0, 1).map(() => paint('yellow', 'differs from the store'));
  if (config === undefined) return joined([paint('yellow', 'no configuration yet'), ...wrong]);
  const families = valuesOf<FamilyStatus>(config).map(
    ({ network, subnetLength }) => `${network}, /${subnetLength} per host`,
  );
  return joined([...families, config.backendType, ...wrong]);
}

/** What the state is made of mostly, which may be younger than the state. */
function reason({ agent, conditions: all, warnings: current }: Status, now: number): string | undefined {
  if (agent.reason === undefined) return undefined;
  const from =
    all.find(isReasonOf(agent))?.since ?? current.find(({ title }) => title === agent.reason)?.since;
  return from === undefined ? agent.reason : `${agent.reason} (for ${since(from, now)})`;
}

function store(status: Status, now: number): string {
  const { endpoints, connected, since: from, cached, lastError, revision } = status.store;
  const { reason } = status.agent;
  const contact = connected ? 'connected' : paint('red', 'no contact');
  return joined([
    endpoints.join(' '),
    `${contact} for ${since(from, now)}`,
    revision === undefined ? undefined : `revision ${revision}`,
    cached ? paint('yellow', 'using the copy on disk') : undefined,
    connected || reason?.includes(lastError ?? '') === true ? undefined : lastError,
  ]);
}

/** The one that ends first, for the others are valid until then too. */
function firstEnd({ certificates: all = [] }: Status): string | undefined {
  const [first] = all.toSorted((a, b) => a.expires.localeCompare(b.expires));
  return first && `valid until ${first.expires.slice(0, 10)} (${first.file})`;
}

/** What still works without the store. */
function meanwhile(status: Status): string | undefined {
  const {
    store: { connected },
    peers,
    lease: held,
  } = status;
  if (connected || held === undefined || !containersCanTalk(status)) return undefined;
  return (
    `containers still reach the ${formatCount(peers.length, 'known peer')}; ` +
    'changes of other hosts are seen when the store answers again'
  );
}

function firewall({ firewall: { mode, masquerade, forward, ok, lastError, refused } }: Status): string {
  const rules = [masquerade ? 'masquerade' : undefined, forward ? 'accept forwarding' : undefined];
  const on = rules.some(rule => rule !== undefined);
  return joined([
    mode,
    ...(on ? rules : ['no rules configured']),
    refused && refusedText(refused),
    ok ? undefined : paint('red', lastError ?? 'rules are missing'),
  ]);
}

/** Of tunnel packets: `strangers refused (3 packets, from 192.168.65.77)`. */
function refusedText({
  strangers,
  sources,
  recent,
}: NonNullable<FirewallStatus['refused']>): string | undefined {
  const packets = (count: number) => `${count} ${count === 1 ? 'packet' : 'packets'}`;
  const [first, ...more] = recent;
  const from = first && `, lately from ${first}${more.length === 0 ? '' : ` and ${more.length} more`}`;
  const texts = [
    strangers === 0 ? undefined : `${packets(strangers)} of strangers refused${from ?? ''}`,
    sources === 0 ? undefined : `${packets(sources)} with another host's source refused`,
  ].filter(text => text !== undefined);
  return texts.length === 0 ? undefined : texts.join(', ');
}

/** ` (1500 of eth0 - 50 for VXLAN over IPv4)` */
function explanation({ mtuParts: [first, ...others] }: BackendStatus): string {
  if (first === undefined) return '';
  const parts = others.map(({ what, bytes }) => ` ${bytes < 0 ? '-' : '+'} ${Math.abs(bytes)} for ${what}`);
  return ` (${first.bytes} of ${first.what}${parts.join('')})`;
}

/** As the kernel has it; its MTU only where containers get another. */
function device(
  { name, kind, vni, port, mtu }: BackendStatus['devices'][number],
  { overlayMtu }: BackendStatus,
): string {
  if (kind === 'existing') return `routes over ${name}`;
  const details = [
    kind === 'tun' && mtu !== undefined ? 'TUN device of `tulle forwarder`' : undefined,
    vni === undefined ? undefined : `VNI ${vni}`,
    port === undefined ? undefined : `UDP ${port}`,
    mtu === undefined || mtu === overlayMtu ? undefined : `MTU ${mtu}`,
  ].filter(detail => detail !== undefined);
  return `${name} (${details.length === 0 ? 'not in the kernel' : details.join(', ')})`;
}

/** The MTU that the network in use was made for, and the present one where the network does not fit it. */
function underlayMtu({ link: { mtu, currentMtu } }: NonNullable<Status['underlay']>): string {
  return currentMtu === undefined ? `MTU ${mtu}` : `MTU ${mtu}, now ${currentMtu}`;
}

function publicAddress({ underlay }: Status): string | undefined {
  if (underlay === undefined) return undefined;
  const { ip, publicIp } = underlay;
  const others = valuesOf(
    mapFamilies(publicIp, (address, family) => (address === ip[family] ? undefined : address)),
  );
  return others.length === 0 ? undefined : `published as ${others.join(' and ')}`;
}

/** How often another program changed objects of ours, and the last time. */
function repaired({ dataplane }: Status, now: number): string | undefined {
  const kinds = Object.entries(dataplane.driftRepairs).filter(([, count]) => count > 0);
  if (kinds.length === 0) return undefined;
  const counts = kinds.map(([kind, count]) => `${kind} ${formatNumber(count)}`).join(', ');
  const [last] = dataplane.recentRepairs;
  return last === undefined ? counts : `${counts}; last ${since(last.time, now)} ago: ${last.text}`;
}

function conditions(status: Status, now: number): string[] {
  const isShown = isReasonOf(status.agent);
  const failing = status.conditions.filter(condition => !condition.ok && !isShown(condition));
  if (failing.length === 0) return [];
  const lines = failing.flatMap(({ name, reason, hint, since: from }) => [
    `  ${paint('red', name)} for ${since(from, now)}${because(reason)}`,
    ...(hint === undefined ? [] : [`    hint: ${hint}`]),
  ]);
  return [['Other problems:', ...lines.map(line => wrap(line, 4))].join('\n')];
}

function warnings(status: Status, now: number): string[] {
  if (status.warnings.length === 0) return [];
  const lines = status.warnings.flatMap(({ code, title, text, hint, since: from }) => [
    `  ${paint('yellow', code)} for ${since(from, now)}: ${title}: ${text}`,
    ...(hint === undefined ? [] : [`    hint: ${hint}`]),
  ]);
  return [['Warnings:', ...lines.map(line => wrap(line, 4))].join('\n')];
}

const STATE_STYLE: Readonly<Record<AgentState, Style>> = {
  starting: 'yellow',
  waiting: 'red',
  degraded: 'yellow',
  ready: 'green',
  stopping: 'yellow',
};

/** Whether it is this condition that the state's reason is taken from. */
const isReasonOf = (agent: Status['agent']) => (condition: Condition) =>
  !condition.ok && condition.reason !== undefined && condition.reason === agent.reason;

const state = (of: AgentState) => paint(STATE_STYLE[of], of);

const since = (time: string, now: number) => formatDuration(Math.max(0, now - Date.parse(time)));

const because = (reason: string | undefined) => (reason === undefined ? '' : `: ${reason}`);

/** Parts that are known, with commas; the parts of the first list with spaces when there are two lists. */
function joined(parts: readonly (string | undefined)[], more: readonly (string | undefined)[] = []): string {
  const known = (list: readonly (string | undefined)[]) =>
    list.filter(part => part !== undefined && part !== '');
  return more.length === 0 ? known(parts).join(', ') : [known(parts).join(' '), ...known(more)].join(', ');
}
