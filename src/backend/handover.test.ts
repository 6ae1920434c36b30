import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DesiredHost } from '../dataplane/desired.ts';
import type { Lease } from '../subnet/lease/lease.ts';
import type { Backend, PeerPlan } from './backend.ts';
import { handingOver, preparing } from './handover.ts';

/** A backend whose methods belong to its class, and need their object. */
class NamedBackend implements Backend {
  readonly type: string;
  readonly leftOut = [];
  readonly reduced = [];
  readonly #problems: readonly string[];

  constructor(type: string, problems: readonly string[] = []) {
    this.type = type;
    this.#problems = problems;
  }

  get overlayMtu(): number {
    return this.type.length;
  }

  attributes() {
    return { backendType: this.type };
  }

  host(): DesiredHost {
    const sysctl = { link: this.type, path: this.type, value: '0' };
    return { networks: [], links: [], addresses: [], sysctls: [sysctl] };
  }

  peer(): PeerPlan {
    return { paths: [], problems: this.#problems };
  }
}

const lease = {} as Lease;

test('backends side by side keep the methods that an object of a class has', () => {
  const [from, to] = [new NamedBackend('former'), new NamedBackend('new', ['has not followed'])];
  const [before, after] = [preparing(from, to), handingOver(from, to)];
  const summary = (backend: Backend) => [
    backend.type,
    backend.overlayMtu,
    backend.attributes(),
    backend.host({}).sysctls.map(({ link }) => link),
    backend.peer(lease).problems,
  ];
  assert.deepEqual(summary(before), ['former', 6, { backendType: 'former' }, ['former', 'new'], []]);
  assert.deepEqual(summary(after), ['new', 3, { backendType: 'new' }, ['new', 'former'], []]);
});
