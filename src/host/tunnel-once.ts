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
import { requireRoot } from '../console/require-root.ts';

const RECORD = join(posix.dirname(DEFAULT_SOCKET), TUNNEL_FILE);

export const onceTunnels: OnceTunnels = {
  async add(request) {
    requireRoot('a tunnel changes the network of this host');
    return withTunnels(tunnels => tunnels.add(request));
  },
  async delete(name) {
    const { kept } = await TunnelFile.open(RECORD);
    if (!kept.tunnels.some(({ request }) => request.name === name)) return false;
    requireRoot('a tunnel changes the network of this host');
    await withTunnels(tunnels => tunnels.delete(name));
    return true;
  },
  async list(): Promise<TunnelReport[]> {
    const { kept } = await TunnelFile.open(RECORD);
    return kept.tunnels.length === 0 ? [] : withTunnels(tunnels => tunnels.list());
  },
};

type Tunnels = import('../network/tunnel/tunnels.ts').Tunnels;

async function withTunnels<T>(work: (tunnels: Tunnels) => Promise<T>): Promise<T> {
  // Loaded only now: a list of an agent's tunnels needs nothing of it.
  const [{ connectRoute }, { openDataPlane }, { Netns }, { sysctlsOf }, { openTunnels }] = await Promise.all([
    import('../netlink/route/connect.ts'),
    import('../dataplane/open-data-plane.ts'),
    import('../sys/netns.ts'),
    import('../sys/sysctl.ts'),
    import('../network/tunnel/open-tunnels.ts'),
  ]);
  const { storage, kept } = await TunnelFile.open(RECORD);
  using netns = Netns.current();
  await using rtnetlink = connectRoute({ netns });
  await using dataPlane = openDataPlane({ rtnetlink, sysctls: sysctlsOf(netns), logger: silentLogger });
  const parts = { rtnetlink, netns, dataPlane, storage, kept: 'once', reserved: () => [] } as const;
  return await work(openTunnels(parts, kept));
}
