/**
 * extension as flannel documents it (flannel Documentation/extension.md, pkg/backend/extension): commands of the operator
 * do what another backend does by itself.
 *
 *     PreStartupCommand     before anything else; its output is published as BackendData
 *     PostStartupCommand    when this host has a subnet
 *     SubnetAddCommand      for every peer, and again after a restart; reads the peer's BackendData
 *     SubnetRemoveCommand   for a peer that has gone
 *     ShutdownCommand       when another backend takes over, and with `tulle cleanup`
 *
 * Who may write the configuration of the network runs programs on every host with it, so a host must allow that.
 */
import { ConfigError, type Problem } from '../base/errors.ts';
import { FAMILIES } from '../base/ip.ts';
import { mapFamilies, type PerFamily, valuesOf } from '../base/per-family.ts';
import type { PeerPath } from '../dataplane/desired.ts';
import { networksOf } from '../subnet/config/config.ts';
import type { Lease, LeaseAttributes, Subnet } from '../subnet/lease/lease.ts';
import type { Backend, BackendContext } from './backend.ts';
import { type ExtensionOptions, hostCommand, parseExtensionOptions } from './extension-options.ts';
import { existingUnderlay } from './host-gw.ts';
import { dataOf, type PeerFamily, planPeer } from './peer-plan.ts';
import { fitUnderlay, mtuPartsOf, NO_OVERHEAD } from './underlay-fit.ts';

/** @throws ConfigError with everything that makes this network impossible on this host. */
export function extensionBackend(context: BackendContext): Backend {
  const { config, underlay, commands: results } = context;
  const problems: Problem[] = results === undefined ? [NOT_ALLOWED] : [];
  const options = parseExtensionOptions(config.backend.options, problems);
  const { mtu, leftOut, reduced, ...fit } = fitUnderlay(context, NO_OVERHEAD);
  problems.push(...fit.problems);
  if (problems.length > 0) throw new ConfigError('extension backend', problems);

  const ofNetwork = { NETWORK: text(config.ipv4?.network), IPV6NETWORK: text(config.ipv6?.network) };
  const ofHost = { ...ofNetwork, ...addresses(underlay.publicIp) };
  const preparation = hostCommand(options, 'PreStartupCommand', ofHost);
  const result = preparation && results?.resultOf(preparation);
  // What peers need stands on both.
  const after = JSON.stringify([result?.run, options.commands.PostStartupCommand]);
  return {
    type: 'extension',
    overlayMtu: Math.min(...valuesOf(mtu)),
    mtuParts: mtuPartsOf(underlay, mtu, 'extension'),
    leftOut,
    reduced,
    ...(preparation && { preparation: { command: preparation, ...(result && { run: result.run }) } }),
    attributes: () => ({
      backendType: 'extension',
      // flannel has this one for both families.
      ...(result && { backendData: { ipv4: result.output } }),
    }),
    host: () => ({
      networks: networksOf(config),
      links: [existingUnderlay(underlay)],
      addresses: [],
      sysctls: [],
    }),
    commands: own => {
      const values = { ...ofHost, ...subnets(own) };
      const startup = hostCommand(options, 'PostStartupCommand', values);
      const shutdown = hostCommand(options, 'ShutdownCommand', values);
      return {
        link: underlay.link.name,
        ...(result && { run: result.run }),
        ...(startup && { startup }),
        ...(shutdown && { shutdown }),
      };
    },
    peer: lease =>
      planPeer(lease, 'extension', mtu, peer =>
        pathTo(peer, lease, mtu, { options, ofNetwork, after, link: underlay.link.name }),
      ),
  };
}

/** What is wrong with its options, and what has no effect. */
export function checkExtensionOptions(
  options: Readonly<Record<string, unknown>>,
  problems: Problem[],
  warnings: Problem[],
): void {
  parseExtensionOptions(options, problems, warnings);
}

const NOT_ALLOWED: Problem = {
  path: 'Backend.Type',
  value: 'extension',
  message: 'runs commands of the network configuration as root, and this host does not allow that',
  hint: 'start the agent with --allow-extension, if you trust everybody who can write the configuration',
};

interface Surroundings {
  readonly options: ExtensionOptions;
  readonly ofNetwork: Readonly<Record<'NETWORK' | 'IPV6NETWORK', string>>;
  readonly after: string;
  /** Name of the underlay's link. */
  readonly link: string;
}

/** One command serves all families of a peer; it belongs to the first. */
function pathTo(
  { family, subnet, underlayIp }: PeerFamily,
  { subnet: blocks, attributes }: Lease,
  carried: PerFamily<unknown>,
  { options, ofNetwork, after, link }: Surroundings,
): PeerPath | string {
  const data = dataOf(attributes, 'ipv4');
  if (data.data !== undefined && typeof data.data !== 'string') return `its ${data.dataName} is not a string`;
  const first = FAMILIES.find(one =>
    [carried, blocks, attributes.publicIp].every(all => all[one] !== undefined),
  );
  if (family !== first) return { link, subnet, underlayIp, entries: [] };
  const carriedOf = <T>(all: PerFamily<T>) => mapFamilies(carried, (_, one) => all[one]);
  const values = {
    ...ofNetwork,
    ...subnets(carriedOf(blocks)),
    ...addresses(carriedOf(attributes.publicIp)),
  };
  const add = hostCommand(options, 'SubnetAddCommand', values, data.data);
  const remove = hostCommand(options, 'SubnetRemoveCommand', values, data.data);
  const command = { kind: 'command', subnet, after, ...(add && { add }), ...(remove && { remove }) } as const;
  const entries = add === undefined && remove === undefined ? [] : [command];
  return { link, subnet, underlayIp, entries };
}

const text = (value: { toString(): string } | undefined): string => value?.toString() ?? '';

const subnets = ({ ipv4, ipv6 }: Subnet) => ({ SUBNET: text(ipv4), IPV6SUBNET: text(ipv6) });

const addresses = ({ ipv4, ipv6 }: LeaseAttributes['publicIp']) => ({
  PUBLIC_IP: text(ipv4),
  PUBLIC_IPV6: text(ipv6),
});
