/**
 * A container runtime in small: starts plugins as libcni does, with what the specification (1.1, section 3) wants in the
 * environment and on standard input, remembers results as its cache does, and holds each result against the version that
 * was asked for.
 */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import * as v from 'valibot';
import { type RunOptions, type RunResult, run } from '../../src/sys/process.ts';

/** A member of a list. */
export interface ListedPlugin {
  readonly type: string;
  readonly capabilities?: Readonly<Record<string, true>>;
  readonly [key: string]: unknown;
}

export interface CniList {
  readonly cniVersion: string;
  readonly name: string;
  readonly plugins: readonly ListedPlugin[];
}

export interface CniContainer {
  readonly id: string;
  readonly netns: string;
  readonly link?: string;
  readonly args?: string;
  /** By capability. */
  readonly runtime?: Readonly<Record<string, unknown>>;
}

export interface RuntimeOptions {
  /** Directories of programs: the first that has a plugin is where it is taken from. */
  readonly path: readonly string[];
  /** Replaced to be on another host. */
  readonly run?: (program: string, args: readonly string[], options: RunOptions) => Promise<RunResult>;
}

const ip = v.strictObject({
  address: v.string(),
  gateway: v.optional(v.string()),
  interface: v.optional(v.number()),
});
const link = { name: v.string(), mac: v.optional(v.string()), sandbox: v.optional(v.string()) };
const common = {
  routes: v.optional(v.array(v.looseObject({ dst: v.string(), gw: v.optional(v.string()) }))),
  dns: v.optional(v.looseObject({ nameservers: v.optional(v.array(v.string())) })),
};
const old = {
  interfaces: v.optional(v.array(v.strictObject(link))),
  ips: v.array(v.strictObject({ ...ip.entries, version: v.picklist(['4', '6']) })),
  ...common,
};

/** What the specification of each version allows. */
export const RESULT_SHAPES = {
  '0.3.1': v.strictObject({ cniVersion: v.literal('0.3.1'), ...old }),
  '0.4.0': v.strictObject({ cniVersion: v.literal('0.4.0'), ...old }),
  '1.0.0': v.strictObject({
    cniVersion: v.literal('1.0.0'),
    interfaces: v.optional(v.array(v.strictObject(link))),
    ips: v.array(ip),
    ...common,
  }),
  '1.1.0': v.strictObject({
    cniVersion: v.literal('1.1.0'),
    interfaces: v.optional(v.array(v.strictObject({ ...link, mtu: v.optional(v.number()) }))),
    ips: v.array(ip),
    ...common,
  }),
} as const;

export type CniResult = v.InferOutput<(typeof RESULT_SHAPES)['1.1.0']>;

const ErrorShape = v.strictObject({
  // Debian's plugins leave it out.
  cniVersion: v.optional(v.string()),
  code: v.pipe(v.number(), v.integer(), v.minValue(1)),
  msg: v.pipe(v.string(), v.minLength(1)),
  details: v.optional(v.string()),
});
export type CniFailure = v.InferOutput<typeof ErrorShape>;

/** What a plugin refused. */
export class CniRefusal extends Error {
  readonly failure: CniFailure;

  constructor(failure: CniFailure) {
    super(`code ${failure.code}: ${failure.msg}`);
    this.failure = failure;
  }
}

export class CniRuntime {
  readonly #options: RuntimeOptions;
  /** Results by container and link, as below /var/lib/cni/results. */
  readonly #cache = new Map<string, CniResult>();

  constructor(options: RuntimeOptions) {
    this.#options = options;
  }

  async add(list: CniList, container: CniContainer): Promise<CniResult> {
    let result: CniResult | undefined;
    for (const plugin of list.plugins) {
      result = (await this.call('ADD', list, plugin, container, result)) as CniResult;
    }
    assert.ok(result !== undefined);
    this.#cache.set(keyOf(container), result);
    return result;
  }

  async delete(list: CniList, container: CniContainer): Promise<void> {
    const result = this.#cache.get(keyOf(container));
    for (const plugin of list.plugins.toReversed()) await this.call('DEL', list, plugin, container, result);
    this.#cache.delete(keyOf(container));
  }

  async check(list: CniList, container: CniContainer): Promise<void> {
    const result = this.#cache.get(keyOf(container));
    for (const plugin of list.plugins) await this.call('CHECK', list, plugin, container, result);
  }

  /** Those that were added and not deleted are valid, and no others. */
  async collect(list: CniList, valid: readonly CniContainer[]): Promise<void> {
    const attachments = valid.map(({ id, link: ifname = 'eth0' }) => ({ containerID: id, ifname }));
    for (const plugin of list.plugins) {
      await this.call('GC', list, { ...plugin, 'cni.dev/valid-attachments': attachments });
    }
  }

  async status(list: CniList): Promise<void> {
    for (const plugin of list.plugins) await this.call('STATUS', list, plugin);
  }

  /** One plugin, once. @returns its result, of the right shape; undefined for commands that have none. @throws CniRefusal */
  async call(
    command: 'ADD' | 'DEL' | 'CHECK' | 'GC' | 'STATUS',
    { cniVersion, name }: Pick<CniList, 'cniVersion' | 'name'>,
    { capabilities = {}, ...plugin }: ListedPlugin,
    container?: CniContainer,
    prevResult?: CniResult,
  ): Promise<CniResult | undefined> {
    const { runtime = {} } = container ?? {};
    const asked = Object.entries(runtime).filter(([capability]) => capability in capabilities);
    const config = {
      ...plugin,
      cniVersion,
      name,
      ...(asked.length > 0 && { runtimeConfig: Object.fromEntries(asked) }),
      ...(prevResult && { prevResult }),
    };
    const env = {
      CNI_COMMAND: command,
      CNI_PATH: this.#options.path.join(':'),
      ...(container && {
        CNI_CONTAINERID: container.id,
        CNI_IFNAME: container.link ?? 'eth0',
        CNI_NETNS: container.netns,
        ...(container.args !== undefined && { CNI_ARGS: container.args }),
      }),
    };
    const { status, stdout } = await this.exec(plugin.type, env, JSON.stringify(config));
    if (status !== 0) throw new CniRefusal(v.parse(ErrorShape, JSON.parse(stdout)));
    if (command !== 'ADD') {
      assert.equal(stdout, '', `${command} has no result`);
      return undefined;
    }
    const shape = RESULT_SHAPES[cniVersion as keyof typeof RESULT_SHAPES];
    return v.parse(shape, JSON.parse(stdout)) as CniResult;
  }

  /** The bare call, for what no runtime would send. */
  async exec(
    type: string,
    env: Readonly<Record<string, string>>,
    input: string,
  ): Promise<{ readonly status: number; readonly stdout: string; readonly stderr: string }> {
    const directory = this.#options.path.find(one => existsSync(join(one, type)));
    assert.ok(directory !== undefined, `there is no plugin ${type}`);
    const started = { PATH: process.env['PATH'] ?? '', ...env };
    const start = this.#options.run ?? run;
    return await start(join(directory, type), [], { env: started, input, anyStatus: true, timeout: 90_000 });
  }
}

const keyOf = ({ id, link: name = 'eth0' }: CniContainer) => `${id} ${name}`;
