/** Types the commands of a scenario on the hosts of its lab. */
import { readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { defined } from '../../base/defined.ts';
import { endProcess, type ProcessId, waitForEnd } from '../../sys/pidfd.ts';
import { type RunResult, run } from '../../sys/process.ts';
import { waitForFile } from '../../sys/wait-file.ts';
import { LabError } from '../errors.ts';
import { namespacesOf } from '../host/anchor.ts';
import { LabHost, TULLE } from '../host/host.ts';
import type { LabRecord } from '../record/record.ts';
import { fillIn, parseCommandLine } from './command-line.ts';
import type { CommandSpec, Stage } from './scenario.ts';

const PATIENCE_SECONDS = 30;

/** So that `tulle` is found although it is not installed. */
const PATH = `${dirname(TULLE)}:${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`;
/** Programs speak English to a reader and to checks, none asks for a terminal, and tables fit a page of 80 columns. */
const ENVIRONMENT = { ...process.env, PATH, LC_ALL: 'C', NO_COLOR: '1', PAGER: 'cat', COLUMNS: '77' };

interface Background {
  readonly id: ProcessId;
  readonly logFile: string;
}

/** A command that was typed: what it printed, and how it ended. */
export interface Typed {
  /** As one would type it: with values in the places of names, with what it is given, and with `&` when it goes on. */
  readonly line: string;
  readonly output: string;
  /** 0 for one that goes on in the background. */
  readonly status: number;
}

/** What goes on in the background ends with its host. */
export class Typist implements Stage {
  readonly lab: string;
  readonly signal: AbortSignal;
  readonly known: Record<string, string> = {};
  readonly #record: LabRecord;
  readonly #background = new Map<string, Background>();

  constructor(record: LabRecord, signal: AbortSignal) {
    this.lab = record.name;
    this.signal = signal;
    this.#record = record;
  }

  host(name: string): LabHost {
    const record = this.#record.hosts.find(host => host.name === name);
    if (record === undefined) throw new LabError('NOT_FOUND', `the lab of this scenario has no ${name}`);
    return new LabHost(record.name, record.anchor);
  }

  async type(on: string, line: string): Promise<string> {
    const { output, status } = await this.typeCommand(on, { line });
    if (status === 0) return output;
    throw new LabError('START_FAILED', `${line} on ${on} ended with status ${status}: ${output.trim()}`);
  }

  /** Whatever its exit status is. @throws LabError for what is to be remembered and is not in the output. */
  async typeCommand(on: string, command: CommandSpec): Promise<Typed> {
    const line = fillIn(command.line, this.known);
    const words = parseCommandLine(line);
    if (command.background !== undefined) return this.#leave(on, { ...command, line }, words);
    const input = command.input === undefined ? undefined : fillIn(command.input, this.known);
    const { status, stdout, stderr } = await this.#run(on, words, { ...command, ...defined({ input }) });
    const output = `${stdout}${stderr}`;
    for (const [name, pattern] of Object.entries(command.remember ?? {})) {
      const [, value] = pattern.exec(output) ?? [];
      if (value === undefined)
        throw new LabError('START_FAILED', `${line} on ${on} shows no ${name}: ${output.trim()}`);
      this.known[name] = value;
    }
    return { line: input === undefined ? line : `${line} <<'EOF'\n${input.trimEnd()}\nEOF`, output, status };
  }

  async finish(background: string, until?: RegExp): Promise<string> {
    const running = this.#background.get(background);
    if (running === undefined) throw new LabError('NOT_FOUND', `${background} does not run`);
    const patience = AbortSignal.any([this.signal, AbortSignal.timeout(PATIENCE_SECONDS * 1000)]);
    if (until !== undefined) {
      await waitForFile(running.logFile, patience, text => until.test(text)).catch(error => {
        this.signal.throwIfAborted();
        const words = readFileSync(running.logFile, 'utf8').trim() || 'nothing';
        throw new LabError('START_FAILED', `${background} did not print what was expected, but: ${words}`, {
          cause: error,
        });
      });
    } else {
      await waitForEnd(running.id, patience);
      this.signal.throwIfAborted();
    }
    this.#background.delete(background);
    await endProcess(running.id);
    return readFileSync(running.logFile, 'utf8');
  }

  #run(
    on: string,
    [program, ...args]: readonly [string, ...string[]],
    spec: CommandSpec,
  ): Promise<RunResult> {
    const [hostName = '', containerName] = on.split('/');
    const host = this.host(hostName);
    const options = {
      env: ENVIRONMENT,
      anyStatus: true,
      signal: this.signal,
      timeout: (spec.within ?? PATIENCE_SECONDS) * 1000,
      ...(spec.input === undefined ? {} : { input: spec.input }),
    };
    if (containerName === undefined) return host.run(program, args, options);
    const container = this.#record.hosts
      .find(({ name }) => name === hostName)
      ?.containers.find(({ name }) => name === containerName);
    if (container === undefined) throw new LabError('NOT_FOUND', `the lab of this scenario has no ${on}`);
    return run(program, args, {
      ...options,
      namespaces: { ...namespacesOf(host.anchor), net: host.path(container.netns) },
    });
  }

  async #leave(
    on: string,
    { line, background = '', ready }: CommandSpec,
    [program, ...args]: readonly [string, ...string[]],
  ): Promise<Typed> {
    const host = this.host(on);
    const id = await host.start('env', [`PATH=${PATH}`, 'LC_ALL=C', program, ...args], background);
    const logFile = host.logFile(background);
    this.#background.set(background, { id, logFile });
    if (ready !== undefined) {
      const over = new AbortController();
      const failed = new AbortController();
      void waitForEnd(id, over.signal).then(ended => ended && failed.abort(new Error('it ended')));
      const patience = AbortSignal.any([
        this.signal,
        failed.signal,
        AbortSignal.timeout(PATIENCE_SECONDS * 1000),
      ]);
      try {
        // Its last words may be what was waited for.
        await waitForFile(logFile, patience, text => ready.test(text));
      } catch (cause) {
        this.signal.throwIfAborted();
        const words = readFileSync(logFile, 'utf8').trim();
        if (!ready.test(words))
          throw new LabError('START_FAILED', `${line} on ${on} is not ready: ${words}`, { cause });
      } finally {
        over.abort();
      }
    }
    return { line: `${line} &`, output: '', status: 0 };
  }
}
