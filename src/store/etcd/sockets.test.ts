import assert from 'node:assert/strict';
import { Socket } from 'node:net';
import { test } from 'node:test';
import { credentials } from '@grpc/grpc-js';
import { SocketTracking } from './sockets.ts';

const TARGET = { scheme: 'ipv4', path: '127.0.0.1:2379' };

test('a connection that is made when the channel has been given up is closed as well', async () => {
  const sockets = new SocketTracking(credentials.createInsecure());
  const connector = sockets._createSecureConnector(TARGET, {});
  const before = new Socket();
  await connector.connect(before);
  assert.equal(before.destroyed, false);
  sockets.abandon();
  assert.equal(before.destroyed, true);
  const after = new Socket();
  await connector.connect(after);
  assert.equal(after.destroyed, true);
});
