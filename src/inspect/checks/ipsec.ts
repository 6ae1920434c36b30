/**
 * Policies of IPsec that block packets of the overlay: the kernel discards these without a rule, and its own programs get
 * EPERM. Of policies that want packets encrypted only the kernel's drops tell (drops/drop-causes.ts).
 */
import { Prefix } from '../../base/prefix.ts';
import type { HostReader } from '../host/host-reader.ts';
import { type Cause, removing } from './check.ts';
import { type FlowKind, flowsText, isOverlay, type OverlayFlow } from './firewall-flows.ts';
import { overlayFlows } from './overlay-flows.ts';

export async function checkIpsec(host: HostReader): Promise<Cause[]> {
  const policies = parsePolicies((await host.output('ip', 'xfrm', 'policy')) ?? '');
  if (!policies.some(({ blocks }) => blocks)) return [];
  const hits = (await overlayFlows(host)).flatMap(flow => {
    const policy = blockerOf(flow, policies);
    return policy === undefined ? [] : [{ flow, policy }];
  });
  return Array.from(
    Map.groupBy(hits, ({ policy }) => policy),
    ([policy, group]) =>
      causeOf(
        policy,
        group.map(({ flow }) => flow),
      ),
  );
}

type PolicyDirection = 'in' | 'out' | 'fwd';

/** One that is asked about every packet of its direction. */
export interface IpsecPolicy {
  readonly direction: PolicyDirection;
  readonly source: Prefix;
  readonly destination: Prefix;
  /** As `ip` names it; absent for all. */
  readonly protocol?: string;
  readonly toPort?: number;
  readonly blocks: boolean;
  /** The smallest counts. */
  readonly priority: number;
  /** What it looks at, as `ip xfrm policy` takes it. */
  readonly selector: string;
  /** As it is listed. */
  readonly lines: readonly string[];
}

const SELECTOR = /^src (\S+) dst (\S+)(?: proto (\S+))?(?: dport (\d+))?$/;
const DIRECTION = /^dir (in|out|fwd) (?:action (block) )?.*\bpriority (\d+)/;

/** Those of a listing, in the order in which the kernel asks; without those that look at more: a device, a mark, a socket. */
export function parsePolicies(listing: string): IpsecPolicy[] {
  const policies = listing.split(/\n(?=src )/).flatMap((block): IpsecPolicy[] => {
    const lines = block.split('\n').map(line => line.trim());
    const [selector = '', ...more] = lines.filter(line => line !== '');
    const [, source = '', destination = '', protocol, toPort] = SELECTOR.exec(selector) ?? [];
    const [, direction, action, priority] = DIRECTION.exec(more[0] ?? '') ?? [];
    const [from, to] = [Prefix.tryParse(source), Prefix.tryParse(destination)];
    if (from === undefined || to === undefined || direction === undefined) return [];
    if (more.some(line => /^(?:mark|if_id) /.test(line))) return [];
    return [
      {
        direction: direction as PolicyDirection,
        source: from,
        destination: to,
        ...(protocol !== undefined && { protocol }),
        ...(toPort !== undefined && { toPort: Number(toPort) }),
        blocks: action !== undefined,
        priority: Number(priority),
        selector,
        lines: [selector, ...more],
      },
    ];
  });
  // The newest is listed first, and of two with one priority the older is asked first (net/xfrm/xfrm_policy.c).
  return policies.toReversed().toSorted((one, other) => one.priority - other.priority);
}

/** What is forwarded meets those for it, and then those of what leaves. */
const DIRECTIONS: Readonly<Partial<Record<FlowKind, readonly PolicyDirection[]>>> = {
  out: ['fwd', 'out'],
  in: ['fwd', 'out'],
  'tunnel out': ['out'],
  'tunnel in': ['in'],
  'own out': ['out'],
  'own in': ['in'],
  'ping out': ['out'],
  'ping in': ['in'],
};

/** The first policy of a direction decides. */
function blockerOf(flow: OverlayFlow, policies: readonly IpsecPolicy[]): IpsecPolicy | undefined {
  const decisive = (DIRECTIONS[flow.kind] ?? []).map(direction =>
    policies.find(policy => policy.direction === direction && isFor(policy, flow)),
  );
  return decisive.find(policy => policy?.blocks === true);
}

const isFor = (
  { source, destination, protocol, toPort }: IpsecPolicy,
  { source: from, destination: to, protocol: carried, toPort: port }: OverlayFlow,
): boolean =>
  source.contains(from) &&
  destination.contains(to) &&
  (protocol === undefined || protocol === carried) &&
  (toPort === undefined || toPort === port);

function causeOf(
  { selector, direction, lines, protocol }: IpsecPolicy,
  blocked: readonly OverlayFlow[],
): Cause {
  // Between the hosts only pings stand for all that they send.
  const flows =
    protocol === undefined
      ? blocked.map(({ kind, peer, source, destination }) => ({ kind, peer, source, destination }))
      : blocked;
  return {
    code: 'IPSEC_POLICY',
    severity: flows.some(({ kind }) => isOverlay(kind)) ? 'error' : 'warning',
    layer: 'firewall',
    reason: `a policy of IPsec blocks ${flowsText(flows)}: ${selector} dir ${direction}`,
    evidence: [`ip xfrm policy: ${lines.join(' ')}`],
    remedy: removing(`ip xfrm policy delete ${selector} dir ${direction}`),
  };
}
