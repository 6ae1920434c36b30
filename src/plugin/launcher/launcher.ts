/**
 * What a container runtime starts for each container: the plugin of CNI (types `tulle` and `tulle-ipam`) and of netavark
 * (driver `tulle`), found by `bin/tulle-cni`. It hands the request to the agent and prints what the agent says.
 *
 *     runtime ──exec, environment, stdin──> launcher ──POST /v1/cni──> agent
 *             <──────── stdout, status ────          <────────────────
 *
 * Starting Node.js is most of what an ADD costs, so that this file imports nothing of Tulle's and of Node.js only what is
 * loaded anyway, and `bin/tulle-cni` asks the agent itself where it has a Perl. What it asks and prints then is the same;
 * it starts this for what needs no agent (VERSION, a start by hand), and for all that needs words when something fails.
 */
import { closeSync, fstatSync, openSync, statSync } from 'node:fs';
import { connect } from 'node:net';
import process from 'node:process';

/** Of the CNI specification, oldest first. */
export const CNI_VERSIONS = ['0.3.1', '0.4.0', '1.0.0', '1.1.0'] as const;

/** What a runtime without a version in its configuration is answered in. */
export const CNI_DEFAULT_VERSION = '1.0.0';

/** Where the agent listens unless the configuration says otherwise (`socket`): `DEFAULT_SOCKET` of src/api/messages.ts. */
export const LAUNCHER_SOCKET = '/run/tulle/agent.sock';

/** Bytes of a configuration; a list of 10,000 valid attachments for GC has 1.1 MB. */
export const MOST_OF_A_CALL = 4 * 1024 * 1024;

/** Milliseconds until the agent must have answered; what it promises for an attachment is eight seconds. */
const PATIENCE_MS = 10_000;

/** Codes of the specification that are answered here. */
const DECODING_FAILED = 6;
const TRY_AGAIN = 11;
const NOT_AVAILABLE = 50;
/** Ours (src/plugin/cni/cni-error.ts). */
const FAILED = 100;

const NETAVARK_COMMANDS = ['create', 'setup', 'teardown', 'info'];

interface PluginOutput {
  readonly status: number;
  readonly stdout: string;
}

