/** One step of planting or mending a fault. Steps of mending are kept in the lab's record, so that another shell finds them. */
import * as v from 'valibot';

/**
 * host, container   those at fault
 * sibling           another container of the host
 * peer              another host of the lab
 * peer-container    the first container there
 * store             the host of the store
 * wire              the namespace in which the hosts are plugged together
 */
const WHERE = ['host', 'container', 'sibling', 'peer', 'peer-container', 'store', 'wire'] as const;
export type Where = (typeof WHERE)[number];

const word = v.pipe(v.string(), v.maxLength(4096));

export const FaultStep = v.variant('kind', [
  v.strictObject({
    kind: v.literal('run'),
    on: v.picklist(WHERE),
    words: v.pipe(v.array(word), v.minLength(1)),
    /** Standard input. */
    input: v.exactOptional(word),
  }),
  /** Planted, its mending is what was there before. */
  v.strictObject({
    kind: v.literal('sysctl'),
    on: v.picklist(WHERE),
    /** Below /proc/sys. */
    path: v.pipe(v.string(), v.regex(/^net\/[\w./-]+$/)),
    value: word,
  }),
  v.strictObject({
    kind: v.literal('signal'),
    daemon: v.picklist(['agent', 'store', 'dockerd']),
    signal: v.picklist(['SIGKILL', 'SIGSTOP', 'SIGCONT']),
  }),
  v.strictObject({ kind: v.literal('start'), daemon: v.picklist(['agent', 'store']) }),
  /** Ends dockerd and starts it as the lab does, but for what is said here. */
  v.strictObject({
    kind: v.literal('dockerd'),
    /** Its daemon.json. */
    config: v.exactOptional(v.record(v.string(), v.unknown())),
    /** False: on its default subnet, and not on the leased one. */
    leased: v.exactOptional(v.boolean()),
  }),
]);
export type FaultStep = v.InferOutput<typeof FaultStep>;

/** A command, its words separated by spaces: no value of a scene has one. */
const on =
  (where: Where) =>
  (command: string, input?: string): FaultStep => ({
    kind: 'run',
    on: where,
    words: command.split(' '),
    ...(input === undefined ? {} : { input }),
  });

export const host = on('host');
export const container = on('container');
export const sibling = on('sibling');
export const peer = on('peer');
export const peerContainer = on('peer-container');
export const wire = on('wire');

/** A line for a shell, where a command alone is not enough. */
export const shell = (where: Where, line: string): FaultStep => ({
  kind: 'run',
  on: where,
  words: ['sh', '-c', line],
});

export const sysctl = (where: Where, path: string, value: string): FaultStep => ({
  kind: 'sysctl',
  on: where,
  path,
  value,
});

export const kill = (daemon: 'agent' | 'store' | 'dockerd'): FaultStep => ({
  kind: 'signal',
  daemon,
  signal: 'SIGKILL',
});
export const freeze = (daemon: 'agent' | 'store'): FaultStep => ({
  kind: 'signal',
  daemon,
  signal: 'SIGSTOP',
});
export const thaw = (daemon: 'agent' | 'store'): FaultStep => ({ kind: 'signal', daemon, signal: 'SIGCONT' });
export const restart = (daemon: 'agent' | 'store'): FaultStep => ({ kind: 'start', daemon });
export const dockerd = (how: Omit<Extract<FaultStep, { kind: 'dockerd' }>, 'kind'> = {}): FaultStep => ({
  kind: 'dockerd',
  ...how,
});

/** A step as a person would type it. */
export function commandOf(step: FaultStep): string {
  switch (step.kind) {
    case 'run': {
      const line = step.words.map(quoted).join(' ');
      return step.input === undefined ? line : `${line} <<END\n${step.input.trimEnd()}\nEND`;
    }
    case 'sysctl':
      return `echo ${step.value} > /proc/sys/${step.path}`;
    case 'signal':
      return `kill -${step.signal.slice(3)} PID_OF_${step.daemon.toUpperCase()}`;
    case 'start':
      return `start the ${step.daemon} again`;
    case 'dockerd':
      return `restart dockerd ${dockerdText(step)}`;
  }
}

function dockerdText({ config, leased }: Extract<FaultStep, { kind: 'dockerd' }>): string {
  const flags = leased === false ? 'without --bip, --mtu and --ip-masq' : 'as the lab has it';
  return config === undefined ? flags : `${flags}, with ${JSON.stringify(config)} in daemon.json`;
}

const quoted = (word: string) =>
  /^[\w@%+=:,./{}-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
