/** `runtimeConfig.portMappings`: what `-p` of nerdctl and podman become. */
import type { Problem } from '../../base/errors.ts';
import { Ip } from '../../base/ip.ts';
import type { PortMapping } from '../../network/attachment/port-mapping.ts';
import type { MappingShape } from './config-schema.ts';

const PROTOCOLS = ['tcp', 'udp', 'sctp'] as const;

/** One problem for each mapping at most. */
export function readPortMappings(shapes: readonly MappingShape[], problems: Problem[]): PortMapping[] {
  return shapes.flatMap((shape, index) => {
    const path = `runtimeConfig.portMappings.${index}`;
    const protocol = PROTOCOLS.find(one => one === (shape.protocol || 'tcp').toLowerCase());
    if (protocol === undefined) {
      const message = `want one of ${PROTOCOLS.join(', ')}`;
      problems.push({ path: `${path}.protocol`, value: shape.protocol, message });
      return [];
    }
    const hostIp = shape.hostIP ? Ip.tryParse(shape.hostIP) : undefined;
    if (shape.hostIP && hostIp === undefined) {
      problems.push({ path: `${path}.hostIP`, value: shape.hostIP, message: 'is not an IP address' });
      return [];
    }
    return [
      {
        protocol,
        containerPort: shape.containerPort,
        // Every address is what no address means.
        ...(hostIp !== undefined && !hostIp.isUnspecified && { hostIp }),
        // 0 or none: a free one is chosen.
        ...(shape.hostPort && { hostPort: shape.hostPort }),
      },
    ];
  });
}
