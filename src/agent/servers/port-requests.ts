/** Published ports for clients of the agent. */
import type { PortOnHost } from '../../api/ports.ts';
import type { Attachments } from '../../network/attachment/attachments.ts';
import type { PortPublisher } from '../../network/ports/publisher.ts';

export interface PortHandlers {
  readonly ports: Pick<PortPublisher, 'list'>;
  /** They know what a container is called now; when its ports were published that may not have been known. */
  readonly attachments: Pick<Attachments, 'get'>;
}

export function portsOnHost({ ports, attachments }: PortHandlers): PortOnHost[] {
  return ports.list().map(port => {
    const { id, protocol, hostIp, hostPort, network, address, containerPort, since, isHeld } = port;
    const { container } = attachments.get(id) ?? port;
    return {
      protocol,
      ...(hostIp && { hostAddress: hostIp.toString() }),
      hostPort,
      container,
      network,
      address: address.toString(),
      containerPort,
      since: since.toISOString(),
      held: isHeld,
    };
  });
}
