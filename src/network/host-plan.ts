/**
 * From what is configured and what this host has to what this host should be: one pure decision, made anew
 * whenever one of its inputs changes. Equal inputs give an equal fingerprint, so that nothing is done twice.
 */

import type { ConditionName } from '../api/status.ts';
import {
  type Backend,
  type BackendContext,
  type CommandResults,
  type HostIdentity,
  type Underlay,
} from '../backend/backend.ts';
import { defined } from '../base/defined.ts';
import { ConfigError, formatProblem, type Problem } from '../base/errors.ts';
import { FAMILY_LABELS } from '../base/ip.ts';
import type { Mac } from '../base/mac.ts';
import { LEAST_MTU } from '../base/mtu.ts';
import { familiesOf, mapFamilies, valuesOf } from '../base/per-family.ts';
import { Prefix } from '../base/prefix.ts';
import type { HostCommand } from '../dataplane/tables/commands.ts';
import { ownerOf } from '../ownership/owner.ts';
import { CONFIG_KEYS, type NetworkConfig, networksOf } from '../subnet/config/config.ts';
import { isHostName } from '../subnet/lease/attributes.ts';
import type { LeaseAttributes } from '../subnet/lease/lease.ts';
import type { UnderlayCriteria } from './options.ts';
import type { ConditionFailure } from './reports.ts';
import { chooseUnderlay, type HostNetwork, type UnderlayChoice } from './underlay.ts';

export interface HostPlan {
  readonly config: NetworkConfig;
  readonly underlay: Underlay;
  /** Which rule chose the underlay. */
  readonly chosenBy: string;
  readonly backend: Backend;
  /** What this host publishes in its lease. */
  readonly attributes: LeaseAttributes & { readonly hostId: string };
  readonly fingerprint: string;
}

/** Who this host is, over restarts and reboots (docs/decisions/0010-identity.md). */
export interface DurableIdentity extends HostIdentity {
  /** Takes over the MAC address of a device that was there before this host ever had one of that name. */
  adopt(linkName: string, mac: Mac): void;

  /** What only this machine has, and publishes. @param underlay MAC address of the underlay link. */
  machine(underlay: Mac | undefined): string | undefined;
}

export interface HostPlanInputs {
  readonly config: NetworkConfig;
  readonly network: HostNetwork;
  readonly criteria: UnderlayCriteria;
  readonly identity: DurableIdentity;
  /** What the kernel calls this host. */
  readonly hostName: string;
  /** Where the agent answers other hosts; absent where it does not. */
  readonly peerApiPort?: number;
  /** What commands of the configuration have said; absent where they may not be run. */
  readonly commands?: CommandResults;
  /** The underlay that was chosen last. */
  readonly inUse: Underlay | undefined;
  /** @throws ConfigError for a backend that does not exist or whose options make no sense. */
  readonly createBackend: (context: BackendContext) => Backend;
}

export type HostPlanResult =
  | { readonly ok: true; readonly plan: HostPlan }
  | ({
      readonly ok: false;
      readonly condition: ConditionName;
      /** It can be used when this has run. */
      readonly awaits?: HostCommand;
    } & PlanRefusal);

/** Why a configuration is not used: in one text for people, and problem by problem where the text has several. */
export interface PlanRefusal {
  readonly failure: ConditionFailure;
  readonly problems: readonly Problem[];
}

