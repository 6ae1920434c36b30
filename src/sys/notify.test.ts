import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { bind, close, recv, SOCK_NONBLOCK, socket } from './libc.ts';
import { ServiceManager } from './notify.ts';

const AF_UNIX = 1;
const SOCK_DGRAM = 2;

/** Listens as systemd does; `name` as sockaddr_un has it. */
function listen(name: string): { receive(): string | undefined } & Disposable {
  const fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
  bind(fd, Buffer.concat([Buffer.from(Uint16Array.of(AF_UNIX).buffer), Buffer.from(name)]));
  const buffer = new Uint8Array(4096);
  return {
    receive: () => {
      const length = recv(fd, buffer);
      return length === undefined ? undefined : Buffer.from(buffer.subarray(0, length)).toString();
    },
    [Symbol.dispose]: () => close(fd),
  };
}

test('sends the lines systemd expects', () => {
  const directory = mkdtempSync(join(tmpdir(), 'tt-notify-'));
  try {
    const path = join(directory, 'notify');
    using manager = listen(`${path}\0`);
    const service = ServiceManager.fromEnvironment({ NOTIFY_SOCKET: path }, 1);
    assert.equal(service?.notify({ ready: true, status: 'two\nlines' }), true);
    assert.equal(manager.receive(), 'READY=1\nSTATUS=two lines');
    assert.equal(service?.notify({ stopping: true }), true);
    assert.equal(manager.receive(), 'STOPPING=1');
    assert.equal(service?.notify({ watchdog: true }), true);
    assert.equal(manager.receive(), 'WATCHDOG=1');
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test('reaches an abstract socket', () => {
  const name = `tt-notify-${process.pid}`;
  using manager = listen(`\0${name}`);
  ServiceManager.fromEnvironment({ NOTIFY_SOCKET: `@${name}` }, 1)?.notify({ ready: true });
  assert.equal(manager.receive(), 'READY=1');
});

test('a manager that does not read keeps nobody waiting', () => {
  const name = `tt-notify-full-${process.pid}`;
  using manager = listen(`\0${name}`);
  const service = ServiceManager.fromEnvironment({ NOTIFY_SOCKET: `@${name}` }, 1);
  // The kernel queues net.unix.max_dgram_qlen of them, 10 or 512; a blocking send would hang here forever.
  let sent = 0;
  while (sent < 100_000 && service?.notify({ watchdog: true }) === true) sent++;
  assert.ok(sent > 0 && sent < 100_000, `${sent} sent`);
  assert.equal(manager.receive(), 'WATCHDOG=1');
  assert.equal(service?.notify({ stopping: true }), true);
});

test('a manager that has gone away is no failure', () => {
  const service = ServiceManager.fromEnvironment({ NOTIFY_SOCKET: '/nonexistent/notify' }, 1);
  assert.equal(service?.notify({ ready: true }), false);
});

test('nothing is sent without a usable NOTIFY_SOCKET', () => {
  for (const path of [undefined, '', 'relative', '@', `/${'x'.repeat(120)}`]) {
    assert.equal(ServiceManager.fromEnvironment({ NOTIFY_SOCKET: path }, 1), undefined, path);
  }
});

test('the watchdog is ours only when it names us or nobody', () => {
  const timeout = (pid?: string) =>
    ServiceManager.fromEnvironment(
      { NOTIFY_SOCKET: '/run/x', WATCHDOG_USEC: '30000000', WATCHDOG_PID: pid },
      7,
    )?.watchdogTimeout;
  assert.equal(timeout('7'), 30_000);
  assert.equal(timeout(), 30_000);
  assert.equal(timeout('8'), undefined);
});