/** A request did not reach the agent, or its answer not us. */
class UnansweredError extends Error {
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

/** How this process was started. */
export interface Invocation {
  /** Name of the file that was called: a type of CNI or a driver of netavark. */
  readonly name: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** All of standard input. @throws Error when it is too long or does not end */
  readonly input: () => Promise<string>;
}

export async function launchPlugin(invocation: Invocation): Promise<PluginOutput & { stderr?: string }> {
  const [command = ''] = invocation.args;
  if (NETAVARK_COMMANDS.includes(command)) return netavark(invocation);
  if (invocation.env['CNI_COMMAND'] === undefined) return { status: 0, stdout: '', stderr: ABOUT };
  return cni(invocation);
}

const ABOUT = `Tulle's plugin of CNI (types tulle and tulle-ipam; versions ${CNI_VERSIONS.join(', ')}) and of netavark.
It is started by container runtimes; \`tulle install cni\` tells them of it.
`;

async function cni({ name, env, input }: Invocation): Promise<PluginOutput> {
  const command = env['CNI_COMMAND'] ?? '';
  let version: string = CNI_DEFAULT_VERSION;
  try {
    const config = await input();
    const { cniVersion, socket } = settingsOf(config, command === 'VERSION');
    if (typeof cniVersion === 'string') version = cniVersion;
    if (command === 'VERSION') return { status: 0, stdout: json(supported(version)) };
    using sandbox = openSandbox(env['CNI_NETNS']);
    const variables = Object.entries(env).filter(([key]) => key.startsWith('CNI_'));
    const call = { type: name, env: Object.fromEntries(variables), config, ...sandbox.facts };
    return await post('/v1/cni', socket, call);
  } catch (error) {
    const { code, message } = described(error);
    const final = command === 'STATUS' && code === TRY_AGAIN ? NOT_AVAILABLE : code;
    return { status: 1, stdout: json({ cniVersion: known(version), code: final, msg: message }) };
  }
}

async function netavark({ args, env, input }: Invocation): Promise<PluginOutput> {
  const [command = '', netns] = args;
  if (command === 'info') return { status: 0, stdout: json({ version: '0.1.0', api_version: '1.0.0' }) };
  try {
    const config = await input();
    const socket = optionOf(config) ?? env['TULLE_SOCKET'] ?? LAUNCHER_SOCKET;
    using sandbox = openSandbox(netns);
    return await post('/v1/netavark', socket, { command, netns, config, ...sandbox.facts });
  } catch (error) {
    return { status: 1, stdout: json({ error: described(error).message }) };
  }
}

/** Only what must be known before the agent is asked; it reads the rest. */
function settingsOf(
  config: string,
  mayBeEmpty: boolean,
): { readonly cniVersion?: unknown; readonly socket: string } {
  if (mayBeEmpty && config.trim() === '') return { socket: LAUNCHER_SOCKET };
  const { cniVersion, socket } = parsedObject(config) as Record<string, unknown>;
  return { cniVersion, socket: typeof socket === 'string' ? socket : LAUNCHER_SOCKET };
}

/** `podman network create -o tulle.socket=PATH`. */
function optionOf(config: string): string | undefined {
  const { options, network } = parsedObject(config) as {
    readonly options?: Record<string, unknown>;
    readonly network?: { readonly options?: Record<string, unknown> };
  };
  const socket = (network?.options ?? options)?.['tulle.socket'];
  return typeof socket === 'string' ? socket : undefined;
}

function parsedObject(config: string): object {
  let value: unknown;
  try {
    value = JSON.parse(config);
  } catch {
    throw new UnansweredError(DECODING_FAILED, 'the network configuration on standard input is not JSON');
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value;
  throw new UnansweredError(
    DECODING_FAILED,
    'the network configuration on standard input is not a JSON object',
  );
}

const known = (version: string) =>
  (CNI_VERSIONS as readonly string[]).includes(version) ? version : CNI_DEFAULT_VERSION;

const supported = (version: string) => ({ cniVersion: known(version), supportedVersions: CNI_VERSIONS });

interface OpenSandbox extends Disposable {
  /** `own` and `sandbox`: the namespace of this process and of the container, as `net:[4026531833]`. */
  readonly facts: { readonly own: string; readonly sandbox?: string; readonly sandboxPath?: string };
}

/**
 * The container's namespace, held open: its path may mean nothing where the agent lives (a runtime with mounts of its
 * own), what this process has open does. One that is gone, which DEL allows, is not there for the agent either.
 */
function openSandbox(path: string | undefined): OpenSandbox {
  const own = `net:[${statSync('/proc/self/ns/net').ino}]`;
  try {
    const fd = openSync(path ?? '', 'r');
    const sandboxPath = `/proc/${process.pid}/fd/${fd}`;
    const facts = { own, sandbox: `net:[${fstatSync(fd).ino}]`, sandboxPath };
    return { facts, [Symbol.dispose]: () => closeSync(fd) };
  } catch {
    return { facts: { own }, [Symbol.dispose]: () => undefined };
  }
}

/** One request of HTTP/1.0 by hand: `node:http` takes longer to load than the agent to answer. */
function post(path: string, socketPath: string, call: object): Promise<PluginOutput> {
  return new Promise((resolve, reject) => {
    const body = JSON.stringify(call);
    const give = (message: string) => reject(new UnansweredError(TRY_AGAIN, message));
    const socket = connect(socketPath);
    const pieces: Buffer[] = [];
    let size = 0;
    socket.setTimeout(PATIENCE_MS, () => {
      give(`the agent at ${socketPath} gave no answer in ${PATIENCE_MS} ms`);
      socket.destroy();
    });
    socket.on('data', piece => {
      size += piece.length;
      pieces.push(piece);
      if (size <= MOST_OF_A_CALL) return;
      give(`the agent at ${socketPath} answers with more than ${MOST_OF_A_CALL} bytes`);
      socket.destroy();
    });
    socket.on('error', error => give(absence(error, socketPath)));
    socket.on('close', () => {
      try {
        resolve(outputOf(Buffer.concat(pieces).toString('utf8'), path));
      } catch (error) {
        if (error instanceof UnansweredError) return reject(error);
        give(`the agent at ${socketPath} gave no answer that can be read: ${(error as Error).message}`);
      }
    });
    const length = Buffer.byteLength(body);
    socket.write(
      `POST ${path} HTTP/1.0\r\nHost: agent\r\nContent-Type: application/json\r\nContent-Length: ${length}\r\n\r\n`,
    );
    socket.write(body);
  });
}

function absence(error: NodeJS.ErrnoException, socketPath: string): string {
  const remedy =
    error.code === 'EACCES'
      ? 'only root can use it'
      : 'start it with `tulle up` or `tulle agent`, or name its socket in the configuration ("socket")';
  return `no Tulle agent answers at ${socketPath} (${error.code}): ${remedy}`;
}

function outputOf(response: string, path: string): PluginOutput {
  const end = response.indexOf('\r\n\r\n');
  const [, status = ''] = /^HTTP\/1\.[01] (\d{3})/.exec(response) ?? [];
  if (end < 0 || status === '') throw new Error('the connection was closed');
  const answer = JSON.parse(response.slice(end + 4)) as Partial<PluginOutput> & { readonly message?: string };
  if (status === '404') throw new Error(`it has no ${path}: it is older than this plugin`);
  if (typeof answer.status !== 'number' || typeof answer.stdout !== 'string') {
    throw new UnansweredError(FAILED, answer.message ?? `the agent answers with status ${status}`);
  }
  return { status: answer.status, stdout: answer.stdout };
}

function described(error: unknown): { readonly code: number; readonly message: string } {
  if (error instanceof UnansweredError) return error;
  return { code: TRY_AGAIN, message: error instanceof Error ? error.message : String(error) };
}

const json = (value: unknown) => `${JSON.stringify(value)}\n`;

/** All of standard input, within bounds. */
function standardInput(): Promise<string> {
  return new Promise((resolve, reject) => {
    const pieces: Buffer[] = [];
    let size = 0;
    const give = (message: string) => {
      clearTimeout(late);
      reject(new UnansweredError(DECODING_FAILED, `the network configuration on standard input ${message}`));
      process.stdin.destroy();
    };
    const late = setTimeout(() => give(`does not end within ${PATIENCE_MS} ms`), PATIENCE_MS);
    process.stdin.on('data', (piece: Buffer) => {
      size += piece.length;
      pieces.push(piece);
      if (size > MOST_OF_A_CALL) give(`is longer than ${MOST_OF_A_CALL} bytes`);
    });
    process.stdin.on('error', error => give(`cannot be read: ${error.message}`));
    process.stdin.on('end', () => {
      clearTimeout(late);
      resolve(Buffer.concat(pieces).toString('utf8'));
    });
  });
}

if (import.meta.main) {
  const [, , name = '', ...args] = process.argv;
  const { status, stdout, stderr } = await launchPlugin({
    name,
    args,
    env: process.env,
    input: standardInput,
  });
  process.exitCode = status;
  if (stderr !== undefined) process.stderr.write(stderr);
  process.stdout.write(stdout);
}
