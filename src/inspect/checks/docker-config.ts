/**
 * daemon.json against the lease of this host: what the next start of dockerd would make of its default bridge, and whether
 * it has been started since.
 */
import { readFileSync } from 'node:fs';
import { isCode } from '../../base/errors.ts';
import { Prefix, parseInterfaceAddress } from '../../base/prefix.ts';
import { DaemonJson } from '../../docker/daemon-json.ts';
import type { Address, Link } from '../../netlink/route/objects.ts';
import type { HostReader } from '../host/host-reader.ts';
import type { HostOverlay } from '../host/overlay.ts';
import { type Cause, HERE } from './check.ts';

/** Where dockerd reads it unless its command line names another file. */
const DAEMON_FILE = '/etc/docker/daemon.json';

export async function checkDockerConfig(host: HostReader): Promise<Cause[]> {
  const [overlay, links, addresses] = await Promise.all([host.overlay(), host.links(), host.addresses()]);
  const text = textOfDaemonFile();
  if (overlay === undefined || text === undefined) return [];
  return judgeDockerConfig({ overlay, links, addresses, text });
}

/** undefined when there is no such file. */
function textOfDaemonFile(): string | undefined {
  try {
    return readFileSync(DAEMON_FILE, 'utf8');
  } catch (error) {
    if (isCode(error, 'ENOENT')) return undefined;
    throw error;
  }
}

export interface DockerConfigFacts {
  readonly overlay: HostOverlay;
  readonly links: readonly Link[];
  readonly addresses: readonly Address[];
  /** Of daemon.json. */
  readonly text: string;
}

/** A file whose `bip` is outside of the overlay is none of Tulle's. */
export function judgeDockerConfig({ overlay, links, addresses, text }: DockerConfigFacts): Cause[] {
  const common = { code: 'DOCKER_CONFIG', severity: 'warning', layer: 'docker' } as const;
  const config = parseLeniently(text);
  if (config === undefined) {
    return [
      {
        ...common,
        reason: `${DAEMON_FILE} is no JSON: dockerd does not start with it again`,
        evidence: [DAEMON_FILE],
        remedy: 'tulle docker configure --dry-run names the place',
      },
    ];
  }
  const bip = addressIn(config.value('bip'));
  if (bip === undefined || !overlay.networks.some(network => network.contains(bip.ip))) return [];
  const wrong = differences(config, overlay);
  if (wrong.length > 0) {
    return [
      {
        ...common,
        reason: `${DAEMON_FILE} differs from the lease of ${HERE}: with its next start dockerd gives containers ${wrong.map(({ effect }) => effect).join(', and ')}`,
        evidence: wrong.map(({ evidence }) => evidence),
        remedy: 'tulle docker configure --restart, and restart the containers',
      },
    ];
  }
  const bridge = links.find(({ name }) => name === 'docker0');
  const has = addresses.filter(({ index, family }) => index === bridge?.index && family === 'ipv4');
  if (bridge === undefined || has.some(({ ip }) => ip.equals(bip.ip))) return [];
  return [
    {
      ...common,
      reason: `dockerd has not been started since ${DAEMON_FILE} has the subnet of ${HERE}: docker0 has ${has.map(({ ip, length }) => `${ip}/${length}`).join(', ') || 'no address'}`,
      evidence: [`"bip": ${config.raw('bip')}`],
      remedy: 'systemctl restart docker',
    },
  ];
}

function differences(config: DaemonJson, { gateways, subnets, mtu }: HostOverlay) {
  const expected = gateways.find(({ ip }) => ip.family === 'ipv4');
  const [bip, bytes, fixed] = ['bip', 'mtu', 'fixed-cidr-v6'].map(key => config.value(key));
  const given = addressIn(bip);
  const six = prefixIn(fixed);
  return [
    ...(expected === undefined || (given?.ip.equals(expected.ip) === true && given.length === expected.length)
      ? []
      : [
          {
            effect: 'addresses of another subnet',
            evidence: `"bip": ${config.raw('bip')}, leased ${expected.ip}/${expected.length}`,
          },
        ]),
    ...(six === undefined || subnets.some(subnet => subnet.equals(six))
      ? []
      : [
          {
            effect: 'IPv6 addresses of another subnet',
            evidence: `"fixed-cidr-v6": ${config.raw('fixed-cidr-v6')}`,
          },
        ]),
    // Without one Docker takes 1500.
    ...(mtu === undefined || (typeof bytes === 'number' && bytes > 0 && bytes <= mtu)
      ? []
      : [
          {
            effect: 'an MTU that the overlay does not carry',
            evidence: `"mtu": ${config.raw('mtu') ?? 'not set'}, want at most ${mtu}`,
          },
        ]),
  ];
}

function parseLeniently(text: string): DaemonJson | undefined {
  try {
    return DaemonJson.parse(text);
  } catch (error) {
    if (isCode(error, 'INVALID_CONFIG')) return undefined;
    throw error;
  }
}

/** undefined for what is no address with a length. */
function addressIn(value: unknown) {
  try {
    return typeof value === 'string' ? parseInterfaceAddress(value) : undefined;
  } catch {
    return undefined;
  }
}

function prefixIn(value: unknown): Prefix | undefined {
  try {
    return typeof value === 'string' ? Prefix.parse(value) : undefined;
  } catch {
    return undefined;
  }
}
