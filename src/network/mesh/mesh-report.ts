/** Says when peers begin or cease to answer: events for what changes, warnings for what is. */

import type { PeerHealth } from '../../api/peer-health.ts';
import { enumerate } from '../../base/enumerate.ts';
import { FAMILY_LABELS } from '../../base/ip.ts';
import { familiesOf } from '../../base/per-family.ts';
import type { EventReporter, HealthReporter, OwnedWarning } from '../reports.ts';
import type { Mesh } from './mesh.ts';
import type { MeshPath } from './mesh-paths.ts';

/** So many are reported one by one. */
const FEW = 3;
/** Keys that an event of many has among its facts. */
const MOST_KEYS = 100;

type Says = (path: MeshPath) => PeerHealth | undefined;

interface Change {
  readonly path: MeshPath;
  readonly health: PeerHealth;
}

export class MeshReport {
  readonly #health: HealthReporter;
  readonly #events: EventReporter;
  readonly #says: Says;
  /** What was said last of each path that does not simply answer. */
  #said = new Map<MeshPath, PeerHealth['state']>();
  #wasCut = false;

  constructor(reporters: { readonly health: HealthReporter; readonly events: EventReporter }, says: Says) {
    this.#health = reporters.health;
    this.#events = reporters.events;
    this.#says = says;
  }

  /** Whether there is something to look at again. */
  get isTroubled(): boolean {
    return this.#wasCut || this.#said.size > 0;
  }

  /** Compares what is with what was said. */
  update(mesh: Mesh): void {
    const { host } = mesh;
    if (host.isCut !== this.#wasCut) this.#sayCut(host.isCut);
    const troubled: Change[] = [];
    const changed: Change[] = [];
    let [answering, known] = [0, 0];
    for (const path of mesh.paths.all) {
      const { state } = path.answers;
      if (path.answers.hasAnswered) known++;
      if (state === 'answers') answering++;
      const before = this.#said.get(path);
      if (host.isCut || (state === 'answers' && before === undefined) || state === 'unasked') continue;
      const health = this.#says(path);
      if (health === undefined) continue;
      if (state !== before) changed.push({ path, health });
      if (state === 'answers') this.#said.delete(path);
      else {
        this.#said.set(path, health.state);
        troubled.push({ path, health });
      }
    }
    for (const path of this.#said.keys()) if (!mesh.paths.has(path)) this.#said.delete(path);
    if (!host.isCut) this.#emit(changed, mesh);
    this.#warn(mesh, troubled, answering, known);
  }

  #sayCut(isCut: boolean): void {
    this.#wasCut = isCut;
    if (isCut)
      this.#events.add(
        'warning',
        'no-peer-answers',
        'no peer answers: the underlay of this host, or what drops ICMP on it',
      );
    else this.#events.add('info', 'peer-answers', 'peers answer again');
  }

  #emit(changed: readonly Change[], mesh: Mesh): void {
    for (const [state, changes] of Map.groupBy(changed, ({ health }) => health.state)) {
      // What never answered is no news.
      if (state === 'unanswered') continue;
      const [type, severity, verb] = WORDS[state];
      if (changes.length > FEW) {
        const names = enumerate(changes, { name: ({ path }) => nameOf(path, mesh) });
        const keys = changes.slice(0, MOST_KEYS).map(({ path }) => path.key);
        this.#events.add(severity, type, `${changes.length} peers ${verb.many}: ${names}`, {
          count: changes.length,
          keys,
        });
      } else {
        for (const { path, health } of changes) {
          const why = health.reason === undefined ? '' : `: ${health.reason}`;
          const { key, family } = path;
          this.#events.add(severity, type, `${nameOf(path, mesh)} ${verb.one}${why}`, { key, family, state });
        }
      }
    }
  }

  #warn(mesh: Mesh, troubled: readonly Change[], answering: number, known: number): void {
    const { host, failure } = mesh;
    const of = (...states: PeerHealth['state'][]) =>
      troubled.filter(({ health }) => states.includes(health.state));
    const text = (changes: readonly Change[]) => textOf(changes, mesh);
    const [silent, lossy] = [of('silent'), of('loss', 'size')];
    const [alone] = silent;
    const isAlone = silent.length === 1 && alone !== undefined && answering > 0;
    const warnings: (OwnedWarning | false)[] = [
      failure !== undefined && {
        id: 'failure',
        code: 'HEALTH_MESH_FAILED',
        severity: 'warning',
        title: 'this host cannot ask its peers whether they answer',
        text: failure,
        hint: 'the agent needs CAP_NET_RAW; it tries again by itself',
      },
      host.isCut && {
        id: 'cut',
        code: 'NO_PEER_ANSWERS',
        severity: 'warning',
        title: 'no peer answers this host',
        text: `none of ${known} that answered before does now: the underlay of this host is cut, or echoes are dropped on it`,
        hint: 'look at the underlay link, its routes, and the firewall of this host; `tulle check` looks for the cause',
      },
      silent.length > 0 && {
        id: 'silent',
        code: 'PEER_SILENT',
        severity: 'warning',
        title: silent.length === 1 ? 'a peer does not answer' : 'some peers do not answer',
        text: isAlone
          ? `${nameOf(alone.path, mesh)} alone does not answer: ${alone.health.reason}`
          : text(silent),
        hint: 'look at these hosts; `tulle check PEER` looks for the cause',
      },
      lossy.length > 0 && {
        id: 'loss',
        code: 'PEER_LOSS',
        severity: 'warning',
        title: 'packets to some peers are lost',
        text: text(lossy),
        hint: '`tulle check PEER` looks for the place',
      },
    ];
    this.#health.warn(
      'mesh',
      warnings.filter(warning => warning !== false),
    );
  }
}

const WORDS = {
  answers: ['peer-answers', 'info', { one: 'answers', many: 'answer' }],
  loss: ['peer-loss', 'warning', { one: 'does not always answer', many: 'do not always answer' }],
  size: ['peer-loss', 'warning', { one: 'does not answer everything', many: 'do not answer everything' }],
  silent: ['peer-silent', 'warning', { one: 'does not answer', many: 'do not answer' }],
} as const;

/** Names by what is the matter with them: `docker3: its host does not answer; docker4, docker5: lost 30 %`. */
function textOf(changes: readonly Change[], mesh: Mesh): string {
  const groups = Map.groupBy(changes, ({ health }) => health.reason ?? '');
  return Array.from(
    groups,
    ([reason, group]) => `${enumerate(group, { name: ({ path }) => nameOf(path, mesh) })}: ${reason}`,
  ).join('; ');
}

/** The host, and the family where it has several. */
function nameOf({ name, key, family }: MeshPath, mesh: Mesh): string {
  const several = familiesOf(mesh.paths.of(key)).length > 1;
  return `${name}${several ? ` over ${FAMILY_LABELS[family]}` : ''}`;
}
