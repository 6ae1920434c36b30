/**
 * The tests that run a second time with the fast path off: every end-to-end, firewall and plugin test, and all else in
 * which agents run, so that packets of containers may take either way. A new file is one of them by itself; whoever leaves
 * one out says here why. A file may leave parts of itself out (test/support/both-ways.ts).
 */
import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join, matchesGlob } from 'node:path';

/** Agents of these tests have no fast path, by the variable of their flag. */
export const FAST_PATH_OFF = { TULLE_FAST_PATH: 'off' } as const;

const ROOT = join(import.meta.dirname, '..');

/** Whoever starts an agent starts it on one. */
const HOST_OF_A_LAB = 'src/lab/host/host.ts';

/** Globs, each with the reason why its files prove nothing more with the fast path off. */
export const ONCE_IS_ENOUGH: Readonly<Record<string, string>> = {
  'test/faults/{starts,store}-*.test.ts':
    'only the store fails, and nothing of that reaches the kernel of a host',
  'test/faults/attachments.test.ts': 'its agent has no fast path in either case',
  'test/e2e/tunnel-docker.test.ts': 'tunnels of their own have no fast path',
  'test/e2e/udp.test.ts': 'it is about the backend udp, which has no fast path',
  'test/integration/attachments.test.ts': 'its agent has no fast path in either case',
  'test/{e2e,integration,faults}/fast-path*.test.ts': 'they are about the fast path',
  'test/faults/{peers,screen}.test.ts': 'no packet of a container flows',
  'test/faults/{change,host,identity,kernel,lease,two-overlays,underlay}.test.ts':
    'their packets are echoes, which take the normal path in either case; what an agent does without a fast path is in test/e2e',
  'test/faults/segment*.test.ts':
    'their packets are echoes and questions for neighbors, which take the normal path in either case',
  'test/faults/lab-hosts.test.ts': 'it is about the lab, not about agents',
  'test/integration/lab*.test.ts': 'they are about the lab, not about agents',
  'test/integration/bench-*.test.ts': 'they are about what is printed of a measurement',
  'test/integration/capture*.test.ts': 'their frames are made by hand, on links of no network',
  'test/integration/check-many.test.ts': 'its peers have no containers',
  'test/integration/docker-plugin-many.test.ts': 'no packet of a container flows',
  'test/integration/forwarder.test.ts': 'it is about the backend udp, which has no fast path',
  'test/integration/peer-api.test.ts': 'no packet of a container flows',
  'test/integration/tunnel*.test.ts': 'tunnels of their own have no fast path',
  'test/integration/up*.test.ts': 'no packet of a container flows',
};

/** Paths from the root of the project, sorted. */
export function filesOfBothWays(): readonly string[] {
  return filesThatStartAgents().filter(
    file => !Object.keys(ONCE_IS_ENOUGH).some(glob => matchesGlob(file, glob)),
  );
}

/** Those in which agents may run, by what they import. */
export function filesThatStartAgents(): readonly string[] {
  const files = globSync('test/{e2e,integration,faults}/*.test.ts', { cwd: ROOT }).sort();
  return files.filter(file => reached(file).has(HOST_OF_A_LAB));
}

const imports = new Map<string, readonly string[]>();

/** What a file imports, and so on. */
function reached(file: string): ReadonlySet<string> {
  const found = new Set([file]);
  // What is added meanwhile is visited, too.
  for (const each of found) for (const next of importsOf(each)) found.add(next);
  return found;
}

function importsOf(file: string): readonly string[] {
  const known = imports.get(file);
  if (known !== undefined) return known;
  const text = readFileSync(join(ROOT, file), 'utf8');
  const specifiers = text.matchAll(/(?:\bfrom|\bimport\(|^import)\s*'(\.[^']+\.ts)'/gm);
  const files = Array.from(specifiers, ([, specifier = '']) => join(dirname(file), specifier));
  const there = files.filter(each => existsSync(join(ROOT, each)));
  imports.set(file, there);
  return there;
}
