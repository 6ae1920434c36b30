/** Hosts that ask each other whether they answer, on a clock that the test moves and a network that it breaks. */
import type { TestContext } from 'node:test';
import { Ip } from '../../base/ip.ts';
import { silentLogger } from '../../base/log.ts';
import { Prefix } from '../../base/prefix.ts';
import { Mesh } from '../../network/mesh/mesh.ts';
import type { MeshPath } from '../../network/mesh/mesh-paths.ts';
import { ProbeBudget } from '../../network/probe-budget.ts';
import type { ProbeOptions, ProbeResult } from '../../probe/prober.ts';
import { ManualClock } from '../manual-clock.ts';
import { seededRandom } from '../seeded-random.ts';

/** One echo on its way. */
export interface SimulatedEcho {
  readonly from: number;
  readonly to: number;
  readonly size: number;
  readonly inTunnel: boolean;
}

/** Milliseconds there and back. */
const ROUND_TRIP = 1;

export class MeshHosts {
  readonly clock = new ManualClock();
  readonly meshes: readonly Mesh[];
  readonly dead = new Set<number>();
  /** Hosts that try other ways to their peers. */
  readonly unsettled = new Set<number>();
  /** Of each host. */
  readonly budgets: ProbeBudget[] = [];
  /** Hosts of flannel: they answer and ask nothing. */
  readonly passive: ReadonlySet<number>;
  /** Every echo that left, and when. */
  readonly sent: (SimulatedEcho & { readonly at: number })[] = [];
  /** How often each host's state, or that of one of its paths, has changed. */
  readonly changes: number[];
  /** Whether the request gets there, and the answer back. */
  requests: (echo: SimulatedEcho) => boolean = () => true;
  answers: (echo: SimulatedEcho) => boolean = () => true;
  /** Of answers that come. */
  outcome: (echo: SimulatedEcho) => ProbeResult = () => ({ outcome: 'answered', ms: ROUND_TRIP });
  /** Milliseconds by which a process is late. */
  late = 0;
  readonly #stop = new AbortController();
  /** Whom they tell, and whom they ask first, is the same in every run. */
  readonly #random = seededRandom(1);

  constructor(t: TestContext, count: number, passive: readonly number[] = []) {
    this.passive = new Set(passive);
    this.changes = Array<number>(count).fill(0);
    this.meshes = Array.from({ length: count }, (_, index) => this.#open(index));
    for (const [index, mesh] of this.meshes.entries()) {
      if (!this.passive.has(index)) void mesh.run(this.#stop.signal);
    }
    t.after(() => this.#stop.abort());
  }

  /** Makes every host a peer of every other one. */
  join(): this {
    for (const [index] of this.meshes.entries()) this.add(index);
    return this;
  }

  add(index: number): void {
    for (const [other, mesh] of this.meshes.entries()) {
      if (other === index) continue;
      mesh.set(keyOf(index), { ipv4: targetOf(index) }, `docker${index}`);
      this.meshes[index]?.set(keyOf(other), { ipv4: targetOf(other) }, `docker${other}`);
    }
  }

  path(from: number, to: number): MeshPath | undefined {
    return this.meshes[from]?.paths.of(keyOf(to)).ipv4;
  }

  state(from: number, to: number): string | undefined {
    return this.path(from, to)?.answers.state;
  }

  /** Indexes of the hosts, alive and asking, for which this holds. */
  where(test: (index: number) => boolean): number[] {
    return Array.from(this.meshes.keys()).filter(
      index => !this.dead.has(index) && !this.passive.has(index) && test(index),
    );
  }

  #open(index: number): Mesh {
    const budget = new ProbeBudget(this.clock);
    this.budgets.push(budget);
    const mesh = new Mesh({
      prober: { probe: (to, options) => this.#probe(index, to, options) },
      budget,
      clock: this.clock,
      logger: silentLogger,
      random: this.#random,
      isUnsettled: () => this.unsettled.has(index),
      onChange: () => void (this.changes[index] = (this.changes[index] ?? 0) + 1),
    });
    mesh.setOwn({ key: keyOf(index), subnet: { ipv4: Prefix.of(baseOf(index), 24) } });
    return mesh;
  }

  async #probe(from: number, address: Ip, { size = 28, data, timeout }: ProbeOptions): Promise<ProbeResult> {
    const inTunnel = address.toString().startsWith('10.');
    const to = indexOf(address);
    const echo = { from, to, size, inTunnel };
    this.sent.push({ ...echo, at: this.clock.monotonic() });
    const isCut = this.dead.has(from) || this.dead.has(to);
    if (!isCut && this.requests(echo)) {
      if (data !== undefined) this.meshes[to]?.receive(inTunnel ? baseOf(from) : underlayOf(from), data);
      if (this.answers(echo)) {
        await this.clock.sleep(ROUND_TRIP);
        return this.outcome(echo);
      }
    }
    await this.clock.sleep(timeout + this.late);
    return { outcome: 'silent' };
  }
}

export const keyOf = (index: number) => `${baseOf(index)}-24`;
const baseOf = (index: number) => Ip.parse('10.3.0.0').plus(index * 256);
const underlayOf = (index: number) => Ip.parse('192.168.0.0').plus(index + 1);

function indexOf(address: Ip): number {
  const [first, , c = 0, d = 0] = address.bytes;
  return first === 10 ? c : c * 256 + d - 1;
}

function targetOf(index: number) {
  const base = baseOf(index);
  return { to: base, base, underlay: underlayOf(index), isOverlay: true, mtu: 1450 };
}
