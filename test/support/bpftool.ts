/** What bpftool shows of maps and programs: an opinion on this kernel that is not ours. */
import { bpfObstacle } from '../../src/bpf/obstacle.ts';
import { run } from '../../src/sys/process.ts';
import { hasProgram, needsRoot, requires } from './capabilities.ts';

const obstacle = bpfObstacle();

/** Options for `test`: programs of ours are run by this kernel. */
export const needsBpf = needsRoot.skip ? needsRoot : requires(obstacle === undefined, obstacle ?? '');

/** Options for `test`: and bpftool is installed. */
export const needsBpftool = needsBpf.skip ? needsBpf : requires(hasProgram('bpftool'), 'needs bpftool');

/** @param net namespace whose links are meant: a path */
export async function bpftool(args: readonly string[], net?: string): Promise<unknown> {
  const options = net === undefined ? {} : { namespaces: { net } };
  const { stdout } = await run('bpftool', ['-j', ...args], options);
  return JSON.parse(stdout);
}