export function planHost(inputs: HostPlanInputs): HostPlanResult {
  const { config, network, identity, hostName, peerApiPort } = inputs;
  const choice = chooseForFamilies(inputs);
  if (!choice.found) {
    const { reason, hint } = choice;
    return { ok: false, condition: 'underlay', failure: { code: 'NO_UNDERLAY', reason, hint }, problems: [] };
  }
  adoptMacs(network, networksOf(config), identity);
  const { chosenBy } = choice;
  const captured = underlayInside(config, choice.underlay);
  if (captured.length > 0) {
    const error = new ConfigError('network configuration', captured);
    return { ok: false, condition: 'config', ...configRefusal(error) };
  }
  try {
    const { defaultVxlanPort, hasTun, routes } = network;
    const withRoutes = { ...choice.underlay, ...defined({ routes }) };
    const { commands } = inputs;
    const backend = inputs.createBackend({
      config,
      underlay: withRoutes,
      defaultVxlanPort,
      identity,
      ...defined({ hasTun }),
      ...(commands && { commands }),
    });
    // Routes that change make another plan only where they count.
    const underlay = backend.needsRoutes === true ? withRoutes : choice.underlay;
    const { ip, publicIp, link } = underlay;
    const sendsFrom = valuesOf(
      mapFamilies(ip, (own, family) => (own.equals(publicIp[family]) ? undefined : own)),
    );
    const machine = identity.machine(network.links.find(({ index }) => index === link.index)?.mac);
    const attributes = {
      hostId: identity.hostId,
      ...(isHostName(hostName) && { hostName }),
      ...(machine !== undefined && { machine }),
      publicIp,
      ...defined({ peerApiPort }),
      ...(sendsFrom.length > 0 && { sendsFrom }),
      ...backend.attributes(),
    };
    const fingerprint = JSON.stringify([config, underlay, attributes, backend.preparation?.run]);
    return { ok: true, plan: { config, underlay, chosenBy, backend, attributes, fingerprint } };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return { ok: false, condition: 'config', ...configRefusal(error) };
  }
}

/**
 * A link whose MTU is too small for IPv6 has no IPv6 address, and carries IPv4 all the same. Where one family of two is
 * missing for another reason, somebody has to say which of the two is meant.
 */
function chooseForFamilies({ config, network, criteria, inUse }: HostPlanInputs): UnderlayChoice {
  const families = familiesOf(config);
  const choice = chooseUnderlay(network, criteria, families, inUse);
  if (choice.found || families.length === 1) return choice;
  const alone = mapFamilies(config, (_, family) => chooseUnderlay(network, criteria, [family], inUse));
  const { ipv4 } = alone;
  if (ipv4?.found === true && ipv4.underlay.link.mtu < LEAST_MTU.ipv6) return ipv4;
  const missing = familiesOf(alone).filter(family => alone[family]?.found === false);
  const [family, ...others] = missing;
  if (family === undefined || others.length > 0) return choice;
  const label = FAMILY_LABELS[family];
  const hint = `give the underlay an ${label} address, or set ${CONFIG_KEYS[family].enable} to false with \`tulle config set\``;
  return { ...choice, hint };
}

/** The overlay would take the tunnel's own packets, and peers take no lease with an address of the network. */
function underlayInside(config: NetworkConfig, underlay: Underlay): Problem[] {
  const { ip, publicIp, link } = underlay;
  const addresses = [...valuesOf(ip), ...valuesOf(publicIp)];
  return networksOf(config).flatMap(network => {
    const inside = addresses.find(address => network.contains(address));
    if (inside === undefined) return [];
    return [
      {
        path: CONFIG_KEYS[network.family].network,
        value: network.toString(),
        message: `contains ${inside}, the address of this host on ${link.name}`,
        hint: 'choose a network that contains no address of a host',
      },
    ];
  });
}

export function configRefusal({ problems }: ConfigError): PlanRefusal {
  const reason = `the network configuration cannot be used: ${problems.map(formatProblem).join('; ')}`;
  return { failure: { code: 'CONFIG_INVALID', reason }, problems };
}

/** Devices that flannel made for this network before us have MACs that its peers know. */
function adoptMacs(
  { links, addresses }: HostNetwork,
  networks: readonly Prefix[],
  identity: DurableIdentity,
): void {
  for (const { name, mac, info, index } of links) {
    if (info?.kind !== 'vxlan' || mac === undefined || !/^flannel(-v6)?\.\d+$/.test(name)) continue;
    const blocks = addresses.filter(address => address.index === index).map(({ ip }) => Prefix.ofOne(ip));
    if (ownerOf(blocks, networks) === 'ours') identity.adopt(name, mac);
  }
}
