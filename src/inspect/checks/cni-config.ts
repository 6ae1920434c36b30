/** The lists of CNI that name Tulle (`tulle install cni`), against what is there: the program, the agent, the network. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DEFAULT_SOCKET } from '../../api/messages.ts';
import type { Status } from '../../api/status.ts';
import { printable } from '../../base/printable.ts';
import type { HostReader } from '../host/host-reader.ts';
import { type Cause, HERE } from './check.ts';

const LISTS = '/etc/cni/net.d';
/** Of containerd, and of podman on Debian. */
const PROGRAMS = ['/opt/cni/bin', '/usr/lib/cni'];
/** A directory has a handful. */
const MOST_LISTS = 64;

export async function checkCniConfig(host: HostReader): Promise<Cause[]> {
  const lists = textsOfLists();
  if (lists.size === 0) return [];
  const hasProgram = PROGRAMS.some(directory => existsSync(join(directory, 'tulle')));
  return judgeCniConfig({ lists, hasProgram, isThere: existsSync, status: await host.status() });
}

function textsOfLists(): ReadonlyMap<string, string> {
  try {
    const names = readdirSync(LISTS).filter(name => /\.(conf|conflist|json)$/.test(name));
    return new Map(
      names.slice(0, MOST_LISTS).map(name => [join(LISTS, name), readFileSync(join(LISTS, name), 'utf8')]),
    );
  } catch {
    // No directory, or a file that went while it was looked at: nothing to say.
    return new Map();
  }
}

export interface CniConfigFacts {
  /** Path -> text. */
  readonly lists: ReadonlyMap<string, string>;
  /** Whether one of the directories of programs has the plugin; a link to nowhere does not count. */
  readonly hasProgram: boolean;
  readonly isThere: (path: string) => boolean;
  /** undefined while no agent answers. */
  readonly status: Pick<Status, 'l2Networks'> | undefined;
}

interface ListedPlugin {
  readonly type?: unknown;
  readonly network?: unknown;
  readonly socket?: unknown;
  readonly capabilities?: { readonly portMappings?: unknown };
}

export function judgeCniConfig({ lists, hasProgram, isThere, status }: CniConfigFacts): Cause[] {
  const common = { code: 'CNI_CONFIG', severity: 'warning', layer: 'docker' } as const;
  const again = 'tulle install cni writes it anew, tulle install cni --uninstall removes it';
  return Array.from(lists).flatMap(([path, text]): Cause[] => {
    const plugins = pluginsIn(text);
    const own = plugins.find(({ type }) => type === 'tulle');
    if (own === undefined) return [];
    const { network = 'default', socket = DEFAULT_SOCKET } = own;
    const found = (reason: string, evidence: string, remedy = again): Cause => ({
      ...common,
      reason: `${printable(path)} ${reason}`,
      evidence: [printable(evidence)],
      remedy,
    });
    const isKnown = network === 'default' || status?.l2Networks?.some(({ name }) => name === network);
    const publishers = plugins.filter(({ capabilities }) => capabilities?.portMappings === true);
    return [
      ...(hasProgram
        ? []
        : [
            found(
              'names a plugin that is not there: no container starts with it',
              `no program tulle in ${PROGRAMS.join(', ')}`,
            ),
          ]),
      ...(isThere(String(socket))
        ? []
        : [
            found(
              'names an agent that does not run: no container starts with it',
              `no socket ${String(socket)}`,
              'start the agent; a list for another one has its "socket"',
            ),
          ]),
      ...(isKnown === false
        ? [
            found(
              `is for the network ${printable(String(network))}, which ${HERE} does not have`,
              `"network": ${JSON.stringify(network)}`,
              'tulle network create makes it; or remove the list',
            ),
          ]
        : []),
      ...(publishers.length > 1
        ? [
            found(
              'publishes each port twice',
              publishers.map(({ type }) => `${String(type)}: "portMappings": true`).join(', '),
              'take the capability portMappings away from one of the plugins',
            ),
          ]
        : []),
    ];
  });
}

/** None for a text that is no list: runtimes complain of it themselves. */
function pluginsIn(text: string): readonly ListedPlugin[] {
  try {
    const list = JSON.parse(text) as { readonly plugins?: unknown } | null;
    const plugins: unknown = list?.plugins ?? [list];
    return Array.isArray(plugins) ? plugins.filter(one => typeof one === 'object' && one !== null) : [];
  } catch {
    return [];
  }
}
