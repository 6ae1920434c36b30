/**
 * alloc as flannel has it (flannel pkg/backend/alloc): this host leases a subnet and writes subnet.env; another
 * program connects the hosts. Nothing is programmed.
 */
import { ConfigError } from '../base/errors.ts';
import { valuesOf } from '../base/per-family.ts';
import { networksOf } from '../subnet/config/config.ts';
import type { Backend, BackendContext } from './backend.ts';
import { planPeer } from './peer-plan.ts';
import { fitUnderlay, mtuPartsOf, NO_OVERHEAD } from './underlay-fit.ts';

/** @throws ConfigError with everything that makes this network impossible on this host. */
export function allocBackend(context: BackendContext): Backend {
  const { mtu, leftOut, reduced, problems } = fitUnderlay(context, NO_OVERHEAD);
  if (problems.length > 0) throw new ConfigError('alloc backend', problems);
  return {
    type: 'alloc',
    overlayMtu: Math.min(...valuesOf(mtu)),
    mtuParts: mtuPartsOf(context.underlay, mtu, 'alloc'),
    leftOut,
    reduced,
    // flannel publishes no BackendType.
    attributes: () => ({}),
    host: () => ({ networks: networksOf(context.config), links: [], addresses: [], sysctls: [] }),
    peer: lease => planPeer(lease, 'alloc', {}, () => 'it needs no way'),
  };
}
