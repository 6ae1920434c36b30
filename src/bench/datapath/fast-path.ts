/** The fast path of the agents of a lab: whether they may use it, and why they do not. */
import { AgentClient } from '../../api/client.ts';
import { DEFAULT_SOCKET } from '../../api/messages.ts';
import type { Status } from '../../api/status.ts';
import { LabHost } from '../../lab/host/host.ts';
import type { HostRecord } from '../../lab/record/record.ts';
import type { LabPlan } from '../../lab/topology/plan.ts';
import type { FastPathMode } from '../../subnet/config/config.ts';

/** The same lab. @param modes of its hosts, in their order. */
export function withFastPath(plan: LabPlan, modes: readonly FastPathMode[]): LabPlan {
  const hosts = plan.hosts.map((host, index) => ({
    ...host,
    agent: { ...host.agent, flags: [`--fast-path=${modes[index] ?? 'auto'}`] },
  }));
  return { ...plan, hosts };
}

/** Why packets of hosts take the normal path, as their agents say. */
export interface WhyNot {
  /** What keeps it off. */
  readonly obstacles: readonly string[];
  /** Packets of both hosts that took the normal path, by the reason of the programs. */
  readonly normalPackets: Readonly<Record<string, number>>;
}

export async function askWhyNot(hosts: readonly HostRecord[], signal: AbortSignal): Promise<WhyNot> {
  const obstacles = new Set<string>();
  const normalPackets: Record<string, number> = {};
  for (const { name, anchor } of hosts) {
    const socketPath = new LabHost(name, anchor).path(DEFAULT_SOCKET);
    const status = await new AgentClient({ socketPath }).status(signal);
    for (const sentence of sentencesOf(status)) obstacles.add(`${name}: ${sentence}`);
    for (const [reason, packets] of Object.entries(status.fastPath?.normalPackets ?? {}))
      normalPackets[reason] = (normalPackets[reason] ?? 0) + packets;
  }
  return { obstacles: [...obstacles], normalPackets };
}

function* sentencesOf({ fastPath, peers }: Status): Iterable<string> {
  if (fastPath?.obstacle !== undefined) yield fastPath.obstacle.text;
  if (fastPath?.tcpObstacle !== undefined) yield fastPath.tcpObstacle;
  for (const { obstacle, without } of fastPath?.networks ?? []) {
    if (obstacle !== undefined) yield obstacle.text;
    for (const { link, text } of without) yield `${link}: ${text}`;
  }
  for (const peer of peers) if (peer.fastPath?.obstacle !== undefined) yield peer.fastPath.obstacle.text;
}
