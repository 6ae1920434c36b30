import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DesiredHost } from '../dataplane/desired.ts';
import type { DesiredLink } from '../dataplane/desired-link.ts';
import type { Lease } from '../subnet/lease/lease.ts';
import type { Backend, PeerPlan } from './backend.ts';
import { canBeSideBySide, handingOver, isLeftBehind, preparing } from './handover.ts';

/** A backend whose methods belong to its class, and need their object. */
class NamedBackend implements Backend {
  readonly type: string;
  readonly leftOut = [];
  readonly reduced = [];
  readonly #problems: readonly string[];
  readonly #devices: readonly string[];

  constructor(type: string, problems: readonly string[] = [], devices: readonly string[] = []) {
    this.type = type;
    this.#problems = problems;
    this.#devices = devices;
  }

  get overlayMtu(): number {
    return this.type.length;
  }

  attributes() {
    return { backendType: this.type };
  }

  host(): DesiredHost {
    const sysctl = { link: this.type, path: this.type, value: '0' };
    const links = this.#devices.map(name => ({ kind: 'vxlan', name }) as DesiredLink);
    return { networks: [], links, addresses: [], sysctls: [sysctl] };
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

test('two backends can be side by side when no device of one has the name of a device of the other', () => {
  const can = (from: readonly string[], to: readonly string[]) =>
    canBeSideBySide(new NamedBackend('former', [], from), new NamedBackend('new', [], to), {});
  assert.equal(can(['flannel.88'], ['flannel.89']), true);
  assert.equal(can(['flannel.88'], ['flannel.88']), false);
  assert.equal(can(['flannel.88', 'flannel-v6.88'], ['flannel.89', 'flannel-v6.89']), true);
  assert.equal(can(['flannel.88', 'flannel-v6.88'], ['flannel.89', 'flannel-v6.88']), false);
  assert.equal(can([], ['flannel.89']), false, 'there is nothing to keep meanwhile');
});

test('a peer is left behind while the former backend reaches it and the new one does not', () => {
  const fine = new NamedBackend('fine');
  const useless = new NamedBackend('useless', ['is of another kind']);
  assert.equal(isLeftBehind(fine, useless, lease), true);
  assert.equal(isLeftBehind(fine, fine, lease), false);
  assert.equal(isLeftBehind(useless, fine, lease), false);
  assert.equal(isLeftBehind(useless, useless, lease), false);
});
