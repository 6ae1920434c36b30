/**
 * Tunnels without an agent: planned, made and deleted by the command itself, through the same planning and data plane.
 * What was made is written beside the agent's socket, in a directory that a restart of the host empties like its kernel:
 * by that record a link is known to be ours, and other links get their MTU back.
 */
import { join, posix } from 'node:path';
import { TUNNEL_FILE, TunnelFile } from '../agent/state/tunnel-file.ts';
import { DEFAULT_SOCKET } from '../api/messages.ts';
import type { TunnelReport } from '../api/tunnels.ts';
import { silentLogger } from '../base/log.ts';
import type { OnceTunnels } from '../cli/tunnel-command.ts';
import { CommandError } from '../console/errors.ts';
import { requireRoot } from '../console/require-root.ts';
import { holdName } from '../sys/exclusive.ts';
import type { Leftover } from './cleanup.ts';

/** Where those made with `--once` are written down. */
export const ONCE_FILE = join(posix.dirname(DEFAULT_SOCKET), TUNNEL_FILE);

export const onceTunnels: OnceTunnels = {
  async add(request) {
    requireRoot('a tunnel changes the network of this host');
    return change(ONCE_FILE, tunnels => tunnels.add(request));
  },
  async delete(name) {
    const { kept } = await TunnelFile.open(ONCE_FILE);
    if (!kept.tunnels.some(({ request }) => request.name === name)) return false;
    requireRoot('a tunnel changes the network of this host');
    await change(ONCE_FILE, tunnels => tunnels.delete(name));
    return true;
  },
  async list(): Promise<TunnelReport[]> {
    const { kept } = await TunnelFile.open(ONCE_FILE);
    return kept.tunnels.length === 0 ? [] : withTunnels(ONCE_FILE, tunnels => tunnels.list());
  },
};

type Tunnels = import('../network/tunnel/tunnels.ts').Tunnels;

/** What is to be removed of the tunnels in this file. */
export async function tunnelLeftovers(path: string): Promise<Leftover[]> {
  const { kept } = await TunnelFile.open(path);
  return kept.tunnels.map(({ request: { name } }) => ({
    what: `tunnel ${name}`,
    remove: () => change(path, tunnels => tunnels.delete(name)),
  }));
}

/** Keeps other commands from changing them meanwhile: each would write what it has read. @throws CommandError NOT_NOW */
async function change<T>(path: string, work: (tunnels: Tunnels) => Promise<T>): Promise<T> {
  await using lock = await holdName('tunnels');
  if (lock !== undefined) return await withTunnels(path, work);
  const hint = 'try again when it is done';
  throw new CommandError('NOT_NOW', 'another command is changing the tunnels of this host', hint);
}

/** @param path of the file that they are written down in. */
async function withTunnels<T>(path: string, work: (tunnels: Tunnels) => Promise<T>): Promise<T> {
  // Loaded only now: a list of an agent's tunnels needs nothing of it.
  const [{ connectRoute }, { openDataPlane }, { Netns }, { sysctlsOf }, { openTunnels }] = await Promise.all([
    import('../netlink/route/connect.ts'),
    import('../dataplane/open-data-plane.ts'),
    import('../sys/netns.ts'),
    import('../sys/sysctl.ts'),
    import('../network/tunnel/open-tunnels.ts'),
  ]);
  const { storage, kept } = await TunnelFile.open(path);
  using netns = Netns.current();
  await using rtnetlink = connectRoute({ netns });
  await using dataPlane = openDataPlane({ rtnetlink, sysctls: sysctlsOf(netns), logger: silentLogger });
  const parts = { rtnetlink, netns, dataPlane, storage, kept: 'once', reserved: () => [] } as const;
  return await work(openTunnels(parts, kept));
}
