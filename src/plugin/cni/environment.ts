/** The variables by which a runtime says what is to be done, for which container. */
import type { Problem } from '../../base/errors.ts';
import { CniError } from './cni-error.ts';

const CNI_COMMANDS = ['ADD', 'DEL', 'CHECK', 'GC', 'STATUS'] as const;
export type CniCommand = (typeof CNI_COMMANDS)[number];

export interface CniEnvironment {
  readonly command: CniCommand;
  /** Empty for GC and STATUS, as `link`. */
  readonly containerId: string;
  /** Name of the container's link: `eth0`. */
  readonly link: string;
  /** Path of its namespace; empty where DEL does not have it any more. */
  readonly netns: string;
  /** CNI_ARGS: what the runtime knows beside. */
  readonly args: ReadonlyMap<string, string>;
  /** The namespace may be that of the host (CNI_NETNS_OVERRIDE). */
  readonly mayBeHost: boolean;
}

type Variables = Readonly<Record<string, string>>;

/** @throws CniError INVALID_ENVIRONMENT that names everything */
export function readEnvironment(env: Variables): CniEnvironment {
  const problems: Problem[] = [];
  const command = CNI_COMMANDS.find(one => one === env['CNI_COMMAND']);
  const containerId = env['CNI_CONTAINERID'] ?? '';
  const link = env['CNI_IFNAME'] ?? '';
  const netns = env['CNI_NETNS'] ?? '';
  const wrong = (path: string, value: string, message: string) =>
    void problems.push({ path, message, ...(value !== '' && { value }) });
  if (command === undefined)
    wrong('CNI_COMMAND', env['CNI_COMMAND'] ?? '', `want one of ${CNI_COMMANDS.join(', ')}, VERSION`);
  const isOfContainer = command !== 'GC' && command !== 'STATUS';
  if (isOfContainer && !isContainerId(containerId))
    wrong('CNI_CONTAINERID', containerId, 'want letters, digits, and _ . - after the first');
  if (isOfContainer && !isLinkName(link))
    wrong('CNI_IFNAME', link, 'want a name of a link: 1 to 15 bytes without /, : and spaces');
  if ((command === 'ADD' || command === 'CHECK') && netns === '')
    wrong('CNI_NETNS', '', `${command} needs the namespace of the container`);
  const args = readArgs(env['CNI_ARGS'] ?? '', problems);
  if (command === undefined || problems.length > 0)
    throw CniError.ofProblems('INVALID_ENVIRONMENT', 'environment', problems);
  const mayBeHost = /^(1|t|true)$/i.test(env['CNI_NETNS_OVERRIDE'] ?? '');
  return { command, containerId, link, netns, args, mayBeHost };
}

/** The specification's rule for names of networks, too. */
const isContainerId = (id: string): boolean => /^[A-Za-z0-9][\w.-]{0,1023}$/.test(id);

/** dev_valid_name() in the kernel's net/core/dev.c, and no name with which a terminal could be deceived. */
export function isLinkName(name: string): boolean {
  return /^[\x21-\x7e]{1,15}$/.test(name) && !/[/:]/.test(name) && name !== '.' && name !== '..';
}

/** `K=V;K=V`; of two with one name the last one. Unknown names are passed over, as with `IgnoreUnknown=1`. */
function readArgs(text: string, problems: Problem[]): ReadonlyMap<string, string> {
  const args = new Map<string, string>();
  for (const pair of text.split(';')) {
    const at = pair.indexOf('=');
    if (at > 0) args.set(pair.slice(0, at), pair.slice(at + 1));
    else if (pair.trim() !== '')
      problems.push({ path: 'CNI_ARGS', value: pair, message: 'want NAME=VALUE pairs joined by semicolons' });
  }
  return args;
}
