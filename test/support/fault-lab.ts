/** A lab in which faults are planted one after the other, and what its containers notice of each. */
import assert from 'node:assert/strict';
import process from 'node:process';
import type { Effect, Fault } from '../../src/lab/faults/fault.ts';
import { mendFaults, plantFault } from '../../src/lab/faults/plant.ts';
import { namespacesOf } from '../../src/lab/host/anchor.ts';
import { LabHost, TULLE } from '../../src/lab/host/host.ts';
import { createLab, type Lab } from '../../src/lab/lab.ts';
import { labAsItIs } from '../../src/lab/record/as-it-is.ts';
import { requireRecord } from '../../src/lab/record/record.ts';
import { planLab } from '../../src/lab/topology/simple.ts';
import { parsePing } from '../../src/lab/traffic/ping.ts';
import { type RunOptions, run } from '../../src/sys/process.ts';
import { deadline, eventually } from './eventually.ts';
import { labName } from './lab.ts';

const PATIENCE = 90_000;
/** The host at fault, and one that is healthy and has the store. By the third one they can ask about each other. */
export const [AT_FAULT, HEALTHY] = ['docker2', 'docker1'] as const;

/** Share of the packets that are lost on a way, in percent. */
interface Losses {
  /** From the healthy host's container to the one at fault, and back, small and of the size of their links. */
  readonly there: number;
  readonly back: number;
  readonly largeThere: number;
  readonly largeBack: number;
  /** From the container at fault to the one beside it. */
  readonly sibling: number;
}

export class FaultLab implements AsyncDisposable {
  readonly #lab: Lab;
  readonly name: string;

  private constructor(lab: Lab, name: string) {
    this.#lab = lab;
    this.name = name;
  }

  static async create(runtime: 'namespace' | 'docker'): Promise<FaultLab> {
    const name = labName();
    const plan = planLab({ name, hosts: 3, containers: 2, runtime, store: 'tulle' });
    const lab = await createLab(plan, { signal: deadline('a lab is made', 120_000) });
    await lab.publish();
    return new FaultLab(lab, name);
  }

  async plant(fault: Fault): Promise<void> {
    const target = fault.on === 'container' ? `${AT_FAULT}/c1` : AT_FAULT;
    await plantFault({ lab: this.name, target, fault }, deadline(`${fault.name} is planted`, 90_000));
  }

  async mend(): Promise<void> {
    const mended = await mendFaults(this.name, all => all, deadline('the fault is mended', 90_000));
    assert.deepEqual(
      mended.flatMap(({ failures }) => failures),
      [],
      'every step of mending succeeds',
    );
  }

  /** Waits until all packets arrive, small and large. An agent looks again at a path that was too small every 15 s. */
  async untilWhole(): Promise<void> {
    await eventually(
      'every packet arrives',
      async () => {
        // What containers were told about the size of the path they would remember for ten minutes.
        const { own, peer } = await this.#places();
        await Promise.all([own, peer].map(place => inside(place, 'ip', ['route', 'flush', 'cache'])));
        const losses = await this.losses(2);
        assert.deepEqual(losses, { there: 0, back: 0, largeThere: 0, largeBack: 0, sibling: 0 });
        return true;
      },
      PATIENCE,
    );
  }

  /** Waits until what is lost is what the fault says. */
  async untilBroken({ effect }: Pick<Fault, 'effect'>): Promise<void> {
    await eventually(`of the packets ${effect} are lost`, async () => {
      const losses = await this.losses(effect === 'some' ? 25 : 3);
      const isSo = isEffect(effect, losses) && (await this.#isSeen(effect));
      assert.ok(isSo, JSON.stringify(losses));
      return true;
    });
  }

  /** @param count packets on each way. */
  async losses(count: number): Promise<Losses> {
    const { own, peer, sibling } = await this.#places();
    const ping = async (from: Place, to: Place, isLarge: boolean) => {
      const size = isLarge ? (await mtuOf(from)) - 28 : 56;
      const args = [
        '-n',
        '-q',
        '-c',
        `${count}`,
        '-i',
        '0.05',
        '-W',
        '1',
        '-M',
        'do',
        '-s',
        `${size}`,
        to.ip,
      ];
      const { stdout } = await inside(from, 'ping', args);
      const { sent, lost } = parsePing(stdout, count);
      return sent === 0 ? 100 : Math.round((100 * lost) / sent);
    };
    const [there, back, largeThere, largeBack, beside] = await Promise.all([
      ping(peer, own, false),
      ping(own, peer, false),
      ping(peer, own, true),
      ping(own, peer, true),
      ping(own, sibling, false),
    ]);
    return { there, back, largeThere, largeBack, sibling: beside };
  }

  /** What `tulle check --json` prints on a host, and how many milliseconds it takes. */
  async check(
    hostName: string,
    ...args: readonly string[]
  ): Promise<{ text: string; status: number; ms: number }> {
    const record = requireRecord(this.name).hosts.find(each => each.name === hostName);
    assert.ok(record !== undefined);
    const host = new LabHost(record.name, record.anchor);
    const begin = performance.now();
    const { stdout, stderr, status } = await host.run(TULLE, ['check', '--json', ...args], {
      anyStatus: true,
      timeout: PATIENCE,
    });
    assert.ok(stdout !== '', `tulle check on ${hostName} ends with ${status}: ${stderr}`);
    return { text: stdout, status, ms: performance.now() - begin };
  }

  /** What no ping shows. */
  async #isSeen(effect: Effect): Promise<boolean> {
    const { own, peer } = await this.#places();
    if (effect === 'tcp') return (await connect(peer, own)) === 'silent';
    if (effect === 'source') return (await sourceOf(own, peer)) !== own.ip;
    return true;
  }

