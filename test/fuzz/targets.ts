/** Every parser of something that comes from outside. A new one is added to a list here, and fuzzed from then on. */
import { bpfTargets } from './bpf.ts';
import { dnsTargets } from './dns.ts';
import { dockerPluginTargets } from './docker-plugin.ts';
import { forwarderTargets } from './forwarder.ts';
import { frameTargets } from './frames.ts';
import type { FuzzTarget } from './fuzz.ts';
import { grpcTargets } from './grpc.ts';
import { icmpTargets } from './icmp.ts';
import { nameTargets } from './names.ts';
import { netlinkTargets } from './netlink.ts';
import { pluginTargets } from './plugins.ts';
import { segmentTargets } from './segments.ts';
import { storeTargets } from './store.ts';
import { textTargets } from './texts.ts';

export const fuzzTargets: readonly FuzzTarget[] = [
  ...netlinkTargets,
  ...icmpTargets,
  ...grpcTargets,
  ...storeTargets,
  ...textTargets,
  ...segmentTargets,
  ...pluginTargets,
  ...nameTargets,
  ...dnsTargets,
  ...forwarderTargets,
  ...frameTargets,
  ...bpfTargets,
  ...dockerPluginTargets,
];
