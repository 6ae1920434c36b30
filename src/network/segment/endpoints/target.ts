/**
 * What `tulle network connect` connects: a network namespace, and the name by which people know it.
 *
 *     web                    the namespace of `ip netns` or the Docker container of this name
 *     netns:web, docker:web  the one or the other, where both exist
 *     /run/netns/web         a file that is a namespace
 *     4711                   the namespace of a process
 */
import { basename } from 'node:path';
import { isCode, messageOf, TulleError } from '../../../base/errors.ts';
import { isContainerName } from '../../../subnet/segment/segment.ts';
import { Netns } from '../../../sys/netns.ts';

export type TargetErrorCode =
  /** There is no such namespace, process or container. */
  | 'NO_TARGET'
  /** A namespace and a container have this name. */
  | 'AMBIGUOUS_TARGET'
  /** It is this host itself, or no network namespace. */
  | 'UNUSABLE_TARGET';

/** What was to be connected cannot be. */
export class TargetError extends TulleError<TargetErrorCode> {}

export interface ConnectTarget extends Disposable {
  readonly container: string;
  readonly netns: Netns;
}

/** @returns path of the namespace of a running container; undefined when there is no such container. */
export type FindContainer = (name: string) => Promise<string | undefined>;

/**
 * @param home the namespace of the agent, which is none to connect.
 * @throws TargetError; the errors of `findContainer`
 */
export async function openTarget(
  text: string,
  home: Netns,
  findContainer: FindContainer,
): Promise<ConnectTarget> {
  const { container, path } = await findTarget(text, findContainer);
  if (!isContainerName(container)) {
    throw new TargetError(
      'UNUSABLE_TARGET',
      `${JSON.stringify(container)} cannot be the name of a container`,
      {
        hint: 'use 1 to 128 printable ASCII characters without spaces',
      },
    );
  }
  const netns = open(path, text);
  const refuse = (why: string) => {
    netns[Symbol.dispose]();
    return new TargetError('UNUSABLE_TARGET', `${text} ${why}`);
  };
  if (netns.inode === home.inode) throw refuse('is the network namespace of this host itself');
  try {
    netns.run(() => undefined);
  } catch {
    throw refuse('is no network namespace');
  }
  return { container, netns, [Symbol.dispose]: () => netns[Symbol.dispose]() };
}

/** By which name an endpoint is known, without the namespace: it may be gone. */
export function nameOfTarget(text: string): string {
  if (text.startsWith('/')) return text.startsWith('/run/netns/') ? basename(text) : text;
  return /^\d+$/.test(text) ? `pid-${text}` : text.replace(/^(netns|docker):/, '');
}

async function findTarget(
  text: string,
  findContainer: FindContainer,
): Promise<{ readonly container: string; readonly path: string }> {
  const container = nameOfTarget(text);
  if (text.startsWith('/')) return { container, path: text };
  if (/^\d+$/.test(text)) return { container, path: `/proc/${text}/ns/net` };
  const [, kind] = /^(netns|docker):/.exec(text) ?? [];
  const hasNetns = kind !== 'docker' && Netns.list().includes(container);
  const ofContainer = kind === 'netns' ? undefined : await findContainer(container);
  if (hasNetns && ofContainer !== undefined) {
    throw new TargetError('AMBIGUOUS_TARGET', `${container} is a network namespace and a Docker container`, {
      hint: `write netns:${container} or docker:${container}`,
    });
  }
  if (hasNetns) return { container, path: `/run/netns/${container}` };
  if (ofContainer !== undefined) return { container, path: ofContainer };
  const what = kind === 'netns' ? 'network namespace' : kind === 'docker' ? 'running container' : undefined;
  throw new TargetError(
    'NO_TARGET',
    `there is no ${what ?? 'network namespace and no running Docker container'} ${container}`,
    { hint: '`ip netns list` and `docker ps` show them; a path or the id of a process is possible too' },
  );
}

function open(path: string, text: string): Netns {
  try {
    return Netns.open(path);
  } catch (cause) {
    const what = isCode(cause, 'ENOENT', 'ESRCH') ? 'there is no such file or process' : messageOf(cause);
    throw new TargetError('NO_TARGET', `${text}: ${what}`, { cause });
  }
}