  async #places(): Promise<{ readonly own: Place; readonly peer: Place; readonly sibling: Place }> {
    const { hosts } = await labAsItIs(requireRecord(this.name), deadline('the lab is read'));
    const place = (hostName: string, name: string): Place => {
      const record = hosts.find(each => each.name === hostName);
      const container = record?.containers.find(each => each.name === name);
      // A container that lost its network is where the lab made it.
      assert.ok(record !== undefined && container !== undefined);
      const host = new LabHost(record.name, record.anchor);
      const namespaces = { ...namespacesOf(record.anchor), net: host.path(container.netns) };
      const made = this.#lab.record.hosts.find(each => each.name === hostName);
      return { ip: made?.containers.find(each => each.name === name)?.ip.ipv4 ?? '', namespaces };
    };
    return { own: place(AT_FAULT, 'c1'), peer: place(HEALTHY, 'c1'), sibling: place(AT_FAULT, 'c2') };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#lab[Symbol.asyncDispose]();
  }
}

interface Place {
  /** As the lab was made. */
  readonly ip: string;
  readonly namespaces: NonNullable<RunOptions['namespaces']>;
}

const inside = ({ namespaces }: Place, program: string, args: readonly string[]) =>
  run(program, args, { namespaces, anyStatus: true, timeout: PATIENCE });

async function mtuOf(place: Place): Promise<number> {
  const { stdout } = await inside(place, 'ip', ['link', 'show', 'dev', 'eth0']);
  return Number(/ mtu (\d+)/.exec(stdout)?.[1] ?? 1450);
}

function isEffect(effect: Effect, { there, back, largeThere, largeBack, sibling }: Losses): boolean {
  const small = [there, back];
  const large = [largeThere, largeBack];
  switch (effect) {
    case 'all':
      return small.includes(100);
    case 'large':
      return small.every(loss => loss === 0) && large.includes(100);
    case 'some':
      return small.some(loss => loss > 0 && loss < 100) || large.some(loss => loss > 0 && loss < 100);
    case 'siblings':
      return small.every(loss => loss === 0) && sibling === 100;
    case 'tcp':
    case 'source':
    case 'later':
      return [...small, ...large, sibling].every(loss => loss === 0);
  }
}

/** A port that nobody listens on refuses at once, where packets arrive. */
async function connect(from: Place, to: Place): Promise<'refused' | 'silent'> {
  const { status } = await inside(from, 'timeout', ['2', 'bash', '-c', `: < /dev/tcp/${to.ip}/9`]);
  return status === 124 ? 'silent' : 'refused';
}

/** Whom a server in `to` takes for its client when `from` connects. */
async function sourceOf(from: Place, to: Place): Promise<string> {
  const server =
    "require('net').createServer(c => { console.log(c.remoteAddress.replace('::ffff:', '')); process.exit() }).listen(9, '0.0.0.0')";
  const seen = inside(to, 'timeout', ['60', process.execPath, '-e', server]);
  const knocking = eventually('the server is reached', async () => {
    const { status } = await inside(from, 'timeout', ['5', 'bash', '-c', `: < /dev/tcp/${to.ip}/9`]);
    return status === 0;
  });
  const [{ stdout }] = await Promise.all([seen, knocking]);
  return stdout.trim();
}
