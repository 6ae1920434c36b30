/** What is reported of published ports: warnings while something is wrong. */
import type { PortMapping } from '../attachment/port-mapping.ts';
import type { HealthReporter } from '../reports.ts';
import { containerText } from './publication.ts';
import type { PublishedPort } from './publisher.ts';

export interface PortReportParts {
  readonly health: Pick<HealthReporter, 'warn'>;
  /** Which program has a port, as a text. */
  readonly holderOf: (protocol: PortMapping['protocol'], port: number) => string | undefined;
}

/** Ports that another program took while no agent held them. */
export function reportLost({ health, holderOf }: PortReportParts, ports: readonly PublishedPort[]): void {
  const lost = new Map(
    ports.filter(({ isHeld }) => !isHeld).map(port => [`${port.protocol} port ${port.hostPort}`, port]),
  );
  health.warn(
    'ports',
    Array.from(lost, ([name, { id: attachment, protocol, hostPort, container, network }]) => ({
      id: name,
      code: 'PORT_SHARED',
      severity: 'warning' as const,
      title: `another program uses the published ${name}`,
      text: `it is published for ${containerText(attachment, container)} on the network ${network}, and ${holderOf(protocol, hostPort) ?? 'another program'} listens there: packets go to the container`,
      hint: 'stop that program, or remove the container',
    })),
  );
}

/** @param failure undefined when they are as they should be */
export function reportRules(health: PortReportParts['health'], failure: string | undefined): void {
  health.warn(
    'port-rules',
    failure === undefined
      ? []
      : [
          {
            id: 'rules',
            code: 'PORTS_NOT_WRITTEN',
            severity: 'warning',
            title: 'published ports of containers may not be reached',
            text: `the table of published ports could not be written: ${failure}`,
            hint: 'install nftables; the agent tries again by itself',
          },
        ],
  );
}
